"""Which models of one machine are loaded, and which request may use one now.

A machine in the sense of terms/ports.py: events in, effects out, no clock and no I/O.

Each model is in one state:

    Cold     -> Loading   somebody wants it and its memory is (or can be made) free
    Loading  -> Ready     its engine reported Ready
    Loading  -> Cold      its engine gave up; who waits is told why
    Ready    -> Loading   its engine went down and is restarting
    Ready    -> Stopping  idle for longer than keep-alive, evicted, or asked to
    Stopping -> Cold      its engine is gone and its memory free

Rules
- A request is granted when its model is Ready, a slot is free and the tokens it may come to use fit
  beside those granted already: llama.cpp fails *every* running sequence when its shared key-value
  cache overflows, so that it never may.
- Grants are first come, first served for each model; nobody overtakes, so nobody starves.
- A model with a request in flight or waiting is never stopped to make room. Among the others the
  least recently used goes first, pinned ones last.
- Waiting is bounded in number (`queue`) and in time (each request brings its own deadline).
- Every ticket gets exactly one `Grant` or `Refuse`, unless it was given back first.
"""

from collections.abc import Sequence
from typing import Final, assert_never

from littoral.placement import refusals
from littoral.placement.place import Phase, Place, Waiter, fits_beside
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
    Start,
    Stop,
    Tick,
    Unload,
    Wanted,
)
from littoral.terms.errors import (
    DrainingError,
    EngineStartError,
    LittoralError,
    UnknownModelError,
)
from littoral.terms.facts import ModelLoading, ModelReady, ModelUnloaded, RequestQueued
from littoral.terms.ids import ModelName
from littoral.terms.values import SECOND, Down, EngineState, Instant, Ready, Starting

__all__ = ["Pool"]

RETRY_FAILED: Final = 5 * SECOND
"""A model that could not start is answered with the same error, and not tried again, this long."""

RETRY_PINNED: Final = 30 * SECOND
"""A pinned model that could not start is tried again by itself after this long."""


