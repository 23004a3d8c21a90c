"""What a PoP costs between a client and an upstream, beside the proxies that people use for it.

Rounds are interleaved: in each, every target does the same work once, in an order that turns. A
target runs alone on one core; client and upstream share the other. CPU is the kernel's accounting
of the target's process tree. Ratios are of medians of rounds. The row `direct` has no proxy: it
says what the stand itself can do. Nothing else should run.

The PoP has keys, limits, metrics and breakers on. It is measured without receipts, with them,
behind TLS, and with two workers; the peers do what their documents advise
(stand/configurations.py), most of them without keys and limits.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.stand.cores import rss_mb_max
from bench.stand.departures import departures
from bench.stand.measuring import (
    CLIENTS,
    EVERYTHING,
    Figures,
    bursts,
    connections_made,
    paced,
    routed,
)
from bench.stand.native import StandError, Upstream, upstream
from bench.stand.ours import Ours, has_option, started
from bench.stand.proxies import Absent, Proxy, peers_running
from bench.stand.report import Promise, at_least, at_most, note, print_report, print_table
from bench.stand.running import end_on_signal
from tests.certificates import self_signed

PEERS = ("vllm-router", "sglang-router", "smg", "litellm", "envoy", "haproxy", "nginx")
OURS, RECEIPTS, TLS, WORKERS = "littoral", "littoral, receipts", "littoral, TLS", "2 workers"
DIRECT, WITHOUT = "direct", "answers without receipts"
MANY, SOME, FEW = 300, 100, 5
SLOW = "litellm"
"""It works on an event for as long as 300 streams wait for theirs: it is measured with few."""
KEPT_ALIVE_REQUESTS, KEPT_ALIVE_SLACK = 10_000, 16


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int = 5
    stream_rounds: int = 3
    seconds: float = 1.0
    departures: int = 50
    peers_departures: int = 10


QUICK = Effort(rounds=2, stream_rounds=1, seconds=0.5, departures=10, peers_departures=3)


@dataclass(slots=True)
class Bench:
    """One run: what is there, what is measured so far."""

    effort: Effort
    upstream: Upstream
    folder: Path
    figures: Figures = field(default_factory=Figures)
    targets: dict[str, Proxy] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """Where the request of the moment is written."""
        return self.folder / "request"

    def has(self, found: Proxy | Absent, name: str) -> None:
        """Measure this, or say why not."""
        if isinstance(found, Absent):
            self.figures.missing(name, EVERYTHING, found.reason)
        else:
            self.targets[name] = found

    def has_pop(self, found: Ours | Absent, name: str) -> None:
        """Measure this PoP without receipts, or say why not."""
        self.has(found.free if isinstance(found, Ours) else found, name)


@contextmanager
def everything(bench: Bench, peers: Sequence[str]) -> Iterator[None]:
    """All targets, started and ready."""
    up, folder = bench.upstream, bench.folder
    with ExitStack() as stack:
        note("starting the peers")
        for name, found in stack.enter_context(peers_running(peers, up, folder)).items():
            bench.has(found, name)
        note("starting PoPs")
        first = started(stack, OURS, folder / "home", up)
        bench.has_pop(first, OURS)
        if isinstance(first, Ours):
            bench.targets[RECEIPTS] = first.receipts
            if fault := first.fault():
                bench.figures.missing(OURS, WITHOUT, fault)
        tls = self_signed(folder, "localhost")
        bench.has_pop(started(stack, TLS, folder / "tls", up, tls=tls), TLS)
        if has_option("--workers"):
            bench.has_pop(started(stack, WORKERS, folder / "two", up, "--workers", "2"), WORKERS)
        else:
            bench.figures.missing(WORKERS, EVERYTHING, "`littoral up` has no --workers")
        bench.targets[DIRECT] = Proxy(DIRECT, up.ports[0], "none", pid=0)
        yield


def keep_alive(bench: Bench) -> None:
    """Connections that each target dials for ten thousand requests."""
    for name, proxy in bench.targets.items():
        if name in {DIRECT, TLS}:
            continue
        count = CLIENTS * FEW if name == SLOW else KEPT_ALIVE_REQUESTS
        bench.figures.take(
            name, "kept connections", connections_made, proxy, bench.upstream, bench.file, count
        )


def one_round(bench: Bench, number: int) -> None:
    """Every target does everything once; who goes first changes from round to round."""
    names = list(bench.targets)
    names = names[number % len(names) :] + names[: number % len(names)]
    figures, file, effort = bench.figures, bench.file, bench.effort
    for name in names:
        proxy = bench.targets[name]
        figures.take(name, "requests", routed, proxy, file, effort.seconds)
        if name not in {TLS, WORKERS}:
            figures.take(name, "bursts", bursts, proxy, file, effort.seconds / 2)
    if number >= effort.stream_rounds:
        return
    for name in names:
        proxy = bench.targets[name]
        if name in {TLS, WORKERS, RECEIPTS}:
            continue
        for streams in (FEW,) if name == SLOW else (MANY, SOME):
            figures.take(name, f"{streams} paced streams", paced, proxy, file, streams)


def leavings(bench: Bench) -> None:
    """How soon each closes its upstream when its client leaves."""
    for name, proxy in bench.targets.items():
        if name in {DIRECT, TLS, WORKERS}:
            continue
        effort = bench.effort
        times = effort.departures if name in {OURS, RECEIPTS} else effort.peers_departures
        for what, stream in (("streaming", True), ("waiting", False)):
            bench.figures.take(
                name,
                f"{what} clients that leave",
                departures,
                proxy,
                bench.upstream,
                times,
                stream=stream,
            )


def memory(proxy: Proxy) -> dict[str, float]:
    """Resident memory of its largest process."""
    return {"rss_mb": rss_mb_max(proxy.processes())}


def ratio(figures: Figures, name: str, over: str, under: str) -> list[float]:
    """One target's median over another's, where both were measured."""
    above, below = figures.median(over, name), figures.median(under, name)
    return [] if above is None or not below else [above / below]


def less(figures: Figures, name: str, one: str, other: str) -> list[float]:
    """How much more one target's median is than another's, where both were measured."""
    more, base = figures.median(one, name), figures.median(other, name)
    return [] if more is None or base is None else [more - base]


def alone(figures: Figures, name: str, target: str = OURS) -> list[float]:
    """One target's median, where it was measured."""
    value = figures.median(target, name)
    return [] if value is None else [value]


