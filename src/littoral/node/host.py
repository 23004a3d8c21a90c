"""Hosts the models of one machine: runs the pool, starts and ends the engines it asks for.

The pool (placement/pool.py) decides; this performs. Each engine is one task in the PoP's task
group, so none outlives it; a ticket that waits is a future that the pool's word resolves.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import assert_never

from littoral.adapters.models import Catalogue
from littoral.node.arrivals import Arrivals, served_early
from littoral.node.drive import Driver
from littoral.node.entries import Entries
from littoral.placement.fit import check_fit, memory_needed
from littoral.placement.pool import Pool
from littoral.placement.words import (
    Drain,
    Effect,
    Event,
    Gone,
    Grant,
    Know,
    Note,
    PoolBounds,
    Refuse,
    Released,
    Reported,
    Resident,
    Start,
    Stop,
    Tick,
    Unload,
    Wanted,
)
from littoral.terms.errors import EngineStartError, LittoralError
from littoral.terms.ids import ModelName
from littoral.terms.ports import Clock, Engine, Observe
from littoral.terms.values import (
    Down,
    EngineCall,
    EngineInfo,
    EngineKind,
    EngineState,
    Instant,
    Kind,
    ModelEntry,
    ModelStatus,
    Ready,
)

__all__ = ["HostSettings", "Lease", "ModelHost"]


@dataclass(frozen=True, slots=True)
class Lease:
    """A slot of a model's engine, until it is given back."""

    ticket: int
    engine: Engine
    info: EngineInfo


@dataclass(frozen=True, slots=True)
class HostSettings:
    """The operator's word on models."""

    bounds: PoolBounds
    pinned: frozenset[str]
    """Models that are kept loaded."""
    kv_tokens: int
    """Key-value cache of each local model."""
    slots: int
    """Slots that share it."""
    free_memory_bytes: Callable[[], int]
    """What the machine has free now."""


