"""Peers that stall, talk nonsense, take nothing or ask for too much cost little, and end soon."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from littoral.adapters.http.words import (
    ConnectFailedError,
    HttpError,
    MalformedError,
    WaitedTooLongError,
)
from littoral.adapters.moving.frames import idle_frame, prefix
from littoral.adapters.moving.lines import said
from littoral.adapters.moving.words import Peer
from littoral.delivery.chunk_set import ChunkSet
from littoral.terms.limits import (
    DELIVERY_STALL_S,
    DELIVERY_TICK_S,
    DELIVERY_WANTED_BYTES_MAX,
    HEAD_BYTES_MAX,
)
from tests.adapters.moving.made import GROUP, FileShelf, Mover, Told, until

Pair = tuple[Mover, Mover]
Talks = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
PIECE = 20_000


@pytest.fixture
def full(tmp_path: Path) -> FileShelf:
    return FileShelf.full(tmp_path / "full", bytes(range(250)) * 4_000, PIECE)


@pytest.fixture
def empty(tmp_path: Path, full: FileShelf) -> FileShelf:
    return full.empty(tmp_path / "empty")


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Movers whose patience is a tenth of what it is."""
    room = "littoral.adapters.moving"
    monkeypatch.setattr(f"{room}.wire.DELIVERY_TICK_S", 0.02)
    for module, name, seconds in (
        ("asking", "DELIVERY_STALL_S", 0.2),
        ("news", "DELIVERY_STALL_S", 0.2),
        ("news", "DELIVERY_ALIVE_S", 0.05),
        ("chunks", "DELIVERY_ALIVE_S", 0.05),
        ("streams", "DELIVERY_FRAME_WAIT_S", 0.3),
        ("server", "DELIVERY_HEAD_WAIT_S", 0.2),
        ("server", "DELIVERY_STUCK_S", 0.2),
        ("server", "IDLE_WAIT_S", 0.4),
        ("asking", "IDLE_WAIT_S", 0.2),
        ("streams", "IDLE_WAIT_S", 0.2),
    ):
        monkeypatch.setattr(f"{room}.{module}.{name}", seconds)


@asynccontextmanager
async def impostor(mover: Mover, talks: Talks) -> AsyncIterator[Peer]:
    """A peer with the mover's certificate that talks as it likes."""

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            await talks(reader, writer)
        writer.close()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=mover.contexts.server)
    try:
        yield Peer(mover.member, "127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()


def saying(said: bytes, *, then_wait: bool = True) -> Talks:
    async def talks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        if then_wait:
            await reader.read(-1)

    return talks


async def outcome(two: Mover, peer: Peer, shelf: FileShelf) -> tuple[Told, HttpError | None]:
    told = Told()
    two.client.fetch(peer, GROUP, ChunkSet.of([1, 2]), shelf, told)
    await until(lambda: told.ends)
    return told, told.ends[0]


def test_a_stall_is_noticed_within_two_seconds() -> None:
    assert DELIVERY_STALL_S + DELIVERY_TICK_S <= 2.0


ASKING = (
    b"POST /v1/delivery/%b/chunks HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    % GROUP.encode()
)
FIRST = prefix(1, bytes(32), PIECE, first=True)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    "said", [b"", HEAD[:20], HEAD, HEAD + FIRST + bytes(100)], ids=("none", "head", "body", "chunk")
)
async def test_a_peer_that_falls_silent_is_given_up(
    pair: Pair, empty: FileShelf, said: bytes
) -> None:
    one, two = pair
    async with impostor(one, saying(said)) as peer:
        _, error = await outcome(two, peer, empty)
    assert isinstance(error, WaitedTooLongError)


@pytest.mark.usefixtures("hurried")
async def test_a_port_that_takes_connections_and_speaks_no_tls_is_given_up(
    pair: Pair, empty: FileShelf
) -> None:
    one, two = pair
    waiting = asyncio.Event()

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await waiting.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, error = await outcome(two, Peer(one.member, "127.0.0.1", port), empty)
    assert isinstance(error, WaitedTooLongError)
    waiting.set()
    server.close()


