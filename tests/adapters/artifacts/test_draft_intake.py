"""A draft is filled with what is vouched for, and is nothing to anybody until it is proven."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from blake3 import blake3

from littoral.adapters.artifacts import ArtifactStore, DraftIntake
from littoral.adapters.artifacts.disk import Disk
from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.drafts import Draft
from littoral.terms.errors import (
    ConflictError,
    DigestMismatchError,
    DiskShortError,
    NotFoundError,
)
from littoral.trust.names import digest_of
from tests.adapters.artifacts.made import (
    ROOM,
    QuickDisk,
    draft_of,
    model,
    noise,
    put,
    store_in,
    take,
    write,
)
from tests.delivery.made import git_oid_of

MODEL = model()
DRAFT, CUTS = draft_of(MODEL)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ArtifactStore]:
    opened = store_in(tmp_path)
    yield opened
    opened.close()


def fill(intake: DraftIntake) -> None:
    for number, piece in enumerate(MODEL.pieces):
        intake.write(number, piece)


def test_a_draft_becomes_the_artifact(store: ArtifactStore) -> None:
    intake = store.take_draft(DRAFT, CUTS)
    fill(intake)
    intake.commit()
    assert store.shelf.artifacts() == ()
    assert intake.seal() == (MODEL.manifest, MODEL.tables)
    assert store.shelf.artifacts() == (MODEL.artifact,)
    assert store.shelf.complete(MODEL.artifact)
    assert store.shelf.tables(MODEL.artifact) == MODEL.tables
    assert store.drafts() == ()
    with store.shelf.hold(MODEL.artifact) as holding:
        assert tuple(path.read_bytes() for path in holding.paths) == MODEL.files
    assert store.gc().files == 2, "the cuts of two files; those of the empty one are its table"
    assert store.gc().files == 0


class Slow(Disk):
    """A disk of which one sync takes until it is let go on."""

    def __init__(self) -> None:
        self.quick = -1
        """Syncs until then; never while it is below 0."""
        self.begun, self.may_end = threading.Event(), threading.Event()

    def sync(self, descriptor: int) -> None:
        self.quick -= 1
        if self.quick == 0:
            self.begun.set()
            assert self.may_end.wait(10)
        super().sync(descriptor)


def kept_and_closed(intake: DraftIntake) -> None:
    intake.commit()
    intake.close()


def test_what_is_being_committed_stays_though_the_draft_is_closed_meanwhile(tmp_path: Path) -> None:
    disk = Slow()
    with closing(store_in(tmp_path, disk=disk)) as store, ThreadPoolExecutor(2) as threads:
        intake = store.take_draft(DRAFT, CUTS)
        fill(intake)
        disk.quick = 2  # the bytes of a file, then what is vouched for of it
        committing = threads.submit(intake.commit)
        assert disk.begun.wait(10)
        ending = threads.submit(kept_and_closed, intake)
        assert not wait([ending], 0.05).done, "it waits for what is under way"
        disk.may_end.set()
        assert committing.result(10) == intake.held
        ending.result(10)
        again = store.take_draft(DRAFT, CUTS)
        assert len(again.held) == len(MODEL.pieces)
        again.close()


def test_the_hash_is_that_of_whoever_vouches(store: ArtifactStore) -> None:
    intake = store.take_draft(DRAFT, CUTS)
    assert intake.hash_of(2) is None
    with pytest.raises(DigestMismatchError):
        intake.write(2, MODEL.pieces[2], blake3(MODEL.pieces[3]).digest())
    with pytest.raises(DigestMismatchError):
        intake.write(2, MODEL.pieces[2][:-1])
    found = blake3(MODEL.pieces[2]).digest()
    assert intake.write(2, MODEL.pieces[2], found) == ChunkSet.of([2])
    assert intake.write(2, MODEL.pieces[2], found) == ChunkSet()
    assert intake.hash_of(2) == found
    assert intake.read(2) == MODEL.pieces[2]
    with pytest.raises(NotFoundError):
        intake.read(3)


def test_what_was_committed_is_there_next_time_with_its_hash(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    intake = store.take_draft(DRAFT, CUTS)
    intake.write(2, MODEL.pieces[2])
    intake.write(3, noise(66))
    assert intake.commit() == ChunkSet.of([2, 3])
    store.close()
    again = store_in(tmp_path)
    assert again.drafts() == (DRAFT,)
    assert [again.shelf.blob(file.cuts) for file in DRAFT.files] == list(CUTS)
    intake = again.take_draft(DRAFT, CUTS)
    assert intake.held == intake.committed == ChunkSet.of([2, 3])
    assert intake.hash_of(3) == blake3(noise(66)).digest()
    again.close()


def test_a_lie_is_found_by_the_seal_and_mended_chunk_by_chunk(store: ArtifactStore) -> None:
    intake = store.take_draft(DRAFT, CUTS)
    fill(intake)
    assert intake.write(3, noise(66)) == ChunkSet.of([3])
    for _ in range(2):
        with pytest.raises(DigestMismatchError) as raised:
            intake.seal()
    assert raised.value.details["path"] == "w/model.bin"
    assert store.shelf.artifacts() == ()
    again = {number: intake.write(number, MODEL.pieces[number]) for number in range(5)}
    assert [number for number, new in again.items() if new] == [3]
    assert intake.seal()[0] == MODEL.manifest


def test_what_rots_before_the_seal_is_found_by_it(store: ArtifactStore) -> None:
    intake = store.take_draft(DRAFT, CUTS)
    for number in (4, 3, 2, 0):
        intake.write(number, MODEL.pieces[number])
    descriptor, start, _ = intake.place(4)
    os.pwrite(descriptor, b"rot", start)
    intake.write(1, MODEL.pieces[1])
    with pytest.raises(ConflictError):
        intake.seal()
    with pytest.raises(NotFoundError):
        intake.read(4)
    intake.write(4, MODEL.pieces[4])
    os.pwrite(descriptor, b"rot", start)
    with pytest.raises(DigestMismatchError):
        intake.read(4)
    intake.write(4, MODEL.pieces[4])
    intake.seal()


def test_an_origin_that_promises_nothing_is_believed(store: ArtifactStore) -> None:
    files = tuple(msgspec.structs.replace(file, sha256=None) for file in DRAFT.files)
    draft = msgspec.structs.replace(DRAFT, files=files)
    intake = store.take_draft(draft, CUTS)
    fill(intake)
    assert intake.seal()[0] == MODEL.manifest


def test_what_git_calls_a_file_is_a_promise(store: ArtifactStore) -> None:
    def promised(oid: str | None) -> Draft:
        first, *others = DRAFT.files
        first = msgspec.structs.replace(first, sha256=None, git_oid=oid)
        return msgspec.structs.replace(DRAFT, files=(first, *others))

    wrong = store.take_draft(promised("0" * 40), CUTS)
    fill(wrong)
    with pytest.raises(DigestMismatchError):
        wrong.seal()
    right = store.take_draft(promised(MODEL.manifest.files[0].git_oid), CUTS)
    fill(right)
    assert right.seal()[0] == MODEL.manifest


def test_a_draft_of_what_is_here_ends_as_that(store: ArtifactStore) -> None:
    put(store, MODEL)
    intake = store.take_draft(DRAFT, CUTS)
    fill(intake)
    assert intake.seal()[0].artifact == MODEL.artifact
    assert store.shelf.complete(MODEL.artifact)
    assert store.shelf.verify(MODEL.artifact, lambda done, total: None) == []


def test_a_draft_of_what_is_here_in_part_completes_it(store: ArtifactStore) -> None:
    partly = take(store, MODEL)
    write(partly, MODEL, [0, 2])
    partly.commit()
    intake = store.take_draft(DRAFT, CUTS)
    fill(intake)
    with pytest.raises(ConflictError):
        intake.seal()
    partly.close()
    intake.seal()
    assert store.shelf.complete(MODEL.artifact)
    assert store.shelf.verify(MODEL.artifact, lambda done, total: None) == []


def test_a_draft_that_nobody_goes_on_with_makes_room_before_any_artifact(
    store: ArtifactStore,
) -> None:
    kept = model(7)
    put(store, kept)
    store.protect([kept.artifact])
    intake = store.take_draft(DRAFT, CUTS)
    fill(intake)
    full = ROOM - store.shelf.disk_bytes() + 1
    with pytest.raises(DiskShortError):
        store.make_room(full)
    intake.close()
    with pytest.raises(DiskShortError):
        store.make_room(ROOM)
    assert store.drafts() == (DRAFT,), "either there is room afterwards, or nothing goes"
    assert store.make_room(full) == ()
    assert store.drafts() == ()
    assert store.shelf.complete(kept.artifact)
    assert store.gc().files == 0


def test_going_on_with_a_draft_keeps_it_and_another_draft_takes_its_room(tmp_path: Path) -> None:
    other, cuts = draft_of(model(8))
    with closing(store_in(tmp_path, bytes_max=70_000)) as store:
        for _ in range(2):
            with closing(store.take_draft(DRAFT, CUTS)) as intake:
                fill(intake)
                intake.commit()
        assert store.drafts() == (DRAFT,)
        with closing(store.take_draft(other, cuts)):
            assert store.drafts() == (other,)
            with pytest.raises(DiskShortError):
                store.take_draft(DRAFT, CUTS)


def test_a_seal_that_was_cut_short_is_ended_by_the_next_writer(tmp_path: Path) -> None:
    for damaged in (False, True):
        folder = tmp_path / f"{damaged}"
        store = store_in(folder)
        intake = store.take_draft(DRAFT, CUTS)
        fill(intake)
        intake.commit()
        intake.close()
        places = store._places
        disk = QuickDisk()
        store._keep_blobs(MODEL.tables, (), ())
        disk.write_whole(places.manifest(MODEL.artifact), MODEL.manifest.encoded())
        disk.write_whole(places.draft_sealed(DRAFT.id), MODEL.artifact.encode())
        if damaged:
            places.manifest(MODEL.artifact).write_bytes(b"damaged")
        store.close()
        again = store_in(folder)
        assert again.shelf.complete(MODEL.artifact) is not damaged
        assert again.drafts() == ((DRAFT,) if damaged else ())
        assert not places.draft_sealed(DRAFT.id).exists()
        if damaged:
            intake = again.take_draft(DRAFT, CUTS)
            assert intake.seal()[0] == MODEL.manifest
        assert again.shelf.verify(MODEL.artifact, lambda done, total: None) == []
        again.close()


def newer(**changes: object) -> tuple[Draft, tuple[bytes, ...]]:
    """A version of MODEL with another config.json; `changes` are of its weights."""
    *others, weights = DRAFT.files
    config, empty = others
    config = msgspec.structs.replace(config, sha256=digest_of(b"another"))
    weights = msgspec.structs.replace(weights, **changes)
    return msgspec.structs.replace(
        DRAFT, reference="hub:a/b@2", files=(config, empty, weights)
    ), CUTS


def test_a_file_that_is_here_by_its_promised_digest_is_not_fetched(store: ArtifactStore) -> None:
    put(store, MODEL)
    with closing(store.take_draft(*newer())) as intake:
        assert intake.held == ChunkSet.of(range(1, 5)), "all but the configuration"
        assert intake.hash_of(1) == blake3(MODEL.pieces[1]).digest()
        intake.commit()
    with closing(store.take_draft(*newer())) as intake:
        assert intake.committed == ChunkSet.of(range(1, 5))
    oid = git_oid_of(MODEL.files[2])
    with closing(store.take_draft(*newer(sha256=None, git_oid=oid))) as intake:
        assert intake.held == ChunkSet.of(range(1, 5)), "the name that git has for it is as good"


@pytest.mark.parametrize(
    "changes",
    [{"sha256": digest_of(b"other")}, {"sha256": None}, {"sha256": None, "git_oid": 40 * "0"}],
)
def test_one_of_which_nothing_of_the_kind_is_promised_is(
    store: ArtifactStore, changes: dict[str, object]
) -> None:
    put(store, MODEL)
    with closing(store.take_draft(*newer(**changes))) as intake:
        assert intake.held == ChunkSet()


def test_what_has_rotted_of_it_is_fetched(store: ArtifactStore, tmp_path: Path) -> None:
    put(store, MODEL)
    with store.shelf.hold(MODEL.artifact) as held:
        path = held.paths[2]
    data = bytearray(path.read_bytes())
    data[10_000] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    with closing(store.take_draft(*newer())) as intake:
        assert intake.held == ChunkSet.of((1, 3, 4))
        intake.write(2, MODEL.pieces[2], blake3(MODEL.pieces[2]).digest())
        assert intake.hash_of(2) == blake3(MODEL.pieces[2]).digest()


def test_one_that_is_here_in_part_is_no_source(store: ArtifactStore) -> None:
    intake = take(store, MODEL)
    write(intake, MODEL, range(4))
    intake.commit()
    intake.close()
    with closing(store.take_draft(*newer())) as draft:
        assert draft.held == ChunkSet(), "its digest was never seen to be right"
