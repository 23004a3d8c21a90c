"""A fabric that grows: what it costs at rest, and how soon all of it sees who comes and goes.

Each function takes figures once. Everything is told by the logs of the PoPs (pops.py), and that
they list each other is asked once, in the end.
"""

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.stand.native import StandError
from bench.stand.pops import (
    ADMITTED,
    BACK,
    GONE,
    SEEN,
    FabricPop,
    Journal,
    Place,
    founded,
    joined,
)
from bench.stand.report import note
from tests.faults.network import UNAVAILABLE, Network, network

__all__ = ["SETTLE_S", "Fleet", "at_rest", "come_and_killed", "cut_and_healed", "fleet"]

WITHOUT_MODELS = ("--models", "")
NEWCOMER = "new"
SETTLE_S = 25.0
"""Twice as long as it takes until all links are measured, which is said meanwhile."""


@dataclass(slots=True)
class Fleet:
    """PoPs of one fabric, in the order in which they joined."""

    folder: Path
    stack: ExitStack
    hosts: Network | None
    journal: Journal = field(default_factory=Journal)
    pops: list[FabricPop] = field(default_factory=list)

    def place(self, name: str) -> Place:
        """Where a PoP of this name is started."""
        host = None if self.hosts is None else self.hosts[name]
        return Place(name, self.folder / name, host)

    def grow(self, size: int) -> None:
        """Start one after another until there are so many, and all see each other.

        Raises:
            StandError: they do not.
        """
        began_s = 0.0
        while len(self.pops) < size:
            place = self.place(f"p{len(self.pops)}")
            if self.pops:
                starting = joined(place, self.pops[0], self.journal, *WITHOUT_MODELS)
            else:
                starting = founded(place, self.journal, *WITHOUT_MODELS)
            self.pops.append(self.stack.enter_context(starting))
        places = [each.place.name for each in self.pops]
        for pop in self.pops if size > 1 else ():
            self.journal.all_told(began_s, SEEN, pop.pop, places)

    def others(self, than: str) -> list[str]:
        """The places of all but one PoP."""
        return [each.place.name for each in self.pops if each.pop != than]

    def complete(self) -> None:
        """See that each lists all others as reached.

        Raises:
            StandError: one does not.
        """
        everybody = {each.pop for each in self.pops}
        for each in self.pops:
            lacking = everybody - {each.pop} - each.reached()
            if lacking:
                raise StandError(f"{each.place.name} does not list {', '.join(sorted(lacking))}")


@contextmanager
def fleet(folder: Path, size: int) -> Iterator[Fleet]:
    """A fabric of nobody yet, with room for so many PoPs and a newcomer."""
    with ExitStack() as stack:
        hosts = None
        if not UNAVAILABLE:
            names = (*(f"p{number}" for number in range(size)), NEWCOMER)
            hosts = stack.enter_context(network(*names))
        yield Fleet(folder, stack, hosts)


def at_rest(pops: Sequence[FabricPop], seconds: float) -> dict[str, float]:
    """What each of these costs while nobody asks anything: medians of all."""
    said_before = [each.said_bytes() for each in pops]  # asking costs CPU, so around the rest
    before = [(each.cpu_s(), _sent(each)) for each in pops]
    began_s = time.monotonic()
    time.sleep(seconds)
    took_s = time.monotonic() - began_s
    after = [(each.cpu_s(), _sent(each)) for each in pops]
    said_after = [each.said_bytes() for each in pops]
    pairs = list(zip(before, after, strict=True))
    said = zip(said_before, said_after, strict=True)
    figures = {
        "cpu_percent": statistics.median(100 * (b[0] - a[0]) / took_s for a, b in pairs),
        "rss_mb": statistics.median(each.rss_mb() for each in pops),
        "said_bytes_s": statistics.median((b - a) / took_s for a, b in said),
    }
    sent = [(b[1] - a[1]) / took_s for a, b in pairs if a[1] is not None and b[1] is not None]
    return figures | ({"sent_bytes_s": statistics.median(sent)} if sent else {})


def _sent(pop: FabricPop) -> int | None:
    return None if pop.place.host is None else pop.place.sent_bytes()


def come_and_killed(fabric: Fleet, number: int) -> dict[str, float]:
    """A newcomer joins, and is killed as soon as all have seen it.

    Raises:
        StandError: not all have seen it, or have not seen it go.
    """
    place = Place(f"{NEWCOMER}{number}", fabric.folder / f"{NEWCOMER}{number}")
    if fabric.hosts is not None:
        place = Place(place.name, place.home, fabric.hosts[NEWCOMER])
    founder, journal = fabric.pops[0], fabric.journal
    places = fabric.others(than="")
    with joined(place, founder, journal, *WITHOUT_MODELS) as new:
        admitted_s = journal.all_told(new.began_s, ADMITTED, new.pop, [founder.place.name])
        seen_s = journal.all_told(new.began_s, SEEN, new.pop, places)
        sees_s = max(
            journal.all_told(new.began_s, SEEN, each.pop, [place.name]) for each in fabric.pops
        )
        time.sleep(1)
        killed_s = time.monotonic()
        new.process.kill()
        gone_s = journal.all_told(killed_s, GONE, new.pop, places)
    return {
        "admitted_s": admitted_s - new.began_s,
        "seen_s": seen_s - admitted_s,
        "sees_s": sees_s - admitted_s,
        "kill_seen_s": gone_s - killed_s,
    }


def cut_and_healed(fabric: Fleet, which: int, held_s: float) -> dict[str, float]:
    """One PoP's link is cut for so long, and works again: how soon both sides know.

    Raises:
        StandError: there are no links to cut, or somebody does not notice.
    """
    if fabric.hosts is None:
        raise StandError(UNAVAILABLE)
    journal, one = fabric.journal, fabric.pops[which]
    place, others = one.place.name, fabric.others(than=one.pop)
    far = [each for each in fabric.pops if each is not one]
    cut_s = time.monotonic()
    fabric.hosts.cut(place)
    noticed_s = max(
        journal.all_told(cut_s, GONE, one.pop, others),
        *(journal.all_told(cut_s, GONE, each.pop, [place]) for each in far),
    )
    time.sleep(max(0.0, cut_s + held_s - time.monotonic()))
    healed_s = time.monotonic()
    fabric.hosts.heal(place)
    back_s = max(
        journal.all_told(healed_s, BACK, one.pop, others),
        *(journal.all_told(healed_s, BACK, each.pop, [place]) for each in far),
    )
    note(f"  cut seen after {noticed_s - cut_s:.2f} s, healed after {back_s - healed_s:.2f} s")
    return {"cut_seen_s": noticed_s - cut_s, f"healed_{held_s:g}_s": back_s - healed_s}
