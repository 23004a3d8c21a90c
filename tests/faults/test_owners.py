"""A PoP of another owner: it is nobody here until it is let in, and then it is seen at once."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from littoral.adapters.owner import FabricFiles
from littoral.adapters.owner.tls import client_context
from littoral.terms.ids import OwnerId
from littoral.web.fabric import FABRIC
from tests.faults.conftest import Measured
from tests.faults.network import UNAVAILABLE, network
from tests.faults.pops import FAR, Fabric, Pop, fabric, until

pytestmark = pytest.mark.skipif(bool(UNAVAILABLE), reason=UNAVAILABLE)

FABRIC_PORT, STATE_PORT = 7401, 7402


@pytest.fixture(scope="module")
def pops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fabric]:
    """The first PoPs of two owners, each of whom has the other's address."""
    with (
        network("ours", "theirs") as hosts,
        fabric(tmp_path_factory.mktemp("owners"), hosts) as made,
    ):
        ours = made.found("ours")
        theirs = made.found("theirs", models=(FAR,))
        for pop in (ours, theirs):
            pop.invite()
        yield made


def owner_of(pop: Pop) -> OwnerId:
    (own,) = (row["owner"] for row in pop.shown()["owners"] if row["own"])
    return OwnerId(own)


def admit(pop: Pop, other: Pop) -> None:
    """Let another owner ask and serve, at the address of its PoP."""
    _, _, root = other.ask("GET", f"{FABRIC}/owners/own")
    wanted = {
        "root_pem": root["root_pem"],
        "may_ask": True,
        "may_serve": True,
        "addresses": [f"{other.host.address}:{STATE_PORT}"],
    }
    status, _, shown = pop.ask("POST", f"{FABRIC}/owners", wanted)
    assert status == 200, shown


def answered(source: Pop, target: Pop) -> bytes:
    """What the one's listener for PoPs answers to the other, with its own certificate."""
    context = client_context(FabricFiles(source.home), owner_of(target))
    with source.host.inside():
        plain = socket.create_connection((target.host.address, FABRIC_PORT), 10)
    with contextlib.suppress(OSError), context.wrap_socket(plain) as connection:
        connection.sendall(b"GET /fabric/ping HTTP/1.1\r\nhost: x\r\n\r\n")
        return connection.recv(1000)
    return b""


def test_one_that_was_not_let_in_is_refused_and_told_of(pops: Fabric) -> None:
    ours, theirs = pops["ours"], pops["theirs"]
    admit(theirs, ours)  # so it dials, and believes us
    assert answered(theirs, ours) == b""
    ours.until_said("refused", "certificate")
    assert not ours.row(theirs)
    assert not theirs.row(ours).get("url")
    assert ours.chat()[0] == 404
    assert ours.metric("littoral_fabric_records_rejected_total") == 0


def test_once_it_is_let_in_it_is_seen_and_answers(pops: Fabric, measured: Measured) -> None:
    ours, theirs = pops["ours"], pops["theirs"]
    admit(ours, theirs)
    seen_s = until(lambda: ours.reaches(theirs) and theirs.reaches(ours))
    measured("seen", seen_s)
    for pop, who in ((ours, theirs), (theirs, ours)):
        pop.until_said(who.id, "is in the fabric")
    until(lambda: ours.chat()[0] == 200)
    assert answered(theirs, ours).startswith(b"HTTP/1.1 200")
