"""Links of known rates on one machine: an origin and PoPs, each in a namespace on a bridge.

Both directions of every link are shaped with `tc tbf`. Towards a host its queue holds 60 ms: what
comes faster waits, and then is lost, as at a router. From a host nothing is lost, as at an
interface of that rate: what TCP loses in its own machine is no congestion to it, and a stream that
starts then waits for seconds. All use cubic, the usual congestion control, whatever the machine
prefers. Nothing of the machine's own network is touched.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from bench.stand.native import StandError
from tests.faults.network import SUBNET, UNAVAILABLE, Host, Network, network

__all__ = ["Lab", "lab", "shaped", "unavailable"]

ORIGIN: Final = "origin"
BURST_BYTES: Final = 256 * 1024
QUEUE_MS: Final = 60
HEADERS_BYTES: Final = 14 + 20 + 32
"""Of Ethernet, IP and TCP with its time stamps, before what the kernel sends in one go."""
OWN_QUEUE_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Lab:
    """An origin and PoPs that reach each other over links of these rates."""

    hosts: Network
    pops: tuple[Host, ...]

    @property
    def origin(self) -> Host:
        """Where everything comes from."""
        return self.hosts[ORIGIN]

    def sent_bytes(self, host: Host) -> int:
        """What has left a host, what was sent twice included, without the headers of TCP/IP."""
        words = ["ip", "-n", host.namespace, "-s", "-j", "link", "show", "eth0"]
        (link,) = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
        sent = link["stats64"]["tx"]
        return int(sent["bytes"]) - HEADERS_BYTES * int(sent["packets"])


def unavailable() -> str:
    """Why there can be no lab here; nothing when there can."""
    if UNAVAILABLE:
        return UNAVAILABLE
    return "" if shutil.which("tc") else "shaped links need the command `tc` (package iproute2)"


@contextmanager
def lab(origin_mbit: float, pops_mbit: Sequence[float]) -> Iterator[Lab]:
    """An origin and PoPs with links of these rates, each the same both ways.

    Raises:
        StandError: the links can't be shaped here.
    """
    names = [f"p{number}" for number in range(len(pops_mbit))]
    with shaped(dict(zip([ORIGIN, *names], [origin_mbit, *pops_mbit], strict=True))) as made:
        yield made


@contextmanager
def shaped(rates: Mapping[str, float]) -> Iterator[Lab]:
    """Hosts with links of these rates, in Mbit/s, by their names; all but the origin are PoPs.

    Raises:
        StandError: the links can't be shaped here.
    """
    with network(*rates) as hosts:
        for name, mbit in rates.items():
            host = hosts[name]
            _shape(host.namespace, "eth0", mbit, f"limit {OWN_QUEUE_BYTES}")
            _shape(hosts.hub, f"to-{name}", mbit, f"latency {QUEUE_MS}ms")
            route = f"ip -n {host.namespace} route change {SUBNET} dev eth0 congctl cubic"
            _run(*route.split())
        yield Lab(hosts, tuple(hosts[name] for name in rates if name != ORIGIN))


def _shape(namespace: str, device: str, mbit: float, queue: str) -> None:
    bucket = f"rate {mbit:g}mbit burst {BURST_BYTES} {queue}"
    _run(*f"tc -n {namespace} qdisc replace dev {device} root tbf {bucket}".split())


def _run(*words: str) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        raise StandError(f"{' '.join(words)}: {done.stderr.strip()}")
