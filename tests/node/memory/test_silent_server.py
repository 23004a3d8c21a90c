"""A server that keeps collections and is away: what is kept elsewhere goes on."""

from collections.abc import Iterator, Sequence

import msgspec
import pytest

from littoral.node.memory.house import House
from littoral.sim.collections import PaperCollections
from littoral.terms.errors import NotFoundError, UpstreamTimeoutError
from littoral.terms.memory import CollectionShown, CollectionSpec
from tests.node.memory.made import OPERATOR, CountingDoor


class Distant(PaperCollections):
    """Collections on a server that can be away."""

    away = False
    asked = 0

    def describe(self) -> Sequence[CollectionShown]:
        self.asked += 1
        if self.away:
            raise UpstreamTimeoutError("the server did not answer")
        return [msgspec.structs.replace(each, driver="distant") for each in super().describe()]


@pytest.fixture
def distant() -> Distant:
    distant = Distant()
    distant.create(CollectionSpec(name="there"))
    distant.away = True
    return distant


@pytest.fixture
def house(distant: Distant) -> Iterator[House]:
    here = PaperCollections()
    here.create(CollectionSpec(name="here"))
    house = House({"paper": here, "distant": distant}, CountingDoor(), made_by="paper")
    yield house
    house.close()


async def test_what_others_keep_goes_on_without_asking_it_again(
    house: House, distant: Distant
) -> None:
    for _ in range(3):
        await house.open("here", OPERATOR)
    assert distant.asked == 1
    assert [each.spec.name for each in await house.collections(OPERATOR)] == ["here"]


async def test_what_it_may_keep_is_neither_missing_nor_made_elsewhere(
    house: House, distant: Distant
) -> None:
    for name in ("there", "nowhere"):
        with pytest.raises(UpstreamTimeoutError):
            await house.open(name, OPERATOR)
    with pytest.raises(UpstreamTimeoutError):
        await house.create(CollectionSpec(name="there"), OPERATOR)
    distant.away = False
    await house.open("there", OPERATOR)
    with pytest.raises(NotFoundError):
        await house.open("nowhere", OPERATOR)
    await house.create(CollectionSpec(name="new"), OPERATOR)
    assert len(await house.collections(OPERATOR)) == 3
