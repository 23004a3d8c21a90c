"""What the answer cache drops first: policies compared on public traces.

Arrivals and their tokens are those of the traces, gone through PASSES times. Which answer is asked
for is not in them: it is drawn from a Zipf law over as many answers as there are arrivals in a pass
(seeds 1 to 3), and each answer has the tokens of the arrival that asked for it first. ONE_TIMERS of
all requests ask for something nobody asks for again, and once a pass a scan asks for SCAN of a pass
of such things in a row. A streamed answer (STREAMED of them) has STREAM_BYTES for each token.

An answer is worth the time it took: its generated tokens at DECODE_S, its prompt at PREFILL_S. The
share of that time that hits save is what the policy is chosen by.
"""

import csv
import itertools
import json
import random
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.stand.policies import POLICIES, Asked, Policy
from bench.stand.report import Promise, at_least, note, print_report
from bench.stand.running import ROOT

TRACES: Final = ROOT.parent / "shared/data/traces"
AZURE, MOONCAKE = "AzureLLMInferenceTrace_conv.csv", "mooncake_conversation.jsonl"
CHOSEN: Final = "GDSF, worth its seconds"
ALPHAS: Final = (0.7, 0.9, 1.1)
SEEDS: Final = (1, 2, 3)
CAPACITIES: Final = (0.01, 0.05, 0.2)
"""Parts of the bytes of all different answers that were asked for."""
PASSES: Final = 4
ONE_TIMERS, SCAN = 0.15, 0.05
STREAMED, STREAM_BYTES, PLAIN_BYTES, HEAD_BYTES = 0.6, 200, 4, 700
DECODE_S, PREFILL_S = 50.0, 1_000.0
"""Tokens a second of one request, as a mid-size model on one GPU has them under load."""

Tokens = tuple[int, int]
"""Of the prompt, and generated."""


@dataclass(frozen=True, slots=True)
class Score:
    """What a policy achieved, each as a part of what there was."""

    hits: float
    bytes: float
    seconds: float