class Pool:
    """The models of one machine. See the module docstring for its rules."""

    def __init__(self, bounds: PoolBounds) -> None:
        self._bounds = bounds
        self._places: dict[ModelName, Place] = {}
        self._ticket_model: dict[int, ModelName] = {}
        self._draining = False
        self._effects: list[Effect] = []

    def state(self, model: ModelName) -> EngineState | None:
        """The engine's last word; None when the model is cold and did not fail to load."""
        place = self._places.get(model)
        if place is None or not (place.holds_memory or place.failed):
            return None
        return place.state

    def counts(self, model: ModelName) -> tuple[int, int]:
        """Requests in flight and waiting."""
        place = self._places.get(model)
        return (len(place.in_flight), len(place.waiting)) if place else (0, 0)

    @property
    def done(self) -> bool:
        """Draining, and every engine gone."""
        return self._draining and not any(p.holds_memory for p in self._places.values())

    def deadline(self) -> Instant | None:
        """The next moment at which waiting or idling ends."""
        moments = [ask.until for place in self._places.values() for ask in place.waiting.values()]
        moments += [
            Instant(place.used_at + self._bounds.keep_alive)
            for place in self._places.values()
            if self._may_idle_out(place)
        ]
        moments += [
            Instant(place.failed_at + RETRY_PINNED)
            for place in self._places.values()
            if self._may_come_back(place)
        ]
        return min(moments, default=None)

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        """Take one event and say what to do, in order."""
        self._effects = []
        match event:
            case Wanted():
                self._wanted(event, now)
            case Released(ticket):
                self._released(ticket, now)
            case Know(resident, load):
                place = self._places.setdefault(resident.model, Place(resident))
                place.resident, place.forgotten = resident, False
                place.wanted_loaded = place.wanted_loaded or load
            case Unload():
                self._unload(event)
            case Reported(model, state):
                self._reported(self._places[model], state, now)
            case Gone(model):
                self._gone(self._places[model])
            case Tick():
                self._tick(now)
            case Drain():
                self._drain()
            case _:
                assert_never(event)
        self._settle(now)
        return self._effects

    # --- events ---

    def _wanted(self, event: Wanted, now: Instant) -> None:
        place = self._places.get(event.model)
        if place is None or place.forgotten:
            error: LittoralError = UnknownModelError(f"no model {event.model!r} on this PoP")
            self._effects.append(Refuse(event.ticket, error))
        elif self._draining:
            self._effects.append(Refuse(event.ticket, DrainingError("this PoP is stopping")))
        elif place.failed is not None and now < place.failed_at + RETRY_FAILED:
            self._effects.append(Refuse(event.ticket, place.failed))
        elif (elsewhere := _elsewhere_down(place)) is not None:
            self._effects.append(Refuse(event.ticket, elsewhere))
        elif len(place.waiting) >= self._bounds.queue:
            self._effects.append(Refuse(event.ticket, self._queue_full(place)))
        else:
            place.failed = None
            place.waiting[event.ticket] = Waiter(
                event.ticket, event.tokens, event.slots, event.until
            )
            place.used_at = now
            self._ticket_model[event.ticket] = event.model

    def _released(self, ticket: int, now: Instant) -> None:
        model = self._ticket_model.pop(ticket, None)
        if model is None:
            return
        place = self._places[model]
        place.in_flight.pop(ticket, None)
        place.waiting.pop(ticket, None)
        place.used_at = now

    def _unload(self, event: Unload) -> None:
        place = self._places.get(event.model)
        if place is None:
            return
        place.wanted_loaded = False
        place.forgotten = event.forget
        place.unload_reason = event.reason
        if event.forget:
            self._refuse_waiting(place, UnknownModelError(f"{event.model} was removed"))

    def _reported(self, place: Place, state: EngineState, now: Instant) -> None:
        if place.phase is Phase.STOPPING:
            return
        before, place.state = place.state, state
        match state:
            case Starting():
                if isinstance(before, Starting) and before.arriving and not state.arriving:
                    place.load_began = now  # until now it was on its way to this machine
                place.phase = Phase.LOADING
            case Ready(info):
                if place.phase is not Phase.READY:
                    place.load_took = now - place.load_began
                    self._effects.append(
                        Note(ModelReady(place.resident.model, place.load_took / SECOND, info.build))
                    )
                place.phase, place.info, place.failed = Phase.READY, info, None
                place.used_at = now
            case Down(error, retrying):
                if place.phase is Phase.READY:
                    place.load_began = now
                place.phase = Phase.LOADING
                if (elsewhere := _elsewhere_down(place)) is not None:
                    self._refuse_waiting(place, elsewhere)
                if not retrying:
                    place.phase = Phase.STOPPING
                    place.failed = refusals.engine_down(place.resident.model, error)
                    place.failed_at, place.wanted_loaded = now, False
                    self._refuse_waiting(place, place.failed)
            case _:
                assert_never(state)

    def _gone(self, place: Place) -> None:
        place.phase, place.info = Phase.COLD, None
        reason = place.unload_reason or ("failed" if place.failed else "stopped")
        place.unload_reason = "forgotten" if place.forgotten else None
        self._effects.append(Note(ModelUnloaded(place.resident.model, reason)))

    def _tick(self, now: Instant) -> None:
        for place in self._places.values():
            for ask in [ask for ask in place.waiting.values() if ask.until <= now]:
                self._refuse(place, ask.ticket, self._waited_enough(place, now))
            if self._may_idle_out(place) and now >= place.used_at + self._bounds.keep_alive:
                place.unload_reason = "idle"
            if self._may_come_back(place) and now >= place.failed_at + RETRY_PINNED:
                place.wanted_loaded, place.failed = True, None

    def _drain(self) -> None:
        self._draining = True
        for place in self._places.values():
            place.wanted_loaded = False
            self._refuse_waiting(place, DrainingError("this PoP is stopping"))
            place.unload_reason = "stopping"

    # --- after every event ---

    def _settle(self, now: Instant) -> None:
        """Grant what can be granted, stop what is to go, start what is wanted; in that order."""
        for place in list(self._places.values()):
            if place.phase is Phase.READY:
                self._grant(place, now)
            if place.unload_reason and not place.busy:
                self._let_go(place, place.unload_reason)
        for place in self._places.values():
            if place.phase is Phase.COLD and (place.waiting or place.wanted_loaded):
                self._start(place, now)

    def _let_go(self, place: Place, reason: str) -> None:
        if place.phase in {Phase.READY, Phase.LOADING}:
            self._stop(place, reason)
        elif place.phase is Phase.COLD:
            place.unload_reason = None
            if place.forgotten:
                del self._places[place.resident.model]

    def _grant(self, place: Place, now: Instant) -> None:
        info = place.info
        assert info is not None, f"{place.resident.model} is ready without info"
        while place.waiting:
            first = next(iter(place.waiting.values()))
            if place.in_flight and not fits_beside(first, place.in_flight.values(), info):
                break
            del place.waiting[first.ticket]
            place.in_flight[first.ticket] = first
            place.used_at = now
            self._effects.append(Grant(first.ticket, info))
        if place.waiting:
            self._effects.append(Note(RequestQueued(place.resident.model, len(place.waiting))))

    def _start(self, place: Place, now: Instant) -> None:
        need = place.resident.memory_bytes
        if need > self._bounds.memory_bytes:
            self._too_large(place, now)
            return
        if not self._make_room(need, place):
            return  # it waits: room is being made, or every other model is at work
        place.phase, place.load_began = Phase.LOADING, now
        place.state = Starting("starting the engine")
        reason = "wanted" if place.waiting else "at start"
        self._effects += [
            Note(ModelLoading(place.resident.model, reason)),
            Start(place.resident.model),
        ]

    def _make_room(self, need: int, for_place: Place) -> bool:
        """Whether `need` bytes are free now; if not, stop idle models until they will be."""
        holders = [place for place in self._places.values() if place.holds_memory]
        held = sum(place.resident.memory_bytes for place in holders)
        if held + need <= self._bounds.memory_bytes:
            return True
        short = held + need - self._bounds.memory_bytes
        short -= sum(p.resident.memory_bytes for p in holders if p.phase is Phase.STOPPING)
        idle = [p for p in holders if p.phase is Phase.READY and not p.busy]
        if short > sum(place.resident.memory_bytes for place in idle):
            return False  # stopping them all would not do: leave them loaded
        idle.sort(key=lambda place: (place.resident.pinned, place.used_at))
        for place in idle:
            if short <= 0:
                break
            short -= place.resident.memory_bytes
            place.wanted_loaded = False
            self._stop(place, f"evicted for {for_place.resident.model}")
        return False

    def _stop(self, place: Place, reason: str) -> None:
        place.phase = Phase.STOPPING
        place.unload_reason = reason
        self._effects.append(Stop(place.resident.model))

    # --- refusals ---

    def _refuse(self, place: Place, ticket: int, error: LittoralError) -> None:
        del place.waiting[ticket]
        del self._ticket_model[ticket]
        self._effects.append(Refuse(ticket, error))

    def _refuse_waiting(self, place: Place, error: LittoralError) -> None:
        for ticket in list(place.waiting):
            self._refuse(place, ticket, error)

    def _too_large(self, place: Place, now: Instant) -> None:
        need, budget = place.resident.memory_bytes, self._bounds.memory_bytes
        error = refusals.too_large(place.resident.model, need, budget)
        place.state = Down(error, retrying=False)
        place.failed, place.failed_at, place.wanted_loaded = error, now, False
        self._refuse_waiting(place, error)

    def _queue_full(self, place: Place) -> LittoralError:
        return refusals.queue_full(place.resident.model, len(place.in_flight), len(place.waiting))

    def _waited_enough(self, place: Place, now: Instant) -> LittoralError:
        model = place.resident.model
        match place.state if place.holds_memory else None:
            case Ready():
                return self._queue_full(place)
            case Down(error, _):
                return refusals.engine_down(model, error)
            case Starting() as at:
                elapsed = now - place.load_began
                return refusals.still_loading(model, at, elapsed=elapsed, last_took=place.load_took)
            case None:
                return refusals.no_room_yet(model)
            case never:
                assert_never(never)

    # --- conditions ---

    def _may_come_back(self, place: Place) -> bool:
        resident = place.resident
        cold = place.phase is Phase.COLD and not place.wanted_loaded
        return cold and resident.pinned and place.failed is not None and not self._draining

    def _may_idle_out(self, place: Place) -> bool:
        return (
            place.phase is Phase.READY
            and not place.busy
            and not place.resident.pinned
            and place.unload_reason is None
        )

    def check(self) -> None:
        """Assert what must hold between any two events."""
        for model, place in self._places.items():
            story = f"{model}: {place}"
            assert not (place.in_flight.keys() & place.waiting.keys()), story
            assert len(place.waiting) <= self._bounds.queue, story
            assert (place.phase is Phase.READY) <= (place.info is not None), story
            if place.info is not None and place.phase is Phase.READY:
                taken = place.in_flight.values()
                if len(taken) > 1:
                    assert sum(one.slots for one in taken) <= place.info.slots, story
                    used = sum(one.tokens for one in taken)
                    assert used <= (place.info.kv_tokens or used), story
        held = sum(p.resident.memory_bytes for p in self._places.values() if p.holds_memory)
        assert held <= self._bounds.memory_bytes, f"{held} bytes held"
        tickets = {t for p in self._places.values() for t in (*p.in_flight, *p.waiting)}
        assert tickets == self._ticket_model.keys(), "tickets and models differ"


def _elsewhere_down(place: Place) -> LittoralError | None:
    """Why to refuse at once: what is down is not ours to restart, so a wait would be in vain."""
    match place.state if place.holds_memory else None:
        case Down(error, _) if not isinstance(error, EngineStartError):
            return refusals.engine_down(place.resident.model, error)
        case _:
            return None