class ModelHost:
    """The models that this PoP can run, and those that run."""

    def __init__(
        self,
        catalogue: Catalogue,
        make_engine: Callable[[ModelEntry], Engine],
        settings: HostSettings,
        *,
        clock: Clock,
        observe: Observe,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._catalogue = catalogue
        self._make_engine = make_engine
        self._settings = settings
        self._clock = clock
        self._observe = observe
        self._tasks = tasks
        self._engines: dict[ModelName, Engine] = {}
        self._engine_tasks: dict[ModelName, asyncio.Task[None]] = {}
        self._tickets: dict[int, asyncio.Future[EngineInfo]] = {}
        self._last_ticket = 0
        self.closed = False
        """Engines that end now were ended by us; they did not die."""
        self._changed = asyncio.Event()
        self._pool = Pool(settings.bounds)
        self._driver: Driver[Event, Effect] = Driver(
            self._pool, self._perform, tick=Tick(), clock=clock
        )
        self.entries = Entries(catalogue, settings.kv_tokens, self._see)
        self.arrivals = Arrivals()
        """Of models that are still on their way here."""
        self.arrivals.changed = self.entries.expect

    # --- what is known ---

    def statuses(self) -> list[ModelStatus]:
        """Every model, sorted by name, as it is now."""
        return [
            ModelStatus(
                entry,
                self._pool.state(name) or self.arrivals.state(name),
                *self._pool.counts(name),
            )
            for name, entry in sorted(self.entries.by_name.items())
        ]

    def in_flight(self, name: ModelName) -> int:
        """How many requests a model that may be asked for works on now."""
        return self._pool.counts(name)[0] if name in self.entries.by_name else 0

    # --- leases ---

    def engine(self, name: ModelName) -> Engine | None:
        """The model's engine if it takes calls now."""
        return self._engines.get(name) if isinstance(self._pool.state(name), Ready) else None

    def cache_of(self, entry: ModelEntry) -> tuple[int, int]:
        """Cache tokens that one slot of this model has as its share, and all slots together."""
        if entry.engine is not EngineKind.LLAMA or Kind.EMBED in entry.kinds:
            return 0, 0
        return self._settings.kv_tokens // self._settings.slots, self._settings.kv_tokens

    async def count(self, call: EngineCall, *, wait: int) -> int | None:
        """Prompt tokens of a call, by the model's own tokenizer; it is loaded if need be.

        Raises:
            what `lease` raises.
        """
        engine = self.engine(call.model)
        if engine is not None:
            return await engine.count(call)
        lease = await self.lease(call.model, 0, 1, wait=wait)
        try:
            return await lease.engine.count(call)
        finally:
            self.release(lease.ticket)

    async def lease(self, name: ModelName, tokens: int, slots: int, *, wait: int) -> Lease:
        """Wait for slots of this model; it is loaded if need be.

        Args:
            name: a model that `entries` knows.
            tokens: cache tokens that the request may come to use.
            slots: sequences that its engine works on for it.
            wait: nanoseconds to wait at most.

        Raises:
            LoadingError, QueueFullError, MemoryShortError, EngineStartError, DrainingError, …:
            whatever the pool refuses with.
        """
        self._last_ticket += 1
        ticket = self._last_ticket
        granted: asyncio.Future[EngineInfo] = asyncio.get_running_loop().create_future()
        self._tickets[ticket] = granted
        until = Instant(self._clock.now() + wait)
        try:
            self._driver.post(Wanted(ticket, name, tokens, until, slots))
            info = await granted
        except BaseException:
            self.release(ticket)
            raise
        finally:
            self._tickets.pop(ticket, None)
        return Lease(ticket, self._engines[name], info)

    def release(self, ticket: int) -> None:
        """Give a slot back, or stop waiting for one. Twice is once."""
        self._driver.post(Released(ticket))

    # --- by hand ---

    def load(self, name: ModelName) -> None:
        """Load a model although nobody waits for it."""
        self._driver.post(Know(self._resident(self.entries.entry(name)), load=True))

    def unload(self, name: ModelName, reason: str) -> None:
        """Unload a model as soon as nobody uses it."""
        self._driver.post(Unload(name, reason))

    async def settled(self, name: ModelName) -> ModelStatus:
        """Wait until a model that was told to load is ready, or has given up."""
        while True:
            self._changed.clear()
            status = next(s for s in self.statuses() if s.entry.name == name)
            if status.state is None or isinstance(status.state, Ready | Down):
                return status
            await self._changed.wait()

    async def drain(self) -> None:
        """Refuse new work and end every engine once its requests are over."""
        self._driver.post(Drain())
        while not self._pool.done:
            self._changed.clear()
            if not self._pool.done:
                await self._changed.wait()

    def close(self) -> None:
        """End every engine now, whatever it works on."""
        self.closed = True
        self._driver.close()
        for task in self._engine_tasks.values():
            task.cancel()

    # --- the pool's word ---

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Start(model):
                task = self._tasks.create_task(self._run(model), name=f"engine {model}")
                task.add_done_callback(lambda _: self._gone(model))
                self._engine_tasks[model] = task
            case Stop(model):
                self._engine_tasks[model].cancel()
            case Grant(ticket, info):
                future = self._tickets[ticket]
                if not future.done():
                    future.set_result(info)
            case Refuse(ticket, error):
                future = self._tickets[ticket]
                if not future.done():
                    future.set_exception(error)
            case Note(fact):
                self._observe(fact)
            case _:
                assert_never(effect)
        self._changed.set()

    async def _run(self, model: ModelName) -> None:
        """One engine's life: check what it will read, then serve until cancelled."""
        try:
            entry = self.entries.entry(model)
            engine = self._engines[model] = self._make_engine(entry)
            check_fit(entry, self._settings.kv_tokens, self._settings.free_memory_bytes())
            await self._serve(engine, entry)
        except LittoralError as error:
            self._driver.post(Reported(model, Down(error, retrying=False)))
        except OSError as error:
            # A machine short of descriptors, say. It ends this engine's task, never its siblings.
            reason = error.strerror or type(error).__name__
            failed = EngineStartError(f"{model} could not be run ({reason})", retry_after_s=1)
            self._driver.post(Reported(model, Down(failed, retrying=False)))

    async def _serve(self, engine: Engine, entry: ModelEntry) -> None:
        """Run an engine once its files are here, or may be opened while they arrive."""
        model = entry.name

        def report(state: EngineState) -> None:
            self._driver.post(Reported(model, state))

        if entry.arriving and entry.files[0].path:
            await served_early(engine, self.arrivals, model, report)
            return
        await self.arrivals.come(model, report)
        await asyncio.to_thread(self._catalogue.check_files, self.entries.entry(model))
        await engine.serve(report)

    def _gone(self, model: ModelName) -> None:
        """Its task is over, also when it was cancelled before its first step."""
        self._engines.pop(model, None)
        del self._engine_tasks[model]
        self._driver.post(Gone(model))
        self._changed.set()

    def _see(self, gone: Collection[ModelName], changed: Collection[ModelEntry]) -> None:
        """What became of the catalogue."""
        for name in gone:
            self._driver.post(Unload(name, "removed", forget=True))
        for entry in changed:
            self._driver.post(Know(self._resident(entry)))

    def _resident(self, entry: ModelEntry) -> Resident:
        return Resident(
            entry.name,
            memory_needed(entry, self._settings.kv_tokens),
            pinned=entry.name in self._settings.pinned,
        )
