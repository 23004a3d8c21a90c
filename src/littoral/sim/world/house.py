"""The models of one PoP in a world: the real pool, and simulated engines under it.

It checks its own side of what the pool promises: an engine is started once, engines never hold more
memory than there is, and each ticket is answered once.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from littoral.placement.pool import Pool
from littoral.placement.words import (
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
)
from littoral.routing.fleet import ModelState, Warmth
from littoral.sim.clock import Act, VirtualClock
from littoral.sim.world.broken import BrokenError
from littoral.sim.world.chance import Chance
from littoral.sim.world.engine import Engine, Speed
from littoral.sim.world.ground import Ground
from littoral.terms.errors import LittoralError
from littoral.terms.facts import ModelReady, ModelUnloaded
from littoral.terms.ids import ModelName
from littoral.terms.values import Down, EngineInfo, Kind, Ready, Starting

__all__ = ["CONTEXT_TOKENS", "House", "Housed", "Waits"]

CONTEXT_TOKENS: Final = 4_096
_WARMTH: Final = {Ready: Warmth.WARM, Starting: Warmth.LOADING}


@dataclass(frozen=True, slots=True)
class Housed:
    """What a PoP has: its models, and the bounds of its pool."""

    speeds: Mapping[ModelName, Speed]
    bounds: PoolBounds
    model_bytes: int = 1
    pinned: frozenset[ModelName] = frozenset()


@dataclass(frozen=True, slots=True)
class Waits:
    """Who hears what becomes of a ticket."""

    granted: Callable[[EngineInfo], None]
    refused: Callable[[LittoralError], None]


class House:
    """One life of it. `changed` is called when what is to be said of its models has changed."""

    def __init__(
        self, ground: Ground, clock: VirtualClock, housed: Housed, changed: Callable[[], None]
    ) -> None:
        """Know the models, and load those that are pinned.

        Args:
            ground: of the process.
            clock: the world's, for engines.
            housed: what there is.
            changed: called when an engine is ready, or gone.
        """
        self.pool = Pool(housed.bounds)
        self.engines: dict[ModelName, Engine] = {}
        self.waits: dict[int, Waits] = {}
        """By ticket, while it waits."""
        self.slower = 1.0
        """What its host is slower than usual by."""
        self.load_fails = 0.0
        """Share of loads that fail."""
        self._ground = ground
        self._clock = clock
        self._housed = housed
        self._changed = changed
        self._given_back: set[int] = set()
        self._inbox: deque[Event] = deque()
        self._stepping = False
        self._timer: Act | None = None
        self._tickets = self._lives = 0
        for model in housed.speeds:
            resident = Resident(model, housed.model_bytes, model in housed.pinned)
            self.post(Know(resident, load=model in housed.pinned))

    def ticket(self, waits: Waits) -> int:
        """A number for a request that is about to be `Wanted`."""
        self._tickets += 1
        self.waits[self._tickets] = waits
        return self._tickets

    def give_back(self, ticket: int) -> None:
        """Wait no more, if the ticket still waits."""
        if self.waits.pop(ticket, None) is not None:
            self._given_back.add(ticket)
            self.post(Released(ticket))

    def post(self, event: Event) -> None:
        """Step the pool, as node/drive.py does."""
        self._inbox.append(event)
        if self._stepping:
            return
        self._stepping = True
        while self._inbox:
            event = self._inbox.popleft()
            for effect in self.pool.step(event, self._ground.now()):
                self._perform(effect)
            self.pool.check()
        self._stepping = False
        if self._timer is not None:
            self._timer.call_off()
            self._timer = None
        moment = self.pool.deadline()
        if moment is not None:
            self._timer = self._ground.at(moment, lambda: self.post(Tick()))

    def states(self) -> tuple[ModelState, ...]:
        """What there is to say of each model, in order."""
        return tuple(self._state(model, speed) for model, speed in self._housed.speeds.items())

    def slow(self, factor: float) -> None:
        """Everything takes so many times as long from now on."""
        self.slower = factor
        for engine in self.engines.values():
            engine.slow(factor)

    def end(self) -> None:
        """The process is gone."""
        for engine in self.engines.values():
            engine.vanish()

    def _state(self, model: ModelName, speed: Speed) -> ModelState:
        in_flight, waiting = self.pool.counts(model)
        return ModelState(
            name=model,
            kinds=(Kind.CHAT,),
            context_tokens=CONTEXT_TOKENS,
            warmth=_WARMTH.get(type(self.pool.state(model)), Warmth.COLD),
            slots=speed.slots,
            in_flight=in_flight,
            waiting=waiting,
            prefill_tps=speed.prefill_tps,
            decode_tps=speed.decode_tps,
            answer_tokens=6.0,
            load_s=speed.load_s,
        )

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Start(model):
                self._start(model)
            case Stop(model):
                self._ground.tell(f"stops {model}")
                self.engines[model].stop()
            case Grant(ticket, info):
                if (waits := self._waiting(ticket)) is not None:
                    waits.granted(info)
            case Refuse(ticket, error):
                if (waits := self._waiting(ticket)) is not None:
                    waits.refused(error)
            case Note(fact):
                if isinstance(fact, ModelReady | ModelUnloaded):
                    self._ground.tell(f"{type(fact).__name__} {fact.model}")
                    self._changed()
            case _:
                assert_never(effect)

    def _waiting(self, ticket: int) -> Waits | None:
        """Who waits; nobody, if it was given back and the pool has yet to hear of it."""
        waits = self.waits.pop(ticket, None)
        if waits is None and ticket not in self._given_back:
            raise BrokenError(f"ticket {ticket} is answered twice")
        return waits

    def _start(self, model: ModelName) -> None:
        if model in self.engines:
            raise BrokenError(f"{self._ground.host} starts {model} although it is there")
        held = (len(self.engines) + 1) * self._housed.model_bytes
        if held > self._housed.bounds.memory_bytes:
            raise BrokenError(f"engines of {self._ground.host} hold {held} bytes")
        self._lives += 1
        name = f"{self._ground.host}{self._ground.life}/{model}/{self._lives}"
        self._ground.tell(f"starts {name}")
        chance: Chance = self._ground.chance.of(name)
        # The engine reports while it is being made, before the pool has done with this effect.
        engine = Engine(
            name,
            self._housed.speeds[model],
            self._clock,
            chance,
            lambda state: self._reported(model, state),
            lambda: self._gone(model),
        )
        engine.slow(self.slower)
        self.engines[model] = engine
        if self.load_fails and chance.happens(self.load_fails):
            engine.load(fails=True)

    def _reported(self, model: ModelName, state: Ready | Starting | Down) -> None:
        self.post(Reported(model, state))

    def _gone(self, model: ModelName) -> None:
        del self.engines[model]
        self.post(Gone(model))
