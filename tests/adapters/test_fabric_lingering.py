"""No socket of the fabric holds up whoever closes it."""

import asyncio
import socket
import struct
from pathlib import Path

from littoral.adapters.fabric.lingering import linger_no_more
from tests.fabric_stand import RealStand

LINGER = struct.pack("ii", 1, 10)


def lingers(one: socket.socket) -> bool:
    return bool(struct.unpack("ii", one.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))[0])


def test_sockets_that_linger_are_found_and_made_not_to() -> None:
    linger_no_more()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as one,
    ):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        assert lingers(one)
        assert linger_no_more() == 1
        assert not lingers(one)
        assert linger_no_more() == 0


def test_pops_that_are_linked_have_no_socket_that_lingers(tmp_path: Path) -> None:
    async def run() -> int:
        stand = RealStand(tmp_path)
        try:
            one, other = await stand.start(1), await stand.start(2)
            await stand.until(lambda: one.sees(other.pop) and other.sees(one.pop))
            return linger_no_more()
        finally:
            await stand.end()

    assert asyncio.run(run()) == 0
