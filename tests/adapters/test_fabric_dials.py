"""PoPs that can't be dialled, in the state of the fabric."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest_asyncio

from tests.fabric_made import Pop
from tests.fabric_stand import RealStand, Standing


@pytest_asyncio.fixture
async def stand(tmp_path: Path) -> AsyncIterator[RealStand]:
    made = RealStand(tmp_path / "owner")
    yield made
    await made.end()


async def dials(stand: RealStand, number: int) -> Standing:
    """One that nobody can dial."""
    place = replace(stand.place(Pop(number)), listens=False, port=0)
    return await stand.start(number, place=place)


async def until_seen(stand: RealStand, *standing: Standing) -> None:
    """Each says something new, and all others have it."""
    said = {each.pop.id: each.say() for each in standing}
    await stand.until(
        lambda: all(
            one.sees(other.pop) and one.seq_of(other.pop) == said[other.pop.id]
            for one in standing
            for other in standing
            if one is not other
        )
    )


async def test_they_and_all_others_hear_each_other(stand: RealStand) -> None:
    seed, other = await stand.start(1), await stand.start(2)
    await until_seen(stand, seed, other, await dials(stand, 3), await dials(stand, 4))


async def test_they_are_heard_when_the_one_that_they_came_by_goes(stand: RealStand) -> None:
    seed, other = await stand.start(1), await stand.start(2)
    one, two = await dials(stand, 3), await dials(stand, 4)
    await until_seen(stand, seed, other, one, two)
    await seed.names.close()
    await stand.until(lambda: not any(each.sees(seed.pop) for each in (other, one, two)))
    await until_seen(stand, other, one, two)


async def test_they_begin_before_anybody_is_there(stand: RealStand) -> None:
    place = stand.place(Pop(1))
    early = replace(stand.place(Pop(3)), listens=False, port=0, seeds=(f"127.0.0.1:{place.port}",))
    one = await stand.start(3, place=early)
    await until_seen(stand, await stand.start(1, place=place), one)


async def test_they_are_there_throughout_a_renewal(stand: RealStand) -> None:
    seed, one, two = await stand.start(1), await dials(stand, 3), await dials(stand, 4)
    await until_seen(stand, seed, one, two)
    await stand.renew(one)
    await until_seen(stand, seed, one, two)
    assert not [fact for fact in seed.facts if type(fact).__name__ == "PopGone"]


async def test_they_listen_nowhere(stand: RealStand) -> None:
    await stand.start(1)
    before = listening()
    one = await dials(stand, 3)
    await stand.until(lambda: one.names.linked() == 1)
    assert listening() == before


def listening() -> set[str]:
    """The addresses at which this process, among others, listens."""
    found: set[str] = set()
    own = set()
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # it is closed meanwhile
            own.add(str(each.readlink()))
    for file in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        rows = [line.split() for line in Path(file).read_text().splitlines()[1:]]
        found |= {row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own}
    return found
