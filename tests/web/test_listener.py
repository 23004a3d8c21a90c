"""Where a server may listen, and over what."""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from littoral.adapters.clock import SystemClock
from littoral.terms.errors import ConfigError, PortInUseError, UnsafeBindError
from littoral.web.http import HttpBounds
from littoral.web.listener import Bind, Server, listening, reserved
from littoral.web.service import Answers
from littoral.web.tls import server_tls
from tests.certificates import self_signed
from tests.web.raw import Client, echo, get, post, serving
from tests.web.test_leaving import Work


def at(bind: Bind, tls: ssl.SSLContext | None = None) -> AbstractAsyncContextManager[Server]:
    return listening(
        Answers(echo), bind, HttpBounds(), clock=SystemClock(), on_defect=lambda _: None, tls=tls
    )


async def test_a_port_in_use_is_named_with_its_address() -> None:
    async with at(Bind()) as first:
        port = first.addresses[0][1]
        with pytest.raises(PortInUseError, match=f"127.0.0.1:{port}"):
            async with at(Bind(port=port)):
                pass


async def test_a_port_is_free_again_once_the_server_has_ended() -> None:
    async with at(Bind()) as first:
        port = first.addresses[0][1]
    async with at(Bind(port=port)) as second:
        assert second.addresses == (("127.0.0.1", port),)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "2001:db8::1"])
async def test_beyond_this_machine_without_tls_is_refused_before_binding(host: str) -> None:
    port = free_port()
    with pytest.raises(UnsafeBindError, match="no TLS"):
        async with at(Bind(host, port)):
            pass
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))


async def test_the_danger_can_be_named() -> None:
    async with at(Bind("0.0.0.0", expose_without_tls=True)) as server:
        assert server.addresses[0][0] == "0.0.0.0"
        assert server.url == f"http://127.0.0.1:{server.addresses[0][1]}"


async def test_localhost_is_every_loopback_address_on_one_port() -> None:
    async with at(Bind("localhost")) as server:
        ports = {port for _, port in server.addresses}
        assert len(ports) == 1
        assert all(ipaddress.ip_address(host).is_loopback for host, _ in server.addresses)


async def test_an_address_of_another_machine_is_a_setting_to_mend() -> None:
    with pytest.raises(ConfigError, match="not an address of this machine"):
        async with at(Bind("192.0.2.7", expose_without_tls=True)):
            pass


async def test_a_name_that_does_not_resolve_is_a_setting_to_mend() -> None:
    with pytest.raises(ConfigError, match="resolved"):
        async with at(Bind("no such host.invalid")):
            pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate for localhost, signed by itself, and its key."""
    return self_signed(tmp_path_factory.mktemp("tls"), "localhost")


async def test_tls_serves_the_same_and_a_client_that_leaves_is_noticed(
    certificate: tuple[str, str],
) -> None:
    trusting = ssl.create_default_context(cafile=certificate[0])
    async with serving(echo, tls=server_tls(*certificate)) as served:
        client = await served.client(tls=trusting)
        assert served.server.url.startswith("https://")
        assert (await client.ask(post(b"x" * 300_000), "POST")).status == 200
        assert (await client.ask(get("/", "Connection: close"))).status == 200
        assert await client.until_closed() == b""
    work = Work()
    async with serving(work.stream, tls=server_tls(*certificate)) as served:
        client = await served.client(tls=trusting)
        await client.send(get())
        await work.begun.wait()
        client.leave()
        await work.stopped.wait()


async def test_a_refusal_over_tls_can_be_read(certificate: tuple[str, str]) -> None:
    trusting = ssl.create_default_context(cafile=certificate[0])
    bounds = HttpBounds(body_bytes_max=10)
    async with serving(echo, tls=server_tls(*certificate), bounds=bounds) as served:
        client = await served.client(tls=trusting)
        client.writer.write(post(b"x" * 8_000_000))
        assert (await client.answer("POST")).status == 413


async def test_plain_http_on_a_tls_port_ends_without_harm(certificate: tuple[str, str]) -> None:
    trusting = ssl.create_default_context(cafile=certificate[0])
    async with serving(echo, tls=server_tls(*certificate)) as served:
        plain = await served.client()
        await plain.send(get())
        assert b"HTTP/1.1 200" not in await plain.until_closed()
        assert (await (await served.client(tls=trusting)).ask(get())).status == 200


def test_a_certificate_that_can_not_be_used_is_a_setting_to_mend(
    certificate: tuple[str, str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        server_tls(str(tmp_path / "none.pem"), certificate[1])
    with pytest.raises(ConfigError, match="can't be used"):
        server_tls(certificate[1], certificate[0])


async def test_an_address_that_is_reserved_is_shared_by_those_who_know_it() -> None:
    async with reserved(Bind(), tls=False) as (bind, url):
        async with at(bind) as first, at(bind) as second:
            assert first.addresses == second.addresses
            assert first.url == url
        async with at(bind) as again:
            assert again.url == url


async def test_an_address_where_others_listen_cannot_be_reserved() -> None:
    async with reserved(Bind(), tls=False) as (bind, _), at(bind):
        with pytest.raises(PortInUseError, match=str(bind.port)):
            async with reserved(Bind(port=bind.port), tls=False):
                pass


async def test_an_address_beyond_this_machine_is_not_reserved_without_tls() -> None:
    with pytest.raises(UnsafeBindError):
        async with reserved(Bind("0.0.0.0"), tls=False):
            pass


def on_file(path: Path) -> AbstractAsyncContextManager[Server]:
    return listening(
        Answers(echo), path, HttpBounds(), clock=SystemClock(), on_defect=lambda _: None
    )


async def test_a_socket_file_is_its_owner_s_alone_and_replaces_a_dead_one(tmp_path: Path) -> None:
    path = tmp_path / "one.sock"
    path.write_text("left by a dead process")
    async with on_file(path):
        assert path.stat().st_mode & 0o777 == 0o600
        client = Client(*await asyncio.open_unix_connection(str(path)))
        assert (await client.ask(get("/here"))).body.startswith(b"GET /here")
        client.leave()


async def test_a_socket_file_of_too_long_a_path_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--home"):
        async with on_file(tmp_path / ("x" * 120)):
            pass


async def test_one_that_is_through_with_tls_when_the_server_has_ended_is_let_go(
    certificate: tuple[str, str],
) -> None:
    trusting = ssl.create_default_context(cafile=certificate[0])
    wrong: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
    async with serving(echo, tls=server_tls(*certificate)) as served:
        slow = await served.client()
        assert (await (await served.client(tls=trusting)).ask(get())).status == 200
        await served.server.close()
        with contextlib.suppress(OSError):
            await slow.writer.start_tls(trusting, server_hostname="localhost")
            slow.writer.write(get())
            assert await slow.reader.read() == b""
    assert not wrong
