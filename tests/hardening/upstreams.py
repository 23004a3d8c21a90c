"""Upstreams that do what a test says: on the wire, byte by byte.

An upstream here is a server on a port of its own that reads whole requests, tells a probe that it
is well, and lets the test's `Play` answer everything else. It remembers what it was sent, and on
which connection: what a connection carried after a bad answer shows that it was used again.
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.web.fake_door import (
    chat_body,
    chat_stream,
    completion_body,
    completion_stream,
    embedding_body,
)
from tests.web.raw import PATIENCE_S, Answer

__all__ = [
    "Asked",
    "Play",
    "Truth",
    "Upstream",
    "chunk",
    "events_of",
    "head",
    "held",
    "plain",
    "truth",
    "upstream",
    "well",
]


_TURNS = 4
"""Of the loop, until a connection just accepted is known: asyncio loses it if its server closes."""


def head(*fields: str, status: str = "200 OK") -> bytes:
    """The head of an answer."""
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode("latin-1")


def chunk(data: bytes) -> bytes:
    """One chunk on the wire; without data the last."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass(frozen=True)
class Asked:
    """One request that an upstream got."""

    path: str
    raw: bytes
    connection: int

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def streams(self) -> bool:
        """Whether it asks for a stream."""
        return json.loads(self.body).get("stream") is True


@dataclass(frozen=True)
class Truth:
    """What a good upstream answers."""

    type: str
    pieces: list[bytes]

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


def truth(asked: Asked) -> Truth:
    """The right answer to this request: one piece for each event of a stream."""
    streams = asked.streams
    match asked.path.removeprefix("/v1/"):
        case "chat/completions":
            pieces = chat_stream() if streams else chat_body()
        case "completions":
            pieces = completion_stream() if streams else completion_body()
        case "embeddings":
            pieces = embedding_body()
        case other:
            raise AssertionError(f"nobody should ask {other}")
    return Truth("text/event-stream" if streams else "application/json", pieces)


def plain(true: Truth) -> bytes:
    """The right answer on the wire: a stream in chunks, anything else with its length."""
    if len(true.pieces) > 1:
        chunks = b"".join(map(chunk, [*true.pieces, b""]))
        return head(f"content-type: {true.type}", "transfer-encoding: chunked") + chunks
    length = f"content-length: {len(true.body)}"
    return head(f"content-type: {true.type}", length) + true.body


Play = Callable[[Asked, asyncio.StreamWriter], Awaitable[bool]]
"""Answers one request; says whether the connection stays open."""


async def well(asked: Asked, writer: asyncio.StreamWriter) -> bool:
    """Answer as a good upstream does."""
    writer.write(plain(truth(asked)))
    return True


@dataclass
class Upstream:
    """A server, and what it was sent."""

    play: Play
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    over: bool = False
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection, which is closed in the end however soon that is."""
        self.connections += 1
        task = asyncio.ensure_future(self._serve(reader, writer, self.connections))
        task.add_done_callback(lambda _: self._close(writer))
        self.tasks.add(task)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            stays = True
            while stays:
                asked = await self._request(reader, connection)
                if asked.path == "/v1/models":
                    writer.write(head("content-length: 11") + b'{"data":[]}')
                else:
                    self.asked.append(asked)
                    stays = await self.play(asked, writer)
                await writer.drain()

    def _close(self, writer: asyncio.StreamWriter) -> None:
        if writer.transport.get_write_buffer_size() and self.over:
            writer.transport.abort()
        writer.close()

    async def _request(self, reader: asyncio.StreamReader, connection: int) -> Asked:
        raw = await reader.readuntil(b"\r\n\r\n")
        path = raw.split(b" ", 2)[1].decode()
        for line in raw.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                raw += await reader.readexactly(int(line.split(b":")[1]))
        return Asked(path, raw, connection)

    async def until_asked(self, times: int) -> None:
        """Return once it was asked so often."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.asked) < times:
                await asyncio.sleep(0.005)

    def check_used_once(self) -> None:
        """No connection carried a second request after the first."""
        used = [each.connection for each in self.asked]
        assert len(used) == len(set(used)), "a connection was used again after a bad answer"


@asynccontextmanager
async def upstream(play: Play = well, tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    """Run one on a free port of the loopback."""
    running = Upstream(play)
    server = await asyncio.start_server(running.connected, "127.0.0.1", 0, limit=2**26, ssl=tls)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        asyncio.get_running_loop().remove_reader(server.sockets[0].fileno())
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        server.close()
        running.over = True
        for task in running.tasks:
            task.cancel()
        for end in await asyncio.gather(*running.tasks, return_exceptions=True):
            if isinstance(end, Exception):  # what a test's `Play` found wrong
                raise end


@asynccontextmanager
async def held() -> AsyncIterator[tuple[Upstream, asyncio.Event]]:
    """An upstream that begins a stream, and ends it when it is told to."""
    go_on = asyncio.Event()

    async def play(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        pieces = truth(asked).pieces
        writer.write(head("content-type: text/event-stream", "transfer-encoding: chunked"))
        writer.write(b"".join(map(chunk, pieces[:2])))
        await writer.drain()
        await go_on.wait()
        writer.write(b"".join(map(chunk, [*pieces[2:], b""])))
        return True

    async with upstream(play) as running:
        yield running, go_on


def events_of(answer: Answer) -> list[bytes]:
    """The events of a streamed answer, each without its empty line."""
    assert answer.headers["content-type"].startswith("text/event-stream")
    return [each for each in answer.body.replace(b"\r\n", b"\n").split(b"\n\n") if each]