def promises_of(figures: Figures) -> list[Promise]:
    """What was promised, from what was measured."""
    why = figures.reason
    return [
        *(
            at_most(
                f"CPU per routed request, of {peer}'s",
                ratio(figures, "cpu_us", OURS, peer),
                limit,
                "x",
                why("requests", OURS, peer),
            )
            for peer, limit in (("vllm-router", 0.45), ("smg", 0.25))
        ),
        at_least(
            "litellm's CPU per request, of ours",
            ratio(figures, "cpu_us", "litellm", OURS),
            200,
            "x",
            why("requests", OURS, "litellm"),
        ),
        at_most(
            "CPU that a receipt adds",
            [] if figures.fails(OURS, WITHOUT) else less(figures, "cpu_us", RECEIPTS, OURS),
            25,
            "us",
            why(WITHOUT if figures.fails(OURS, WITHOUT) else "requests", OURS, RECEIPTS),
        ),
        *promises_of_streams(figures),
        *promises_of_leaving(figures),
        at_most(
            "RSS of a worker after serving", alone(figures, "rss_mb"), 80, "MB", why("memory", OURS)
        ),
        at_least(
            "requests/s of two workers, by CPU, of one's",
            [2 * value for value in ratio(figures, "cpu_us", OURS, WORKERS)],
            1.8,
            "x",
            why("requests", WORKERS, OURS),
        ),
        at_most(
            f"upstream connections for 10,000 requests of {CLIENTS} clients",
            alone(figures, "connections"),
            CLIENTS + KEPT_ALIVE_SLACK,
            "",
            why("kept connections", OURS),
        ),
    ]


