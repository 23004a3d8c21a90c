"""What this PoP learns of its own models as they answer: how fast they are, and what they keep.

Rates are folded from the facts that metrics come from too; what an engine keeps of prompts is
estimated from the prompts that it was given. Both are told to other PoPs (saying.py).

Rules
- Only answers that were computed here say something, and only whole ones.
- An engine that was started anew keeps nothing.
- The beginnings of prompts are kept as hashes, each in the scope of its caller (routing/prefix.py):
  the one that a PoP says which passes a request on, and for callers of this PoP the one that it
  would say itself, so that it compares itself with others by one rule.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from littoral.node.onward import key_behind
from littoral.routing.prefix import Sketch, prefixes_of, prompt_of
from littoral.routing.rates import Answered, Measured, Rates
from littoral.terms.facts import Fact, ModelLoading, ModelReady, RequestEnded
from littoral.terms.ids import ModelName
from littoral.terms.kinds import writes
from littoral.terms.ports import Clock, Engine
from littoral.terms.values import EngineCall, Finish, Source

__all__ = ["Learning", "Learnt"]

_WHOLE = {Finish.STOP, Finish.LENGTH, Finish.TOOL_CALLS}


class Learning:
    """Of all models of this PoP."""

    def __init__(
        self, clock: Clock, *, kv_tokens: int, at_work: Callable[[ModelName], int]
    ) -> None:
        """Know nothing yet.

        Args:
            clock: for the age of what was learned.
            kv_tokens: what one engine's cache holds.
            at_work: how many requests a model has in flight.
        """
        self._clock = clock
        self._kv_tokens = kv_tokens
        self._at_work = at_work
        self._rates: dict[ModelName, Rates] = {}
        self._sketches: dict[ModelName, Sketch] = {}
        self._prompts: dict[ModelName, float] = {}

    def observe(self, fact: Fact) -> None:
        """Learn from what happened."""
        match fact:
            case RequestEnded() if fact.source is Source.COMPUTED:
                self._ended(fact)
            case ModelLoading(model, _):
                self._sketches.pop(model, None)
            case ModelReady(model, seconds, _):
                self._of(model).loaded(seconds)
            case _:
                pass

    def read(self, call: EngineCall) -> None:
        """An engine here is given a prompt."""
        passage = call.passage
        if passage is None:
            return
        own = len(passage.via) == 1
        scope = key_behind(passage.via[0], passage.scope) if own else call.tenant
        sketch = self._sketches.get(call.model)
        if sketch is None:
            sketch = self._sketches[call.model] = Sketch(self._kv_tokens)
        sketch.read(prefixes_of(scope, call.model, prompt_of(call.body)))

    def measured(self, model: ModelName) -> Measured:
        """Its rates as of now."""
        return self._of(model).measured(self._clock.now())

    def prompt_tokens(self, model: ModelName) -> float:
        """Mean length of its prompts lately."""
        return self._prompts.get(model, 0.0)

    def sketch(self, model: ModelName) -> bytes:
        """What its engine keeps, for other PoPs."""
        sketch = self._sketches.get(model)
        return b"" if sketch is None else sketch.told()

    def _of(self, model: ModelName) -> Rates:
        return self._rates.setdefault(model, Rates())

    def _ended(self, fact: RequestEnded) -> None:
        usage = fact.usage
        known = self._prompts.get(fact.model)
        read = usage.prompt_tokens - usage.cached_tokens
        self._prompts[fact.model] = read if known is None else known + (read - known) / 8
        if fact.first_token_s is None or not writes(fact.kind) or fact.finish not in _WHOLE:
            return
        answered = Answered(
            first_token_s=max(0.0, fact.first_token_s - fact.queue_s),
            total_s=max(0.0, fact.total_s - fact.queue_s),
            read_tokens=read,
            answer_tokens=usage.completion_tokens,
            at_work=self._at_work(fact.model) + 1,
        )
        self._of(fact.model).answered(answered, self._clock.now())


class Learnt:
    """An engine of this PoP, of whose prompts is learned: an `Engine` around another."""

    def __init__(self, engine: Engine, learning: Learning) -> None:
        self._engine = engine
        self._learning = learning
        self.serve = engine.serve
        self.count = engine.count

    def open(self, call: EngineCall) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """See the port."""
        self._learning.read(call)
        return self._engine.open(call)
