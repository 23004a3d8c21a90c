"""The origin of the story: files by HTTP, in ranges, as any web server has them; it counts.

It knows GET and HEAD of its files, `Range` with one range, and nothing else.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Outlet", "outlet"]

_HOST: Final = "127.0.0.1"
_HEAD_BYTES_MAX: Final = 16 * 1024
_PIECE_BYTES: Final = 64 * 1024
_RANGE: Final = re.compile(rb"\r\nrange: *bytes=(\d+)-(\d*)\r\n", re.IGNORECASE)


@dataclass(slots=True)
class Outlet:
    """One that is being asked."""

    files: Mapping[str, Path]
    """By the path of their address."""
    port: int = 0
    left_bytes: int = 0
    """Of files, that it has sent so far."""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it ends."""
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                await self._respond(await reader.readuntil(b"\r\n\r\n"), writer)

    async def _respond(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        method, path, _ = head.decode("latin-1").split(" ", 2)
        file = self.files.get(path)
        if file is None or method not in {"GET", "HEAD"}:
            writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            return await writer.drain()
        found, size = _RANGE.search(head), file.stat().st_size
        start, end = 0, size
        status, span = "200 OK", ""
        if found is not None:
            start, end = int(found[1]), min(int(found[2] or size) + 1, size)
            status, span = "206 Partial", f"content-range: bytes {start}-{end - 1}/{size}\r\n"
        fields = f'content-length: {end - start}\r\n{span}etag: "{file.stat().st_mtime_ns}"\r\n'
        writer.write(f"HTTP/1.1 {status}\r\n{fields}\r\n".encode())
        if method == "GET":
            await self._send(file, start, end, writer)
        return await writer.drain()

    async def _send(self, path: Path, start: int, end: int, writer: asyncio.StreamWriter) -> None:
        with path.open("rb") as file:
            file.seek(start)
            while start < end:
                piece = file.read(min(_PIECE_BYTES, end - start))
                writer.write(piece)
                await writer.drain()
                start += len(piece)
                self.left_bytes += len(piece)


@asynccontextmanager
async def outlet(files: Mapping[str, Path]) -> AsyncIterator[Outlet]:
    """One that listens while the context is open.

    Args:
        files: by the path of their address, which begins with a slash.
    """
    made = Outlet(files)
    answering: set[asyncio.Task[None]] = set()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a server calls this in a task"
        answering.add(task)
        try:
            await made.answer(reader, writer)
        except asyncio.CancelledError:
            pass  # the story is over; its server's own callback takes this for a failure
        finally:
            answering.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(accepted, _HOST, 0, limit=_HEAD_BYTES_MAX)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)
