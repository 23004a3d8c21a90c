"""Certificates that live for seconds: renewals go unnoticed, and those that miss one come back.

The first machine of the owner is killed at the end, and the others go on without it.
"""

from collections.abc import Iterator
from typing import Final

import pytest

from tests.faults.conftest import Measured
from tests.faults.network import UNAVAILABLE, network
from tests.faults.pops import Fabric, Pop, Stream, fabric, until

pytestmark = pytest.mark.skipif(bool(UNAVAILABLE), reason=UNAVAILABLE)

LIFE_S: Final = 9
WORLD: Final = {"LEAF_S": LIFE_S, "CLOCK_SKEW_S": 1, "RENEW_RETRY_S": 0.4, "FLEET_CHECK_S": 1.0}
"""A certificate is renewed when it is four seconds old."""


@pytest.fixture(scope="module")
def pops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fabric]:
    """The first PoP, another that may issue, and one that may not and has the model."""
    with (
        network("first", "issuer", "member", "late") as hosts,
        fabric(tmp_path_factory.mktemp("certificates"), hosts) as made,
    ):
        first = made.found("first", strangely=WORLD)
        made.joined("issuer", by=first, strangely=WORLD)
        member = made.start(
            "member", "join", first.invite(issuer=False), models=("far",), strangely=WORLD
        )
        member.ready()
        made.settled()
        yield made


def left_s(pop: Pop) -> int:
    """Seconds until its certificate runs out."""
    return int(pop.row(pop)["certificate_left_s"])


def gave(pop: Pop, what: str) -> float:
    """How many certificates it has given, `renewed` or `returned`."""
    return pop.metric("littoral_membership_total", outcome=what)


def given(pops: Fabric, what: str) -> float:
    return sum(gave(pop, what) for pop in (pops["first"], pops["issuer"]))


def test_renewals_break_off_no_answer(pops: Fabric) -> None:
    first, member = pops["first"], pops["member"]
    before = given(pops, "renewed")
    stream = Stream(first, tokens=950, interval_ms=10)
    stream.read_events(1)
    assert b"littoral-receipt" in stream.read_rest()
    assert given(pops, "renewed") > before, "the one that it began with has run out"
    assert left_s(member) > 0
    for pop in pops.pops.values():
        assert "can't be renewed" not in pop.said()


def test_one_whose_certificate_has_run_out_is_out_and_comes_back_by_its_key(
    pops: Fabric, measured: Measured
) -> None:
    first, member = pops["first"], pops["member"]
    before = given(pops, "returned")
    with member.frozen():
        until(lambda: "reach" in first.row(member) and not first.row(member)["url"])
        first.until_said(member.id, "its certificate has run out")
        assert first.chat()[0] != 200
    back_s = until(lambda: first.reaches(member) and member.reaches(first))
    until(lambda: given(pops, "returned") == before + 1)
    until(
        lambda: any(
            "is back: its certificate had run out" in pop.said() for pop in (first, pops["issuer"])
        )
    )
    until(lambda: first.chat()[0] == 200)
    measured("back", back_s)


def test_without_the_first_machine_all_goes_on_and_others_join_and_renew(
    pops: Fabric, measured: Measured
) -> None:
    first, issuer, member = pops["first"], pops["issuer"], pops["member"]
    first.kill()
    gone_s = until(lambda: not issuer.reaches(first) and not member.reaches(first))
    measured("seen", gone_s)
    assert gone_s < 1
    for pop in (issuer, member):
        pop.until_said(first.id, "is gone (it left, or nothing reaches it)")
    until(lambda: issuer.chat()[0] == 200)
    renewed = gave(issuer, "renewed")
    late = pops.start("late", "join", issuer.invite(), strangely=WORLD)
    late.ready()
    pops.settled()
    until(lambda: late.chat()[0] == 200)
    until(lambda: gave(issuer, "renewed") > renewed, what="the member renews at the issuer")
    assert left_s(member) > 0
    pops.found("first", strangely=WORLD)
    back_s = until(lambda: late.reaches(pops["first"]) and member.reaches(pops["first"]))
    measured("back after a restart", back_s)
