"""TLS on one connection, against the loop's own TLS at the other end."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from littoral.adapters.http.secured import connect
from tests.certificates import Authority
from tests.web.raw import PATIENCE_S

HOST = "127.0.0.1"
LONG = bytes(range(256)) * 12_000
"""Many records, and more than any buffer on the way."""

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Talk(asyncio.Protocol):
    """Hears what comes, and of the end."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.paused = False
        self.moved = asyncio.Event()
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self.moved.set()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.moved.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)
        self.moved.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                self.moved.clear()
                await self.moved.wait()

    async def hears(self, size: int) -> None:
        await self.until(lambda: len(self.heard) >= size)

    async def end(self) -> Exception | None:
        async with asyncio.timeout(PATIENCE_S):
            return await self.lost


@asynccontextmanager
async def server(serve: Serve, tls: ssl.SSLContext | None) -> AsyncIterator[int]:
    listener = await asyncio.start_server(serve, HOST, 0, ssl=tls)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()


@asynccontextmanager
async def talking(authority: Authority, serve: Serve) -> AsyncIterator[Talk]:
    async with server(serve, authority.server("uri:server")) as port:
        talk = Talk()
        await connect(talk, HOST, port, authority.client())
        try:
            yield talk
        finally:
            talk.transport.abort()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(100_000):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_all_bytes_pass_both_ways_in_order(authority: Authority) -> None:
    async with talking(authority, echo) as talk:
        for size in (1, 16_384, 16_385, len(LONG)):
            talk.heard.clear()
            talk.transport.writelines((LONG[: size // 2], LONG[size // 2 : size]))
            await talk.hears(size)
            assert talk.heard == LONG[:size]


async def test_who_writes_is_told_to_wait_for_a_server_that_is_slow(authority: Authority) -> None:
    reads = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reads.wait()
        await echo(reader, writer)

    async with talking(authority, serve) as talk:
        size = 0
        while not talk.paused:
            talk.transport.write(LONG)
            size += len(LONG)
        assert talk.transport.get_write_buffer_size() > 0
        reads.set()
        await talk.until(lambda: not talk.paused)
        await talk.hears(size)


async def test_nothing_comes_while_reading_is_paused(authority: Authority) -> None:
    async with talking(authority, echo) as talk:
        other = Talk()
        talk.transport.pause_reading()
        talk.transport.write(b"said")
        talk.transport.set_protocol(other)
        assert not talk.transport.is_reading()
        talk.transport.resume_reading()
        await other.hears(4)
        assert talk.heard == b""
        assert other.heard == b"said"


async def test_a_goodbye_is_an_end_and_no_error(authority: Authority) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"all of it")
        writer.close()

    async with talking(authority, serve) as talk:
        assert await talk.end() is None
        assert talk.heard == b"all of it"
        assert talk.transport.is_closing()
        talk.transport.write(b"too late")  # as on any transport, nothing comes of it


async def test_an_end_without_a_goodbye_is_an_error(authority: Authority) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"some of it")
        await writer.drain()
        with socket.socket(fileno=writer.get_extra_info("socket").fileno()) as plain:
            plain.shutdown(socket.SHUT_WR)
            plain.detach()

    async with talking(authority, serve) as talk:
        assert isinstance(await talk.end(), ConnectionResetError)
        assert talk.heard == b"some of it"
        talk.transport.write(b"too late")
        talk.transport.close()


async def test_what_was_written_before_the_end_arrives(authority: Authority) -> None:
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set_result(await reader.read(-1))
        writer.close()

    async with talking(authority, serve) as talk:
        talk.transport.write(LONG)
        talk.transport.pause_reading()
        talk.transport.close()
        assert await talk.end() is None
        async with asyncio.timeout(PATIENCE_S):
            assert await heard == LONG


async def test_bytes_that_are_no_tls_end_it(authority: Authority) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with socket.socket(fileno=writer.get_extra_info("socket").fileno()) as plain:
            plain.send(b"HTTP/1.1 200 OK\r\n\r\n")
            plain.detach()

    async with talking(authority, serve) as talk:
        assert isinstance(await talk.end(), ssl.SSLError)
        assert talk.heard == b""


async def test_a_server_of_somebody_else_is_refused_and_told(
    authority: Authority, tmp_path: Path
) -> None:
    async with server(echo, Authority(tmp_path, "stranger").server("uri:server")) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(Talk(), HOST, port, authority.client())


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_a_server_that_does_not_shake_hands_is_an_error(
    authority: Authority, said: bytes
) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    async with server(serve, None) as port:
        talk = Talk()
        with pytest.raises(OSError):
            await connect(talk, HOST, port, authority.client())
        assert not talk.lost.done(), "it never had a connection"


async def test_who_waits_no_longer_closes_it(authority: Authority) -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.read(-1)
        closed.set()
        writer.close()

    async with server(serve, None) as port:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connect(Talk(), HOST, port, authority.client())
        async with asyncio.timeout(PATIENCE_S):
            await closed.wait()
