"""One file from an origin to 8 PoPs: how near to what the links allow, and what it costs.

Origin and PoPs have network namespaces of their own, with links of known rates (stand/lab.py). In
each scenario ours, and in the first its peers (aria2, libtorrent, each PoP alone), run one after
another in rounds, and every copy is compared byte for byte. The bound is that of Kumar and Ross
(2006) for the rates of the links, in the time that a single plain flow took in the same lab; ours
has TLS both ways, its peers have none, but for aria2 where it is told to encrypt: RC4, which proves
nothing of who is there. CPU is that of all processes from the start to the end.

Nothing else should run: the load of the machine is in the last line.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.stand.deliveries import Goods, goods, single
from bench.stand.lab import Lab, lab, unavailable
from bench.stand.measuring import EVERYTHING, Figures
from bench.stand.native import StandError
from bench.stand.report import Promise, at_most, note, print_report, print_table
from bench.stand.running import end_on_signal
from bench.stand.swarms import ALONE_PART, alone, aria2, aria2_encrypted, torrent
from bench.stand.troubles import joined_late, killed, lied_to, stalled, together

Way = Callable[[Lab, Goods], dict[str, float]]
Course = Callable[[Lab, Goods, float], dict[str, float]]
"""Ours: takes the seconds that the links take at least, too."""

OURS, ARIA2, SECRET, TORRENT = "ours", "aria2", "aria2, encrypted", "libtorrent"
ALONE = "each alone"
PEERS: dict[str, Way] = {
    ARIA2: aria2,
    SECRET: aria2_encrypted,
    TORRENT: torrent,
    ALONE: alone,
}
MEGABYTES = 126
SHM = Path("/dev/shm")
"""Where the copies are, if it is there: no disk is measured."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What is promised of one figure."""

    what: str
    key: str
    at_most: float
    unit: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """Links, what happens, and what is promised."""

    name: str
    limits: tuple[Limit, ...]
    course: Course = together
    origin_mbit: float = 100
    pops_mbit: tuple[float, ...] = (100,) * 8
    peers: tuple[str, ...] = ()

    @property
    def ways(self) -> tuple[str, ...]:
        """How the file gets there, one after another."""
        return (OURS, *self.peers)

    def bound(self, size_bytes: float, byte_s: float) -> float:
        """Seconds that the links take at least.

        Args:
            size_bytes: of the file.
            byte_s: seconds for a byte over a link of 1 Mbit/s, as a single flow showed.
        """
        count, total = len(self.pops_mbit), self.origin_mbit + sum(self.pops_mbit)
        slowest = min(self.origin_mbit, *self.pops_mbit, total / count)
        return size_bytes * byte_s / slowest

    def target(self, way: str) -> str:
        """What one way is called in the table."""
        return f"{self.name}: {way}"

    @property
    def flow(self) -> str:
        """What its single flow is called."""
        return f"{self.name}: single flow"


def _last(ratio: float, who: str = "last of 8 PoPs") -> Limit:
    return Limit(who, "ratio", ratio, "x the bound")


def _egress(files: float = 1.01) -> Limit:
    return Limit("origin egress", "origin_files", files, "files")


EQUAL = Scenario("equal links", (_last(1.06), _egress()), peers=tuple(PEERS))
SCENARIOS = (
    EQUAL,
    Scenario("origin at a quarter", (_last(1.04), _egress()), origin_mbit=25),
    Scenario(
        "one PoP at half, one at a quarter",
        (_last(1.15), _egress()),
        pops_mbit=(100,) * 6 + (50, 25),
    ),
    Scenario("one killed at half time", (_last(1.2, "last of 7"), _egress(1.15)), killed),
    Scenario("one late by half", (_last(1.15, "the late one"), _egress()), joined_late),
    Scenario("one lies", (_last(1.2), _egress(1.15)), lied_to),
    Scenario(
        "one stands still at half time",
        (
            _last(1.3, "last of 7"),
            Limit("until others are asked", "replaced_s", 2, "s"),
            Limit("longest without progress", "pause_s", 5, "s"),
        ),
        stalled,
    ),
)


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int = 5
    megabytes: int = MEGABYTES
    scenarios: tuple[Scenario, ...] = SCENARIOS


QUICK = Effort(rounds=1, megabytes=32)


