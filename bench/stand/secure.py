"""The stand's client once more, over TLS: the same closed loop, on uvloop.

Slower than load.c, and never what is measured: the proxy's own CPU time is, on its own core.
"""

import asyncio
import ssl
import statistics
import time
from typing import cast

import uvloop

from bench.stand.cores import STAND, on_core
from bench.stand.native import NUMBER_HERE, StandError

__all__ = ["load_tls"]

PATIENCE_S = 10.0


class Client(asyncio.Protocol):
    """One connection with one request under way."""

    def __init__(self, request: bytes, until: float, done: asyncio.Future[None]) -> None:
        self.before, mark, self.after = request.partition(NUMBER_HERE.encode())
        assert mark
        self.until, self.done = until, done
        self.latencies_s: list[float] = []
        self.buffer = b""
        self.number = id(self)
        self.sent = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are not of its classes
        self.ask()

    def ask(self) -> None:
        """Send one request that no other is like."""
        assert self.transport is not None
        self.number += 1
        self.sent = time.perf_counter()
        self.transport.write(self.before + b"%012d" % (self.number % 10**12) + self.after)

    def data_received(self, data: bytes) -> None:
        """Go on when the answer is whole."""
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self.fail(StandError(f"over TLS: {self.buffer[:200]!r}"))
            return
        _, counted, length = head.lower().partition(b"\r\ncontent-length:")
        whole = len(body) >= int(length.split()[0]) if counted else body.endswith(b"0\r\n\r\n")
        if not whole:
            return
        now = time.perf_counter()
        self.latencies_s.append(now - self.sent)
        self.buffer = b""
        if now < self.until:
            self.ask()
        elif not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Too early, unless everything is done."""
        self.fail(StandError(f"over TLS: the connection was lost ({exc})"))

    def fail(self, error: StandError) -> None:
        """End this client with an error."""
        if not self.done.done():
            self.done.set_exception(error)


async def _run(port: int, request: bytes, connections: int, seconds: float) -> list[float]:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    until = time.perf_counter() + seconds
    for _ in range(connections):
        _, client = await loop.create_connection(
            lambda: Client(request, until, loop.create_future()), "127.0.0.1", port, ssl=context
        )
        clients.append(client)
    try:
        async with asyncio.timeout(seconds + PATIENCE_S):
            await asyncio.gather(*(client.done for client in clients))
    finally:
        for client in clients:
            if client.transport is not None:
                client.transport.abort()
    return [latency for client in clients for latency in client.latencies_s]


def load_tls(port: int, request: bytes, connections: int, seconds: float) -> tuple[int, float]:
    """Answers, and the median time to one in milliseconds. Each connection has its handshake.

    Raises:
        StandError: an answer was not one.
    """
    try:
        with on_core(STAND):
            latencies_s = uvloop.run(_run(port, request, connections, seconds))
    except (OSError, TimeoutError) as error:
        raise StandError(f"over TLS: {error}") from error
    return len(latencies_s), statistics.median(latencies_s) * 1e3
