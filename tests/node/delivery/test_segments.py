"""Segments of collections go to the PoPs that are named, on whichever way they are asked for."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from littoral.adapters.artifacts import DraftIntake
from littoral.delivery.manifest import Kind
from littoral.node.delivery.making import keep_files
from littoral.node.delivery.segments import Segments
from littoral.node.delivery.words import ReadersTold, SegmentsMade
from littoral.terms.delivery import PullStage
from littoral.terms.errors import ConflictError, DiskShortError, NotFoundError, StoreError
from littoral.terms.ids import ArtifactId
from tests.node.delivery.movers import Node, acquainted, nodes

Three = tuple[Node, Node, Node]
REFERENCE = "collection:docs@1.2"


@pytest.fixture
async def three(tmp_path: Path) -> AsyncIterator[Three]:
    async with nodes(tmp_path, 3) as (one, two, three):
        yield one, two, three


async def made(node: Node, folder: Path) -> tuple[ArtifactId, dict[str, bytes]]:
    """What a PoP has written, kept by its mover."""
    folder.mkdir()
    contents = {f"{number:04}.changes": bytes([number]) * 700_000 for number in range(3)}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    kept = await node.segments.keep(SegmentsMade(str(folder), REFERENCE))
    assert not list(folder.iterdir()), "the room is not taken twice"
    return kept.artifact, contents


def files(node: Node, artifact: ArtifactId) -> dict[str, bytes]:
    with node.store.shelf.hold(artifact) as held:
        names = [file.path for file in held.manifest.files]
        return {name: path.read_bytes() for name, path in zip(names, held.paths, strict=True)}


async def test_they_come_as_they_were_made_to_those_who_read_them(
    three: Three, tmp_path: Path
) -> None:
    one, two, other = three
    artifact, contents = await made(one, tmp_path / "made")
    assert one.store.shelf.manifest(artifact).kind is Kind.EMBEDDINGS
    acquainted(one, two, other, readers=[ReadersTold(artifact, (two.member.pop,))])
    assert (await two.pulled(artifact)).stage is PullStage.DONE
    assert files(two, artifact) == contents
    assert (await other.pulled(artifact)).stage is PullStage.FAILED


async def test_who_has_fetched_them_gives_them_to_readers_only(
    three: Three, tmp_path: Path
) -> None:
    one, two, other = three
    artifact, contents = await made(one, tmp_path / "made")
    reads = [ReadersTold(artifact, (two.member.pop,))]
    acquainted(one, two, readers=reads)
    assert (await two.pulled(artifact)).stage is PullStage.DONE
    acquainted(two, other, readers=reads)
    assert two.library.shelf(artifact, other.member) is None
    assert two.library.document(artifact, "manifest", other.member) is None
    assert two.library.news(artifact, other.member, lambda _: None) is None
    assert (await other.pulled(artifact)).stage is PullStage.FAILED
    acquainted(two, other, readers=[ReadersTold(artifact, (two.member.pop, other.member.pop))])
    assert (await other.pulled(artifact)).stage is PullStage.DONE
    assert files(other, artifact) == contents


async def test_of_which_nobody_has_said_who_reads_them_nobody_does(
    three: Three, tmp_path: Path
) -> None:
    one, two, _ = three
    artifact, _ = await made(one, tmp_path / "made")
    acquainted(one, two)
    assert one.library.shelf(artifact, two.member) is None
    assert (await two.pulled(artifact)).stage is PullStage.FAILED


async def test_what_is_dropped_is_gone_and_nothing_of_it_is_given(
    three: Three, tmp_path: Path
) -> None:
    one, two, _ = three
    artifact, _ = await made(one, tmp_path / "made")
    acquainted(one, two, readers=[ReadersTold(artifact, (two.member.pop,))])
    assert (await two.pulled(artifact)).stage is PullStage.DONE
    with two.store.shelf.hold(artifact):
        assert not (await two.segments.drop(artifact)).gone, "somebody reads it"
    for node in (one, two):
        assert (await node.segments.drop(artifact)).gone
        assert node.store.shelf.artifacts() == ()
        with pytest.raises(NotFoundError):
            node.store.shelf.manifest(artifact)
    assert one.library.shelf(artifact, two.member) is None
    assert (await one.segments.drop(artifact)).gone, "once more is no error"


async def test_a_folder_that_can_not_be_read_is_an_error(three: Three, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="can't be read"):
        await three[0].segments.keep(SegmentsMade(str(tmp_path / "none"), REFERENCE))


async def test_what_was_fetched_and_dropped_takes_no_room_and_is_not_said_to_be_here(
    three: Three, tmp_path: Path
) -> None:
    one, two, _ = three
    artifact, _ = await made(one, tmp_path / "made")
    acquainted(one, two, readers=[ReadersTold(artifact, (two.member.pop,))])
    assert (await two.pulled(artifact)).stage is PullStage.DONE
    assert two.desk.deliveries()
    assert (await two.segments.drop(artifact)).gone
    assert two.desk.deliveries() == ()
    two.holdings._names_at = 99  # the catalogue is another one now
    assert two.desk.deliveries() == ()
    folder = str(two.store.shelf._places.folder)
    async with asyncio.timeout(10):
        while any(folder in line and "deleted" in line for line in mapped()):
            await asyncio.sleep(0.05)


async def test_what_is_dropped_while_the_store_is_looked_at_is_not_missed(
    three: Three, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, *_ = three
    artifact, _ = await made(one, tmp_path / "made")
    rows = one.store.shelf.rows()
    assert (await one.segments.drop(artifact)).gone
    monkeypatch.setattr(one.store.shelf, "rows", lambda: rows)
    assert one.desk.deliveries() == ()
    assert one.desk.room_bytes() > 0
    assert (await one.desk.store()).artifacts == ()


def mapped() -> list[str]:
    """What files this process has in its memory."""
    gc.collect()
    return Path("/proc/self/maps").read_text().splitlines()


async def test_what_is_no_segments_is_not_dropped_as_such(three: Three) -> None:
    one, *_ = three
    model = keep_files(one.store, Kind.WEIGHTS, "file:m", {"m.bin": 3}, [b"abc"])
    with pytest.raises(ConflictError):
        await one.segments.drop(model)
    assert one.store.shelf.complete(model)


async def test_what_could_not_be_kept_leaves_nothing_behind(
    three: Three, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, *_ = three
    write, left = DraftIntake.write, [1]

    def full(*arguments: object) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise DiskShortError("the disk is full")
        return write(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as disk:
        disk.setattr(DraftIntake, "write", full)
        with pytest.raises(DiskShortError):
            await made(one, tmp_path / "made")
    assert one.store.drafts() == ()
    assert one.store.shelf.disk_bytes() == 0


async def test_what_a_killed_mover_was_keeping_is_taken_away_and_other_drafts_stay(
    three: Three,
) -> None:
    one, *_ = three
    for kind in (Kind.EMBEDDINGS, Kind.WEIGHTS):
        with contextlib.suppress(ZeroDivisionError):  # as if killed
            keep_files(one.store, kind, "x:y", {"a": 2, "b": 2}, iter_then_die())
    assert len(one.store.drafts()) == 2
    Segments(one.segments._parts, one.desk)
    assert [draft.kind for draft in one.store.drafts()] == [Kind.WEIGHTS]


def iter_then_die() -> Iterator[bytes]:
    yield b"aa"
    raise ZeroDivisionError