def measure(figures: Figures, scenario: Scenario, given: Goods, turned: bool) -> None:
    """One round of a scenario."""
    with lab(scenario.origin_mbit, scenario.pops_mbit) as links:
        part = replace(given, size_bytes=given.size_bytes // ALONE_PART)
        figures.take(scenario.flow, "flow", _flow, links, part, scenario)
        byte_s = figures.median(scenario.flow, "byte_s")
        if byte_s is None:
            return
        for way in reversed(scenario.ways) if turned else scenario.ways:
            figures.take(
                scenario.target(way), "delivery", _delivery, way, links, given, scenario, byte_s
            )


def _flow(links: Lab, part: Goods, scenario: Scenario) -> dict[str, float]:
    """What the slower of the two links at its ends carries."""
    slower = min(scenario.origin_mbit, scenario.pops_mbit[0])
    return {"byte_s": single(links, part)["last_s"] * slower / part.size_bytes}


def _delivery(
    way: str, links: Lab, given: Goods, scenario: Scenario, byte_s: float
) -> dict[str, float]:
    size = given.size_bytes / ALONE_PART if way == ALONE else given.size_bytes
    bound_s = scenario.bound(size, byte_s)
    taken = scenario.course(links, given, bound_s) if way == OURS else PEERS[way](links, given)
    ratio = taken["last_s"] / bound_s
    others = {key: round(value, 3) for key, value in taken.items() if key != "last_s"}
    note(f"  {scenario.target(way)}: {taken['last_s']:.2f} s, {ratio:.3f} of the bound; {others}")
    return {**taken, "ratio": ratio}


def promises_of(figures: Figures) -> list[Promise]:
    """What was promised, from what was measured."""
    promises = [
        at_most(
            f"{limit.what}, {scenario.name}",
            _median(figures, scenario.target(OURS), limit.key),
            limit.at_most,
            limit.unit,
            figures.reason("delivery", scenario.target(OURS)),
        )
        for scenario in SCENARIOS
        for limit in scenario.limits
    ]
    return [
        *promises,
        _cpu(figures, ARIA2, "CPU for a GB to all PoPs, of aria2's"),
        _cpu(figures, SECRET, "the same, of aria2's where it encrypts too"),
    ]


def _cpu(figures: Figures, way: str, what: str) -> Promise:
    ours, peer = EQUAL.target(OURS), EQUAL.target(way)
    mine, theirs = (figures.median(name, "cpu_s_gb") for name in (ours, peer))
    ratio = [mine / theirs] if mine and theirs else []
    return at_most(what, ratio, 1, "x", figures.reason("delivery", ours, peer))


def _median(figures: Figures, target: str, name: str) -> list[float]:
    value = figures.median(target, name)
    return [] if value is None else [value]


COLUMNS = (
    ("x bound", "ratio"),
    ("last s", "last_s"),
    ("first s", "first_s"),
    ("origin files", "origin_files"),
    ("CPU s/GB", "cpu_s_gb"),
)


def measure_all(figures: Figures, effort: Effort, folder: Path) -> None:
    """All rounds."""
    pops = max(len(scenario.pops_mbit) for scenario in effort.scenarios)
    given = goods(folder, effort.megabytes * 1_000_000, pops)
    for number in range(effort.rounds):
        note(f"round {number + 1} of {effort.rounds}")
        for scenario in effort.scenarios:
            measure(figures, scenario, given, turned=bool(number % 2))


def targets(scenarios: Sequence[Scenario]) -> list[str]:
    """Every row."""
    return [scenario.target(way) for scenario in scenarios for way in scenario.ways]


def main() -> None:
    """Measure everything and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smaller file, once")
    parser.add_argument("--rounds", type=int, help="instead of 5")
    parser.add_argument("--only", help="scenarios whose name has this in it")
    options = parser.parse_args()
    effort = QUICK if options.quick else Effort()
    chosen = tuple(each for each in SCENARIOS if (options.only or "") in each.name)
    effort = replace(effort, scenarios=chosen, rounds=options.rounds or effort.rounds)
    end_on_signal()
    figures = Figures()
    names = targets(SCENARIOS)
    if reason := unavailable():
        for name in names:
            figures.missing(name, EVERYTHING, reason)
    else:
        with tempfile.TemporaryDirectory(dir=SHM if SHM.exists() else None) as folder:
            try:
                measure_all(figures, effort, Path(folder))
            except (StandError, RuntimeError) as error:
                for name in names:
                    figures.missing(name, EVERYTHING, str(error))
    rows = [[name, *(figures.median(name, key) for _, key in COLUMNS)] for name in names]
    print_table(["", *(title for title, _ in COLUMNS)], rows)
    print_report(
        "delivery",
        promises_of(figures),
        {name: figures.document(name) for name in names},
        effort.rounds,
    )


if __name__ == "__main__":
    main()
