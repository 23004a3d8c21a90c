"""What is owed to vector stores is done, after a crash too, and what expires goes."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from littoral.node.memory.shelf import acting_for
from littoral.sim.collections import PaperCollections
from littoral.terms.errors import BadRequestError, NotFoundError, UpstreamFailedError
from littoral.terms.limits import FILING_TRIES_MAX
from littoral.terms.stores import (
    FileState,
    FileWanted,
    Paging,
    StoreChange,
    StoreWanted,
    UploadWanted,
)
from littoral.web.stores.desk import Questions
from tests.node.memory.made import ALICE, BOB
from tests.node.memory.stored import StoresStand, stores_stand

ALL = Paging(limit=100, descending=False)
DAY_S = 86_400


async def sent(stand: StoresStand, name: str, text: str, expires_after_s: int | None = None) -> str:
    wanted = UploadWanted(
        filename=name,
        purpose="assistants",
        data=memoryview(text.encode()),
        expires_after_s=expires_after_s,
    )
    return (await stand.stored.uploads.send(wanted, ALICE)).id


async def store_of(stand: StoresStand, *files: str) -> str:
    wanted = StoreWanted(files=tuple(FileWanted(file_id=each) for each in files))
    return (await stand.stored.stores.create(wanted, ALICE)).store.id


async def states(stand: StoresStand, store: str) -> list[FileState]:
    part = await stand.stored.files.files(store, None, ALL, ALICE)
    return [file.state for file in part.rows]


async def until(held: Callable[[], bool]) -> None:
    """Wait for what is done in the background."""
    async with asyncio.timeout(10):
        while not held():
            await asyncio.sleep(0.002)


def owes_nothing(stand: StoresStand) -> Callable[[], bool]:
    return lambda: not stand.kept.stores.owing()


async def test_what_was_owed_when_a_pop_ended_is_done_by_the_next(tmp_path: Path) -> None:
    drivers = PaperCollections()
    async with stores_stand(tmp_path, drivers=drivers, works=False) as stand:
        first = await sent(stand, "a.txt", "The tide turns")
        store = await store_of(stand, first, await sent(stand, "b.txt", "Bread rises"))
        assert await states(stand, store) == [FileState.IN_PROGRESS] * 2
    async with stores_stand(tmp_path, drivers=drivers) as stand:
        await until(owes_nothing(stand))
        assert await states(stand, store) == [FileState.COMPLETED] * 2
        found = await stand.stored.contents.search(store, Questions(texts=("tide",)), ALICE)
        assert found[0][0].document == first


async def test_a_file_broken_off_in_the_middle_is_made_whole_by_the_next(tmp_path: Path) -> None:
    drivers = PaperCollections()
    async with stores_stand(tmp_path, drivers=drivers) as stand:
        stand.lines.hold = asyncio.Event()
        store = await store_of(stand, await sent(stand, "a.txt", "one\ntwo"))
        await stand.lines.holding.wait()
    async with stores_stand(tmp_path, drivers=drivers) as stand:
        await until(owes_nothing(stand))
        assert await states(stand, store) == [FileState.COMPLETED]
        assert await (await stand.house.open(store, ALICE)).count() == 2


async def test_the_keys_have_turns(tmp_path: Path) -> None:
    async with stores_stand(tmp_path, works=False) as stand:
        many = [await sent(stand, f"alice-{n}.txt", f"{n}") for n in range(3)]
        await store_of(stand, *many)
        wanted = UploadWanted(filename="bob.txt", purpose="user_data", data=memoryview(b"b"))
        bob = (await stand.stored.uploads.send(wanted, BOB)).id
        await stand.stored.stores.create(StoreWanted(files=(FileWanted(file_id=bob),)), BOB)
        work = asyncio.create_task(stand.stored.run())
        await until(owes_nothing(stand))
        work.cancel()
        assert "bob.txt" in stand.lines.taken[:2]


async def test_a_key_that_is_no_longer_good_gets_nothing_done(tmp_path: Path) -> None:
    async with stores_stand(tmp_path, works=False) as stand:
        store = await store_of(stand, await sent(stand, "a.txt", "one"))
        del stand.holders[ALICE.key_id]
        work = asyncio.create_task(stand.stored.run())
        await until(owes_nothing(stand))
        work.cancel()
        (file,) = (await stand.stored.files.files(store, None, ALL, ALICE)).rows
        assert file.state is FileState.FAILED
        assert "no longer good" in file.message
        assert not stand.lines.taken


async def test_what_stays_broken_fails_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    async with stores_stand(tmp_path, works=False) as stand:
        error = UpstreamFailedError("the upstream is gone", retry_after_s=0.001)
        stand.lines.fails = [error] * FILING_TRIES_MAX
        store = await store_of(
            stand, await sent(stand, "a.txt", "one"), await sent(stand, "b.txt", "two")
        )
        work = asyncio.create_task(stand.stored.run())
        await until(owes_nothing(stand))
        work.cancel()
        assert await states(stand, store) == [FileState.FAILED, FileState.COMPLETED]
        assert stand.lines.taken == ["a.txt"] * FILING_TRIES_MAX + ["b.txt"]


async def test_attributes_that_change_meanwhile_are_those_that_count(tmp_path: Path) -> None:
    async with stores_stand(tmp_path) as stand:
        stand.lines.hold = asyncio.Event()
        file = await sent(stand, "a.txt", "one")
        store = await store_of(stand)
        wanted = FileWanted(file_id=file, attributes={"old": 1})
        await stand.stored.files.add(store, wanted, ALICE)
        await stand.lines.holding.wait()
        await stand.stored.files.describe(store, file, {"new": 2}, ALICE)
        stand.lines.hold.set()
        await until(owes_nothing(stand))
        ((record,),) = [
            (await (await stand.house.open(store, ALICE)).fetch([f"{file}-0"])),
        ]
        assert record.metadata == {"new": 2}


async def test_a_store_dropped_meanwhile_stays_dropped(tmp_path: Path) -> None:
    async with stores_stand(tmp_path) as stand:
        stand.lines.hold = asyncio.Event()
        store = await store_of(stand, await sent(stand, "a.txt", "one"))
        await stand.lines.holding.wait()
        await stand.stored.stores.drop(store, ALICE)
        stand.lines.hold.set()
        other = await store_of(stand, await sent(stand, "b.txt", "two"))
        await until(owes_nothing(stand))
        assert await states(stand, other) == [FileState.COMPLETED]
        with pytest.raises(NotFoundError):
            await stand.stored.stores.store(store, ALICE)


async def test_what_expires_goes(tmp_path: Path) -> None:
    drivers = PaperCollections()
    async with stores_stand(tmp_path, drivers=drivers) as stand:
        short = await sent(stand, "short.txt", "the tide turns", expires_after_s=3_600)
        long = await sent(stand, "long.txt", "the tide turns")
        kept = await store_of(stand, short, long)
        brief = await store_of(stand, long)
        change = StoreChange(expires_after_days=1)
        await stand.stored.stores.change(brief, change, ALICE)
        await until(owes_nothing(stand))
    async with stores_stand(tmp_path, drivers=drivers, later_s=DAY_S + 1) as stand:
        await until(lambda: not stand.kept.stores.counts(ALICE.scope, brief).total)
        with pytest.raises(NotFoundError):
            await stand.stored.uploads.upload(short, ALICE)
        part = await stand.stored.files.files(kept, None, ALL, ALICE)
        assert [file.file_id for file in part.rows] == [long]
        assert (await stand.stored.stores.store(brief, ALICE)).expired
        with pytest.raises(BadRequestError, match="expired"):
            await stand.stored.contents.search(brief, Questions(texts=("tide",)), ALICE)
        with pytest.raises(BadRequestError, match="expired"):
            await stand.stored.files.add(brief, FileWanted(file_id=long), ALICE)
        assert await (await stand.house.open(brief, ALICE)).count() == 0


async def test_a_store_whose_collection_is_gone_is_forgotten_with_the_next_sweep(
    tmp_path: Path,
) -> None:
    drivers = PaperCollections()
    async with stores_stand(tmp_path, drivers=drivers) as stand:
        store = await store_of(stand, await sent(stand, "a.txt", "one"))
        await stand.stored.stores.change(store, StoreChange(expires_after_days=1), ALICE)
        await stand.house.drop(store, ALICE)
        with pytest.raises(NotFoundError):
            await stand.stored.stores.store(store, ALICE)
    async with stores_stand(tmp_path, drivers=drivers, later_s=DAY_S + 1) as stand:
        await until(lambda: stand.kept.stores.find(ALICE.scope, store) is None)


async def test_bytes_that_nobody_needs_are_gone_after_a_start(tmp_path: Path) -> None:
    async with stores_stand(tmp_path) as stand:
        one, other = await sent(stand, "a", "same"), await sent(stand, "b", "same")
        folder = tmp_path / "files"
        (blob,) = (path for path in folder.rglob("*") if path.is_file())
        assert blob.stat().st_mode & 0o777 == 0o600
        await stand.stored.uploads.delete(one, ALICE)
        assert blob.exists()
        (blob.parent / ".left.draft").write_bytes(b"half")
    async with stores_stand(tmp_path) as stand:
        assert [path for path in folder.rglob("*") if path.is_file()] == [blob]
        await stand.stored.uploads.delete(other, ALICE)
        assert not blob.exists()


async def test_damaged_bytes_are_never_given(tmp_path: Path) -> None:
    async with stores_stand(tmp_path) as stand:
        file = await sent(stand, "a", "right")
        (blob,) = (path for path in (tmp_path / "files").rglob("*") if path.is_file())
        blob.write_bytes(b"wrong")
        with pytest.raises(Exception, match="damaged"):
            await stand.stored.uploads.content(file, ALICE)


def test_who_tidies_up_is_of_the_scope_that_is_tidied() -> None:
    for caller in (ALICE, BOB):
        acting = acting_for(caller.scope)
        assert (acting.scope, acting.operator) == (caller.scope, True)
    assert acting_for("").operator
