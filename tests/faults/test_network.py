"""The hosts that fault tests stand on do what their names say."""

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.faults.network import UNAVAILABLE, Host, Network, network

pytestmark = pytest.mark.skipif(bool(UNAVAILABLE), reason=UNAVAILABLE)

ECHO = """
import socket
server = socket.create_server(("", 7))
print("ready", flush=True)
while True:
    connection, _ = server.accept()
    connection.sendall(b"here")
    connection.close()
"""


@pytest.fixture
def hosts() -> Iterator[Network]:
    with network("a", "b") as made:
        server = subprocess.Popen(
            made["b"].command(sys.executable, "-c", ECHO), stdout=subprocess.PIPE
        )
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        try:
            yield made
        finally:
            server.kill()
            server.communicate()


def reached(source: Host, target: Host) -> bool:
    with source.inside():
        try:
            with socket.create_connection((target.address, 7), 0.5) as connection:
                return connection.recv(4) == b"here"
        except OSError:
            return False


def test_hosts_reach_each_other_until_a_link_is_cut_and_again_once_it_is_healed(
    hosts: Network,
) -> None:
    assert reached(hosts["a"], hosts["b"])
    hosts.cut("b")
    assert not reached(hosts["a"], hosts["b"])
    hosts.heal("b")
    assert any(reached(hosts["a"], hosts["b"]) for _ in range(10))


def test_a_host_can_be_made_deaf_to_one_other(hosts: Network) -> None:
    hosts.deafen("b", "a")
    assert not reached(hosts["a"], hosts["b"])
    hosts.undeafen("b", "a")
    assert any(reached(hosts["a"], hosts["b"]) for _ in range(10))
