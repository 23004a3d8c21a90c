"""What one proxy costs: each function takes one figure or a few, once.

CPU is the time that the proxy's process tree ran, over the answers or events that came out of it.
An answer that failed, or did not end, spoils the measurement: then there is a reason and no figure.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ParamSpec

from bench.stand.cores import cpu_s
from bench.stand.native import (
    NUMBER_HERE,
    Answered,
    StandError,
    Upstream,
    load,
    request_bytes,
)
from bench.stand.proxies import Proxy
from bench.stand.report import note
from bench.stand.secure import load_tls

__all__ = [
    "CLIENTS",
    "EVERYTHING",
    "Figures",
    "bursts",
    "checked",
    "connections_made",
    "cpu_us",
    "paced",
    "routed",
]

Given = ParamSpec("Given")
EVERYTHING = "everything"
"""Instead of a measurement's name: the target can't be measured at all."""
CLIENTS = 64
RAMP_MS = 300
"""Streams begin one after another, so that their events do not all fall on one instant."""


class Figures:
    """Every value by target and name, one for each round; or why there is none."""

    def __init__(self) -> None:
        self._values: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(
            lambda: defaultdict(list)
        )
        self._reasons: defaultdict[str, dict[str, str]] = defaultdict(dict)

    def take(
        self,
        target: str,
        what: str,
        measure: Callable[Given, Mapping[str, float]],
        *given: Given.args,
        **options: Given.kwargs,
    ) -> None:
        """Measure once, unless that failed before."""
        if self.fails(target, what):
            return
        try:
            for name, value in measure(*given, **options).items():
                self._values[target][name].append(value)
        except (StandError, OSError) as error:
            self.missing(target, what, str(error))

    def missing(self, target: str, what: str, reason: str) -> None:
        """Say why a measurement of this target fails."""
        note(f"  {target}: {what} not measured: {reason[:300]}")
        self._reasons[target][what] = reason[:300]

    def fails(self, target: str, what: str) -> bool:
        """Whether this measurement of this target has been given up."""
        return what in self._reasons[target]

    def median(self, target: str, name: str) -> float | None:
        """The median of rounds."""
        values = self._values[target].get(name)
        return statistics.median(values) if values else None

    def reason(self, what: str, *targets: str) -> str:
        """Why one of these targets has no figure from this measurement."""
        found = [
            f"{target}: {self._reasons[target][key]}"
            for target in targets
            for key in (what, EVERYTHING)
            if key in self._reasons[target]
        ]
        return "; ".join(found) or "not measured in this run"

    def document(self, target: str) -> dict[str, object]:
        """Medians, rounds and reasons for machines."""
        rounded = {
            name: {"median": _short(statistics.median(values)), "rounds": [*map(_short, values)]}
            for name, values in self._values[target].items()
        }
        missing = {
            what: {"median": None, "reason": why} for what, why in self._reasons[target].items()
        }
        return {**rounded, **missing}


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def checked(answered: Answered) -> Answered:
    """The same, when nothing in it failed.

    Raises:
        StandError: something did.
    """
    if answered.errors or answered.unfinished or not answered.answered:
        raise StandError(
            f"{answered.answered} answers, {answered.errors} errors, {answered.unfinished} "
            f"unfinished; {answered.first_error}"
        )
    return answered


def cpu_us(proxy: Proxy, name: str, before_s: float, count: int) -> dict[str, float]:
    """Microseconds for each of `count`; nothing for the upstream itself, which has no proxy."""
    spent_s = cpu_s(proxy.processes()) - before_s
    return {name: spent_s * 1e6 / count} if proxy.pid else {}


def routed(proxy: Proxy, file: Path, seconds: float, *, clients: int = CLIENTS) -> dict[str, float]:
    """Requests in one piece, no two alike, in a closed loop."""
    request = request_bytes(proxy.key, f"Say hello. {NUMBER_HERE}", model=proxy.model)
    before_s = cpu_s(proxy.processes())
    if proxy.tls:
        count, p50_ms = load_tls(proxy.port, request, clients, seconds)
        cpu = cpu_us(proxy, "cpu_us", before_s, count)
        return {**cpu, "rate": count / seconds, "p50_ms": p50_ms}
    file.write_bytes(request)
    got = checked(load(proxy.port, file, clients, "seconds", seconds))
    return {
        **cpu_us(proxy, "cpu_us", before_s, got.answered),
        "rate": got.answered / got.seconds,
        "p50_ms": got.whole_p50 / 1e3,
        "p99_ms": got.whole_p99 / 1e3,
    }


def paced(proxy: Proxy, file: Path, streams: int, events: int = 100) -> dict[str, float]:
    """Streams of one event each 10 ms. Names of figures end in the number of streams."""
    prompt = f"stand:paced:{events} {NUMBER_HERE}"
    file.write_bytes(request_bytes(proxy.key, prompt, model=proxy.model, stream=True))
    before_s = cpu_s(proxy.processes())
    got = checked(load(proxy.port, file, streams, "each", 1, ramp_ms=RAMP_MS))
    if got.events != streams * events:
        raise StandError(f"{got.events} events of {streams * events} came through")
    return {
        **cpu_us(proxy, f"event_us_{streams}", before_s, got.events),
        f"delay_ms_{streams}": got.delay_p50 / 1e3,
        f"delay_p99_ms_{streams}": got.delay_p99 / 1e3,
        f"first_ms_{streams}": got.first_p50 / 1e3,
    }


def bursts(proxy: Proxy, file: Path, seconds: float, events: int = 64) -> dict[str, float]:
    """Streams whose events all come at once, from 16 clients in a closed loop."""
    prompt = f"stand:burst:{events} {NUMBER_HERE}"
    file.write_bytes(request_bytes(proxy.key, prompt, model=proxy.model, stream=True))
    before_s = cpu_s(proxy.processes())
    got = checked(load(proxy.port, file, 16, "seconds", seconds))
    if got.events != got.answered * events:
        raise StandError(f"{got.events} events of {got.answered * events} came through")
    return {
        **cpu_us(proxy, "burst_us", before_s, got.answered),
        "bursts_s": got.answered / got.seconds,
    }


def connections_made(
    proxy: Proxy, upstream: Upstream, file: Path, requests: int
) -> dict[str, float]:
    """Connections that the proxy dialled to its upstreams for so many requests of 64 clients."""
    request = request_bytes(proxy.key, f"Say hello. {NUMBER_HERE}", model=proxy.model)
    file.write_bytes(request)
    before = upstream.counts().connections
    checked(load(proxy.port, file, CLIENTS, "total", requests))
    return {"connections": float(upstream.counts().connections - before)}