def arrivals(path: Path) -> list[Tokens]:
    """The tokens of each arrival of a trace, in order."""
    with path.open() as file:
        if path.suffix == ".csv":
            rows = csv.DictReader(file)
            return [(int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in rows]
        lines = map(json.loads, file)
        return [(line["input_length"], line["output_length"]) for line in lines]


def requests(trace: Sequence[Tokens], alpha: float, seed: int) -> Iterator[Asked]:
    """The trace, with answers that are asked for again by a Zipf law."""
    source = random.Random(seed)
    weights = itertools.accumulate(1 / rank**alpha for rank in range(1, len(trace) + 1))
    drawn = iter(
        source.choices(range(len(trace)), cum_weights=list(weights), k=PASSES * len(trace))
    )
    made: dict[int, Asked] = {}
    fresh = itertools.count(len(trace))
    scan = int(SCAN * len(trace))
    for _ in range(PASSES):
        for place, tokens in enumerate(trace):
            once = place < scan or source.random() < ONE_TIMERS
            key = next(fresh) if once else next(drawn)
            if key not in made:
                made[key] = answer(key, tokens, streamed=source.random() < STREAMED)
            yield made[key]


def answer(key: int, tokens: Tokens, *, streamed: bool) -> Asked:
    """An answer of so many tokens."""
    prompt, generated = tokens
    size = HEAD_BYTES + generated * (STREAM_BYTES if streamed else PLAIN_BYTES)
    return Asked(key, size, generated / DECODE_S + prompt / PREFILL_S)


def score(policy: Policy, asked: Sequence[Asked]) -> Score:
    """How much of what was asked for a policy had at hand."""
    hits = size = 0
    seconds = 0.0
    for one in asked:
        if policy.ask(one):
            hits += 1
            size += one.size
            seconds += one.cost_s
    return Score(
        hits / len(asked),
        size / sum(one.size for one in asked),
        seconds / sum(one.cost_s for one in asked),
    )


Cell = tuple[str, float, float]
"""Trace, alpha, capacity."""


def measured(name: str, trace: Sequence[Tokens]) -> dict[Cell, dict[str, Score]]:
    """Every policy's score (means over seeds) for each alpha and capacity."""
    cells: dict[Cell, dict[str, Score]] = {}
    for alpha in ALPHAS:
        runs = [list(requests(trace, alpha, seed)) for seed in SEEDS]
        for part in CAPACITIES:
            scores = {policy: [one_run(policy, run, part) for run in runs] for policy in POLICIES}
            cells[name, alpha, part] = {policy: mean(each) for policy, each in scores.items()}
            note(f"  {name} alpha {alpha} capacity {part:.0%}")
    return cells


def one_run(policy: str, run: Sequence[Asked], part: float) -> Score:
    """One policy on one sequence of requests."""
    whole = sum({one.key: one.size for one in run}.values())
    return score(POLICIES[policy](int(part * whole)), run)


def mean(scores: Sequence[Score]) -> Score:
    """Of several seeds."""
    return Score(
        statistics.mean(one.hits for one in scores),
        statistics.mean(one.bytes for one in scores),
        statistics.mean(one.seconds for one in scores),
    )


def table(cells: Mapping[Cell, Mapping[str, Score]]) -> str:
    """Hits / bytes / seconds in per cent, a row for each cell, a column for each policy."""
    lines = [
        "| trace, Zipf, capacity | " + " | ".join(POLICIES) + " |",
        "| --- " * (len(POLICIES) + 1) + "|",
    ]
    for (trace, alpha, part), scores in cells.items():
        best = max(each.seconds for each in scores.values())
        columns = []
        for each in scores.values():
            text = f"{each.hits:.1%} / {each.bytes:.1%} / {each.seconds:.1%}".replace("%", "")
            columns.append(f"**{text}**" if each.seconds == best else text)
        lines.append(f"| {trace}, {alpha}, {part:.0%} | " + " | ".join(columns) + " |")
    return "\n".join(lines)


def promises(cells: Mapping[Cell, Mapping[str, Score]]) -> list[Promise]:
    """What was said of the policy that was chosen."""
    why = "" if cells else "the traces are not here (../shared/data/traces)"
    others = [policy for policy in POLICIES if policy != CHOSEN]
    to_lru = [scores[CHOSEN].seconds / scores["LRU"].seconds for scores in cells.values()]
    to_best = [
        scores[CHOSEN].seconds / max(scores[other].seconds for other in others)
        for scores in cells.values()
    ]
    hits = [scores[CHOSEN].hits / scores["LRU"].hits for scores in cells.values()]
    return [
        at_least("seconds of compute saved, of LRU's (median)", to_lru, 1.1, "x", why),
        at_least("of the best other policy's (median)", to_best, 1.0, "x", why),
        at_least("of the best other policy's (worst)", to_best and [min(to_best)], 0.95, "x", why),
        at_least("hits, of LRU's (median)", hits, 1.1, "x", why),
    ]


def main() -> None:
    """Go through both traces, print the table, and report."""
    cells: dict[Cell, dict[str, Score]] = {}
    for name, file in (("Azure", AZURE), ("Mooncake", MOONCAKE)):
        path = TRACES / file
        if path.exists():
            cells |= measured(name, arrivals(path))
        else:
            note(f"{file} is not here: nothing to measure on it")
    if cells:
        print(table(cells), file=sys.stderr)
    peers: dict[str, object] = {
        f"{trace}, Zipf {alpha}, capacity {part}": {
            policy: round(each.seconds, 4) for policy, each in scores.items()
        }
        for (trace, alpha, part), scores in cells.items()
    }
    print_report("eviction", promises(cells), peers, len(SEEDS))


if __name__ == "__main__":
    main()
