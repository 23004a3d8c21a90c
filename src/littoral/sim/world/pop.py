"""One PoP in a world: a host with a key and a disk, and the process that is on it, if there is one.

A process that dies takes everything with it but what is on the disk: the key, the number of its
last boot, and what the owner said. What its peers and clients notice of that is up to the links.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec import structs

from littoral.placement.words import Drain
from littoral.routing.board import TargetBoard
from littoral.routing.fleet import PopState
from littoral.sim.clock import VirtualClock
from littoral.sim.names import Air
from littoral.sim.world.broken import BrokenError
from littoral.sim.world.chance import Chance
from littoral.sim.world.ground import Ground
from littoral.sim.world.hearing import Hearing, Notary
from littoral.sim.world.house import House, Housed
from littoral.sim.world.identity import Identity
from littoral.sim.world.line import End
from littoral.sim.world.links import Links
from littoral.sim.world.says import Asked, Request, Status
from littoral.sim.world.serving import Serving
from littoral.sim.world.story import Story
from littoral.sim.world.till import Till
from littoral.sim.world.visit import Visit
from littoral.terms.ids import KeyId, ModelName, PopId
from littoral.terms.values import Caller, KeyLimits, RelayPolicy

__all__ = ["Pop", "Process", "Surroundings"]

_MS: Final = 1_000_000
_LINE_S: Final = 33.0
"""How long a line may be open, at most: longer than any request may take."""
_HERE: Final = Caller(KeyId("khere"), "paid at the door", limits=KeyLimits(10**6, 10**9))
"""For whom the exchange reserves: whoever asks has limits of its own, at the door."""

Deceive = Callable[[End, Asked], bool]
"""Takes a request in place of the honest process, if it wants to."""


@dataclass(slots=True)
class Surroundings:
    """What all PoPs of a world share."""

    clock: VirtualClock
    story: Story
    links: Links
    air: Air
    notary: Notary
    models: Sequence[ModelName]
    policy: RelayPolicy
    fallbacks: Mapping[ModelName, tuple[ModelName, ...]]
    """Models that may stand in for each."""
    peers: KeyLimits
    """What PoPs may spend at each other."""
    hosts: dict[PopId, str] = field(default_factory=dict)
    """Every PoP's host, in an order that all agree on: the rows of every board."""