async def test_a_port_where_nobody_listens_is_told_at_once(pair: Pair, empty: FileShelf) -> None:
    one, two = pair
    peer = one.at()
    one.server.close()
    _, error = await outcome(two, peer, empty)
    assert isinstance(error, ConnectFailedError)
    for host in ("not an address", "::1"):
        _, error = await outcome(two, replace(peer, host=host), empty)
        assert isinstance(error, ConnectFailedError)


@pytest.mark.usefixtures("hurried")
async def test_a_sender_that_has_nothing_yet_but_lives_is_waited_for(
    pair: Pair, full: FileShelf, empty: FileShelf
) -> None:
    one, two = pair
    filling = one.library.shelves[GROUP] = full.empty(empty.path.with_suffix(".filling"))
    told = Told()
    two.client.fetch(one.at(), GROUP, ChunkSet.of([1]), empty, told)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await until(lambda: loop.time() > began + 0.6 or told.ends)
    assert not told.ends
    held = full.held(1)
    assert held is not None
    filling.put(1, held.data, held.digest)
    await until(lambda: told.ends)
    assert told.ends == [None]


@pytest.mark.usefixtures("hurried")
async def test_a_peer_that_trickles_a_chunk_is_given_up(pair: Pair, empty: FileShelf) -> None:
    one, two = pair

    async def trickles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + FIRST)
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with impostor(one, trickles) as peer:
        _, error = await outcome(two, peer, empty)
    assert isinstance(error, WaitedTooLongError)
    assert "one chunk" in str(error)


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + bytes(HEAD_BYTES_MAX),
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 101 + b"\r\n",
        HEAD + b"5\r\nhello\r\n" + bytes(60),
        HEAD + prefix(1, bytes(32), PIECE + 1, first=True),
        HEAD + prefix(7, bytes(32), PIECE, first=True),
        HEAD + prefix(0xFFFF_FFFE, bytes(32), 0, first=True) + b"\r\n0\r\n\r\n",
        HEAD + idle_frame(first=True) * 3,
    ],
    ids=("ssh", "long", "fields", "chunk", "size", "number", "early", "idle"),
)
async def test_what_is_no_answer_is_refused(pair: Pair, empty: FileShelf, said: bytes) -> None:
    one, two = pair
    async with impostor(one, saying(said)) as peer:
        told, error = await outcome(two, peer, empty)
    assert isinstance(error, MalformedError)
    assert not told.chunks


@asynccontextmanager
async def caller(one: Mover, two: Mover) -> AsyncIterator[Ends]:
    """A connection to the first with the certificate of the second."""
    context = two.contexts.client(two.member.owner)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", one.port, ssl=context, server_hostname=""
    )
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


