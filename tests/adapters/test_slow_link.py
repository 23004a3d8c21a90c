"""A slow link takes its time, carries every byte in order, and tells of the end of either side."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress

import pytest

from littoral.adapters.slow_link import Address, Pace, slow_link
from littoral.terms.errors import ConfigError
from littoral.terms.limits import SLOW_LINK_BYTES_MAX

FAST = Pace(0, 1e9)


@asynccontextmanager
async def echoing() -> AsyncIterator[Address]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError), closing(writer):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    try:
        yield Address("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()


async def asked(link: Address, data: bytes) -> tuple[bytes, float]:
    """What comes back, and after how long it was all there."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection(link.host, link.port)
    began = loop.time()
    writer.write(data)
    writer.write_eof()
    with closing(writer):
        back = await reader.read(-1)
    return back, loop.time() - began


async def test_all_bytes_come_in_order() -> None:
    data = b"".join(number.to_bytes(4, "big") for number in range(200_000))
    async with echoing() as target, slow_link(target, FAST) as link:
        back, _ = await asked(link, data)
    assert back == data


async def test_each_direction_takes_its_delay() -> None:
    async with echoing() as target, slow_link(target, Pace(0.05, 1e9)) as link:
        back, seconds = await asked(link, b"ping")
    assert back == b"ping"
    assert seconds >= 0.1


async def test_no_more_is_carried_than_the_rate_says() -> None:
    async with echoing() as target, slow_link(target, Pace(0, 1_000_000)) as link:
        back, seconds = await asked(link, bytes(300_000))
    assert len(back) == 300_000
    assert seconds >= 0.3


async def test_a_sender_feels_the_pace() -> None:
    async with echoing() as target, slow_link(target, Pace(0, 1_000)) as link:
        _, writer = await asyncio.open_connection(link.host, link.port)
        writer.transport.set_write_buffer_limits(high=1_024)
        piece = bytes(1024 * 1024)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_poured(writer, piece), 0.5)
        writer.transport.abort()
    assert len(piece) > SLOW_LINK_BYTES_MAX


async def test_nobody_at_the_other_end_closes_the_connection() -> None:
    async with echoing() as target:
        gone = target
    async with slow_link(gone, FAST) as link:
        reader, writer = await asyncio.open_connection(link.host, link.port)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()


async def _poured(writer: asyncio.StreamWriter, piece: bytes) -> None:
    for _ in itertools.repeat(None):
        writer.write(piece)
        await writer.drain()


@pytest.mark.parametrize(("delay_s", "rate"), [(-1, 1), (0, 0), (0, -5)])
def test_a_pace_that_is_none_is_refused(delay_s: float, rate: float) -> None:
    with pytest.raises(ConfigError, match="a link"):
        Pace(delay_s, rate)
