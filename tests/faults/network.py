"""Hosts of a test's own on one machine: network namespaces on a bridge, whose links can be cut.

Everything is made inside namespaces (the bridge too), so nothing of the machine's own network is
touched, and all of it is gone when the namespaces are.
"""

import ctypes
import http.client
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["Host", "NEVER_NARROW", "Network", "SUBNET", "UNAVAILABLE", "network"]

SUBNET: Final = "10.77.0.0/24"
BURST_BYTES: Final = 256 * 1024
QUEUE_MS: Final = 60
_CLONE_NEWNET: Final = 0x40000000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*words: str) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")


def _unavailable() -> str:
    """Why there can be no namespaces here; nothing when there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need the command `ip` (package iproute2)"
    probe = f"lt{os.getpid()}-probe"
    made = subprocess.run(
        ["ip", "netns", "add", probe], check=False, capture_output=True, text=True
    )
    if made.returncode:
        return f"network namespaces can't be made here: {made.stderr.strip()}"
    _ip("netns", "del", probe)
    return ""


def _never_narrow() -> str:
    """Why links can't be made narrow here; nothing when they can."""
    if shutil.which("tc") is None:
        return "narrow links need the command `tc` (package iproute2)"
    probe = "tc qdisc replace dev lo root tbf rate 1mbit burst 9kb latency 9ms"
    made = subprocess.run(["unshare", "-n", *probe.split()], check=False, capture_output=True)
    return "this kernel makes no link narrow (sch_tbf)" if made.returncode else ""


UNAVAILABLE: Final = _unavailable()
"""Why there can be no such network here; nothing when there can."""
NEVER_NARROW: Final = UNAVAILABLE or _never_narrow()
"""Why its links can't be made narrow; nothing when they can."""


@dataclass(frozen=True)
class Host:
    """One host: a namespace with one address."""

    name: str
    namespace: str
    address: str

    def command(self, *words: str) -> list[str]:
        """What runs a command there."""
        return ["ip", "netns", "exec", self.namespace, *words]

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread's new sockets are the host's while the context is open."""
        with (
            Path("/proc/thread-self/ns/net").open() as own,
            Path(f"/run/netns/{self.namespace}").open() as there,
        ):
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(own.fileno())

    def ask(
        self,
        port: int,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 20,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Ask the program that listens on this host's loopback."""
        with self.inside():
            connected = socket.create_connection(("127.0.0.1", port), timeout_s)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
        connection.sock = connected
        try:
            data = None if body is None else json.dumps(body).encode()
            fields = {"content-type": "application/json", **(headers or {})}
            connection.request(method, path, data, fields)
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, named, answer.read()
        finally:
            connection.close()

    def json(self, port: int, path: str, headers: Mapping[str, str] | None = None) -> Any:
        """What it answers to a GET."""
        status, _, body = self.ask(port, "GET", path, headers=headers)
        assert status == 200, body
        return json.loads(body)


def _enter(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Network:
    """Hosts on one bridge."""

    def __init__(self, hosts: Mapping[str, Host], hub: str) -> None:
        self.hosts = hosts
        self.hub = hub

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def narrow(self, name: str, mbit: float) -> None:
        """Its link carries so much both ways; what is sent faster waits 60 ms, and then is lost."""
        for namespace, device in ((self[name].namespace, "eth0"), (self.hub, f"to-{name}")):
            bucket = f"rate {mbit:g}mbit burst {BURST_BYTES} latency {QUEUE_MS}ms"
            _run(*f"tc -n {namespace} qdisc replace dev {device} root tbf {bucket}".split())

    def cut(self, name: str) -> None:
        """Nothing reaches this host any more, and nothing leaves it."""
        _ip("-n", self.hub, "link", "set", f"to-{name}", "down")

    def heal(self, name: str) -> None:
        """Its link works again."""
        _ip("-n", self.hub, "link", "set", f"to-{name}", "up")

    def deafen(self, name: str, to: str) -> None:
        """One host's packets to another are lost; those the other way arrive."""
        _ip("-n", self[name].namespace, "route", "add", "blackhole", f"{self[to].address}/32")

    def undeafen(self, name: str, to: str) -> None:
        """They arrive again."""
        _ip("-n", self[name].namespace, "route", "del", "blackhole", f"{self[to].address}/32")


@contextmanager
def network(*names: str) -> Iterator[Network]:
    """So many hosts, each of which reaches every other."""
    prefix = f"lt{os.getpid()}"
    hub = f"{prefix}-hub"
    made: list[str] = []
    hosts: dict[str, Host] = {}
    try:
        _ip("netns", "add", hub)
        made.append(hub)
        _ip("-n", hub, "link", "add", "bridge0", "type", "bridge")
        _ip("-n", hub, "link", "set", "bridge0", "up")
        for number, name in enumerate(names, 1):
            host = Host(name, f"{prefix}-{name}", f"10.77.0.{number}")
            _ip("netns", "add", host.namespace)
            made.append(host.namespace)
            link = f"to-{name}"
            _ip(*("-n", hub, "link", "add", link, "type", "veth"), *("peer", "name", "eth0"))
            _ip("-n", hub, "link", "set", "eth0", "netns", host.namespace)
            _ip("-n", hub, "link", "set", link, "master", "bridge0")
            _ip("-n", hub, "link", "set", link, "up")
            _ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", "eth0")
            for device in ("eth0", "lo"):
                _ip("-n", host.namespace, "link", "set", device, "up")
            hosts[name] = host
        yield Network(hosts, hub)
    finally:
        for namespace in reversed(made):
            _ip("netns", "del", namespace)
