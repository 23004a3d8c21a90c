"""Answers that were given before: what a hit costs, and what identical requests at once cost.

The upstream's own count says whether an answer came from a cache, whatever a proxy claims.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from bench.stand.cores import STAND, cpu_s, on_core
from bench.stand.measuring import CLIENTS, checked, cpu_us
from bench.stand.native import StandError, Upstream, load, request_bytes
from bench.stand.proxies import Proxy

__all__ = ["coalesced", "hits", "latency", "streamed_hits"]

MISSES_MAX = 0.01
"""Part of a measurement's answers that may have come from the upstream after all."""
WARM_REQUESTS, EVENTS = 8, 64
STREAM_WAIT_S = 60.0


def hits(proxy: Proxy, upstream: Upstream, file: Path, seconds: float) -> dict[str, float]:
    """One question over and over by 64 clients, its answer in one piece."""
    _write(proxy, file, "Say hello once.", stream=False)
    return _repeated(proxy, upstream, file, seconds, name="hit")


def latency(proxy: Proxy, upstream: Upstream, file: Path, seconds: float) -> dict[str, float]:
    """The same by one client that waits for each answer."""
    _write(proxy, file, "Say hello once.", stream=False)
    return _repeated(proxy, upstream, file, seconds, name="one", clients=1)


def streamed_hits(proxy: Proxy, upstream: Upstream, file: Path, seconds: float) -> dict[str, float]:
    """One question over and over by 64 clients, its answer a stream of 64 events."""
    _write(proxy, file, f"stand:burst:{EVENTS}", stream=True)
    return _repeated(proxy, upstream, file, seconds, name="streamed", events=EVENTS)


def _write(proxy: Proxy, file: Path, prompt: str, *, stream: bool) -> None:
    """A request whose answer may be kept: it depends on the model alone."""
    file.write_bytes(
        request_bytes(proxy.key, prompt, model=proxy.model, temperature=0, stream=stream)
    )


def _repeated(
    proxy: Proxy,
    upstream: Upstream,
    file: Path,
    seconds: float,
    *,
    name: str,
    clients: int = CLIENTS,
    events: int = 0,
) -> dict[str, float]:
    checked(load(proxy.port, file, 1, "total", WARM_REQUESTS))
    before, before_s = upstream.counts().requests, cpu_s(proxy.processes())
    got = checked(load(proxy.port, file, clients, "seconds", seconds))
    spent = cpu_us(proxy, f"{name}_us", before_s, got.answered)
    misses = upstream.counts().requests - before
    if proxy.pid and misses > MISSES_MAX * got.answered:
        raise StandError(f"not only hits: the upstream gave {misses} of {got.answered} answers")
    if got.events != got.answered * events:
        raise StandError(f"{got.events} events of {got.answered * events} came through")
    return {
        **spent,
        f"{name}_rate": got.answered / got.seconds,
        f"{name}_p50_ms": got.whole_p50 / 1e3,
        f"{name}_p99_ms": got.whole_p99 / 1e3,
    }


def coalesced(proxy: Proxy, upstream: Upstream, number: int, streams: int) -> dict[str, float]:
    """Identical new streams at once: how many the upstream saw, and how many answers differ."""
    prompt = f"stand:paced:{EVENTS} together {number}"
    request = request_bytes(proxy.key, prompt, model=proxy.model, temperature=0, stream=True)
    before = upstream.counts().requests
    try:
        with on_core(STAND):
            bodies = asyncio.run(_together(proxy.port, request, streams))
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        raise StandError(f"a stream broke off: {error!r}") from error
    return {
        "upstream_requests": float(upstream.counts().requests - before),
        "different_answers": float(len(set(bodies))),
    }


async def _together(port: int, request: bytes, streams: int) -> list[bytes]:
    """Dial all, then ask all, then read all to their ends."""
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(streams)]
    try:
        for _, writer in opened:
            writer.write(request)
        async with asyncio.timeout(STREAM_WAIT_S):
            return await asyncio.gather(*(_body(reader) for reader, _ in opened))
    finally:
        for _, writer in opened:
            writer.close()


async def _body(reader: asyncio.StreamReader) -> bytes:
    """A stream's events as the client sees them, without comments: a receipt is one."""
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise StandError(f"refused: {head[:200]!r}")
    if b"transfer-encoding: chunked" not in head.lower():
        raise StandError("a stream without the chunked coding")
    parts = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return b"\n\n".join(_events(b"".join(parts)))


def _events(stream: bytes) -> Iterator[bytes]:
    return (event for event in stream.split(b"\n\n") if not event.startswith(b":"))
