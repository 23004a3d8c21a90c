"""What an answer costs that was given before, and what identical requests at once cost upstream.

Rounds are interleaved, and each target runs alone on one core, as in bench/relay.py. A figure
counts as a hit's only when the upstream itself saw no request. None of the routers keeps answers;
LiteLLM does, in its own memory here; nginx with a cache keyed by the body is the floor: it knows
nothing of keys, limits and receipts.

The PoP is measured as it is used, with keys, limits and a receipt for each hit, and with receipts
and limits off.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.stand.hits import coalesced, hits, latency, streamed_hits
from bench.stand.measuring import CLIENTS, EVERYTHING, Figures
from bench.stand.native import StandError, Upstream, upstream
from bench.stand.ours import started
from bench.stand.proxies import Absent, Proxy, peers_running
from bench.stand.report import Promise, at_least, at_most, note, print_report, print_table
from bench.stand.running import end_on_signal

PEERS = ("litellm-cache", "nginx-cache")
OURS, OFF, DIRECT = "littoral", "littoral, all off", "direct"
TOGETHER, TOGETHER_ROUNDS = 200, 3
ROUNDS, SECONDS = 5, 1.0
QUICK_ROUNDS, QUICK_SECONDS = 2, 0.5


@contextmanager
def everything(
    up: Upstream, folder: Path, figures: Figures, peers: Sequence[str]
) -> Iterator[dict[str, Proxy]]:
    """All targets, started and ready."""
    targets: dict[str, Proxy] = {}
    with ExitStack() as stack:
        note("starting the peers")
        for name, found in stack.enter_context(peers_running(peers, up, folder)).items():
            if isinstance(found, Absent):
                figures.missing(name, EVERYTHING, found.reason)
            else:
                targets[name] = found
        note("starting a PoP")
        pop = started(stack, OURS, folder / "home", up)
        if isinstance(pop, Absent):
            figures.missing(OURS, EVERYTHING, pop.reason)
        else:
            targets |= {OURS: pop.receipts, OFF: pop.bare}
            if fault := pop.fault():
                figures.missing(OFF, "answers without receipts", fault)
        yield targets


def measure(
    up: Upstream, folder: Path, figures: Figures, effort: tuple[int, float], peers: Sequence[str]
) -> None:
    """Everything, in order."""
    rounds, seconds = effort
    direct = Proxy(DIRECT, up.ports[0], "none", pid=0)
    file = folder / "request"
    with everything(up, folder, figures, peers) as targets:
        names = [DIRECT, *targets]
        for number in range(rounds):
            note(f"round {number + 1} of {rounds}")
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                proxy = targets.get(name, direct)
                figures.take(name, "hits", hits, proxy, up, file, seconds)
                figures.take(name, "streamed hits", streamed_hits, proxy, up, file, seconds / 2)
                figures.take(name, "one client", latency, proxy, up, file, seconds / 2)
        note(f"{TOGETHER} identical streams at once")
        for name, proxy in targets.items():
            for number in range(1 if name in peers else TOGETHER_ROUNDS):
                what = "identical streams"
                figures.take(name, what, coalesced, proxy, up, number, TOGETHER)


def promises_of(figures: Figures) -> list[Promise]:
    """What was promised, from what was measured."""

    def found(name: str) -> list[float]:
        value = figures.median(OURS, name)
        return [] if value is None else [value]

    rate, alike = found("hit_rate"), found("different_answers")
    together, each = f"for {TOGETHER} identical streams", figures.reason("hits", OURS)
    joined = figures.reason("identical streams", OURS)
    return [
        at_most("CPU per exact hit with its receipt", found("hit_us"), 40, "us", each),
        at_least("exact hits/s on one core", rate, 20_000, "/s", each),
        at_most(f"upstream requests {together}", found("upstream_requests"), 1, "", joined),
        at_most(f"different answers {together}", alike, 1, "", joined),
    ]


COLUMNS = (
    ("CPU us/hit", "hit_us"),
    ("hits/s", "hit_rate"),
    ("p50 ms", "hit_p50_ms"),
    ("p99 ms", "hit_p99_ms"),
    ("1 client: p50 ms", "one_p50_ms"),
    ("p99 ms", "one_p99_ms"),
    ("us/streamed hit", "streamed_us"),
    ("/s", "streamed_rate"),
    ("upstream requests", "upstream_requests"),
    ("different", "different_answers"),
)


def main() -> None:
    """Measure everything and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--peers", default=",".join(PEERS), help="only these, by comma")
    options = parser.parse_args()
    end_on_signal()
    effort = (QUICK_ROUNDS, QUICK_SECONDS) if options.quick else (ROUNDS, SECONDS)
    peers = [name for name in options.peers.split(",") if name]
    names = [DIRECT, OURS, OFF, *peers]
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        try:
            with upstream() as up:
                measure(up, Path(folder), figures, effort, peers)
        except StandError as error:
            figures.missing(OURS, EVERYTHING, str(error))
    rows = [[name, *(figures.median(name, key) for _, key in COLUMNS)] for name in names]
    print_table(["", *(title for title, _ in COLUMNS)], rows)
    note(
        f"hits: {CLIENTS} clients; streamed: 64 events; upstream requests: for {TOGETHER} identical"
        f" streams at once; {DIRECT} keeps nothing, it is what the stand can do"
    )
    print_report("cache", promises_of(figures), {n: figures.document(n) for n in names}, effort[0])


if __name__ == "__main__":
    main()
