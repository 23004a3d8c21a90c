"""Reuse of answers by meaning, performed: embed, look up, decide; later compare and learn.

For a request that opted in, `judge` says `Serve` (give this stored answer), `Explore` (ask the
model; then `learn` compares its answer with the stored one) or `Nothing` (ask the model; then
`learn` keeps the question if there is one). In shadow nothing is `Serve`, and all else is the same.

Rules
- Whatever fails here (no embedding, a book that can't be read) costs the reuse, not the request.
- An entry whose answer is no longer kept, or is another one now, is forgotten and serves nothing.
- Each exploration is one observation, made once. An answer that was cut off or failed is none.

Not here: whether the caller may use the model, budgets, receipts, and the answer itself: a served
answer passes all of them as any other does.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from littoral.adapters.reuse import QuestionBook
from littoral.cache.semantic import (
    Asked,
    Candidate,
    Chosen,
    Reuse,
    alike_in_words,
    answer_name,
    asked_of,
    choose,
    cosine,
    same_answer,
    unit,
)
from littoral.terms.errors import LittoralError
from littoral.terms.facts import ReuseChecked, ReuseJudged
from littoral.terms.ids import ModelName
from littoral.terms.ports import Clock, Observe
from littoral.terms.values import SECOND, Ask, Caller

__all__ = ["Embed", "Explore", "Judgement", "Kept", "Nothing", "SemanticReuse", "Serve", "headers"]

Embed = Callable[[str], Awaitable[Sequence[float]]]
"""The vector of a text. Raises LittoralError when there is none."""


class Kept(Protocol):
    """What reuse reads of a stored answer."""

    @property
    def texts(self) -> Sequence[bytes]:
        """The answer's texts, part by part, in UTF-8."""


A = TypeVar("A", bound=Kept)


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked, with all that keeping it takes."""

    asked: Asked
    vector: tuple[float, ...]
    model: ModelName


@dataclass(frozen=True, slots=True)
class Serve(Generic[A]):
    """Give this answer."""

    answer: A
    similarity: float
    bound: float


@dataclass(frozen=True, slots=True)
class Explore:
    """Ask the model, and then `learn`."""

    chosen: Chosen
    text: str
    """Of the stored answer, to be compared with."""
    shadow: bool
    question: _Question


@dataclass(frozen=True, slots=True)
class Nothing:
    """Ask the model. With a question, `learn` keeps it."""

    question: _Question | None = None


Judgement = Serve[A] | Explore | Nothing

_DRAW_BYTES: Final = 6


class SemanticReuse(Generic[A]):
    """The reuse of one PoP. `A` is whatever its answer store keeps."""

    def __init__(
        self,
        book: QuestionBook,
        *,
        embed: Embed,
        answer_of: Callable[[bytes, str], A | None],
        clock: Clock,
        observe: Observe,
    ) -> None:
        """Take what it uses.

        Args:
            book: the questions and what was learnt of them.
            embed: one text to one vector, always by the same model.
            answer_of: the stored answer of a key and a model, or None when it is no longer there.
            clock: for the time of use, and the draw between serving and exploring.
            observe: takes the facts.
        """
        self._book = book
        self._embed = embed
        self._answer_of = answer_of
        self._clock = clock
        self._observe = observe

    async def judge(
        self, ask: Ask, caller: Caller, reuse: Reuse, *, model: bytes, policy_epoch: int
    ) -> Judgement[A]:
        """What to do with a request that opted in.

        Args:
            ask: the request.
            caller: whose it is; nothing of another scope is ever looked at.
            reuse: the bound, and whether in shadow (`cache.semantic.reuse_of`).
            model: identity of the model's answers (`cache.keys.model_identity`).
            policy_epoch: as for the exact cache.
        """
        asked = asked_of(ask, scope=caller.scope, model=model, policy_epoch=policy_epoch)
        if asked is None:
            return Nothing()
        try:
            vector = unit(await self._embed(asked.question))
            if vector is None:
                return Nothing()
            question = _Question(asked, vector, ask.model)
            judgement = self._judged(question, reuse)
        except LittoralError:
            return Nothing()
        self._observe(ReuseJudged(ask.model, _outcome(judgement), reuse.shadow))
        return judgement

    def _judged(self, question: _Question, reuse: Reuse) -> Judgement[A]:
        near = self._book.near(question.asked, question.vector)
        draw = int.from_bytes(self._clock.random_bytes(_DRAW_BYTES)) / 256**_DRAW_BYTES
        chosen = choose(question.asked.question, near, reuse.bound, draw)
        if chosen is None:
            return Nothing(question)
        name = chosen.candidate.answer
        answer = self._answer_of(name.key, question.model)
        texts = [] if answer is None else [text.decode(errors="replace") for text in answer.texts]
        if answer is None or [answer_name(name.key, text) for text in texts] != [name]:
            self._book.forget(chosen.candidate.entry_id)
            return Nothing(question)
        self._book.used(chosen.candidate.entry_id, self._unix_s())
        if chosen.decision.serve and not reuse.shadow:
            return Serve(answer, chosen.candidate.similarity, reuse.bound)
        return Explore(chosen, texts[0], reuse.shadow, question)

    async def learn(
        self, judgement: Explore | Nothing, text: str, answer_key: bytes | None
    ) -> None:
        """Take what the model answered. Called once, only for an answer that ended as it should.

        Args:
            judgement: what `judge` said.
            text: of the model's answer: one choice, no tool calls, finished by itself.
            answer_key: under which the answer is kept now; None when it is not, and then the
                question is not kept either.
        """
        question = judgement.question
        if question is None:
            return
        try:
            if isinstance(judgement, Explore) and await self._compared(judgement, text):
                return  # the entry's answer does for this question too
            if answer_key is not None and text.strip():
                self._book.add(
                    question.asked,
                    question.vector,
                    answer_name(answer_key, text),
                    unix_s=self._unix_s(),
                )
        except LittoralError:
            return

    async def _compared(self, explored: Explore, text: str) -> bool:
        """Whether the stored answer was right; its entry learns it."""
        right = same_answer(explored.text, text)
        if not right and alike_in_words(explored.text, text):
            one, other = unit(await self._embed(explored.text)), unit(await self._embed(text))
            similarity = None if one is None or other is None else cosine(one, other)
            right = same_answer(explored.text, text, similarity)
        candidate: Candidate = explored.chosen.candidate
        self._book.learn(candidate.entry_id, candidate.similarity, right=right)
        certified = explored.chosen.decision.certified
        fact = ReuseChecked(explored.question.model, right, certified, explored.shadow)
        self._observe(fact)
        return right

    def _unix_s(self) -> int:
        return self._clock.unix_ns() // SECOND


def headers(judgement: Judgement[A], reuse: Reuse) -> Mapping[str, str]:
    """What the response says of reuse, as `Littoral-Reuse`."""
    mode = f"bound={reuse.bound:g}{'; shadow' if reuse.shadow else ''}"
    match judgement:
        case Serve(_, similarity, bound):
            said = f"hit; similarity={similarity:.3f}; bound={bound:g}"
        case Explore(chosen):
            said = f"explored; similarity={chosen.candidate.similarity:.3f}; {mode}"
        case Nothing():
            said = f"none; {mode}"
    return {"littoral-reuse": said}


def _outcome(judgement: Judgement[A]) -> str:
    match judgement:
        case Serve():
            return "hit"
        case Explore():
            return "explored"
        case Nothing():
            return "none"
