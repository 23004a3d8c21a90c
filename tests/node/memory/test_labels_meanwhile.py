"""Labels that come while a change waits keep what has them as it is."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from threading import Event

import pytest

from littoral.node.memory.house import House
from littoral.sim.collections import PaperCollections
from littoral.terms.errors import NotAllowedError
from littoral.terms.filters import All, Ids
from littoral.terms.limits import FILTER_VALUES_MAX
from littoral.terms.memory import (
    Applied,
    CollectionSpec,
    Delete,
    DeleteWhere,
    Patch,
    Record,
    Upsert,
    Write,
)
from littoral.terms.ports import Answer
from littoral.terms.values import Ask, Caller
from tests.node.memory.made import BOB, MODEL, CountingDoor, vector_of

SPEC = CollectionSpec(name="docs", embedding=MODEL)
CLERK = replace(BOB, labels=("finance",))
"""Another caller of Bob's scope."""
SECRET = Record(id="x", text="profit", labels=("finance",), vectors={"": vector_of("profit")})


class SlowDoor(CountingDoor):
    """Embeds once it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Event()
        self.asked = asyncio.Event()

    @asynccontextmanager
    async def answer(self, ask: Ask, caller: Caller) -> AsyncIterator[Answer]:
        self.asked.set()
        await self.may.wait()
        async with super().answer(ask, caller) as answer:
            yield answer


@pytest.fixture
def door() -> SlowDoor:
    return SlowDoor()


@pytest.fixture
def drivers() -> PaperCollections:
    return PaperCollections()


@pytest.fixture
def house(door: SlowDoor, drivers: PaperCollections) -> Iterator[House]:
    house = House({"embedded": drivers}, door, made_by="embedded")
    yield house
    house.close()


@pytest.mark.parametrize("labels_before", [False, True])
async def test_a_record_that_comes_while_a_text_is_embedded_is_not_replaced(
    house: House, door: SlowDoor, labels_before: bool
) -> None:
    await house.create(SPEC, BOB)
    bob, clerk = await house.open("docs", BOB), await house.open("docs", CLERK)
    if labels_before:
        await clerk.apply([Upsert((named(SECRET, "other"),))])
    else:
        assert await bob.count() == 0
    writing = asyncio.create_task(bob.apply([Upsert((Record(id="x", text="mine"),))]))
    await door.asked.wait()
    await clerk.apply([Upsert((SECRET,))])
    door.may.set()
    with pytest.raises(NotAllowedError):
        await writing
    (kept,) = await clerk.fetch(["x"])
    assert kept.text == "profit"


@pytest.mark.parametrize(
    "write",
    [Delete(("x",)), DeleteWhere(All(())), Patch(where=Ids(("x",)), metadata={"n": 2})],
    ids=["delete", "delete_where", "patch"],
)
async def test_labels_that_come_while_a_text_is_embedded_keep_what_has_them(
    house: House, door: SlowDoor, write: Write
) -> None:
    await house.create(SPEC, BOB)
    bob, clerk = await house.open("docs", BOB), await house.open("docs", CLERK)
    assert await bob.count() == 0
    upsert = Upsert((Record(id="mine", text="mine"),))
    writing = asyncio.create_task(bob.apply([upsert, write]))
    await door.asked.wait()
    await clerk.apply([Upsert((SECRET,))])
    door.may.set()
    await writing
    (kept,) = await clerk.fetch(["x"])
    assert (kept.text, kept.metadata) == ("profit", {})


@pytest.mark.parametrize("leaves", [False, True])
async def test_the_first_labels_wait_for_a_change_that_was_found_to_need_no_look_at_labels(
    house: House, drivers: PaperCollections, monkeypatch: pytest.MonkeyPatch, leaves: bool
) -> None:
    """Whoever is forgetting everything forgets nothing that came after it had begun."""
    await house.create(SPEC, BOB)
    bob, clerk = await house.open("docs", BOB), await house.open("docs", CLERK)
    assert await bob.count() == 0
    collection = drivers.open("docs", BOB.scope)
    began, may, apply = asyncio.Event(), Event(), collection.apply
    loop = asyncio.get_running_loop()

    def slow(writes: Sequence[Write]) -> Applied:
        if isinstance(writes[0], DeleteWhere):
            loop.call_soon_threadsafe(began.set)
            assert may.wait(10)
        return apply(writes)

    monkeypatch.setattr(collection, "apply", slow)
    forgetting = asyncio.create_task(bob.apply([DeleteWhere(All(()))]))
    await began.wait()
    if leaves:  # the client, while a thread is at it
        forgetting.cancel()
        await asyncio.gather(forgetting, return_exceptions=True)
    keeping = asyncio.create_task(clerk.apply([Upsert((SECRET,))]))
    for _ in range(20):
        await asyncio.sleep(0)
    may.set()
    await keeping
    await asyncio.gather(forgetting, return_exceptions=True)
    assert await clerk.count() == 1


async def test_a_change_that_is_refused_lets_the_next_ones_go_on(house: House) -> None:
    await house.create(SPEC, BOB)
    bob, clerk = await house.open("docs", BOB), await house.open("docs", CLERK)
    await clerk.apply([Upsert((SECRET,))])
    for _ in range(3):
        with pytest.raises(NotAllowedError):
            await bob.apply([Upsert((Record(id="x", vectors={"": vector_of("a")}),))])
    await clerk.apply([Upsert((named(SECRET, "y"),))])
    await bob.apply([Delete(("x", "y"))])
    assert await clerk.count() == 2


async def test_as_many_are_forgotten_by_their_ids_as_without_labels(house: House) -> None:
    await house.create(SPEC, BOB)
    bob, clerk = await house.open("docs", BOB), await house.open("docs", CLERK)
    await clerk.apply([Upsert((named(SECRET, "z"),))])
    ids = tuple(str(number) for number in range(FILTER_VALUES_MAX + 1))
    upsert = Upsert((Record(id=ids[-1], vectors=SECRET.vectors),))
    await bob.apply([upsert])
    assert (await bob.apply([Delete((*ids, "z"))])).changed == 1
    assert await clerk.count() == 1


def named(record: Record, record_id: str) -> Record:
    return Record(id=record_id, text=record.text, labels=record.labels, vectors=record.vectors)
