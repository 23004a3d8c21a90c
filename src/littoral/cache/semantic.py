"""Reuse of answers by meaning: who may, what is compared, which entry is the nearest.

It is off unless a key or a request asks for it (`reuse_of`). Everything about a request except the
text of its last user message is its partition, compared exactly (`asked_of`); within a partition
the nearest entry whose words allow it (`choose`) is served or explored, as its record says.

Rules
- A partition is a digest over caller's scope, model identity, policy epoch, API, and the whole
  body: system prompt, earlier turns, tools, response format, sampling. None of it is ever similar.
- A request can be stricter than its key, never looser.
- Whether an exploration found the same answer is judged against the entry (`same_answer`): what is
  not clearly the same is wrong.

Not here: the decision itself (learner.py), what words tell (questions.py), vectors and storage.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import fsum, isfinite, sqrt
from operator import mul
from typing import Final

import msgspec

from littoral.cache.learner import Decision, Record, decide
from littoral.cache.questions import difference, plain, reading
from littoral.terms.errors import BadRequestError, NotAllowedError
from littoral.terms.limits import REUSE_ANSWER_CHARS_MAX, REUSE_QUESTION_CHARS_MAX
from littoral.terms.values import Ask, Kind

__all__ = [
    "ANSWER_SIMILARITY_MIN",
    "BOUND_MAX",
    "BOUND_MIN",
    "SIMILARITY_MIN",
    "AnswerName",
    "Asked",
    "Candidate",
    "Chosen",
    "Reuse",
    "alike_in_words",
    "answer_name",
    "asked_of",
    "choose",
    "cosine",
    "partition_of",
    "reuse_of",
    "same_answer",
    "unit",
]

BOUND_MIN: Final = 0.001
"""A stricter bound would take more observations than a record holds."""

BOUND_MAX: Final = 0.2
"""A looser one would be no bound."""

SIMILARITY_MIN: Final = 0.6
"""Below it nothing is compared: with MiniLM, 0.6 is two questions about one subject."""

ANSWER_SIMILARITY_MIN: Final = 0.97
"""From here on two answers are the same, with equal hard words and half of the others shared."""

_ENCODER: Final = msgspec.json.Encoder(order="deterministic")


@dataclass(frozen=True, slots=True)
class Reuse:
    """How this request may be answered by reuse."""

    bound: float
    """Most wrong answers, as a share."""
    shadow: bool = False
    """Decide and learn as usual, and serve nothing."""


def reuse_of(header: str | None, key_bound: float | None, open_bound: float | None) -> Reuse | None:
    """What a request's `Littoral-Reuse` and its key allow together.

    Args:
        header: `off`, `shadow`, `error=SHARE`, or `error=SHARE; shadow`; None when it is not there.
        key_bound: the key's own bound; None when it did not opt in.
        open_bound: what the operator allows requests of such keys to ask for; None is nothing.

    Raises:
        BadRequestError: the header says something else, or a share that is none.
        NotAllowedError: it asks for more than the key and the operator allow.
    """
    if header is None:
        return None if key_bound is None else Reuse(key_bound)
    error, shadow, off = _read_header(header)
    if off:
        return None
    most = open_bound if key_bound is None else key_bound
    if most is None:
        raise NotAllowedError(
            "this key may not reuse answers by meaning",
            advice="ask the operator for a key with a bound, or leave Littoral-Reuse out",
        )
    if error is not None and error > most:
        raise NotAllowedError(
            f"Littoral-Reuse asks for error={error:g} and this key allows at most {most:g}",
            advice="a request can only be stricter than its key",
        )
    return Reuse(most if error is None else error, shadow)


def _read_header(header: str) -> tuple[float | None, bool, bool]:
    """The bound asked for, whether in shadow, whether off."""
    parts = [part.strip() for part in header.split(";")]
    if parts == ["off"]:
        return None, False, True
    error: float | None = None
    for part in parts:
        name, is_error, value = part.partition("=")
        if name == "error" and is_error and error is None:
            error = _share(value)
        elif part != "shadow":
            raise BadRequestError(
                f"Littoral-Reuse is {header[:60]!r}",
                advice="send `off`, `shadow`, `error=0.02` or `error=0.02; shadow`",
                param="Littoral-Reuse",
            )
    if parts.count("shadow") > 1:
        raise BadRequestError("Littoral-Reuse says shadow twice", param="Littoral-Reuse")
    return error, "shadow" in parts, False


def _share(text: str) -> float:
    plain_number = text.replace(".", "", 1).isascii() and text.replace(".", "", 1).isdigit()
    share = float(text) if plain_number and len(text) <= 12 else -1.0
    if not isfinite(share) or not BOUND_MIN <= share <= BOUND_MAX:
        raise BadRequestError(
            f"error in Littoral-Reuse is {text[:20]!r}",
            advice=f"give a share from {BOUND_MIN:g} to {BOUND_MAX:g}, such as 0.02",
            param="Littoral-Reuse",
        )
    return share


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as reuse sees it."""

    partition: bytes
    question: str


