"""Pulls are begun, joined, looked at, cancelled and gone on with; the store is looked after."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from littoral.adapters.artifacts import ArtifactStore
from littoral.adapters.models import Catalogue
from littoral.node.delivery.arriving import Arriving
from littoral.node.delivery.coding import Coding
from littoral.node.delivery.desk import Desk
from littoral.node.delivery.finding import mark_of, wish_of
from littoral.node.delivery.holdings import Holdings
from littoral.node.delivery.library import Library
from littoral.node.delivery.others import group_of
from littoral.node.delivery.parts import Parts
from littoral.node.drive import owned_tasks
from littoral.terms.delivery import (
    ListingWanted,
    PinWanted,
    PullShown,
    PullStage,
    PullWanted,
)
from littoral.terms.errors import NotFoundError, QueueFullError
from littoral.terms.limits import PULLS_MAX
from tests.adapters.artifacts.made import made, noise, store_in
from tests.node.delivery.made import (
    REFERENCE,
    FakeOrigin,
    around,
    identity,
    listing_of,
    origins_of,
    others,
)

PIECE = 256 * 1024
MODEL = made({"a.bin": [noise(number, PIECE) for number in range(8)], "b.json": [b"{}"]})
WANTED = PullWanted("hf:lab/model")


@dataclass
class Stand:
    desk: Desk
    origin: FakeOrigin
    store: ArtifactStore
    told: int = 0

    async def over(self, begun: PullShown) -> PullShown:
        """A pull at its end."""
        async with asyncio.timeout(20):
            while not (shown := await self.desk.pulled(begun.id)).stage.over:
                await asyncio.sleep(0.01)
        return shown


@asynccontextmanager
async def a_desk(folder: Path) -> AsyncIterator[Stand]:
    files = zip(MODEL.manifest.files, MODEL.files, strict=True)
    origin = FakeOrigin(listing_of(MODEL), {row.path: data for row, data in files})
    me, store = identity(folder, "me"), store_in(folder)
    known = others()
    with ThreadPoolExecutor(8) as threads:
        holdings = Holdings(store, Catalogue(folder / "models"))
        library = Library(holdings, lambda: known, Coding(lambda: None))
        arriving = Arriving(folder / "arriving")
        parts = Parts(
            around=around(me.pop_id, threads),
            holdings=holdings,
            origins=origins_of(origin),
            catalogue=Catalogue(folder / "models"),
            identity=me,
            others=lambda: known,
            folder=folder,
            bytes_max=10**9,
            arriving=arriving,
        )

        def changed() -> None:
            stand.told += 1

        try:
            async with owned_tasks() as tasks:
                desk = Desk(parts, library, tasks, changed)
                stand = Stand(desk, origin, store)
                yield stand
                desk.close()
        finally:
            library.let_go()
            arriving.close()
            store.close()


async def test_a_pull_ends_whole_claimed_and_told_of(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as stand:
        begun = await stand.desk.pull(WANTED)
        shown = await stand.over(begun)
        assert (shown.stage, shown.error) == (PullStage.DONE, "")
        assert shown.here_bytes == shown.size_bytes == MODEL.manifest.size_bytes
        assert shown.origin_bytes == stand.origin.read_bytes == shown.size_bytes
        assert shown.artifact is not None
        with stand.store.shelf.hold(shown.artifact) as held:
            assert tuple(path.read_bytes() for path in held.paths) == MODEL.files
        by_group = {each.group: each for each in stand.desk.deliveries()}
        assert group_of(wish_of(REFERENCE)) not in by_group
        whole = by_group.pop(group_of(shown.artifact))
        assert (whole.whole, whole.reference) == (True, mark_of(REFERENCE))
        (draft,) = by_group.values()
        assert not draft.whole, "nobody who comes now is to begin with its draft"
        assert stand.told >= 3, "as a wish, as a draft, and whole"
        again = await stand.over(await stand.desk.pull(WANTED))
        assert (again.reused_bytes, again.origin_bytes) == (again.size_bytes, 0)
        assert [each.id for each in (await stand.desk.pulls()).pulls] == [shown.id, again.id]


async def test_who_asks_for_the_same_joins_and_there_are_so_many_and_no_more(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as stand:
        held = threading.Event()
        stand.origin.piece = lambda data: data if held.wait(10) else b""
        begun = await stand.desk.pull(WANTED)
        assert (await stand.desk.pull(WANTED)).id == begun.id
        more = [
            await stand.desk.pull(PullWanted(f"hf:lab/model-{number}"))
            for number in range(PULLS_MAX - 1)
        ]
        with pytest.raises(QueueFullError, match="cancel"):
            await stand.desk.pull(PullWanted("hf:lab/one-more"))
        for each in more:
            assert (await stand.desk.cancel(each.id)).stage is PullStage.CANCELLED
        held.set()
        assert (await stand.over(begun)).stage is PullStage.DONE


async def test_the_same_in_other_words_waits_and_is_there_then(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as stand:
        begun = [await stand.desk.pull(each) for each in (WANTED, PullWanted(REFERENCE))]
        first, second = [await stand.over(each) for each in begun]
        assert (first.stage, second.stage) == (PullStage.DONE, PullStage.DONE), second.error
        assert (second.reused_bytes, second.artifact) == (second.size_bytes, first.artifact)
        assert stand.origin.read_bytes == first.size_bytes


async def test_a_cancelled_pull_is_told_of_no_more_and_the_next_goes_on(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as stand:
        held, passed = threading.Event(), threading.Semaphore(3)

        def piece(data: bytes) -> bytes:
            assert passed.acquire(timeout=0) or held.wait(10)
            return data

        stand.origin.piece = piece
        begun = await stand.desk.pull(WANTED)
        async with asyncio.timeout(10):
            while not (await stand.desk.pulled(begun.id)).here_bytes:
                await asyncio.sleep(0.01)
        cancelled = await stand.desk.cancel(begun.id)
        assert cancelled.stage is PullStage.CANCELLED
        assert stand.desk.deliveries() == ()
        held.set()
        again = await stand.over(await stand.desk.pull(WANTED))
        assert again.stage is PullStage.DONE
        assert again.reused_bytes >= cancelled.here_bytes > 0
        assert again.origin_bytes == again.size_bytes - again.reused_bytes


async def test_a_name_that_can_not_be_given_fails_before_anything_is_fetched(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as stand:
        shown = await stand.over(await stand.desk.pull(PullWanted("hf:lab/model", name="mine")))
        assert shown.stage is PullStage.FAILED
        assert "none is mine" in shown.error
        assert shown.advice
        assert stand.origin.read_bytes <= PIECE, "nothing but headers"
        assert stand.desk.deliveries() == ()


async def test_what_the_origin_gives_otherwise_than_promised_is_not_here(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as stand:
        stand.origin.piece = lambda data: data[:-1] + bytes([data[-1] ^ 1])
        shown = await stand.over(await stand.desk.pull(WANTED))
        assert shown.stage is PullStage.FAILED
        assert "promises" in shown.error
        assert stand.store.shelf.artifacts() == ()
        assert stand.desk.deliveries() == ()


async def test_without_its_origin_nobody_gets_what_nobody_has(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as stand:
        stand.origin.away = True
        shown = await stand.over(await stand.desk.pull(WANTED))
        assert (shown.stage, shown.error) == (PullStage.FAILED, "nobody answers")


async def test_what_is_here_whole_needs_no_origin(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as stand:
        first = await stand.over(await stand.desk.pull(WANTED))
        stand.origin.away = True
        again = await stand.over(await stand.desk.pull(PullWanted(REFERENCE)))
        assert (again.stage, again.artifact) == (PullStage.DONE, first.artifact)


async def test_a_plan_and_a_listing_fetch_nothing(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as stand:
        plan = await stand.desk.plan(WANTED)
        assert (plan.origin_bytes, plan.artifact) == (MODEL.manifest.size_bytes, None)
        listing = await stand.desk.listing(ListingWanted("hf:lab/model"))
        assert listing.reference == REFERENCE
        assert [file.path for file in listing.files] == ["a.bin", "b.json"]
        assert stand.origin.read_bytes == 0
        whole = await stand.over(await stand.desk.pull(WANTED))
        plan = await stand.desk.plan(WANTED)
        assert (plan.here_bytes, plan.origin_bytes) == (whole.size_bytes, 0)


async def test_the_store_is_shown_pinned_verified_and_swept(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as stand:
        shown = await stand.over(await stand.desk.pull(WANTED))
        assert shown.artifact is not None
        (row,) = (await stand.desk.store()).artifacts
        assert (row.reference, row.pinned, row.here_bytes) == (REFERENCE, False, row.size_bytes)
        assert (await stand.desk.pin(PinWanted(shown.artifact))).pinned
        assert stand.desk.room_bytes() < 10**9
        with stand.store.shelf.hold(shown.artifact) as held:
            path = held.paths[0]
        path.chmod(0o600)
        data = bytearray(path.read_bytes())
        data[PIECE + 5] ^= 1
        path.write_bytes(data)
        found = await stand.desk.verify()
        assert found.rotten == (f"{shown.artifact} chunk 1",)
        mended = await stand.over(await stand.desk.pull(WANTED))
        assert mended.stage is PullStage.DONE
        assert (await stand.desk.verify()).rotten == ()
        stray = tmp_path / "artifacts" / "files" / "stray"
        stray.write_bytes(bytes(8_192))
        freed = await stand.desk.collect()
        assert freed.files >= 1
        assert not stray.exists()
        assert freed.freed_bytes >= 8_192


async def test_nobody_knows_of_a_pull_that_never_was(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as stand:
        for ask in (stand.desk.pulled, stand.desk.cancel):
            with pytest.raises(NotFoundError):
                await ask("0000")
