"""How soon a proxy closes its upstream when the client has left.

The client's leaving and the upstream's noticing are on one clock, the machine's monotonic one.
"""

import socket
import statistics
import time
from collections.abc import Callable

from bench.stand.native import Counts, StandError, Upstream, request_bytes
from bench.stand.proxies import Proxy

__all__ = ["departures"]

WAIT_S, PAUSE_S = 2.0, 0.0005


def departures(proxy: Proxy, upstream: Upstream, times: int, *, stream: bool) -> dict[str, float]:
    """Milliseconds from each leaving to the upstream's seeing the end of its connection.

    A streaming client leaves after the first event; another while nothing has come yet.

    Raises:
        StandError: the upstream was still open after two seconds.
    """
    late = [_leave(proxy, upstream, number, stream=stream) for number in range(times)]
    name = "left_streaming_ms" if stream else "left_waiting_ms"
    return {name: statistics.median(late), f"{name}_max": max(late)}


def _leave(proxy: Proxy, upstream: Upstream, number: int, *, stream: bool) -> float:
    before = upstream.counts()
    what = "stand:paced:400" if stream else "stand:silent"
    request = request_bytes(proxy.key, f"{what} {number}", model=proxy.model, stream=stream)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=WAIT_S) as client:
        client.sendall(request)
        if stream:
            _read_event(client)
        else:
            _wait(upstream, lambda now: now.requests > before.requests, "no request came through")
        left_ns = time.monotonic_ns()
    after = _wait(upstream, lambda now: now.abandoned > before.abandoned, "still open")
    return after.abandoned_us / 1e3 - left_ns / 1e6


def _read_event(client: socket.socket) -> None:
    seen = b""
    while b"t=0" not in seen:
        more = client.recv(65536)
        if not more:
            raise StandError(f"no event came: {seen[:200]!r}")
        seen += more


def _wait(upstream: Upstream, holds: Callable[[Counts], bool], why: str) -> Counts:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        now = upstream.counts()
        if holds(now):
            return now
        time.sleep(PAUSE_S)
    raise StandError(f"{why} after {WAIT_S:g} s")
