"""A TCP relay on loopback: counts all bytes that go through it, and carries no more than a link."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

__all__ = ["Counted", "counting"]

_PIECE_BYTES = 16 * 1024


@dataclass(slots=True)
class Counted:
    """What went through."""

    port: int = 0
    """Where it listens."""
    bytes: int = 0
    """Both ways."""
    free_at_s: float = 0.0
    """When the link has carried what it was given, by the loop's clock."""


@asynccontextmanager
async def counting(port: int, bytes_per_s: float) -> AsyncIterator[Counted]:
    """Where to connect instead of this port of loopback, while the context is open.

    Args:
        port: whose.
        bytes_per_s: of all connections and both directions together.
    """
    counted, loop = Counted(), asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(_PIECE_BYTES):
                counted.bytes += len(data)
                begins_s = max(loop.time(), counted.free_at_s)
                counted.free_at_s = begins_s + len(data) / bytes_per_s
                await asyncio.sleep(max(0.0, counted.free_at_s - loop.time()))
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # one side has gone
        finally:
            writer.close()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, there = await asyncio.open_connection("127.0.0.1", port)
        for source, target in ((reader, there), (back, writer)):
            task = asyncio.create_task(pipe(source, target))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    counted.port = server.sockets[0].getsockname()[1]
    try:
        yield counted
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
