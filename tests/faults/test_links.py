"""Links that are cut and healed, machines that freeze: who is seen when, and where requests go."""

from collections.abc import Iterator

import pytest

from tests.faults.conftest import Measured
from tests.faults.network import UNAVAILABLE, network
from tests.faults.pops import Fabric, Pop, Stream, fabric, until

pytestmark = pytest.mark.skipif(bool(UNAVAILABLE), reason=UNAVAILABLE)

SEEN_S = 3.0
"""Within which a link that was cut, or a machine that is frozen, is seen to be gone, or back."""
SLACK = 2.0
"""For a machine that does much else."""


@pytest.fixture(scope="module")
def pops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fabric]:
    """A gateway that has no model, and two PoPs that have it."""
    with (
        network("gateway", "one", "other") as hosts,
        fabric(tmp_path_factory.mktemp("links"), hosts) as made,
    ):
        gateway = made.found("gateway")
        made.joined("one", "other", by=gateway, models=("far",))
        yield made


@pytest.fixture(autouse=True)
def whole(pops: Fabric) -> None:
    """Each test begins with a fabric in which all reach each other."""
    pops.settled()
    for pop in pops.pops.values():
        pop.forget()


def asked(gateway: Pop, one: Pop, other: Pop, times: int) -> tuple[float, float]:
    """How many of so many requests went to the one, and to the other; all were answered."""
    before = one.served(), other.served()
    for _ in range(times):
        assert gateway.chat()[0] == 200
    return one.served() - before[0], other.served() - before[1]


def test_a_link_that_is_cut_is_seen_and_requests_go_elsewhere_until_it_is_healed(
    pops: Fabric, measured: Measured
) -> None:
    gateway, one, other = pops["gateway"], pops["one"], pops["other"]
    with pops.cut(one):
        gone_s = until(lambda: not gateway.reaches(one) and not other.reaches(one))
        assert gone_s < SEEN_S * SLACK
        assert asked(gateway, other, one, 5) == (5, 0)
        until(lambda: not one.reaches(gateway))
        assert one.chat()[0] == 200, "it serves its own clients meanwhile"
    back_s = until(lambda: gateway.reaches(one) and one.reaches(gateway) and other.reaches(one))
    assert back_s < SEEN_S * SLACK
    for pop, who in ((gateway, one), (other, one), (one, gateway)):
        pop.until_said(who.id, "is gone")
        pop.until_said(who.id, "is back")
    until(lambda: asked(gateway, one, other, 4)[0] > 0, what="it is asked again")
    measured("gone", gone_s)
    measured("back", back_s)


def test_a_request_that_waits_at_a_cut_link_is_answered_by_another(pops: Fabric) -> None:
    gateway, one, other = pops["gateway"], pops["one"], pops["other"]
    stream = Stream(gateway, tokens=1, interval_ms=500)
    until(lambda: one.works() or other.works())
    at, rest = (one, other) if one.works() else (other, one)
    before = rest.served()
    with pops.cut(at):
        assert b"littoral-receipt" in stream.read_rest()
        assert rest.served() == before + 1


def test_who_is_heard_and_not_answered_is_gone_on_both_sides(
    pops: Fabric, measured: Measured
) -> None:
    gateway, one, other = pops["gateway"], pops["one"], pops["other"]
    with pops.deafened(one, gateway):
        gone_s = until(lambda: not gateway.reaches(one) and not one.reaches(gateway))
        assert gone_s < SEEN_S * SLACK
        assert other.reaches(one)
        assert other.reaches(gateway)
        # The other one may pass on to it, as nothing is between those two.
        assert sum(asked(gateway, other, one, 4)) == 4
    back_s = until(lambda: gateway.reaches(one) and one.reaches(gateway))
    for pop, who in ((gateway, one), (one, gateway)):
        pop.until_said(who.id, "is gone")
        pop.until_said(who.id, "is back")
    measured("gone", gone_s)
    measured("back", back_s)


def test_what_a_frozen_machine_was_asked_goes_elsewhere_before_the_first_byte(
    pops: Fabric, measured: Measured
) -> None:
    gateway, one, other = pops["gateway"], pops["one"], pops["other"]
    before = other.served()
    with one.frozen():
        streams = [Stream(gateway, tokens=3, interval_ms=1) for _ in range(6)]
        gone_s = until(lambda: not gateway.reaches(one))
        assert gone_s < SEEN_S * SLACK
        for stream in streams:
            assert b"littoral-receipt" in stream.read_rest()
        assert other.served() == before + 6
    back_s = until(lambda: gateway.reaches(one) and one.reaches(gateway))
    assert back_s < SEEN_S * SLACK
    gateway.until_said(one.id, "is gone")
    gateway.until_said(one.id, "is back")
    measured("gone", gone_s)
    measured("back", back_s)


def test_an_answer_that_had_begun_when_its_machine_froze_ends_with_an_honest_error(
    pops: Fabric, measured: Measured
) -> None:
    gateway, one, other = pops["gateway"], pops["one"], pops["other"]
    stream = Stream(gateway)
    stream.read_events(3)
    until(lambda: one.works() or other.works())
    at = one if one.works() else other
    with at.frozen():
        ended_s = until(lambda: bool(stream.read_rest()))
    assert ended_s < SEEN_S * SLACK
    assert b'"error"' in stream.text
    assert f"{at.id} is gone".encode() in stream.text
    assert b"littoral-receipt" not in stream.text
    until(lambda: not at.works(), what="nobody waits for it any more")
    measured("told", ended_s)


def test_a_drained_pop_gets_nothing_new_and_ends_what_it_has(pops: Fabric) -> None:
    gateway, one, other = pops["gateway"], pops["one"], pops["other"]
    stream = Stream(gateway, tokens=150, interval_ms=10)
    stream.read_events(1)
    at, rest = (one, other) if one.works() else (other, one)
    gateway.say("drain", at)
    assert asked(gateway, rest, at, 5) == (5, 0)
    assert b"littoral-receipt" in stream.read_rest()
    gateway.until_said(at.id, "is drained")
    gateway.say("approve", at)
    until(lambda: asked(gateway, at, rest, 3)[0] > 0, what="it is asked again")
