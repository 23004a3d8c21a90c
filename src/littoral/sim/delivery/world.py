"""A world in which PoPs pull one artifact from its origin and from each other, with real machines.

Who sees whom, and as what, is what `grouping.company` says of those that are there.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from littoral.delivery.chunk_set import ChunkSet, Run
from littoral.delivery.grouping import company
from littoral.delivery.news import News
from littoral.delivery.words import ORIGIN, Role
from littoral.sim.clock import VirtualClock
from littoral.sim.delivery.net import Net, Stream
from littoral.sim.delivery.outlet import Outlet
from littoral.sim.delivery.pop import RIGHT, SimPop
from littoral.sim.world.chance import Chance
from littoral.terms.ids import PopId, SiteName
from littoral.terms.values import SECOND, Instant

__all__ = ["World", "pop_name"]

_NOTICED_S: Final = 0.2
"""Seconds until a PoP whose process died is missed."""
_BROKEN_S: Final = 3.0
"""Seconds until a link through which nothing passes is given up."""


def pop_name(number: int) -> PopId:
    """The name of a PoP in a world."""
    return PopId(f"pop-{number:016x}")


class World:
    """See the module docstring."""

    def __init__(
        self,
        seed: int,
        sizes: Sequence[int],
        net: Net,
        *,
        draft: bool = False,
        checks: bool = True,
    ) -> None:
        """Build one without PoPs.

        Args:
            seed: of all chance.
            sizes: bytes of each chunk.
            net: with a link for the origin, laid as `ORIGIN`.
            draft: nobody knows the hashes before.
            checks: assert what must hold after every event.
        """
        self.chance = Chance(seed)
        self.clock: VirtualClock = net.clock
        self.net = net
        self.sizes = sizes
        self.draft = draft
        self.checks = checks
        self.pops: dict[PopId, SimPop] = {}
        self.sites: dict[PopId, SiteName] = {}
        self.spoiled = 0
        self.liars: dict[PopId, float] = {}
        """Share of what they send that is forged."""
        self.replaced: list[tuple[PopId, PopId, Instant]] = []
        self.files: list[Run] = [(0, len(sizes))]
        self._roles: dict[PopId, dict[PopId, Role]] = {}
        self._lines: dict[tuple[PopId, PopId], int] = {}
        self._said_at: dict[tuple[PopId, PopId], int] = {}
        self._held: dict[tuple[PopId, PopId], list[Callable[[], None]]] = {}
        self._hash = hashlib.blake2b(digest_size=16)
        self.tail: deque[str] = deque(maxlen=60)
        self.everything = ChunkSet.of_runs([(0, len(sizes))])
        self._numbers = range(len(sizes))

    # --- who is there --------------------------------------------------------------------------

    def add(
        self,
        pop: PopId,
        site: str = "here",
        has: ChunkSet = ChunkSet(),  # noqa: B008 - a value
        expected: Iterable[PopId] = (),
    ) -> SimPop:
        """A PoP begins to pull; its link is laid."""
        self.story(f"{pop} comes")
        one = self.pops[pop] = SimPop(self, pop, has, tuple(expected))
        self.sites[pop] = SiteName(site)
        self._roles[pop] = {}
        one.begin()
        self.regroup()
        return one

    def kill(self, pop: PopId) -> None:
        """Its process dies; others notice a little later."""
        if pop not in self.pops or not self.pops[pop].alive:
            return
        self.story(f"{pop} dies")
        self.pops[pop].die()
        self.clock.after(_NOTICED_S, lambda: self.leave(pop))

    def leave(self, pop: PopId) -> None:
        """It is gone, and everybody knows."""
        self.sites.pop(pop, None)
        self.regroup()

    def regroup(self) -> None:
        """Let everybody have the links that it is to have."""
        for pop in list(self._roles):
            wanted = company(pop, self.sites) if pop in self.sites else {}
            for other in [each for each in self._roles[pop] if each not in wanted]:
                self._part(pop, other)
            for other, role in wanted.items():
                if self._roles[pop].get(other) is not role:
                    self._roles[pop][other] = role
                    self.later(partial(self._meet, pop, other))

    def linked(self, pop: PopId) -> dict[PopId, Role]:
        """Whom a PoP has links with."""
        return self._roles[pop]

    def cut(self, one: Iterable[PopId], others: Iterable[PopId]) -> None:
        """Nothing passes between these from now on."""
        pairs = [(a, b) for a in one for b in others]
        self.net.cut.update(pairs)
        self.net.cut.update((b, a) for a, b in pairs)
        self.story(f"cut: {len(pairs)} pairs")
        self.clock.after(_BROKEN_S, lambda: self._break(pairs))

    def mend(self) -> None:
        """Everything passes again; links that were given up are made anew."""
        self.story("mended")
        self.net.cut.clear()
        self.net.mend()
        for acts in self._held.values():
            for act in acts:
                self.later(act)
        self._held = {}
        self.regroup()

    def _break(self, pairs: list[tuple[PopId, PopId]]) -> None:
        for one, other in pairs:
            if (one, other) in self.net.cut and one in self.pops and other in self.pops:
                self._part(one, other)
                self._part(other, one)

    def _meet(self, pop: PopId, other: PopId) -> None:
        role = self._roles[pop].get(other)
        if role is not None and self.pops[other].alive:
            news = self.pops[other].machine.greeting()
            self._say(other, pop, lambda: self.pops[pop].meet(self.pops[other], role, news))

    def _part(self, pop: PopId, other: PopId) -> None:
        if self._roles[pop].pop(other, None) is not None:
            self._lines[other, pop] = self._lines.get((other, pop), 0) + 1
            self.pops[pop].part(other)

    # --- what travels --------------------------------------------------------------------------

    def tell(self, teller: SimPop, news: News) -> None:
        """Say news to all that it has links with."""
        for other in self._roles[teller.pop]:
            self._say(teller.pop, other, partial(self.pops[other].hear, teller.pop, news))

    def _say(self, source: PopId, target: PopId, act: Callable[[], None]) -> None:
        """In order on one link, each with a delay of its own; lost if the link ends."""
        line = self._lines.get((source, target), 0)

        def arrive() -> None:
            if self._lines.get((source, target), 0) == line:
                act()

        if not self.net.passes(source, target):
            self._held.setdefault((source, target), []).append(arrive)
            return
        usual = self.net.delay
        moment = self.clock.now() + int(usual * self.chance.between(1.0, 1.5))
        moment = max(moment, self._said_at.get((source, target), 0))
        self._said_at[source, target] = moment
        self.clock.at(moment, arrive)

    def later(self, act: Callable[[], object]) -> None:
        """What takes one way over the network."""
        self.clock.at(self.clock.now() + self.net.delay, act)

    def origin_outlet(self, asker: SimPop) -> Outlet:
        """The origin's answer to one request."""
        stream = Stream(self.net, ORIGIN, asker.pop)
        return Outlet(
            stream,
            self.sizes,
            self._numbers,
            lambda fetch, chunk: asker.receive(fetch, chunk, RIGHT),
            asker.moving,
        )

    # --- how it goes ---------------------------------------------------------------------------

    def file_of(self, chunk: int) -> Run:
        """The chunks of the file that a chunk is of."""
        return next(run for run in self.files if run[0] <= chunk < run[1])

    def run(self, limit_s: float, at_least_s: float = 0.0) -> None:
        """Until all that live have it, or gave up, and at least so long.

        Raises:
            AssertionError: that takes longer than `limit_s`.
        """
        until = Instant(self.clock.now() + int(limit_s * SECOND))
        self.clock.run(at_least_s)
        while not self.settled:
            assert self.clock.step(until), "a pull does not end"

    @property
    def settled(self) -> bool:
        """Nobody pulls any more."""
        return all(pop.machine.done or not pop.alive for pop in self.pops.values())

    @property
    def egress(self) -> float:
        """Bytes that left the origin, for each byte of the artifact."""
        return self.net.links[ORIGIN].sent / sum(self.sizes)

    def story(self, what: str) -> None:
        """One line, which the digest of the world has in it."""
        line = f"{self.clock.now() // 1000} {what}"
        self._hash.update(line.encode() + b"\n")
        self.tail.append(line)

    @property
    def digest(self) -> str:
        """Of all that happened."""
        return self._hash.hexdigest()