class Process:
    """One life of a PoP. It is what a visit is `At`."""

    def __init__(self, around: Surroundings, owner: "Pop", ground: Ground, boot: int) -> None:
        self.pop = owner.pop
        self.ground = ground
        self.policy = around.policy
        self.fallbacks = around.fallbacks
        self.till = Till(ground)
        self.visits: list[Visit] = []
        self._around = around
        self._owner = owner
        self._pops = list(around.hosts)
        rows = len(around.hosts) * len(around.models)
        self.board = TargetBoard([0] * (rows * TargetBoard.words_of_row(1)), worker=0, workers=1)
        self.house = House(ground, around.clock, owner.housed, self._news)
        self.hearing = Hearing(
            ground, around.air, owner.identity, around.notary, boot, self.house.states
        )
        self.hearing.lies = owner.lies
        self.hearing.obeyed.append(self._revoked)
        for pop, word in list(owner.revocations.items()):
            self.hearing.revoke(pop, word)
        self.hearing.kept = owner.revocations
        around.links.listen(ground.host, self._accept)

    # --- what a visit asks for -----------------------------------------------------------------

    def row_of(self, pop: PopId, model: ModelName) -> int:
        """Where a model of a PoP has its health, on this PoP's board."""
        models = self._around.models
        return self._pops.index(pop) * len(models) + models.index(model)

    def pop_of(self, row: int) -> PopId:
        """Whose row it is."""
        return self._pops[row // len(self._around.models)]

    def call(self, pop: PopId) -> End:
        """Begin a line to a PoP."""
        return self._around.links.call(self.ground.host, self._around.hosts[pop])

    def serve(self, visit: Visit, number: int, request: Request) -> Serving:
        """Have this PoP's own engine answer."""
        return Serving(
            self.ground,
            self.house,
            self.till,
            structs.replace(request, caller=_HERE),
            lambda said: visit.heard(number, said),
            lambda: visit.lost(number),
        )

    def caller(self, asked: Asked) -> Caller:
        """Whose limits a request spends: its client's, or those of the PoP that passed it on."""
        if not asked.via:
            return asked.request.caller
        return Caller(KeyId(asked.via[-1]), "another PoP", limits=self._around.peers)

    def left(self, visit: Visit) -> None:
        """It is over."""
        self.visits.remove(visit)

    # --- what happens to it --------------------------------------------------------------------

    def drain(self) -> None:
        """Take nothing new, and say so."""
        self.ground.tell("drains")
        self.hearing.draining = True
        self.hearing.say_soon()
        self.house.post(Drain())

    def check(self) -> None:
        """Assert what must hold of it at any time."""
        for visit in self.visits:
            visit.check()
        self.till.check()

    def check_idle(self) -> None:
        """Assert that nothing is held when nobody wants anything."""
        host = self.ground.host
        held = {
            "visits": self.visits,
            "budgets": self.till.held,
            "waiting tickets": list(self.house.waits),
            "calls at engines": [e.name for e in self.house.engines.values() if e.at_work],
            "slots": [m for m in self._owner.housed.speeds if any(self.house.pool.counts(m))],
            "sends": [m for m, sends in self.hearing.sends.items() if sends.own],
            "rows": [row for row in range(self.board.rows) if self.board.in_flight(row)],
            "lines": self._around.links.ends[host],
        }
        for what, left in held.items():
            if left:
                raise BrokenError(f"{host} is idle and still has {what}: {left}")

    def end(self) -> None:
        """It is gone."""
        self.ground.end()
        self.house.end()
        self._around.air.crash(self.pop)
        self._around.links.deaf(self.ground.host)

    def _news(self) -> None:
        self.hearing.say_soon()

    def _revoked(self, pop: PopId) -> None:
        for model in self._around.models:
            self.board.drain(self.row_of(pop, model))

    def _accept(self, end: End) -> None:
        end.hear = lambda message: self._ask(end, message)
        self.ground.after(_LINE_S, end.close)

    def _ask(self, end: End, message: object) -> None:
        assert isinstance(message, Asked)
        by = message.via[-1] if message.via else "its client"
        self.ground.tell(f"is asked {message.request.number} by {by}")
        if self._owner.deceive is not None and self._owner.deceive(end, message):
            return
        if message.via and by in self.hearing.revoked:
            end.say(Status(403))
            end.close()
            return
        visit = Visit(self, end, message)
        self.visits.append(visit)
        visit.begin()


class Pop:
    """The host. `process` is None while there is none."""

    def __init__(
        self,
        around: Surroundings,
        host: str,
        identity: Identity,
        housed: Housed,
        chance: Chance,
        off: tuple[int, int],
    ) -> None:
        """Nothing runs on it yet.

        Args:
            around: the world.
            host: its name.
            identity: on its disk.
            housed: what its processes have.
            chance: its own.
            off: nanoseconds that its monotonic and its wall clock are ahead of the world's.
        """
        self.host = host
        self.identity = identity
        self.housed = housed
        self.off = off
        self.process: Process | None = None
        self.deceive: Deceive | None = None
        self.lies: Callable[[PopState], PopState] = _honest
        self.revocations: dict[PopId, bytes] = {}
        """What the owner said of others, as kept on its disk."""
        self._around = around
        self._chance = chance
        self._lives = 0
        self._boot = 0
        around.hosts[identity.pop] = host

    @property
    def pop(self) -> PopId:
        """Its name."""
        return self.identity.pop

    def start(self) -> None:
        """A process begins on it."""
        assert self.process is None
        self._lives += 1
        around = self._around
        chance = self._chance.of(f"life {self._lives}")
        ground = Ground(self.host, self._lives, around.clock, chance, around.story, self.off)
        ground.tell(f"starts, is {self.pop}")
        self._boot = max(self._boot + 1, ground.unix_ns() // _MS)
        if self.host in around.links.down:
            around.links.down.discard(self.host)
        self.process = Process(around, self, ground, self._boot)
        around.links.changed()

    def crash(self, *, host: bool) -> None:
        """The process dies; with `host`, the whole machine, so that nobody is told."""
        if self.process is None:
            return
        process, self.process = self.process, None
        process.ground.tell("loses its power" if host else "dies")
        if host:
            self._around.links.down.add(self.host)
            self._around.links.changed()
        process.end()
        self._around.links.changed()


def _honest(state: PopState) -> PopState:
    return state
