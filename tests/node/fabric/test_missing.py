"""Who is gone and answers all the same is dialled, by one of the two first, and ever less often."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from littoral.node.fabric.missing import Missing
from littoral.routing.fleet import Fleet, Known, PopState
from littoral.terms.errors import InternalError, UpstreamFailedError
from littoral.terms.ids import PopId
from littoral.terms.limits import LINKS_AT_ONCE, MISSING_ASK_S
from littoral.terms.values import SECOND, Instant
from tests.adapters.owner.made import SetClock
from tests.routing.pops import member, name

ME, OTHER = name(1), name(2)


class Stand:
    """One that misses another, as long as that is so."""

    def __init__(self, here: PopId = ME, other: int = 2) -> None:
        state = PopState(name(other), 1, 1, url="https://other", state_address="192.0.2.1:7402")
        self.known = Known(member(other), state, Instant(0), alive=False)
        self.clock = SetClock()
        self.answers = True
        self.asked = 0
        self.opened: list[Sequence[str]] = []
        self.fails = False
        self.missing = Missing(here, self.fleet, self.ping, self.reopen, self.clock)

    def fleet(self) -> Fleet:
        return Fleet({self.known.state.pop: self.known})

    async def ping(self, known: Known) -> None:
        assert known is self.known
        self.asked += 1
        if not self.answers:
            raise UpstreamFailedError("nothing comes back")

    async def reopen(self, seeds: Sequence[str]) -> None:
        self.opened.append(tuple(seeds))
        if self.fails:
            raise InternalError("it does not open in time")

    async def after(self, seconds: float) -> None:
        self.clock.passed += seconds
        await self.missing.look_once()


@pytest.fixture
def stand() -> Stand:
    return Stand()


async def test_who_answers_is_dialled_once_its_link_had_time_to_come_back(stand: Stand) -> None:
    await stand.after(0)
    await stand.after(MISSING_ASK_S * 0.9)
    assert (stand.asked, stand.opened) == (0, [])
    await stand.after(MISSING_ASK_S * 0.1)
    assert stand.opened == [("192.0.2.1:7402",)]


async def test_of_two_that_miss_each_other_the_lower_name_dials_first() -> None:
    stand = Stand(here=OTHER, other=1)
    await stand.after(0)
    await stand.after(MISSING_ASK_S)
    assert stand.opened == []
    await stand.after(MISSING_ASK_S)
    assert len(stand.opened) == 1


async def test_who_does_not_answer_is_asked_ever_less_often_and_nothing_is_opened(
    stand: Stand,
) -> None:
    stand.answers = False
    await stand.after(0)
    for _ in range(600):
        await stand.after(1.0)
    assert stand.opened == []
    assert 6 <= stand.asked <= 10
    stand.answers = True
    for _ in range(600):
        await stand.after(1.0)
    assert 1 <= len(stand.opened) <= 3


async def test_who_is_back_is_asked_nothing_and_begins_anew_when_it_is_gone_again(
    stand: Stand,
) -> None:
    await stand.after(0)
    await stand.after(MISSING_ASK_S)
    stand.known = replace(stand.known, alive=True)
    await stand.after(60)
    assert len(stand.opened) == 1
    stand.known = replace(stand.known, alive=False)
    await stand.after(0)
    assert len(stand.opened) == 1
    await stand.after(MISSING_ASK_S)
    assert len(stand.opened) == 2


async def test_a_fabric_that_does_not_open_is_tried_again_later(stand: Stand) -> None:
    stand.fails = True
    await stand.after(0)
    await stand.after(MISSING_ASK_S)
    await stand.after(MISSING_ASK_S * 0.5)
    assert len(stand.opened) == 1
    await stand.after(MISSING_ASK_S * 0.5)
    assert len(stand.opened) == 2
    assert Instant(int(2 * MISSING_ASK_S * SECOND)) == stand.clock.now()


async def test_those_of_a_silent_site_are_asked_at_once_and_keep_nobody_waiting() -> None:
    gone = []
    for number in range(2, 2 + LINKS_AT_ONCE):
        state = PopState(name(number), 1, 1, url="https://x", state_address=f"192.0.2.{number}:1")
        gone.append(Known(member(number), state, Instant(0), alive=False))
    all_asked = asyncio.Barrier(LINKS_AT_ONCE)
    clock, opened = SetClock(), list[Sequence[str]]()

    async def ping(known: Known) -> None:
        await all_asked.wait()  # forever, where one is asked after the other
        if known is not gone[-1]:
            raise UpstreamFailedError("nothing comes back")

    async def reopen(seeds: Sequence[str]) -> None:
        opened.append(tuple(seeds))

    fleet = Fleet({known.state.pop: known for known in gone})
    missing = Missing(ME, lambda: fleet, ping, reopen, clock)
    await missing.look_once()
    clock.passed += MISSING_ASK_S
    await missing.look_once()
    assert opened == [(gone[-1].state.state_address,)]