async def left(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection is closed."""
    got = bytearray()
    with suppress(OSError):
        async with asyncio.timeout(20):
            while part := await reader.read(65_536):
                got += part
    return bytes(got)


@pytest.mark.parametrize(
    "said",
    [
        b"\x16\x03\x01 nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: " + bytes(HEAD_BYTES_MAX + 1),
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n",
        b"POST /v1/delivery/a/chunks HTTP/1.1\r\ncontent-length: 9999999\r\n\r\n"
        + bytes(DELIVERY_WANTED_BYTES_MAX + 1),
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n1",
        b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
    ],
    ids=("nonsense", "long", "fields", "body", "pipelined", "lengths", "upgrade"),
)
async def test_what_is_no_request_ends_the_connection(pair: Pair, said: bytes) -> None:
    one, two = pair
    async with caller(one, two) as (reader, writer):
        writer.write(said)
        assert b"200" not in await left(reader)
    await until(lambda: not one.server.peers)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("said", [b"", b"GET /v1"])
async def test_a_caller_that_says_no_whole_request_is_left(pair: Pair, said: bytes) -> None:
    one, two = pair
    async with caller(one, two) as (reader, writer):
        writer.write(said)
        assert await left(reader) == b""


@pytest.mark.usefixtures("hurried")
async def test_a_caller_that_begins_no_tls_is_left(pair: Pair) -> None:
    one, _ = pair
    reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
    assert await left(reader) == b""
    writer.close()
    await until(lambda: not one.server.peers)


@pytest.mark.usefixtures("hurried")
async def test_a_connection_without_requests_is_closed(
    pair: Pair, full: FileShelf, empty: FileShelf
) -> None:
    one, two = pair
    one.library.shelves[GROUP] = full
    told, _ = await outcome(two, one.at(), empty)
    assert told.ends == [None]
    await until(lambda: not one.server.peers)


@pytest.mark.usefixtures("hurried")
async def test_a_peer_that_takes_nothing_is_given_up(pair: Pair, tmp_path: Path) -> None:
    one, two = pair
    one.library.shelves[GROUP] = FileShelf.full(tmp_path / "large", bytes(40_000_000), 1_000_000)
    async with caller(one, two) as (_, writer):
        writer.write(ASKING + said(b'{"runs":[[0,40]]}'))
        await until(lambda: one.server.peers)
        cast("asyncio.Transport", writer.transport).pause_reading()  # uvloop's is no subclass
        await until(lambda: not one.server.peers)
    assert not one.flows.streams


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b'{"runs":[[3,2]]}',
        b'{"runs":[[-1,2]]}',
        b'{"dropped":[[-1,2]]}',
        b'{"runs":[[0,99999999999]]}',
        b'{"runs":[[0,51]]}',
        b'{"runs":[[0,1,2]]}',
        b" " * (DELIVERY_WANTED_BYTES_MAX + 1),
    ],
    ids=lambda line: line[:40].decode(),
)
async def test_asking_for_what_there_cannot_be_ends_the_stream(
    pair: Pair, full: FileShelf, line: bytes
) -> None:
    one, two = pair
    one.library.shelves[GROUP] = full
    async with caller(one, two) as (reader, writer):
        writer.write(ASKING + said(b'{"runs":[[0,1]]}') + said(line))
        assert await left(reader) is not None
    await until(lambda: not one.server.peers)
    assert not full.watched


async def test_a_stream_ends_when_nothing_more_is_asked_for(pair: Pair, full: FileShelf) -> None:
    one, two = pair
    one.library.shelves[GROUP] = full
    async with caller(one, two) as (reader, writer):
        writer.write(ASKING + said(b'{"runs":[[1,2]]}') + said(b"{}") + b"0\r\n\r\n")
        got = await reader.readuntil(b"\r\n0\r\n\r\n")
        held = full.held(1)
        assert held is not None
        assert got.startswith(b"HTTP/1.1 200")
        assert bytes(held.data) in got
        writer.write(b"GET /v1/delivery/a/manifest HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 404")


async def test_a_request_for_chunks_whose_body_is_no_lines_is_refused(
    pair: Pair, full: FileShelf
) -> None:
    one, two = pair
    one.library.shelves[GROUP] = full
    async with caller(one, two) as (reader, writer):
        head = ASKING.replace(b"transfer-encoding: chunked", b"content-length: 2")
        writer.write(head + b"{}")
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.binary(max_size=300), max_size=4), st.sampled_from((b"", b"news", b"chunks")))
async def test_whatever_is_said_the_server_goes_on(
    pair: Pair, full: FileShelf, empty: FileShelf, nonsense: list[bytes], after_a_head_of: bytes
) -> None:
    one, two = pair
    one.library.shelves[GROUP] = full
    async with caller(one, two) as (_, writer):
        if after_a_head_of:
            writer.write(ASKING.replace(b"chunks", after_a_head_of))
        for each in nonsense:
            writer.write(each)
    told, error = await outcome(two, one.at(), empty)
    assert error is None
    assert told.chunks == [1, 2]
