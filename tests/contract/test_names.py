"""One suite that the real fabric and the simulated one pass alike."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from littoral.terms.facts import PopBack, PopGone, RecordRejected
from littoral.trust.records import RecordKind
from tests.fabric_made import Pop
from tests.fabric_stand import RealStand, SimStand

Stand = RealStand | SimStand


@pytest_asyncio.fixture(params=["zenoh", "simulated"])
async def stand(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stand]:
    made: Stand = RealStand(tmp_path / "owner") if request.param == "zenoh" else SimStand()
    yield made
    await made.end()


async def test_what_is_said_reaches_everybody_and_whoever_comes_late(stand: Stand) -> None:
    first, second = await stand.start(1), await stand.start(2)
    await stand.until(lambda: first.sees(second.pop) and second.sees(first.pop))
    for _ in range(20):
        latest = first.say()
    await stand.until(lambda: second.seq_of(first.pop) == latest)
    late = await stand.start(3)
    await stand.until(lambda: late.seq_of(first.pop) == latest)
    everybody = (first, second, late)
    await stand.until(
        lambda: all(one.sees(two.pop) for one in everybody for two in everybody if one is not two)
    )
    await stand.until(lambda: [each.names.linked() for each in everybody] == [2, 2, 2])
    latest = late.say("m")
    await stand.until(lambda: first.seq_of(late.pop) == second.seq_of(late.pop) == latest)
    assert all(each.pop.id not in each.view.fleet.pops for each in everybody)


async def test_what_was_said_before_it_was_opened_is_heard_as_well(stand: Stand) -> None:
    first, second = await stand.start(1), await stand.start(2, early=True)
    latest = second.say()
    await stand.until(lambda: first.seq_of(second.pop) == latest)


async def test_one_that_leaves_is_gone_and_one_that_comes_back_is_back(stand: Stand) -> None:
    first, second = await stand.start(1), await stand.start(2)
    await stand.until(lambda: first.sees(second.pop))
    await second.names.close()
    await stand.until(lambda: not first.sees(second.pop))
    assert PopGone(second.pop.id, "left") in first.facts
    again = await stand.start(2, boot=2)
    await stand.until(lambda: first.sees(second.pop))
    await stand.until(lambda: getattr(first.state_of(again.pop), "boot", 0) == 2)
    assert PopBack(second.pop.id) in first.facts


async def test_one_that_crashes_is_gone(stand: Stand) -> None:
    first, second = await stand.start(1), await stand.start(2)
    third = await stand.start_apart(3)
    await stand.until(lambda: first.sees(third) and second.sees(third))
    await stand.kill(third)
    await stand.until(lambda: not first.sees(third) and not second.sees(third))
    assert first.sees(second.pop)


async def test_one_that_is_opened_anew_never_seems_to_leave(stand: Stand) -> None:
    seed, other, third = await stand.start(1), await stand.start(2), await stand.start(3)
    await stand.until(
        lambda: seed.sees(third.pop) and third.sees(seed.pop) and other.sees(seed.pop)
    )
    for renewed in (seed, other):
        await stand.renew(renewed)
        latest = renewed.say()
        rest = [each for each in (seed, other, third) if each is not renewed]
        await stand.until(lambda: all(each.seq_of(renewed.pop) == latest for each in rest))  # noqa: B023
        answer = third.say()
        await stand.until(lambda: renewed.seq_of(third.pop) == answer)  # noqa: B023
    late = await stand.start(4)
    await stand.until(lambda: late.sees(seed.pop) and late.sees(other.pop) and late.sees(third.pop))
    for each in (seed, other, third):
        assert not [fact for fact in each.facts if isinstance(fact, PopGone)]


async def test_what_is_said_in_the_name_of_another_is_rejected(stand: Stand) -> None:
    first, liar = await stand.start(1), await stand.start(2)
    await stand.until(lambda: first.sees(liar.pop))
    victim = Pop(3)
    forged = victim.topic()
    liar.names.say(forged, liar.pop.state(99))
    liar.names.say(victim.topic(RecordKind.CARD), b"noise")
    latest = liar.say()
    await stand.until(lambda: first.seq_of(liar.pop) == latest)
    await stand.until(lambda: RecordRejected(forged, "misplaced", 1) in first.facts)
    assert set(first.view.fleet.pops) == {liar.pop.id}
