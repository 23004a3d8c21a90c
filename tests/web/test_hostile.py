"""Hostile and numerous clients: always an answer or an end, and nobody else is disturbed."""

import asyncio
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from littoral.web.http import HttpBounds
from tests.web.raw import PATIENCE_S, Client, Served, chunked, echo, get, post, serving

PIECES = st.one_of(
    st.sampled_from(
        [
            get("/a"), post(b"hello"), chunked(b"one", b"two", trailers=b"X: y\r\n"),
            b"GET / HTTP/1.1\r\n", b"Host: a\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\x00",
            b"Content-Length: 10\r\n", b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n",
            b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"Expect: 100-continue\r\n",
            b"Connection: close\r\n",
        ]
    ),
    st.binary(max_size=60),
)  # fmt: skip


@st.composite
def transmissions(draw: st.DrawFn) -> list[bytes]:
    """What one client sends, packet by packet."""
    data = b"".join(draw(st.lists(PIECES, min_size=1, max_size=8)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        data = data[:at] + draw(st.binary(max_size=2)) + data[at + draw(st.integers(0, 2)) :]
    cut = draw(st.integers(0, len(data)))
    return [data[:cut], data[cut:]]


async def send_all(client: Client, packets: list[bytes]) -> bytes:
    """Send what can be sent, and read until the server closes."""
    for packet in packets:
        client.writer.write(packet)
        await asyncio.sleep(0)
    return await client.until_closed()


def check_answers(data: bytes) -> None:
    """Everything that came is a sequence of whole answers."""
    while data:
        ours = h11.Connection(h11.CLIENT)
        ours.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
        ours.send(h11.EndOfMessage())
        ours.receive_data(data)
        while (event := ours.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.EndOfMessage):
                break
        assert event is not h11.NEED_DATA, data
        data = ours.trailing_data[0]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(transmissions(), min_size=1, max_size=12))
async def test_whatever_is_sent_is_answered_or_closed_and_leaves_nothing(
    clients: list[list[bytes]],
) -> None:
    bounds = HttpBounds(head_wait_s=0.02, body_wait_s=0.02, idle_wait_s=0.02, write_wait_s=1.0)
    async with serving(echo, bounds=bounds) as served:
        received = await asyncio.gather(
            *[send_all(await served.client(), packets) for packets in clients]
        )
        assert (await (await served.client()).ask(get())).status == 200
        assert not served.defects
    assert served.server._service.bodies_bytes == 0
    for data in received:
        check_answers(data)


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process open as many files as it ever may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def reach(served: Served, connections: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while served.server.connections != connections:
            await asyncio.sleep(0)


async def test_two_thousand_idle_connections_cost_little_and_disturb_nobody(
    many_files: None,
) -> None:
    count = 2000
    bounds = HttpBounds(idle_wait_s=60, head_wait_s=0.05)
    async with serving(echo, bounds=bounds) as served:
        before = resident_bytes()
        idle: list[socket.socket] = []
        for start in range(0, count, 500):
            idle += [socket.create_connection((served.host, served.port)) for _ in range(500)]
            await reach(served, start + 500)
        # Measured at under 2 KB, of which the client's half is a part.
        assert (resident_bytes() - before) / count < 16 * 1024
        client = await served.client()
        assert (await client.ask(get())).status == 200
        slow = await served.client()
        assert (await slow.ask(b"GET / HT")).status == 408
        for each in idle:
            each.close()
        await reach(served, 1)


OPENER = """
import resource, socket, sys
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
opened = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(64)]
print("open", flush=True)
sys.stdin.read()
"""


async def test_the_server_outlives_a_shortage_of_file_descriptors(many_files: None) -> None:
    async with serving(echo) as served:
        client = await served.client()
        assert (await client.ask(get())).status == 200
        command = [sys.executable, "-c", OPENER, str(served.port)]
        opener = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files() + 8, hard))
        try:
            assert opener.stdout is not None
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(PATIENCE_S):
                assert await loop.run_in_executor(None, opener.stdout.readline) == b"open\n"
            assert (await client.ask(get())).status == 200
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            opener.communicate()
        await reach(served, 1)
        assert (await (await served.client()).ask(get())).status == 200
