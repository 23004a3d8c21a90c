"""Routing by predicted time, against simpler ways, in a simulated week of 1,000 PoPs in 100 sites.

The network: 20 sites in each of five zones, 10 PoPs a site: five small machines, four middle ones
and a large one (`CLASSES`). Each PoP has one of MODELS models. Sites have as many machines as each
other and not as many clients: their rates differ by up to four times, drawn by the seed, and follow
the hour there.

Which PoP has which model is said in two ways, and every policy goes through the week with both.
`scattered`: shared out by the models' popularity (Zipf, 0.9), to PoPs that the seed draws. It was
all that this bench had at first. `planned`: by the planner (`sim/placed.py`), of the machines, what
clients ask for in the mean of a day, and the mean lengths of the whole trace: nothing of the hours
that are simulated. The promises are of the planned one.

The workload: arrivals, lengths and prefix blocks of Mooncake's conversation trace, dealt to sites
by whole conversations as `sim/workload.py` says. It is scaled so that all prompts, read anew, would
take LOAD of all reading capacity. Every policy gets the same requests. Of the week, WINDOW_MINUTES
of every WINDOW_EVERY_H hours are simulated: four windows, a quarter of a day apart by the clock.
The first WARM_UP_S of each are not counted, though their requests are there.

The network, the scattered models and the load were fixed before the first comparison and stayed so;
windows are as short as they are because of the time that a run takes.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from bench.stand.report import Promise, at_least, at_most, note, print_report
from bench.stand.running import ROOT
from littoral.sim.chance import source
from littoral.sim.network import Link, Machine, Network, Site, Workload
from littoral.sim.placed import placed
from littoral.sim.policies import POLICIES
from littoral.sim.report import Report
from littoral.sim.run import simulate
from littoral.sim.trace import read_trace

TRACE: Final = ROOT.parent / "shared/data/traces/mooncake_conversation.jsonl"
SEED: Final = 1
PLACEMENTS: Final = ("planned", "scattered")
WEEK_H: Final = 168.0
SITES, PER_ZONE = 100, 20
MODELS, ZIPF = 20, 0.9
LOAD: Final = 0.4
WINDOW_MINUTES, WINDOW_EVERY_H, WARM_UP_S = 6.0, 42.0, 120.0


def _machine(
    prefill_tps: float, decode_tps: float, slots: int, slowdown: float, kv_tokens: int
) -> Machine:
    return Machine(
        prefill_tps=prefill_tps,
        decode_tps=decode_tps,
        slots=slots,
        decode_slowdown=slowdown,
        kv_tokens=kv_tokens,
    )


CLASSES: Final = (
    (5, _machine(1000, 25, 4, 0.10, 100_000)),
    (4, _machine(3000, 45, 8, 0.06, 250_000)),
    (1, _machine(10_000, 80, 32, 0.03, 800_000)),
)
"""How many of each in a site. One small GPU; a middle one; a server."""

ZONES: Final = {"eu": 1, "us-east": -5, "us-west": -8, "asia": 8, "south": -3}
"""Each with its offset from UTC, in hours."""
RTT_MS: Final = {
    ("eu", "us-east"): 85, ("eu", "us-west"): 145, ("eu", "asia"): 180, ("eu", "south"): 200,
    ("us-east", "us-west"): 65, ("us-east", "asia"): 190, ("us-east", "south"): 125,
    ("us-west", "asia"): 130, ("us-west", "south"): 175, ("asia", "south"): 310,
}  # fmt: skip
WITHIN_MS: Final = 25
NEAR_BYTES_PER_S, FAR_BYTES_PER_S = 50e6, 10e6


def network(path: Path, window_minutes: float) -> Network:
    """The network, scattered, asked so much that LOAD of its reading capacity is needed."""
    trace = read_trace(path)
    draw = source(SEED, "bench")
    shares = {f"model-{n:02}": 1 / n**ZIPF for n in range(1, MODELS + 1)}
    models = apportioned(shares, SITES * sum(count for count, _ in CLASSES))
    draw.shuffle(models)
    weights = [2 ** draw.uniform(-1, 1) for _ in range(SITES)]
    mean_prompt = sum(row.prompt_tokens for row in trace.rows) / len(trace.rows)
    capacity = SITES * sum(count * each.prefill_tps for count, each in CLASSES)
    rate = LOAD * capacity / mean_prompt
    kinds = [each for count, each in CLASSES for _ in range(count)]
    sites = []
    for place, weight in enumerate(weights):
        zone = list(ZONES)[place // PER_ZONE]
        machines = tuple(msgspec.structs.replace(kind, model=models.pop()) for kind in kinds)
        share = rate * weight / sum(weights)
        sites.append(Site(f"{zone}-{place % PER_ZONE + 1}", zone, ZONES[zone], share, machines))
    links = [Link((zone, zone), WITHIN_MS, NEAR_BYTES_PER_S) for zone in ZONES]
    links += [Link(pair, rtt_ms, FAR_BYTES_PER_S) for pair, rtt_ms in RTT_MS.items()]
    load = Workload(
        tenants=200,
        models=shares,
        night=0.3,
        trace=str(path),
        window_minutes=window_minutes,
        window_every_h=WINDOW_EVERY_H,
        warm_up_s=WARM_UP_S,
    )
    return Network(tuple(sites), tuple(links), load, hours=WEEK_H)


def apportioned(shares: dict[str, float], count: int) -> list[str]:
    """Each name as often as its share of the count, at least twice."""
    whole = sum(shares.values())
    names = [
        name for name, share in shares.items() for _ in range(max(2, int(share / whole * count)))
    ]
    return names + [next(iter(shares))] * (count - len(names))


def planned(scattered: Network) -> Network:
    """The same network, with models where the planner would have them."""
    began = time.process_time()
    sites = (
        msgspec.structs.replace(
            site,
            machine=tuple(msgspec.structs.replace(each, model="") for each in site.machine),
        )
        for site in scattered.site
    )
    network, plan = placed(msgspec.structs.replace(scattered, site=tuple(sites)))
    took = time.process_time() - began
    note(
        f"planned in {took:.1f} s: {plan.load_max_over_mean:.2f} of the mean load expected at most"
    )
    return network


def one(world: Network, placement: str, policy: str) -> Report:
    """One policy through the week."""
    began = time.process_time()
    told = 0

    def progress(part: float) -> None:
        nonlocal told
        if int(part * 4) > told:
            told = int(part * 4)
            took = time.process_time() - began
            note(f"  {placement}, {policy}: {part:.0%}, {took:.0f} s of one core")

    report = simulate(world, policy, SEED, WEEK_H, progress)
    took = time.process_time() - began
    each = took / report.total.requests * 1e6
    note(f"{placement}, {policy}: {took:.0f} s of one core, {each:.0f} µs a request")
    return report


Reports = dict[tuple[str, str], Report]
"""By placement and policy."""


def table(reports: Reports) -> str:
    """A row for each placement and policy."""
    lines = [
        "| models | policy | requests | first token p50 / p90 / p99, s | whole p50 / p99, s |"
        " prompt kept | served elsewhere | between sites | slots at work | max over mean |"
        " reading | max over mean | late | refused |",
        "| --- " * 14 + "|",
    ]
    for (placement, name), report in reports.items():
        all_ = report.total
        first = (all_.first_token_p50_s, all_.first_token_p90_s, all_.first_token_p99_s)
        whole = (all_.whole_p50_s, all_.whole_p99_s)
        lines.append(
            f"| {placement} | {name} | {all_.requests:,} |"
            f" {' / '.join(f'{each or 0:.2f}' for each in first)} |"
            f" {' / '.join(f'{each or 0:.1f}' for each in whole)} | {all_.prompt_kept:.1%} |"
            f" {all_.elsewhere:.1%} | {all_.bytes_between_sites / 1e9:,.1f} GB | {all_.load:.1%} |"
            f" {report.load_max_over_mean:.2f} | {all_.reading:.1%} |"
            f" {report.reading_max_over_mean:.2f} | {all_.late / all_.requests:.2%} |"
            f" {all_.refused:,} |"
        )
    return "\n".join(lines)


def promises(reports: Reports, why: str) -> list[Promise]:
    """What routing by predicted time is to achieve, with models where the planner has them."""
    ours = reports.get(("planned", "predicted"))
    theirs = reports.get(("planned", "least-loaded"))
    p50, p99, spread = [], [], []
    if ours:
        spread = [ours.load_max_over_mean]
    if ours and theirs:
        p50 = [(theirs.total.first_token_p50_s or 0) / (ours.total.first_token_p50_s or 1)]
        p99 = [(theirs.total.first_token_p99_s or 0) / (ours.total.first_token_p99_s or 1)]
    return [
        at_least("first token p50, least-loaded's over predicted's", p50, 2.0, "x", why),
        at_least("first token p99, least-loaded's over predicted's", p99, 2.0, "x", why),
        at_most("load of the most loaded site, of the mean", spread, 1.3, "x", why),
    ]


def main() -> None:
    """Run every policy through the same week with both placements, print, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policy", action="append", choices=list(POLICIES))
    parser.add_argument("--placement", action="append", choices=PLACEMENTS)
    parser.add_argument("--trace", type=Path, default=TRACE)
    parser.add_argument("--window-minutes", type=float, default=WINDOW_MINUTES)
    options = parser.parse_args()
    if not options.trace.exists():
        print_report(
            "simulate", promises({}, "the trace is not here (../shared/data/traces)"), {}, 1
        )
        return
    scattered = network(options.trace, options.window_minutes)
    worlds = {"planned": planned(scattered), "scattered": scattered}
    reports = {
        (placement, policy): one(worlds[placement], placement, policy)
        for placement in options.placement or PLACEMENTS
        for policy in options.policy or POLICIES
    }
    print(table(reports), file=sys.stderr)
    peers: dict[str, object] = {
        f"{placement}, {policy}": {
            "load_max_over_mean": report.load_max_over_mean,
            "reading_max_over_mean": report.reading_max_over_mean,
            **msgspec.to_builtins(report.total),
        }
        for (placement, policy), report in reports.items()
    }
    print_report("simulate", promises(reports, "not all policies were run"), peers, 1)


if __name__ == "__main__":
    main()
