"""What it costs to be several: a fabric of real PoPs that joined by ticket, on this machine.

Three things are measured, one after another:

- what the first answer of a newcomer takes, and what passing a request on to a neighbour costs
  beside relaying it, in interleaved rounds (stand/firsts.py, stand/hops.py);
- a PoP at rest: alone, then the same one in a fabric of 3 and of 24 (stand/growing.py);
- how soon all 24 see a newcomer, one that is killed, and one whose link is cut and healed.

CPU is the kernel's accounting of the PoP's threads. PoPs have network namespaces of their own where
those can be made; where not, what needs them has no value and says why. Nothing else should run.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from bench.stand.firsts import ECHO, OTHERS, SMALL, first_answer
from bench.stand.growing import SETTLE_S, Fleet, at_rest, come_and_killed, cut_and_healed, fleet
from bench.stand.hops import GUEST, Hop, first_tokens, hop, requests
from bench.stand.measuring import Figures
from bench.stand.native import StandError, Upstream, upstream
from bench.stand.proxies import Proxy
from bench.stand.report import Promise, at_most, note, print_report, print_table
from bench.stand.running import end_on_signal

ALONE, PLAIN, PASSING, GROWN = "alone", "plain relay", "to a neighbour", "the fabric"
PARTS = ("newcomers", "hops", "growth")
FEW, SHORT_CUT_S, LONG_CUT_S = 3, 4.0, 12.0
"""A cut is healed before anybody has begun to try less often, and after that."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int = 5
    seconds: float = 1.5
    size: int = 24
    rest_s: float = 20.0
    cuts: int = 2


QUICK = Effort(rounds=2, seconds=0.5, size=4, rest_s=6.0, cuts=1)


def in_fabric_of(size: int) -> str:
    """What a fabric of this size is called in the table."""
    return f"of {size} PoPs"


def hops(
    figures: Figures, effort: Effort, up: Upstream, folder: Path, parts: Collection[str]
) -> None:
    """First answers and hops, in rounds."""
    with hop(folder, up) as both:
        for number in range(effort.rounds):
            note(f"newcomers and hops: round {number + 1} of {effort.rounds}")
            if "newcomers" in parts:
                _newcomers(figures, both, folder, number)
            if "hops" in parts:
                _one_round(figures, effort, both, folder / "request", turned=bool(number % 2))


def _newcomers(figures: Figures, both: Hop, folder: Path, number: int) -> None:
    for name, model in ((ECHO, ECHO), (SMALL, SMALL), (OTHERS, GUEST)):
        home = folder / f"{model}{number}"
        figures.take(name, "first answer", first_answer, both.neighbour, home, model)


def _one_round(figures: Figures, effort: Effort, both: Hop, file: Path, *, turned: bool) -> None:
    ways: list[tuple[str, Proxy]] = [(PLAIN, both.plain), (PASSING, both.passing)]
    for name, proxy in reversed(ways) if turned else ways:
        figures.take(name, "requests", requests, proxy, both.neighbour, file, effort.seconds)
        figures.take(name, "streams", first_tokens, proxy, file)


def growth(figures: Figures, effort: Effort, folder: Path) -> None:
    """A fabric that grows, and what happens in it."""
    with fleet(folder, effort.size) as grown:
        for size in (1, FEW, effort.size):
            name = ALONE if size == 1 else in_fabric_of(size)
            note(f"at rest: {name}")
            figures.take(name, "growing", _took, grown.grow, size)
            time.sleep(SETTLE_S)
            figures.take(name, "rest", at_rest, grown.pops, effort.rest_s)
            if grown.hosts is None:
                figures.missing(name, "bytes", "on loopback nobody counts one PoP's bytes")
        for number in range(effort.rounds):
            note(f"newcomers that are killed: {number + 1} of {effort.rounds}")
            figures.take(GROWN, "coming and going", come_and_killed, grown, number)
        for number in range(effort.cuts):
            for held_s in (SHORT_CUT_S, LONG_CUT_S):
                which = 1 + number % (effort.size - 1)
                figures.take(GROWN, "cuts", cut_and_healed, grown, which, held_s)
        figures.take(GROWN, "listing", _listed, grown)


def _took(act: Callable[[int], None], size: int) -> dict[str, float]:
    began_s = time.monotonic()
    act(size)
    return {"grown_s": time.monotonic() - began_s}


def _listed(grown: Fleet) -> dict[str, float]:
    grown.complete()
    return {"listed": float(len(grown.pops))}


def _median(figures: Figures, target: str, name: str) -> list[float]:
    value = figures.median(target, name)
    return [] if value is None else [value]


