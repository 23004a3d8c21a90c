"""Recalls what an answer is to be made from, before anything else is decided about the request.

Rules
- The same request gets the same sources as long as the collections are the same: how many passages
  fit follows from the request's bytes and the model's entry.
- What the caller may not see is not recalled; that is the memory's to keep.
- Time is bounded, and is told as a fact.
"""

import asyncio
from collections.abc import Mapping, Sequence

from littoral.memory.briefing import is_small
from littoral.memory.fusion import fused
from littoral.memory.prompting import fitted, question_in, room_for, shortened, tokens_of
from littoral.terms.collections import Memory
from littoral.terms.errors import LittoralError, StoreError, UnsupportedError
from littoral.terms.facts import StepEnded
from littoral.terms.limits import COMPLETION_TOKENS, RECALL_WAIT_S, SMALL_MODEL_PASSAGES
from littoral.terms.memory import Cited
from littoral.terms.ports import Clock, Observe
from littoral.terms.sources import MemoryWanted, Sources
from littoral.terms.values import SECOND, Caller, ModelEntry

__all__ = ["Sourcing", "answer_tokens", "no_memory"]

_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


class Sourcing:
    """Finds sources."""

    def __init__(self, memory: Memory, clock: Clock, observe: Observe) -> None:
        self._memory = memory
        self._clock = clock
        self._observe = observe

    async def sources(
        self,
        wanted: MemoryWanted,
        body: Mapping[str, object],
        raw: bytes,
        entry: ModelEntry,
        caller: Caller,
    ) -> Sources:
        """What an answer is to be made from.

        Args:
            wanted: what is to be recalled.
            body: the request, in the shape of any API of chats.
            raw: its bytes.
            entry: the model that is to answer.
            caller: whose request it is.

        Raises:
            BadRequestError: there is no question.
            ContextLengthError: the conversation leaves no room for a passage.
            StoreError: memory does not answer in time.
            LittoralError: as `Memory.recall`.
        """
        question = shortened(wanted.text or question_in(body))
        began, outcome = self._clock.now(), "failed"
        try:
            async with asyncio.timeout(RECALL_WAIT_S):
                found = await self._found(wanted, question, caller)
            outcome = "done"
        except TimeoutError:
            raise StoreError(
                f"the collection has not answered in {RECALL_WAIT_S:g} s",
                advice="ask again in a moment",
                retry_after_s=1,
            ) from None
        finally:
            seconds = (self._clock.now() - began) / SECOND
            self._observe(StepEnded("recall", outcome, seconds))
        if is_small(entry):
            found = found[:SMALL_MODEL_PASSAGES]
        said = tokens_of(raw.decode("utf-8", "replace"))
        room = room_for(entry.context_tokens, answer_tokens(body, entry), said)
        return Sources(question=question, passages=fitted(found, room))

    async def _found(self, wanted: MemoryWanted, question: str, caller: Caller) -> Sequence[Cited]:
        """The best of all collections, best first."""
        recall = wanted.recall(question)
        rankings = [
            (await self._memory.recall(name, recall, caller)).passages
            for name in dict.fromkeys(wanted.collections)
        ]
        if len(rankings) == 1:
            return rankings[0]
        named = {_name(each): each for ranking in rankings for each in ranking}
        best = fused([[_name(each) for each in ranking] for ranking in rankings])
        return [named[name] for name, _ in best[: wanted.limit]]


def answer_tokens(body: Mapping[str, object], entry: ModelEntry) -> int:
    """Most tokens that the answer may have."""
    said = next((value for name in _LIMITS if isinstance(value := body.get(name), int)), None)
    return said or entry.defaults.max_tokens or COMPLETION_TOKENS


def no_memory() -> LittoralError:
    """Nothing can be recalled here."""
    return UnsupportedError("this PoP keeps no collections", param="memory")


def _name(passage: Cited) -> str:
    return f"{passage.collection}/{passage.id}"
