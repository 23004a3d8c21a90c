"""A PoP whose disk is full: it says so, others answer, and it is asked again once there is room."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from littoral.web.fabric import FABRIC
from tests.faults.conftest import Measured
from tests.faults.network import UNAVAILABLE, network
from tests.faults.pops import FAR, Fabric, Pop, Stream, fabric, until

pytestmark = pytest.mark.skipif(bool(UNAVAILABLE), reason=UNAVAILABLE)

SMALL_DISK: Final = 'cp -a "$0" "$0.own" && mount -t tmpfs -o size=48m none "$0" && '
ON_SMALL_DISK: Final = SMALL_DISK + 'cp -a "$0.own/." "$0" && exec "$@"'
"""Runs a command on a home that is a disk of its own; the mount is the host's alone."""


@pytest.fixture(scope="module")
def pops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fabric]:
    """A gateway that has no model, and two PoPs that have it, one of them on a small disk."""
    folder = tmp_path_factory.mktemp("disks")
    with network("gateway", "small", "other") as hosts, fabric(folder, hosts) as made:
        gateway = made.found("gateway")
        made.joined("other", by=gateway, models=(FAR,))
        around = ("sh", "-c", ON_SMALL_DISK, str(made.home("small")))
        made.joined("small", by=gateway, models=(FAR,), around=around)
        made.settled()
        yield made


def filled(folder: Path) -> Path:
    """A file that takes all the room there is."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert shutil.disk_usage(folder).free == 0
    return filler


def ruled_out(gateway: Pop, pop: Pop) -> bool:
    """Whether it is known there to take nothing new."""
    status, _, shown = gateway.ask("POST", f"{FABRIC}/route", {"model": FAR, "prompt": "x"})
    assert status == 200, shown
    return any(pop.id in line and "no new requests" in line for line in shown["ruled_out"])


def test_a_full_disk_sends_requests_elsewhere_until_there_is_room(
    pops: Fabric, measured: Measured
) -> None:
    gateway, small, other = pops["gateway"], pops["small"], pops["other"]
    filler = filled(small.inside)
    for _ in range(8):
        assert gateway.chat()[0] == 200, "what the full one gives has no receipt, and is not taken"
    status, _, answer = small.chat()
    assert (status, answer["error"]["code"]) == (503, "disk_short")
    small.until_said("receipts can not be kept (full)")
    until(lambda: small.ask("GET", "/readyz")[0] == 503)
    told_s = until(lambda: ruled_out(gateway, small))
    measured("told to others", told_s)
    before = small.served()
    for _ in range(5):
        assert b"littoral-receipt" in Stream(gateway, tokens=3, interval_ms=1).read_rest()
    assert small.served() == before
    assert gateway.reaches(small)
    filler.unlink()
    back_s = until(lambda: not ruled_out(gateway, small))
    measured("taken back", back_s)
    small.until_said("receipts can be kept again")
    assert small.chat()[0] == 200
    until(lambda: gateway.chat()[0] == 200 and small.served() > before, what="it is asked again")
    assert other.chat()[0] == 200
