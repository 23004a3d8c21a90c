"""A model that reads a question and a passage together, and says how well it is answered.

Rules
- Of a pair that is too long, the passage is cut, at its end: what the question says decides for all
  passages. A question that leaves no room for one is refused, or itself cut if that was asked for.
- Each pair is computed alone, several at a time on one thread each: a score depends on nothing
  beside it, and nothing is padding.
- What the model gives is its score as it is, or pressed between 0 and 1 if its makers say so.

Not here: what a request looks like (ranking.py), and the process (onnx_worker.py).
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from littoral.adapters.engines.onnx_session import RefusedError, in_groups, opened, tokenizer_at

if TYPE_CHECKING:
    from tokenizers import Encoding

__all__ = ["CrossEncoder", "NoScoreError"]

_INPUTS: Final = frozenset({"input_ids", "attention_mask", "token_type_ids"})
_OUTPUT: Final = "logits"


class NoScoreError(Exception):
    """The model in the file is another one; the message says what is wrong with it."""


class CrossEncoder:
    """A tokenizer and a model: pairs of texts in, one number for each out."""

    def __init__(
        self,
        model_path: str,
        tokenizer_path: str,
        *,
        context_tokens: int,
        threads: int,
        squashed: bool,
    ) -> None:
        """Load both.

        Args:
            model_path: the ONNX file.
            tokenizer_path: its `tokenizer.json`.
            context_tokens: most that a pair may have.
            threads: pairs at a time.
            squashed: scores are pressed between 0 and 1.

        Raises:
            NoScoreError: it is no model of this kind.
        """
        self._tokenizer = tokenizer_at(tokenizer_path)
        self._context_tokens = context_tokens
        self._marks = self._tokenizer.num_special_tokens_to_add(is_pair=True)
        self._session = opened(model_path)
        self._inputs = {each.name for each in self._session.get_inputs()}
        if "input_ids" not in self._inputs or not self._inputs <= _INPUTS:
            found = ", ".join(sorted(self._inputs))
            raise NoScoreError(f"it reads {found[:200]}, which is not what a cross-encoder reads")
        self._output = self._score_output()
        self._squashed = squashed
        self._threads = ThreadPoolExecutor(threads)
        self._score(self.pairs("ready", ["ready"])[0])

    def pairs(self, question: str, texts: list[str], *, cut: bool = False) -> list["Encoding"]:
        """The question with each text, as the model reads them.

        Args:
            question: what they are to answer.
            texts: the passages; the ends of long ones are left out.
            cut: of a long question half as many tokens are read as a pair may have.

        Raises:
            RefusedError: the question leaves no room for a passage.
        """
        asked = self._tokenizer.encode(question, add_special_tokens=False)
        room = self._context_tokens - self._marks
        if cut:
            asked.truncate(min(len(asked.ids), room // 2))
        left = room - len(asked.ids)
        if left < 1:
            raise RefusedError(
                type="too_long",
                what="query",
                tokens=len(asked.ids),
                context_tokens=room - 1,
            )
        read = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        for text in read:
            if len(text.ids) > left:
                text.truncate(left)
        return [self._tokenizer.post_process(asked, text) for text in read]

    def scores(self, pairs: list["Encoding"], still_wanted: Callable[[], bool]) -> list[float]:
        """One number for each pair, in their order; more is better.

        Raises:
            GoneError: nobody waits for them any more.
        """
        found: list[float] = []
        for group in in_groups(pairs, still_wanted):
            found += self._threads.map(self._score, group)
        return found

    def _score(self, pair: "Encoding") -> float:
        import numpy as np  # noqa: PLC0415

        said = {
            "input_ids": pair.ids,
            "attention_mask": [1] * len(pair.ids),
            "token_type_ids": pair.type_ids,
        }
        feed = {name: np.array([said[name]], np.int64) for name in self._inputs}
        (given,) = self._session.run([self._output], feed)
        if given.size != 1:
            raise NoScoreError(f"its output {self._output} has {given.size} numbers and not one")
        score = float(given.reshape(()))
        if not math.isfinite(score):
            raise ValueError("the model has given no number")
        return _between(score) if self._squashed else score

    def _score_output(self) -> str:
        outputs: list[str] = [each.name for each in self._session.get_outputs()]
        if _OUTPUT in outputs:
            return _OUTPUT
        if len(outputs) != 1:
            raise NoScoreError(f"it has no output {_OUTPUT}, but {', '.join(outputs)[:200]}")
        return outputs[0]


def _between(score: float) -> float:
    """The logistic function, which can't overflow here."""
    if score >= 0:
        return 1 / (1 + math.exp(-score))
    return math.exp(score) / (1 + math.exp(score))
