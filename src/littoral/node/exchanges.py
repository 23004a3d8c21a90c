"""The Door of a PoP: the one way in, for web handlers, the command line and tests alike."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from littoral.memory.briefing import is_small
from littoral.memory.prompting import with_sources
from littoral.node.elsewhere import Elsewhere
from littoral.node.entries import entry_for, is_pipeline
from littoral.node.keyring import authenticated
from littoral.node.parts import Parts
from littoral.node.pipelines import PipelineRuns
from littoral.node.run import Run
from littoral.node.sourcing import Sourcing, no_memory
from littoral.serving.plan import plan_of
from littoral.terms.errors import NotFoundError, StoreError, UnsupportedError
from littoral.terms.ids import ModelName, ReceiptId
from littoral.terms.limits import RECEIPT_WAIT_S
from littoral.terms.ports import Answer
from littoral.terms.sources import MemoryWanted, Sources
from littoral.terms.values import Ask, Caller, ModelStatus

__all__ = ["Exchanges"]


Bring = Callable[[ModelName, Caller], Awaitable[None]]


async def _nothing(_: ModelName, __: Caller) -> None:
    """What is not here stays away."""


class Exchanges:
    """The one way in: authenticates, admits and runs requests."""

    def __init__(self, parts: Parts, elsewhere: Elsewhere | None = None) -> None:
        self.parts = parts
        self._elsewhere = elsewhere
        self.bring: Bring = _nothing
        """Has a model be here that is asked for and is not."""
        self.sourcing: Sourcing | None = None
        """Recalls what answers are to be made from, where there is memory."""
        self.pipelines: PipelineRuns | None = None
        """Runs pipelines."""

    def authenticate(self, token: str | None) -> Caller:
        """Who holds this key. Raises KeyMissingError or KeyRejectedError."""
        return authenticated(self.parts.keyring, self.parts.observe, token)

    @asynccontextmanager
    async def answer(self, ask: Ask, caller: Caller) -> AsyncIterator[Answer]:
        """Recall, admit, load, dispatch; see the port."""
        if self.pipelines is not None and is_pipeline(ask.model):
            async with self.pipelines.answer(ask, caller) as answer:
                yield answer
            return
        await self.bring(ask.model, caller)
        if caller.requires and self._elsewhere is not None:
            self._elsewhere.check(caller, entry_for(self.parts.host.entries, ask.model, caller))
        if ask.memory is not None:
            ask = await self._with_sources(ask, ask.memory, caller)
        async with self.run(ask, caller) as run:
            yield run

    def run(self, ask: Ask, caller: Caller) -> Run:
        """An answer to just this; what memory gave is in it already."""
        return Run(self.parts, ask, caller)

    async def _with_sources(self, ask: Ask, memory: MemoryWanted | Sources, caller: Caller) -> Ask:
        """The request with what it is to be answered from."""
        entries = self.parts.host.entries
        entry = entries.entry(ask.model) if ask.asked else entry_for(entries, ask.model, caller)
        if isinstance(memory, MemoryWanted):
            if self.sourcing is None:
                raise no_memory()
            memory = await self.sourcing.sources(memory, ask.body, ask.raw, entry, caller)
        return replace(
            ask, body=with_sources(ask.body, memory, brief=is_small(entry)), memory=memory
        )

    async def count(self, ask: Ask, caller: Caller) -> int:
        """Prompt tokens of the ask, by the model's own tokenizer; loads the model if need be."""
        parts = self.parts
        await self.bring(ask.model, caller)
        entry = entry_for(parts.host.entries, ask.model, caller)
        plan = plan_of(ask, entry, seed=0)
        reservation = parts.keyring.reserve(caller, 0)
        try:
            counted = await parts.host.count(plan.call, wait=parts.wait)
        finally:
            parts.keyring.release(reservation)
        if counted is None:
            raise UnsupportedError(
                f"the upstream of {entry.name} does not count tokens", param="model"
            )
        return counted

    def models(self, caller: Caller) -> Sequence[ModelStatus]:
        """What this caller may use, sorted by name."""
        self.parts.host.entries.rescan()
        return [
            status
            for status in self.parts.host.statuses()
            if caller.models is None or status.entry.name in caller.models
        ]

    def receipt(self, receipt_id: ReceiptId, caller: Caller) -> bytes:
        """The stored receipt with its opening. Raises NotFoundError, also for other callers'."""
        scribe = self.parts.scribe
        scribe.flush()
        if scribe.waits(receipt_id, caller):
            raise StoreError(
                f"receipt {receipt_id} is not kept yet, as another process holds the database",
                advice="ask again in a moment",
                retry_after_s=RECEIPT_WAIT_S,
            )
        stored = self.parts.receipts.get(receipt_id)
        if stored is None or not (caller.operator or stored.key_id == caller.key_id):
            raise NotFoundError(f"there is no receipt {receipt_id}")
        return stored.document