def promises_of_streams(figures: Figures) -> list[Promise]:
    """Paced streams and bursts."""
    many, some = f"{MANY} paced streams", f"{SOME} paced streams"
    return [
        at_most(
            "CPU per paced event, of vllm-router's",
            ratio(figures, f"event_us_{MANY}", OURS, "vllm-router"),
            1,
            "x",
            figures.reason(many, OURS, "vllm-router"),
        ),
        *(
            at_most(
                f"{name} (p50)",
                less(figures, f"{key}_{SOME}", OURS, DIRECT),
                limit,
                "ms",
                figures.reason(some, OURS, DIRECT),
            )
            for name, key, limit in (
                ("added time to first token", "first_ms", 1),
                ("added delay of an event", "delay_ms", 0.2),
            )
        ),
        at_most(
            "CPU per burst of 64 events",
            alone(figures, "burst_us"),
            100,
            "us",
            figures.reason("bursts", OURS),
        ),
    ]


def promises_of_leaving(figures: Figures) -> list[Promise]:
    """Clients that leave, streaming or not: the median of them and the worst."""
    return [
        at_most(
            f"upstream closed after a {what} client left ({said})",
            alone(figures, f"left_{what}_ms{suffix}"),
            10,
            "ms",
            figures.reason(f"{what} clients that leave", OURS),
        )
        for what in ("streaming", "waiting")
        for said, suffix in (("p50", ""), ("worst", "_max"))
    ]


COLUMNS = (
    ("CPU us/request", "cpu_us"),
    ("requests/s", "rate"),
    ("p50 ms", "p50_ms"),
    ("p99 ms", "p99_ms"),
    ("us/event", f"event_us_{MANY}"),
    ("delay ms", f"delay_ms_{SOME}"),
    ("first ms", f"first_ms_{SOME}"),
    ("us/burst", "burst_us"),
    ("dialled", "connections"),
    ("left ms", "left_streaming_ms"),
    ("waiting ms", "left_waiting_ms"),
    ("RSS MB", "rss_mb"),
)


def show(figures: Figures, names: Sequence[str]) -> None:
    """The table of every target, and why something is missing from it."""
    few = {f"event_us_{MANY}": f"event_us_{FEW}"} | {
        f"{what}_ms_{SOME}": f"{what}_ms_{FEW}" for what in ("delay", "first")
    }
    rows = [
        [
            name,
            *(
                figures.median(name, few.get(key, key) if name == SLOW else key)
                for _, key in COLUMNS
            ),
        ]
        for name in names
    ]
    print_table(["", *(title for title, _ in COLUMNS)], rows)
    note(
        f"requests: {CLIENTS} clients; us/event: {MANY} streams of 100 events/s; delay and first: "
        f"{SOME} streams; {SLOW}'s streams: {FEW}"
    )


def measure(bench: Bench, peers: Sequence[str]) -> None:
    """Everything, in order."""
    with everything(bench, peers):
        note("connections that are kept")
        keep_alive(bench)
        for number in range(bench.effort.rounds):
            note(f"round {number + 1} of {bench.effort.rounds}")
            one_round(bench, number)
        note("clients that leave")
        leavings(bench)
        for name, proxy in bench.targets.items():
            if proxy.pid:
                bench.figures.take(name, "memory", memory, proxy)


def main() -> None:
    """Measure everything and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--peers", default=",".join(PEERS), help="only these, by comma")
    options = parser.parse_args()
    end_on_signal()
    effort = QUICK if options.quick else Effort()
    peers = [name for name in options.peers.split(",") if name]
    names = [DIRECT, OURS, RECEIPTS, TLS, WORKERS, *peers]
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        try:
            with upstream() as up:
                measure(Bench(effort, up, Path(folder), figures), peers)
        except StandError as error:
            figures.missing(OURS, EVERYTHING, str(error))
    show(figures, names)
    print_report(
        "relay", promises_of(figures), {n: figures.document(n) for n in names}, effort.rounds
    )


if __name__ == "__main__":
    main()
