"""A server to test and a client that sends exact bytes; h11 reads what comes back.

So every answer of ours that a test looks at has been understood by another implementation.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h11

from littoral.adapters.clock import SystemClock
from littoral.web.hot import HotPath
from littoral.web.http import Handler, HttpBounds, Request, Responder
from littoral.web.listener import Bind, Server, listening
from littoral.web.service import Answers, Gate

PATIENCE_S = 10.0
"""For what should come at once; only a failing test waits this long."""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    informational: list[int] = field(default_factory=list)


class Client:
    """One connection to the server under test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._rest = b""

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        async with asyncio.timeout(PATIENCE_S):
            await self.writer.drain()

    async def ask(self, data: bytes, method: str = "GET") -> Answer:
        await self.send(data)
        return await self.answer(method)

    async def until(self, mark: bytes) -> None:
        """Return once the next answer has come as far as this; nothing of it is lost."""
        if mark not in self._rest:
            async with asyncio.timeout(PATIENCE_S):
                self._rest += await self.reader.readuntil(mark)

    async def answer(self, method: str = "GET") -> Answer:
        """The next answer. Raises h11.RemoteProtocolError when it is cut off or wrong."""
        ours = h11.Connection(h11.CLIENT)
        ours.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
        ours.send(h11.EndOfMessage())
        if self._rest:
            ours.receive_data(self._rest)
        informational: list[int] = []
        head: h11.Response | None = None
        body = b""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                match ours.next_event():
                    case h11.NEED_DATA:
                        ours.receive_data(await self.reader.read(65536))
                    case h11.InformationalResponse() as event:
                        informational.append(event.status_code)
                    case h11.Response() as event:
                        head = event
                    case h11.Data() as event:
                        body += event.data
                    case h11.EndOfMessage():
                        break
                    case h11.ConnectionClosed():
                        raise ConnectionResetError("closed without an answer")
                    case other:
                        raise AssertionError(f"unexpected {other!r}")
        assert head is not None
        self._rest = ours.trailing_data[0]
        headers = {name.decode(): value.decode() for name, value in head.headers}
        return Answer(head.status_code, headers, body, informational)

    async def until_closed(self) -> bytes:
        """Whatever comes until the server closes."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return self._rest + await self.reader.read()
            except ConnectionResetError:
                return self._rest

    def leave(self) -> None:
        """Close at once, without a word."""
        self.writer.transport.abort()


class Served:
    """A running server, and what it reported."""

    def __init__(self, server: Server, defects: list[BaseException]) -> None:
        self.server = server
        self.defects = defects
        self.host, self.port = server.addresses[0]
        self._clients: list[Client] = []

    async def client(self, tls: ssl.SSLContext | None = None, limit: int = 2**20) -> Client:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection(
                self.host,
                self.port,
                ssl=tls,
                limit=limit,
                server_hostname="localhost" if tls else None,
            )
        client = Client(reader, writer)
        self._clients.append(client)
        return client

    def close_clients(self) -> None:
        for client in self._clients:
            client.leave()


def _nobody_refused(method: str, path: str, headers: object) -> None:
    pass


@asynccontextmanager
async def serving(
    handler: Handler,
    *,
    bounds: HttpBounds | None = None,
    tls: ssl.SSLContext | None = None,
    gate: Gate = _nobody_refused,
    hot: HotPath | None = None,
) -> AsyncIterator[Served]:
    """Run the handler on a free port of the loopback."""
    defects: list[BaseException] = []
    async with listening(
        Answers(handler, gate, hot),
        Bind(),
        bounds or HttpBounds(),
        clock=SystemClock(),
        on_defect=defects.append,
        tls=tls,
    ) as server:
        served = Served(server, defects)
        try:
            yield served
        finally:
            served.close_clients()


async def echo(request: Request, responder: Responder) -> None:
    """Say back what was understood of the request."""
    text = f"{request.method} {request.path}?{request.query} {len(request.body)} "
    await responder.send(200, {"content-type": "text/plain"}, text.encode() + request.body)


def get(path: str = "/", *fields: str, version: str = "1.1") -> bytes:
    lines = [f"GET {path} HTTP/{version}", "Host: test", *fields, "", ""]
    return "\r\n".join(lines).encode()


def post(body: bytes, path: str = "/", *fields: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: test", *fields, f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*chunks: bytes, path: str = "/", trailers: bytes = b"") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return (
        head
        + b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks)
        + b"0\r\n"
        + trailers
        + b"\r\n"
    )