def _more(figures: Figures, name: str, one: str, other: str) -> list[float]:
    above, base = figures.median(one, name), figures.median(other, name)
    return [] if above is None or base is None else [above - base]


def promises_of(figures: Figures, effort: Effort) -> list[Promise]:
    """What was promised, from what was measured."""
    why = figures.reason
    plain, passing = (figures.median(name, "cpu_us") for name in (PLAIN, PASSING))
    return [
        *(
            at_most(
                f"join to the first answer of {name}",
                _median(figures, name, "answer_s"),
                3,
                "s",
                why("first answer", name),
            )
            for name in (ECHO, SMALL, OTHERS)
        ),
        *promises_of_seeing(figures, effort),
        at_most(
            "CPU of the gateway per request to a neighbour, of a plain relay's",
            [passing / plain] if passing and plain else [],
            1.5,
            "x",
            why("requests", PASSING, PLAIN),
        ),
        at_most(
            "added time to first token (p50)",
            _more(figures, "first_ms_16", PASSING, PLAIN),
            3,
            "ms",
            why("streams", PASSING, PLAIN),
        ),
        *(
            each
            for size in (FEW, effort.size)
            for each in promises_of_rest(figures, in_fabric_of(size))
        ),
    ]


def promises_of_seeing(figures: Figures, effort: Effort) -> list[Promise]:
    """Who comes and goes."""
    rows = (
        (f"all {effort.size} see who was admitted", "seen_s", 1, "coming and going"),
        (f"all {effort.size} see a kill -9", "kill_seen_s", 0.1, "coming and going"),
        (f"all {effort.size} see a cut link", "cut_seen_s", 3, "cuts"),
        *(
            (f"all see each other, a {held:g} s cut healed", f"healed_{held:g}_s", 3, "cuts")
            for held in (SHORT_CUT_S, LONG_CUT_S)
        ),
    )
    return [
        at_most(name, _median(figures, GROWN, key), limit, "s", figures.reason(what, GROWN))
        for name, key, limit, what in rows
    ]


def promises_of_rest(figures: Figures, name: str) -> list[Promise]:
    """A PoP in a fabric that does nothing."""
    why = figures.reason
    return [
        at_most(
            f"core at rest, {name}",
            _median(figures, name, "cpu_percent"),
            1,
            "%",
            why("rest", name),
        ),
        at_most(
            f"RSS over that of a PoP alone, {name}",
            _more(figures, "rss_mb", name, ALONE),
            40,
            "MB",
            why("rest", name, ALONE),
        ),
        at_most(
            f"bytes a second of records that a PoP says, {name}",
            _median(figures, name, "said_bytes_s"),
            2048,
            "B/s",
            why("rest", name),
        ),
    ]


COLUMNS = (
    ("CPU us/request", "cpu_us"),
    ("neighbour us", "neighbour_us"),
    ("requests/s", "rate"),
    ("p50 ms", "p50_ms"),
    ("first ms", "first_ms_16"),
    ("answer s", "answer_s"),
    ("core %", "cpu_percent"),
    ("RSS MB", "rss_mb"),
    ("said B/s", "said_bytes_s"),
    ("on the wire B/s", "sent_bytes_s"),
)


def main() -> None:
    """Measure everything and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small fabric, and fewer rounds")
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    options = parser.parse_args()
    effort = QUICK if options.quick else Effort()
    parts = PARTS if options.only is None else (options.only,)
    end_on_signal()
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        for part in ("hops", "growth"):
            (Path(folder) / part).mkdir()
        try:
            if parts != ("growth",):
                with upstream() as up:
                    hops(figures, effort, up, Path(folder) / "hops", parts)
        except (StandError, RuntimeError) as error:
            for name in (ECHO, SMALL, OTHERS, PLAIN, PASSING):
                figures.missing(name, "everything", str(error))
        try:
            if "growth" in parts:
                growth(figures, effort, Path(folder) / "growth")
        except RuntimeError as error:
            figures.missing(GROWN, "everything", str(error))
    names = [ECHO, SMALL, OTHERS, PLAIN, PASSING, ALONE, in_fabric_of(FEW)]
    names += [in_fabric_of(effort.size), GROWN]
    rows = [[name, *(figures.median(name, key) for _, key in COLUMNS)] for name in names]
    print_table(["", *(title for title, _ in COLUMNS)], rows)
    note("neighbour: the CPU of the PoP that was asked; first: of 16 streams; rest: medians of all")
    note("said: each record once; on the wire: to all others, with keep-alives, TLS and headers")
    print_report(
        "fabric",
        promises_of(figures, effort),
        {name: figures.document(name) for name in names},
        effort.rounds,
    )


if __name__ == "__main__":
    main()
