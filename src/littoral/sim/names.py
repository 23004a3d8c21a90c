"""A fabric in which everything that can happen to it does: the `Names` port, simulated.

Several PoPs on one virtual clock say records to each other over links that delay, lose and repeat,
and that are cut. It keeps what the port promises and no more:

- records come late, twice and in any order; a lost one comes again later, as over a TCP link;
- who comes late, or over a link that was down, hears the latest record of each topic;
- a link that is cut is noticed by both of its ends after a lease, a crash almost at once.

It does not look into records, and runs no PoP: it is their ether.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from littoral.sim.clock import VirtualClock
from littoral.terms.heard import Gone, Heard, Here, Said
from littoral.terms.ids import PopId
from littoral.terms.limits import FABRIC_LEASE_S, FABRIC_SAID_MAX
from littoral.terms.ports import Hear

__all__ = ["Air", "SimNames", "Weather"]


@dataclass(frozen=True, slots=True)
class Weather:
    """How links are. Shares are from 0 to 1."""

    delay_s: tuple[float, float] = (0.001, 0.05)
    """Shortest and longest time on the way; each event has its own."""
    lost: float = 0.0
    """Share of events that come only after `again_s` more."""
    again_s: float = 0.5
    twice: float = 0.0
    """Share of records that come a second time."""
    lease_s: float = FABRIC_LEASE_S


class Air:
    """All PoPs of one simulated fabric, and the links between them."""

    def __init__(
        self,
        clock: VirtualClock,
        chance: Callable[[], float],
        weather: Weather | None = None,
        reach: Callable[[PopId, PopId], bool] | None = None,
    ) -> None:
        """Nobody is there yet.

        Args:
            clock: of all.
            chance: draws from 0 to 1, 1 excluded.
            weather: how links are; may be changed at any time.
            reach: whether a link between two can be, where more decides than `cut`; call `relink`
                when that changes.
        """
        self._reach = reach or self._uncut
        self.weather = weather or Weather()
        self._clock = clock
        self._chance = chance
        self._all: dict[PopId, SimNames] = {}
        self._links: set[frozenset[PopId]] = set()
        self._sides: tuple[frozenset[PopId], ...] = ()

    def names(self, pop: PopId) -> "SimNames":
        """The port of this PoP, as it starts anew: nothing that it said before is said any more."""
        return SimNames(pop, self)

    def cut(self, *sides: Collection[PopId]) -> None:
        """Cut the links between PoPs of different sides. Who is on none is alone."""
        self._sides = tuple(frozenset(side) for side in sides)
        self.relink()

    def heal(self) -> None:
        """Let all reach all again."""
        self.cut()

    def crash(self, pop: PopId) -> None:
        """End this PoP without a word."""
        self._all.pop(pop).stop()
        self.relink()

    def entered(self, names: "SimNames") -> None:
        """It is in the fabric from now on, in the place of whoever had its name."""
        if names.pop in self._all:
            self.crash(names.pop)
        self._all[names.pop] = names
        self.relink()

    def left(self, names: "SimNames") -> None:
        """It said that it leaves."""
        if self._all.get(names.pop) is names:
            self.crash(names.pop)

    def others(self, pop: PopId) -> list["SimNames"]:
        """Those that it has a link to."""
        return [names for name, names in self._all.items() if frozenset((pop, name)) in self._links]

    def relink(self) -> None:
        """Have the links be those that can be, and the ends notice which came and went."""
        present = list(self._all)
        links = {
            frozenset((one, other))
            for at, one in enumerate(present)
            for other in present[:at]
            if self._reach(one, other)
        }
        gone, come = self._links - links, links - self._links
        self._links = links
        for link in sorted(gone, key=sorted):
            for one, other in _ends(link):
                names = self._all.get(one)
                if names is not None:
                    wait_s = self.weather.lease_s if other in self._all else 0.0
                    self._send(other, names, Gone(other), wait_s)
        for link in sorted(come, key=sorted):
            for one, other in _ends(link):
                self._send(other, self._all[one], Here(other))
                for topic, record in self._all[other].said.items():
                    self._send(other, self._all[one], Said(topic, record))

    def spread(self, maker: PopId, topic: str, record: bytes) -> None:
        """Bring this to all that its maker has a link to."""
        for names in self.others(maker):
            self._send(maker, names, Said(topic, record))

    def whisper(self, maker: PopId, to: PopId, topic: str, record: bytes) -> None:
        """Bring this to one only, if there is a link: what nobody honest does."""
        if frozenset((maker, to)) in self._links:
            self._send(maker, self._all[to], Said(topic, record))

    def _uncut(self, one: PopId, other: PopId) -> bool:
        if not self._sides:
            return True
        return any(one in side and other in side for side in self._sides)

    def _send(self, maker: PopId, to: "SimNames", event: Heard, wait_s: float = 0.0) -> None:
        """Have it arrive, if things are by then as it says."""
        link = frozenset((maker, to.pop))

        def arrive() -> None:
            if (link in self._links) != isinstance(event, Gone):
                to.hear(event)

        twice = isinstance(event, Said) and self._chance() < self.weather.twice
        for _ in range(1 + twice):
            shortest, longest = self.weather.delay_s
            delay_s = shortest + (longest - shortest) * self._chance()
            if self._chance() < self.weather.lost:
                delay_s += self.weather.again_s
            self._clock.after(wait_s + delay_s, arrive)


class SimNames:
    """One PoP in the simulated fabric, until it closes or crashes."""

    def __init__(self, pop: PopId, air: Air) -> None:
        self.pop = pop
        self.said: dict[str, bytes] = {}
        self._air = air
        self._hear: Hear | None = None

    async def open(self, hear: Hear) -> None:
        """As in the port."""
        self.enter(hear)

    def enter(self, hear: Hear) -> None:
        """As `open`, for those who run no event loop."""
        self._hear = hear
        self._air.entered(self)

    def say(self, topic: str, record: bytes) -> None:
        """As in the port.

        Raises:
            ValueError: more topics than limits.FABRIC_SAID_MAX.
        """
        if topic not in self.said and len(self.said) >= FABRIC_SAID_MAX:
            raise ValueError("a PoP says nothing on so many topics")
        self.said[topic] = record
        if self._hear is not None:
            self._air.spread(self.pop, topic, record)

    async def reopen(self, seeds: Sequence[str] = ()) -> None:
        """As in the port: all that is said is said again. Nobody has an address here."""
        del seeds
        for topic, record in self.said.items():
            self._air.spread(self.pop, topic, record)

    async def close(self) -> None:
        """As in the port."""
        self._air.left(self)

    def linked(self) -> int:
        """As in the port."""
        return len(self._air.others(self.pop))

    def stop(self) -> None:
        """Hear and say nothing any more."""
        self._hear = None

    def hear(self, event: Heard) -> None:
        """Take what arrived."""
        if self._hear is not None:
            self._hear([event])


def _ends(link: frozenset[PopId]) -> list[tuple[PopId, PopId]]:
    one, other = sorted(link)
    return [(one, other), (other, one)]
