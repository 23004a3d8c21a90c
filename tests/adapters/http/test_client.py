"""The HTTP client against servers that behave, and against servers that do not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from littoral.adapters.http.client import HttpClient
from littoral.adapters.http.hop import Hop
from littoral.adapters.http.watch import Watch
from littoral.adapters.http.words import (
    AnswerHead,
    ConnectFailedError,
    ConnectionLostError,
    Deadlines,
    HttpError,
    MalformedError,
    NoConnectionFreeError,
    Origin,
    WaitedTooLongError,
)
from littoral.terms.errors import ConfigError

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass
class Server:
    """A server on a Unix socket that does what a test says, and what it saw."""

    path: str
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def serving(folder: Path, handler: Handler) -> AsyncIterator[Server]:
    server = Server(str(folder / "s.sock"))

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            server.closed.set()

    async with await asyncio.start_unix_server(connected, server.path):
        yield server


async def request_of(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.split(b":")[1]))
    return head


def answers(*replies: bytes) -> Handler:
    """Each request on a connection gets the next reply; then the connection is closed."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            await request_of(reader)
            writer.write(reply)
            await writer.drain()

    return handler


def client_of(server: Server, **deadlines: float) -> HttpClient:
    return HttpClient(
        Origin(socket_path=server.path), deadlines=Deadlines(**{"connect_s": 5.0} | deadlines)
    )


async def get(client: HttpClient, body: bytes = b"") -> bytes:
    async with client.request("POST", "/x", body) as response:
        return await response.read(1_000_000)


async def test_a_whole_answer_puts_its_connection_back(tmp_path: Path) -> None:
    async with serving(tmp_path, answers(*[OK] * 20)) as server:
        client = client_of(server)
        assert [await get(client, b"{}") for _ in range(20)] == [b"ok"] * 20
        assert client.connections_made == server.connections == 1
        client.close()


async def test_an_answer_that_says_close_is_not_used_again(tmp_path: Path) -> None:
    closing = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"
    async with serving(tmp_path, answers(closing)) as server:
        client = client_of(server)
        assert [await get(client) for _ in range(3)] == [b"ok"] * 3
        assert server.connections == 3


