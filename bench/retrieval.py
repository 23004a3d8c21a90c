"""What memory gives and costs through a PoP, beyond the search itself (that is bench/memory.py).

Six parts, each of which may be asked for alone by its name:

- `judged`: how well questions find what answers them, on three judged sets (stand/questions.py);
- `asked`: questions by words, in process, beside FTS5 (stand/asked.py);
- `taking`: texts embedded and indexed, beside torch, which embeds alone (stand/taking.py);
- `doors`: the CPU that a search over HTTP adds, by each API (stand/doors.py);
- `copies`: what a copy at another PoP costs on the wire, how soon it is there (stand/copies.py);
- `firsts`: what a home sends for first copies at several PoPs (the same).

The small judged set is the project's own; other sets, and all texts, are of `../shared/data`.
What is not here is said with its reason, and is neither kept nor broken. Nothing else should run.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.stand.asked import asked
from bench.stand.copies import copies, first_copies
from bench.stand.doors import doors
from bench.stand.judged import read_judged
from bench.stand.native import StandError
from bench.stand.parts import Cell, Part
from bench.stand.questions import judged_by
from bench.stand.report import at_least, note, print_report, print_table
from bench.stand.running import ROOT, end_on_signal, pop
from bench.stand.taking import taking
from bench.stand.talk import Target

SHARED: Final = ROOT.parent / "shared/data"
OWN: Final = ROOT / "tests/memory/judged"
MODEL: Final = "all-minilm-l6-v2"
LIMITS: Final = {"scifact": 0.70, "cranfield": 0.41}


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured; `ways` is the rounds of searches, which are short ones."""

    rounds: int = 5
    texts: int = 1_000
    vectors: int = 30_000
    ways: int = 25
    asked: int = 192
    rows: int = 20_000
    large: int = 50_000
    copies: int = 4


QUICK: Final = Effort(rounds=3, texts=500, ways=9, large=20_000)


def judged(folder: Path) -> Part:
    """Each set that is there."""
    promises, rows = [], list[Sequence[Cell]]()
    figures: dict[str, object] = {}
    (folder / "models").symlink_to(ROOT / ".models/models")
    with pop(folder, "--models", MODEL) as running:
        target = Target(str(running.said["url"]), str(running.said["key"]), MODEL)
        for each in (OWN, *(SHARED / name for name in LIMITS)):
            name, limit = f"nDCG@10 {each.name}", LIMITS.get(each.name, 0.0)
            if not each.is_dir():
                reason = f"{each.name} is not here: it is read from ../shared/data"
                promises.append(at_least(name, [], limit, "", reason))
                continue
            found = judged_by(target, read_judged(each))
            figures[each.name] = found
            if limit:
                promises.append(at_least(name, [found["both"][0]], limit, ""))
            rows += [(f"{each.name}, by {way}", *values) for way, values in found.items()]
    return Part(promises, ("set", "nDCG@10", "recall@100"), rows, figures)


def parts(effort: Effort) -> Mapping[str, Callable[[Path], Part]]:
    """What is measured, in which order; each in a folder of its own."""
    return {
        "judged": judged,
        "asked": lambda folder: asked(folder, effort.rounds),
        "taking": lambda folder: taking(folder, effort.rounds, effort.texts),
        "doors": lambda folder: doors(folder, effort.ways, effort.vectors, effort.asked),
        "copies": lambda folder: copies(folder, effort.rounds, effort.rows),
        "firsts": lambda folder: first_copies(folder, effort.large, effort.copies),
    }


def main() -> None:
    """Measure what is asked for, and report."""
    end_on_signal()
    everything = [*parts(Effort())]
    parser = argparse.ArgumentParser(prog="bench.retrieval", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(everything)}; else all")
    parser.add_argument("--quick", action="store_true", help="less of everything, less certain")
    given = parser.parse_args()
    unknown = set(given.parts) - set(everything)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}: say {', '.join(everything)}")
    effort = QUICK if given.quick else Effort()
    measured: dict[str, Part] = {}
    for name, measure in parts(effort).items():
        if given.parts and name not in given.parts:
            continue
        note(f"== {name}")
        try:
            with tempfile.TemporaryDirectory() as folder:
                measured[name] = measure(Path(folder))
        except (StandError, RuntimeError, OSError) as error:  # the others are measured all the same
            reason = f"{type(error).__name__}: {str(error)[:300]}"
            measured[name] = Part([at_least(f"the part {name}", [], 0.0, "", reason)])
    for part in measured.values():
        if part.rows:
            print_table(part.columns, part.rows)
            note("")
    promises = [promise for part in measured.values() for promise in part.promises]
    figures = {name: part.figures for name, part in measured.items()}
    print_report("retrieval", promises, figures, effort.rounds)


if __name__ == "__main__":
    main()
