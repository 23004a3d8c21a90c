"""How many searches of vectors a core does, at which recall, beside other embedded engines.

Real texts, embedded once by the project's own model (bench/stand/vectors.py says what is made of
them). Each engine is a process of its own, and searches on one core, one query a call; engines take
turns. Rates, and what building takes, are of processor time, so that they hold on a machine that
does other things too; the comparison with a writer beside is by the clock, since there the two get
in each other's way.

Each has answered every query once before, if it could in two seconds. A peer searches with the
least effort that has the recall which is promised of ours, or its most; ours as it always does.
Ours is measured as a collection, with the truth behind it, and as its index alone: how long an
index takes to build, and its memory, are the latter's. At a million the peers whose graphs were
quickest are given a bounded time to take the vectors in. A peer that fails, hangs or is not ready
in time has a reason instead of values, and the others go on.
"""

import argparse
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from bench.stand.embedding import why_absent
from bench.stand.report import Promise, at_least, at_most, note, print_report, print_table
from bench.stand.running import end_on_signal
from bench.stand.vectors import Asked, Searcher, VectorSet, searcher, vector_set

OURS, INDEX = "littoral", "littoral-index"
PEERS: Final = ("zvec", "qdrant-edge", "lancedb", "milvus-lite", "chroma", "sqlite-vec")
GRAPHS: Final = ("zvec", "qdrant-edge")
SMALL, LARGE, HUGE = 30_000, 100_000, 1_000_000
RECALL: Final = {SMALL: 0.98, LARGE: 0.99, HUGE: 0.98}
"""That is promised of ours: peers take the effort that it takes them."""
ROUNDS, QUICK_ROUNDS = 5, 2
READY_WAIT_S: Final = 1_800.0
REASON: Final = 200
"""Letters of the first line of what went wrong, and of its last."""
SECONDS: Final = 1.0
SETTLE_QUERIES, SETTLE_S = 300, 10.0
"""By which an effort is judged: of few queries the recall would be by chance."""
QUERIES: Final = 1_000
"""Each time at most; a peer that is slow does as many as it can in SECONDS."""
SHARES: Final = (10, 100)
SETS: Final = ("small", "large", "wide", "huge")
"""30k and 100k of 384 dimensions, 100k of 768 and 1,536, a million."""


@dataclass(frozen=True, slots=True)
class What:
    """What is measured: an engine, a set of vectors, the share that is searched."""

    engine: str
    rows: int
    dimensions: int
    share: int = 0
    writer: bool = False


class Taken:
    """All that was measured."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.asked: defaultdict[What, list[Asked]] = defaultdict(list)
        self.built: dict[What, dict[str, float]] = {}
        """How long it took to take in, and to index; bytes of memory a vector."""
        self.absent: dict[tuple[str, int], str] = {}

    def rates(self, what: What) -> list[float]:
        """Queries a second of one core."""
        return [asked.rate for asked in self.asked[what]]

    def recall(self, what: What) -> list[float]:
        """Over all rounds."""
        found = [asked.recall for asked in self.asked[what]]
        return [statistics.mean(found)] if found else []

    def clocked(self, what: What) -> list[float]:
        """Queries a second by the clock."""
        return [asked.wall_rate for asked in self.asked[what]]


def begun(
    stack: ExitStack, taken: Taken, name: str, given: VectorSet, folder: Path, wait_s: float
) -> Searcher:
    """An engine with everything in it, which the stack ends."""
    note(f"{name}: taking in {given.rows:,} x {given.dimensions}")
    with ExitStack() as own:
        found = own.enter_context(searcher(name, given, folder, wait_s))
        if len(found.efforts) > 1:
            wanted = min(RECALL.items(), key=lambda each: abs(each[0] - given.rows))[1]
            found.settle(wanted, SETTLE_QUERIES, SETTLE_S)
        for share in given.nearest:
            found.ask(QUERIES, share, seconds=2 * SECONDS)
        taken.built[What(name, given.rows, given.dimensions)] = {
            "taken_s": found.taken_s,
            "built_s": found.built_s,
            "built_cpu_s": found.built_cpu_s,
            "ram_bytes": found.ram_bytes / given.rows,
        }
        stack.push(own.pop_all())
    return found


@contextmanager
def reason_kept(taken: Taken, name: str, given: VectorSet) -> Iterator[None]:
    """Whatever an engine does wrong is the reason why it has no value, and no more than that."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        said = str(error).removeprefix("python: ").strip() or type(error).__name__
        first, *more = said.splitlines()
        why = f"{first[:REASON]} ... {more[-1][:REASON]}" if more else first[:REASON]
        taken.absent[name, given.rows] = why
        note(f"{name}: {why}")