async def test_an_answer_without_a_length_ends_with_its_connection(tmp_path: Path) -> None:
    async with serving(tmp_path, answers(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")) as server:
        assert await get(client_of(server)) == b"until the end"


async def test_a_1xx_head_only_announces_the_answer(tmp_path: Path) -> None:
    async with serving(tmp_path, answers(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)) as server:
        assert await get(client_of(server)) == b"ok"


async def test_a_stale_connection_is_replaced_once(tmp_path: Path) -> None:
    """A server may close an idle connection in the moment in which it is used again."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(OK)
        await request_of(reader)  # the second on a connection gets no answer

    async with serving(tmp_path, handler) as server:
        client = client_of(server)
        assert [await get(client) for _ in range(3)] == [b"ok"] * 3
        assert server.connections == 3


async def test_a_fresh_connection_that_dies_is_not_tried_again(tmp_path: Path) -> None:
    async with serving(tmp_path, answers(b"")) as server:
        with pytest.raises(ConnectionLostError):
            await get(client_of(server))
        assert server.connections == 1


async def test_a_connection_that_dies_in_the_answer_is_not_tried_again(tmp_path: Path) -> None:
    async with serving(tmp_path, answers(OK, CHUNKED + b"5\r\nhel")) as server:
        client = client_of(server)
        await get(client)
        with pytest.raises(ConnectionLostError):
            await get(client)
        assert server.connections == 1


async def test_leaving_early_closes_the_connection_at_once(tmp_path: Path) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(CHUNKED + b"1\r\na\r\n")
        await reader.read()  # returns when the client has gone

    async with serving(tmp_path, handler) as server, asyncio.timeout(5):
        client = client_of(server)
        async with client.request("GET", "/") as response:
            assert await anext(aiter(response)) == b"a"
        await server.closed.wait()


async def test_a_cancelled_wait_for_the_head_closes_the_connection(tmp_path: Path) -> None:
    arrived = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        arrived.set()
        await reader.read()

    async with serving(tmp_path, handler) as server, asyncio.timeout(5):
        waiting = asyncio.create_task(get(client_of(server)))
        await arrived.wait()
        waiting.cancel()
        await server.closed.wait()
        assert (await asyncio.gather(waiting, return_exceptions=True))[0].__class__ is (
            asyncio.CancelledError
        )


async def test_pieces_come_as_they_are_sent(tmp_path: Path) -> None:
    more = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(CHUNKED + b"1\r\na\r\n")
        await more.wait()
        writer.write(b"1\r\nb\r\n0\r\n\r\n")

    async with (
        serving(tmp_path, handler) as server,
        asyncio.timeout(5),
        client_of(server).request("GET", "/") as response,
    ):
        pieces = aiter(response)
        assert await anext(pieces) == b"a"
        more.set()
        assert await anext(pieces) == b"b"
        with pytest.raises(StopAsyncIteration):
            await anext(pieces)


async def test_a_slow_reader_holds_the_server_back(tmp_path: Path) -> None:
    size = 64 * 1024 * 1024
    sent = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await request_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"x" * 65536)
            sent += 65536
            await writer.drain()

    async with serving(tmp_path, handler) as server, asyncio.timeout(30):
        async with client_of(server).request("GET", "/") as response:
            before = -1
            while sent != before:  # until the server is stuck
                before = sent
                await asyncio.sleep(0.02)
            assert sent < 4 * 1024 * 1024
            received = 0
            async for piece in response:
                received += len(piece)
                assert len(piece) < 4 * 1024 * 1024
        assert received == size


async def test_silence_ends_with_the_deadline_that_passed(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        await reader.read()

    async def only_a_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(CHUNKED)
        await reader.read()

    async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(CHUNKED + b"1\r\na\r\n")
        await reader.read()

    async with serving(tmp_path, silent) as server:
        with pytest.raises(WaitedTooLongError, match=r"0\.05 s without a first byte"):
            await get(client_of(server, first_byte_s=0.05))
    async with serving(tmp_path, only_a_head) as server:
        with pytest.raises(WaitedTooLongError, match=r"0\.05 s without a first byte"):
            await get(client_of(server, first_byte_s=0.05, between_bytes_s=0.01))
    async with serving(tmp_path, stuck) as server:
        with pytest.raises(WaitedTooLongError, match=r"0\.05 s of silence"):
            await get(client_of(server, between_bytes_s=0.05))


async def test_a_slow_reader_is_not_taken_for_a_silent_server(tmp_path: Path) -> None:
    async with serving(tmp_path, answers(CHUNKED + b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n")) as server:
        client = client_of(server, between_bytes_s=0.02)
        async with client.request("GET", "/") as response:
            await asyncio.sleep(0.1)
            assert await response.read(10) == b"ab"


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        CHUNKED + b"nothex\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_refused(tmp_path: Path, reply: bytes) -> None:
    async with serving(tmp_path, answers(reply)) as server:
        with pytest.raises(MalformedError):
            await get(client_of(server))


async def test_an_answer_nobody_asked_for_spoils_its_connection(tmp_path: Path) -> None:
    async with serving(tmp_path, answers(OK + OK, OK)) as server:
        client = client_of(server)
        assert [await get(client) for _ in range(2)] == [b"ok"] * 2
        assert server.connections == 2


async def test_a_body_over_its_bound_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, answers(OK)) as server:
        with pytest.raises(MalformedError):
            async with client_of(server).request("GET", "/") as response:
                await response.read(1)


async def test_no_server_is_no_connection(tmp_path: Path) -> None:
    client = HttpClient(Origin(socket_path=str(tmp_path / "none.sock")))
    with pytest.raises(ConnectFailedError):
        await get(client)


async def test_requests_beyond_the_bound_wait_and_then_give_up(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(CHUNKED)
        await reader.read()

    async with serving(tmp_path, silent) as server:
        client = HttpClient(
            Origin(socket_path=server.path),
            deadlines=Deadlines(connect_s=0.05),
            connections_max=1,
        )
        async with client.request("GET", "/"):
            with pytest.raises(NoConnectionFreeError, match="free connection"):
                await get(client)
        assert server.connections == 1


def test_a_header_with_a_line_break_is_refused() -> None:
    with pytest.raises(ConfigError):
        HttpClient(Origin(port=1), headers={"authorization": "a\r\nb: c"})


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:8000/v1/", (Origin(host="localhost", port=8000), "/v1")),
        ("https://api.example.com/v1", (Origin(None, "api.example.com", 443, tls=True), "/v1")),
        ("http://[::1]:80", (Origin(host="::1", port=80), "")),
        ("unix:/run/vllm.sock:/v1/", (Origin("/run/vllm.sock"), "/v1")),
        ("unix:/run/vllm.sock", (Origin("/run/vllm.sock"), "")),
    ],
)
def test_a_url_says_the_origin(url: str, expected: tuple[Origin, str]) -> None:
    assert Origin.of_url(url) == expected


def test_an_authority_has_the_port_when_it_is_not_the_standard_one() -> None:
    assert Origin.of_url("http://[::1]:8000")[0].authority == "[::1]:8000"
    assert Origin.of_url("https://example.com/v1")[0].authority == "example.com"


@pytest.mark.parametrize(
    "url",
    [
        *("", "ftp://x", "http://", "localhost:80", "http://x:notaport", "http://x?y", "http://[x"),
        *("unix:", "unix:run.sock", "unix://run.sock", "unix:/run.sock:v1", "unix:/" + "x" * 107),
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        Origin.of_url(url)


async def test_it_works_on_uvloop_over_tcp() -> None:
    """The loop that the PoP runs on, over TCP."""

    async def on_uvloop() -> None:
        closed = asyncio.Event()

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for _ in range(3):
                await request_of(reader)
                writer.write(OK)
            await reader.read()
            writer.close()
            await writer.wait_closed()
            closed.set()

        async with await asyncio.start_server(handler, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            client = HttpClient(Origin(host="127.0.0.1", port=port))
            assert [await get(client) for _ in range(3)] == [b"ok"] * 3
            assert client.connections_made == 1
            client.close()
            await closed.wait()

    await asyncio.to_thread(uvloop.run, on_uvloop())


class _Transport(asyncio.Transport):
    """Takes everything and remembers being closed."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def writelines(self, list_of_data: object) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def is_closing(self) -> bool:
        return self.aborted


@dataclass
class Heard:
    """What was told of one answer."""

    status: int = 0
    body: bytes = b""
    ends: list[HttpError | None] = field(default_factory=list)

    def head(self, head: AnswerHead) -> None:
        assert not self.ends
        self.status = head.status

    def data(self, data: bytes) -> None:
        assert self.status, "the head comes first"
        assert not self.ends, "nothing follows the end"
        self.body += data

    def end(self) -> None:
        self.ends.append(None)

    def lost(self, error: HttpError) -> None:
        self.ends.append(error)


@asynccontextmanager
async def asked() -> AsyncIterator[tuple[Hop, Heard, _Transport]]:
    """A connection that waits for an answer."""
    loop = asyncio.get_running_loop()
    watch, heard, transport = Watch(loop), Heard(), _Transport()
    hop = Hop(loop, watch)
    hop.connection_made(transport)
    hop.send(b"", b"", heard, Deadlines())
    yield hop, heard, transport
    watch.close()


@given(st.data())
def test_however_an_answer_is_cut_it_is_read_the_same(data: st.DataObject) -> None:
    body = data.draw(st.binary(max_size=200))
    if data.draw(st.booleans()):
        raw = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    else:
        raw = CHUNKED + (b"%x\r\n" % len(body) + body + b"\r\n" if body else b"") + b"0\r\n\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))

    async def read() -> Heard:
        async with asked() as (hop, heard, _):
            for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
                if start < end:
                    hop.data_received(raw[start:end])
            assert hop.reusable
        return heard

    assert asyncio.run(read()) == Heard(200, body, [None])


@given(st.lists(st.binary(min_size=1, max_size=80), max_size=6))
def test_any_bytes_are_an_answer_or_an_error(pieces: list[bytes]) -> None:
    async def read() -> Heard:
        async with asked() as (hop, heard, transport):
            for piece in (b"HTTP/1.1 200 OK\r\n", *pieces):
                if not transport.aborted:
                    hop.data_received(piece)
            hop.connection_lost(None)
            assert not hop.reusable
        return heard

    assert len(asyncio.run(read()).ends) == 1


async def test_an_answer_left_unread_is_never_taken_for_the_next_ones(tmp_path: Path) -> None:
    async def by_path(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            answer = b"for " + (await request_of(reader)).split()[1]
            head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(answer)
            writer.write(head + answer)

    async with serving(tmp_path, by_path) as server:
        client = HttpClient(Origin(socket_path=server.path))
        async with client.request("GET", "/alice") as answer:
            assert answer.status == 200  # and she leaves without reading
        await server.closed.wait()
        server.closed.clear()
        async with client.request("GET", "/bob") as answer:
            assert await answer.read(999) == b"for /bob"
        client.close()
        await server.closed.wait()
