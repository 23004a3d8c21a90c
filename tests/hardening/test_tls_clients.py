"""Clients that never come to speak HTTP, because they stop within TLS."""

import asyncio
import ssl

import pytest

from littoral.web.http import HttpBounds
from littoral.web.tls import server_tls
from tests.certificates import self_signed
from tests.web.raw import PATIENCE_S, echo, get, post, serving

BOUNDS = HttpBounds(head_wait_s=0.1, body_wait_s=0.1, linger_wait_s=0.1)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return self_signed(tmp_path_factory.mktemp("tls"), "localhost")


def hello(certificate: str) -> bytes:
    """What a client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=certificate)
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


async def test_a_handshake_that_does_not_come_to_its_end_is_ended(
    certificate: tuple[str, str],
) -> None:
    first = hello(certificate[0])
    context = server_tls(*certificate)
    async with serving(echo, tls=context, bounds=BOUNDS) as served:
        stopped = (
            b"",
            first[:1],
            first[:40],
            first,
            b"\x16\x03\x01\xff\xff" + b"x" * 1000,
            b"\x00" * 99,
        )
        clients = [await served.client() for _ in stopped]
        for client, data in zip(clients, stopped, strict=True):
            client.writer.write(data)
        trusting = ssl.create_default_context(cafile=certificate[0])
        async with asyncio.timeout(PATIENCE_S):
            good = await served.client(tls=trusting)
            assert (await good.ask(post(b"x"), "POST")).status == 200
            for client in clients:
                assert b"HTTP" not in await client.until_closed()
        assert (await (await served.client(tls=trusting)).ask(get())).status == 200
        assert not served.defects


async def test_slow_heads_and_bodies_end_in_time_within_tls_too(
    certificate: tuple[str, str],
) -> None:
    trusting = ssl.create_default_context(cafile=certificate[0])
    async with serving(echo, tls=server_tls(*certificate), bounds=BOUNDS) as served:
        for data in (b"GET / HT", post(b"x" * 1000)[:-1]):
            client = await served.client(tls=trusting)
            assert (await client.ask(data, "POST")).status == 408
            assert await client.until_closed() == b""
        assert not served.defects