def measured(
    taken: Taken, given: VectorSet, folder: Path, names: Sequence[str], rounds: int, wait_s: float
) -> None:
    """All of these engines with one set of vectors."""
    with ExitStack() as stack:
        there = []
        for name in names:
            with reason_kept(taken, name, given):
                there.append(begun(stack, taken, name, given, folder, wait_s))
        for number in range(rounds):
            note(f"{given.rows:,} x {given.dimensions}: round {number + 1} of {rounds}")
            turn = number % max(1, len(there))
            for engine in there[turn:] + there[:turn]:
                if (engine.name, given.rows) in taken.absent:
                    continue
                with reason_kept(taken, engine.name, given):
                    for share in given.nearest:
                        what = What(engine.name, given.rows, given.dimensions, share)
                        taken.asked[what].append(engine.ask(QUERIES, share, seconds=SECONDS))
        if given.rows >= LARGE // 2 and given.rows < HUGE // 2:
            for engine in there:
                if engine.name in {OURS, INDEX}:
                    with reason_kept(taken, engine.name, given):
                        beside_writer(taken, given, engine, rounds)
    show(taken, given)


def beside_writer(taken: Taken, given: VectorSet, engine: Searcher, rounds: int) -> None:
    """Searches while records are replaced, and while they are not, in turns."""
    for _ in range(rounds):
        for writer in (False, True):
            what = What(engine.name, given.rows, given.dimensions, -1, writer)
            taken.asked[what].append(engine.ask(4 * QUERIES, seconds=SECONDS, writer=writer))


def promises_of(taken: Taken, sets: dict[int, VectorSet], why: str) -> list[Promise]:
    """What was promised, from what was measured."""

    def at(engine: str, rows: int, share: int = 0, *, writer: bool = False) -> What:
        given = sets.get(rows)
        return What(engine, given.rows if given else rows, 384, share, writer)

    small, large, huge = at(OURS, SMALL), at(OURS, LARGE), at(INDEX, HUGE)
    tenth, hundredth = at(OURS, LARGE, 10), at(OURS, LARGE, 100)
    index, million = taken.built.get(at(INDEX, LARGE), {}), taken.built.get(huge, {})
    best = max(statistics.median(taken.rates(at(peer, LARGE)) or [0.0]) for peer in PEERS)
    times = [rate / best for rate in taken.rates(large)] if best else []
    alone = taken.clocked(at(OURS, LARGE, -1))
    beside = taken.clocked(at(OURS, LARGE, -1, writer=True))
    kept = [statistics.median(beside) / statistics.median(alone)] if alone and beside else []
    rate, share = partial(at_least, reason=why), partial(at_most, reason=why)
    return [
        rate("searches of 30k a second of one core", taken.rates(small), 5_000, "/s"),
        rate("their recall", taken.recall(small), 0.98, ""),
        rate("searches of 100k a second of one core", taken.rates(large), 2_200, "/s"),
        rate("their recall at 100k", taken.recall(large), 0.99, ""),
        rate("times the best peer at 100k", times, 2, "x"),
        rate("of searches at 100k, kept beside a writer", kept, 0.7, ""),
        share("seconds of a core to build the index of 100k", _one(index, "built_cpu_s"), 5, "s"),
        share("memory of a vector beside mapped files", _one(index, "ram_bytes"), 64, "bytes"),
        rate("searches of a tenth of 100k a second", taken.rates(tenth), 2_500, "/s"),
        rate("their recall in a tenth", taken.recall(tenth), 0.99, ""),
        rate("searches of a hundredth of 100k a second", taken.rates(hundredth), 20_000, "/s"),
        rate("their recall in a hundredth", taken.recall(hundredth), 0.99, ""),
        rate("searches of 1M a second of one core", taken.rates(huge), 350, "/s"),
        rate("their recall at 1M", taken.recall(huge), 0.98, ""),
        share("seconds of a core to build the index of 1M", _one(million, "built_cpu_s"), 20, "s"),
    ]