def asked_of(ask: Ask, *, scope: str, model: bytes, policy_epoch: int) -> Asked | None:
    """The question and its partition; None when this request is not compared by meaning.

    Compared are chats of one choice that end in a user's message of plain text, not too long.

    Args:
        ask: the request, its model's defaults filled in or not, but always the same way.
        scope: whose answers may be given (`Caller.scope`).
        model: what of the model decides its answers, as a digest.
        policy_epoch: a number that becomes another one when what is allowed has changed.
    """
    messages = ask.body.get("messages")
    if ask.kind is not Kind.CHAT or not isinstance(messages, Sequence) or not messages:
        return None
    last = messages[-1]
    if isinstance(messages, str) or not isinstance(last, Mapping) or last.get("role") != "user":
        return None
    question = last.get("content")
    if not isinstance(question, str) or not plain(question) or ask.body.get("n") not in {None, 1}:
        return None
    if len(question) > REUSE_QUESTION_CHARS_MAX:
        return None
    rest = {name: value for name, value in last.items() if name != "content"}
    body = {**ask.body, "messages": [*messages[:-1], rest]}
    return Asked(partition_of(scope, model, policy_epoch, ask, body), question)


def partition_of(
    scope: str, model: bytes, policy_epoch: int, ask: Ask, body: Mapping[str, object]
) -> bytes:
    """The digest of everything that has to be exactly equal. 32 bytes.

    Args:
        scope: as in `asked_of`.
        model: as in `asked_of`.
        policy_epoch: as in `asked_of`.
        ask: the request, for the door that it came by and whether it is streamed.
        body: its body, without the text that is compared by meaning.
    """
    whole = ("reuse", scope, ask.model, model, policy_epoch, ask.api, ask.stream, body)
    return sha256(_ENCODER.encode(whole)).digest()


@dataclass(frozen=True, slots=True)
class AnswerName:
    """Which stored answer an entry is about."""

    key: bytes
    """Under which the answer cache has it."""
    digest: bytes
    """Of its text: another text under the same key is another answer, of which nothing is known."""


def answer_name(key: bytes, text: str) -> AnswerName:
    """The name of the answer of this key and text."""
    return AnswerName(key, sha256(text.encode()).digest())


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry near a question, as the store found it."""

    entry_id: int
    question: str
    answer: AnswerName
    record: Record
    similarity: float


@dataclass(frozen=True, slots=True)
class Chosen:
    """The entry that a question is compared with, and what to do with it."""

    candidate: Candidate
    decision: Decision


def choose(
    question: str, candidates: Sequence[Candidate], bound: float, draw: float
) -> Chosen | None:
    """The nearest candidate that words allow, with the decision; None when there is none.

    Args:
        question: as it was asked.
        candidates: of the question's partition, nearest first.
        bound: most wrong answers, as a share.
        draw: random in [0, 1).
    """
    asked = reading(question)
    for candidate in candidates:
        if candidate.similarity < SIMILARITY_MIN:
            return None
        if difference(asked, reading(candidate.question)) is None:
            decision = decide(candidate.record, candidate.similarity, bound, draw)
            return Chosen(candidate, decision)
    return None


def alike_in_words(one: str, other: str) -> bool:
    """Whether two answers may be the same at all, so that their similarity is worth computing."""
    if max(len(one), len(other)) > REUSE_ANSWER_CHARS_MAX:
        return False
    first, second = reading(one), reading(other)
    shared = (first.content & second.content).total()
    most = max(first.content.total(), second.content.total())
    return first.hard == second.hard and first.names == second.names and 2 * shared >= most


def same_answer(one: str, other: str, similarity: float | None = None) -> bool:
    """Whether an answer would have done for the other. What is not clearly so is not.

    Args:
        one: an answer's text.
        other: another's.
        similarity: of the two texts' embeddings; None when they were not embedded.
    """
    if plain(one).casefold() == plain(other).casefold():
        return bool(plain(one))
    if similarity is None or similarity < ANSWER_SIMILARITY_MIN:
        return False
    return alike_in_words(one, other)


def unit(vector: Sequence[float]) -> tuple[float, ...] | None:
    """The vector at length one; None for one that has no direction."""
    length = sqrt(fsum(map(mul, vector, vector)))
    if not isfinite(length) or length == 0:
        return None
    return tuple(value / length for value in vector)


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """The similarity of two vectors of length one, in -1..1."""
    return max(-1.0, min(1.0, fsum(map(mul, one, other))))
