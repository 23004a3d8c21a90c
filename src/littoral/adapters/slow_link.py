"""A slow link between two programs of one machine: a TCP relay that delays, and carries no faster.

For demonstrations and tests where the kernel can't shape traffic. Each direction is a pipe of its
own: a byte leaves `delay_s` after it came, and no sooner than the bytes before it have left at
`bytes_per_s`. What is on its way is bounded, so that a sender feels the link's pace.

It delays connections' bytes and not their handshakes, and loses nothing.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from littoral.terms.errors import ConfigError
from littoral.terms.limits import SLOW_LINK_BYTES_MAX

__all__ = ["Address", "Pace", "slow_link"]

_PIECE_BYTES: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Address:
    """Where somebody listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Pace:
    """How slow a link is, in each direction."""

    delay_s: float
    bytes_per_s: float

    def __post_init__(self) -> None:
        if self.delay_s < 0 or self.bytes_per_s <= 0:
            raise ConfigError(
                "a link takes some time of at least 0 s and carries some bytes a second"
            )


class _Pipe:
    """One direction of one connection."""

    def __init__(self, pace: Pace, writer: asyncio.StreamWriter) -> None:
        self._pace = pace
        self._writer = writer
        self._on_the_way: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self._free_at = 0.0
        self._changed = asyncio.Event()
        self._ended = False

    async def take(self, reader: asyncio.StreamReader) -> None:
        """Read while there is room on the link."""
        loop = asyncio.get_running_loop()
        try:
            while data := await reader.read(_PIECE_BYTES):
                begins = max(loop.time(), self._free_at)
                self._free_at = begins + len(data) / self._pace.bytes_per_s
                self._on_the_way.append((self._free_at + self._pace.delay_s, data))
                self._bytes += len(data)
                self._changed.set()
                while self._bytes > SLOW_LINK_BYTES_MAX:
                    self._changed.clear()
                    await self._changed.wait()
        finally:
            self._ended = True
            self._changed.set()

    async def give(self) -> None:
        """Write what has arrived at the other end."""
        loop = asyncio.get_running_loop()
        while self._on_the_way or not self._ended:
            if not self._on_the_way:
                self._changed.clear()
                await self._changed.wait()
                continue
            due, data = self._on_the_way[0]
            if (wait_s := due - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            self._on_the_way.popleft()
            self._bytes -= len(data)
            self._changed.set()
            self._writer.write(data)
            await self._writer.drain()
        with suppress(OSError):
            self._writer.write_eof()


@asynccontextmanager
async def slow_link(target: Address, pace: Pace, host: str = "127.0.0.1") -> AsyncIterator[Address]:
    """Where to connect instead of the target, while the context is open."""
    carrying: set[asyncio.Task[None]] = set()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a server calls this in a task"
        carrying.add(task)
        try:
            await _carry(target, pace, reader, writer)
        except asyncio.CancelledError:
            pass  # the link is taken away; its server's own callback takes this for a failure
        finally:
            carrying.discard(task)

    server = await asyncio.start_server(accepted, host, 0)
    try:
        yield Address(host, server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)


async def _carry(
    target: Address, pace: Pace, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One connection, until both of its directions have ended or one side has gone."""
    ends = [writer]
    try:
        back, there = await asyncio.open_connection(target.host, target.port)
        ends.append(there)
        out, home = _Pipe(pace, there), _Pipe(pace, writer)
        async with asyncio.TaskGroup() as tasks:
            for pipe, source in ((out, reader), (home, back)):
                tasks.create_task(pipe.take(source))
                tasks.create_task(pipe.give())
    except* OSError:
        pass  # a side has gone: the other learns it as its connection is closed
    finally:
        for end in ends:
            end.transport.abort()
        for end in ends:
            with suppress(OSError):
                await end.wait_closed()
