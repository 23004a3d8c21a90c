"""A server that is believed by the name in its certificate, and by nothing else."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from littoral.adapters.http.client import HttpClient
from littoral.adapters.http.line import Dialler, Line
from littoral.adapters.http.watch import Watch
from littoral.adapters.http.words import ConnectFailedError, Origin, Peering
from littoral.terms.errors import IdentityError
from tests.certificates import Authority, member
from tests.web.raw import PATIENCE_S

ONE = member("pop-0000000000000001").name
OTHER = member("pop-0000000000000002").name


class Server:
    """Takes connections, and remembers what came on them."""

    def __init__(self) -> None:
        self.port = 0
        self.heard = b""
        self.connections = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while data := await reader.read(1000):
                self.heard += data
        except OSError:
            pass
        writer.close()


@asynccontextmanager
async def serving(tls: ssl.SSLContext) -> AsyncIterator[Server]:
    server = Server()
    listener = await asyncio.start_server(server.take, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()


async def dial(port: int, name: str, tls: ssl.SSLContext) -> None:
    watch = Watch(asyncio.get_running_loop())
    origin = Origin(host="127.0.0.1", port=port, tls=True)
    hop = await Dialler(origin, watch, None, peering=Peering(name, lambda: tls)).dial(PATIENCE_S)
    hop.abort()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_one_that_shows_its_name_is_believed_at_whatever_address(
    authority: Authority,
) -> None:
    async with serving(authority.server(ONE)) as server:
        await dial(server.port, ONE, authority.client(OTHER))


@pytest.mark.parametrize("names", [(OTHER,), (ONE, OTHER), (), (f"{ONE}/more",)])
async def test_one_that_shows_any_other_gets_no_byte(
    authority: Authority, names: tuple[str, ...]
) -> None:
    async with serving(authority.server(*names)) as server:
        with pytest.raises(ConnectFailedError, match=f"and not {ONE}") as failed:
            await dial(server.port, ONE, authority.client(OTHER))
        assert (names[0] if names else "no name") in str(failed.value)
        assert server.heard == b""


async def test_one_that_another_authority_has_named_is_not_believed(
    authority: Authority, tmp_path: Path
) -> None:
    async with serving(Authority(tmp_path, "stranger").server(ONE)) as server:
        with pytest.raises(ConnectFailedError):
            await dial(server.port, ONE, authority.client(OTHER))


async def test_one_connection_is_opened_ahead_and_no_second(authority: Authority) -> None:
    tasks: set[asyncio.Task[None]] = set()

    def spawn(work: Coroutine[Any, Any, None]) -> None:
        tasks.add(asyncio.get_running_loop().create_task(work))

    async with serving(authority.server(ONE)) as server:
        origin = Origin(host="127.0.0.1", port=server.port, tls=True)
        tls = authority.client(OTHER)
        watch = Watch(asyncio.get_running_loop())
        line = Line(origin, watch, spawn, peering=Peering(ONE, lambda: tls))
        line.warm(PATIENCE_S)
        line.warm(PATIENCE_S)
        await asyncio.gather(*tasks)
        line.warm(PATIENCE_S)
        assert (line.connections_made, len(tasks)) == (1, 1)
        line.close()


async def test_where_no_certificate_can_be_shown_no_connection_is_made(
    authority: Authority,
) -> None:
    def none() -> ssl.SSLContext:
        raise IdentityError("the certificate is gone")

    async with serving(authority.server(ONE)) as server:
        origin = Origin(host="127.0.0.1", port=server.port, tls=True)
        watch = Watch(asyncio.get_running_loop())
        with pytest.raises(ConnectFailedError, match="the certificate is gone"):
            await Dialler(origin, watch, None, peering=Peering(ONE, none)).dial(PATIENCE_S)
        assert not server.connections


async def test_what_is_asked_after_a_renewal_goes_over_a_new_connection(
    authority: Authority,
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    shown = [authority.client(OTHER)]
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=authority.server(ONE))
    origin = Origin(host="127.0.0.1", port=server.sockets[0].getsockname()[1], tls=True)
    client = HttpClient(origin, peering=Peering(ONE, lambda: shown[-1]))

    async def ask() -> int:
        async with client.request("GET", "/", b"") as response:
            await response.read(1)
        return client.connections_made

    assert (await ask(), await ask()) == (1, 1)
    shown.append(authority.client(OTHER))
    assert (await ask(), await ask()) == (2, 2)
    client.close()
    server.close()
