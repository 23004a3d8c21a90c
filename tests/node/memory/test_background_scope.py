"""What is done in the background touches only collections of the scope that it is done for."""

from pathlib import Path

from littoral.sim.collections import PaperCollections
from littoral.terms.memory import CollectionSpec, Record, Upsert
from littoral.terms.stores import FileState, FileWanted, StoreChange
from tests.node.memory.made import ALICE, BOB, MODEL, OPERATOR
from tests.node.memory.stored import StoresStand, stores_stand
from tests.node.memory.test_filing import ALL, DAY_S, owes_nothing, sent, until

HANDBOOK = CollectionSpec(name="handbook", embedding=MODEL)


async def two_handbooks(stand: StoresStand) -> None:
    """One of the PoP, with a record, and one of Alice's own."""
    await stand.house.create(HANDBOOK, OPERATOR)
    opened = await stand.house.open("handbook", OPERATOR)
    await opened.apply([Upsert((Record(id="a", text="the PoP's own"),))])
    await stand.house.create(HANDBOOK, ALICE)


async def test_a_store_that_has_expired_and_is_gone_takes_nothing_of_the_pops_own_with_it(
    tmp_path: Path,
) -> None:
    drivers = PaperCollections()
    async with stores_stand(tmp_path, drivers=drivers) as stand:
        await two_handbooks(stand)
        change = StoreChange(expires_after_days=1)
        await stand.stored.stores.change("handbook", change, ALICE)
        await stand.house.drop("handbook", ALICE)
    async with stores_stand(tmp_path, drivers=drivers, later_s=DAY_S + 1) as stand:
        await until(lambda: stand.kept.stores.find(ALICE.scope, "handbook") is None)
        assert await (await stand.house.open("handbook", BOB)).count() == 1


async def test_a_file_that_is_forgotten_leaves_a_collection_of_another_scope_alone(
    tmp_path: Path,
) -> None:
    async with stores_stand(tmp_path) as stand:
        await two_handbooks(stand)
        file = await sent(stand, "a.txt", "one")
        await stand.stored.files.add("handbook", FileWanted(file_id=file), ALICE)
        await until(owes_nothing(stand))
        await stand.house.drop("handbook", ALICE)
        there = Record(id="b", text="kept", document=f"{file}/a.txt")
        await (await stand.house.open("handbook", OPERATOR)).apply([Upsert((there,))])
        await stand.stored.uploads.delete(file, ALICE)
        assert await (await stand.house.open("handbook", OPERATOR)).count() == 2


async def test_a_file_is_never_put_into_a_collection_of_another_scope_than_it_was_meant_for(
    tmp_path: Path,
) -> None:
    drivers = PaperCollections()
    async with stores_stand(tmp_path, drivers=drivers, works=False) as stand:
        await two_handbooks(stand)
        file = await sent(stand, "a.txt", "one")
        await stand.stored.files.add("handbook", FileWanted(file_id=file), ALICE)
        drivers.drop("handbook", ALICE.scope)  # as from outside: nothing here hears of it
    async with stores_stand(tmp_path, drivers=drivers) as stand:
        stand.holders[ALICE.key_id] = OPERATOR  # may write what is the PoP's own
        await until(owes_nothing(stand))
        assert await (await stand.house.open("handbook", BOB)).count() == 1
        found = stand.kept.stores.file(ALICE.scope, "handbook", file)
        assert found is not None
        assert found.state is FileState.FAILED


async def test_a_store_that_is_dropped_by_another_door_leaves_nothing_to_who_makes_the_next(
    tmp_path: Path,
) -> None:
    async with stores_stand(tmp_path) as stand:
        await stand.house.create(HANDBOOK, ALICE)
        file = await sent(stand, "a.txt", "one")
        await stand.stored.files.add("handbook", FileWanted(file_id=file), ALICE)
        change = StoreChange(title="old", expires_after_days=1)
        await stand.stored.stores.change("handbook", change, ALICE)
        await until(owes_nothing(stand))
        await stand.house.drop("handbook", ALICE)
        await stand.house.create(HANDBOOK, ALICE)
        shown = await stand.stored.stores.store("handbook", ALICE)
        assert (shown.store.title, shown.counts.total) == ("handbook", 0)
        assert not (await stand.stored.files.files("handbook", None, ALL, ALICE)).rows