def _one(built: dict[str, float], what: str) -> list[float]:
    return [built[what]] if what in built else []


def cells_of(taken: Taken, given: VectorSet) -> dict[str, dict[str, float | None]]:
    """What was measured of each engine."""
    found = {}
    for name in (OURS, INDEX, *PEERS):
        what = What(name, given.rows, given.dimensions)
        if what not in taken.built:
            continue
        cells: dict[str, float | None] = dict(taken.built[what])
        for share in (0, *SHARES):
            each = What(name, given.rows, given.dimensions, share)
            rates, recall = taken.rates(each), taken.recall(each)
            end = f"_1_in_{share}" if share else ""
            cells[f"rate{end}"] = statistics.median(rates) if rates else None
            cells[f"recall{end}"] = recall[0] if recall else None
        found[name] = cells
    return found


def show(taken: Taken, given: VectorSet) -> None:
    """A table for people."""
    note(f"{given.rows:,} vectors of {given.dimensions} dimensions")
    for (name, count), why in taken.absent.items():
        if count == given.rows:
            note(f"{name}: {why}")
    rows = [
        [name, *(cells[key] for _, key in COLUMNS)]
        for name, cells in cells_of(taken, given).items()
    ]
    print_table(["", *(title for title, _ in COLUMNS)], rows)


COLUMNS: Final = (
    ("searches/s", "rate"),
    ("recall", "recall"),
    ("of 1 in 10: /s", "rate_1_in_10"),
    ("recall", "recall_1_in_10"),
    ("of 1 in 100: /s", "rate_1_in_100"),
    ("recall", "recall_1_in_100"),
    ("in after s", "taken_s"),
    ("indexed s", "built_s"),
    ("of a core", "built_cpu_s"),
    ("bytes/vector", "ram_bytes"),
)


def everything(taken: Taken, options: argparse.Namespace, folder: Path) -> dict[int, VectorSet]:
    """All sets, one after the other."""
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    peers = [name for name in options.peers.split(",") if name]
    sets = {}
    wanted = [SETS[0]] if options.quick else options.sets.split(",")
    for rows in [rows for name, rows in (("small", SMALL), ("large", LARGE)) if name in wanted]:
        sets[rows] = vector_set(folder, rows)
        measured(taken, sets[rows], folder, (OURS, INDEX, *peers), rounds, READY_WAIT_S)
    for times in (2, 4) if "wide" in wanted else ():
        given = vector_set(folder, LARGE, times=times, asked=200)
        sets[times] = given
        measured(taken, given, folder, (INDEX,), rounds, READY_WAIT_S)
        given.vectors.unlink()
    if "huge" not in wanted:
        return sets
    sets[HUGE] = vector_set(folder, HUGE, asked=200)
    graphs = [name for name in GRAPHS if name in peers and options.graphs_s]
    wait_s = options.graphs_s or READY_WAIT_S
    measured(taken, sets[HUGE], folder, (INDEX, *graphs), rounds, wait_s)
    return sets


def main() -> None:
    """Measure everything and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="30k vectors alone, fewer rounds")
    parser.add_argument("--sets", default=",".join(SETS), help="only these, by comma")
    parser.add_argument("--peers", default=",".join(PEERS), help="only these, by comma")
    parser.add_argument(
        "--graphs-s",
        type=float,
        default=300.0,
        help="for each graph of a million; 0 leaves them out",
    )
    options = parser.parse_args()
    end_on_signal()
    taken, sets, why = Taken(), dict[int, VectorSet](), why_absent()
    if not why:
        with tempfile.TemporaryDirectory() as folder:
            sets = everything(taken, options, Path(folder))
        why = "left out, or it failed"
    document: dict[str, object] = {
        f"{name} {given.rows}x{given.dimensions}": cells
        for given in sets.values()
        for name, cells in cells_of(taken, given).items()
    }
    document["absent"] = {f"{name} {rows}": why for (name, rows), why in taken.absent.items()}
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    print_report("memory", promises_of(taken, sets, why), document, rounds)


if __name__ == "__main__":
    main()
