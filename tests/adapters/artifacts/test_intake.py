"""An artifact is filled by chunks in any order, and whole when it is what its manifest says."""

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import msgspec
import pytest

from littoral.adapters.artifacts import ArtifactStore
from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.manifest import Manifest
from littoral.terms.errors import BadRequestError, ConflictError, DigestMismatchError, NotFoundError
from tests.adapters.artifacts.made import Made, made, model, noise, put, store_in, take, write

MODEL = model()
ALL = ChunkSet.of(range(5))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ArtifactStore]:
    opened = store_in(tmp_path)
    yield opened
    opened.close()


def test_chunks_come_in_any_order_and_make_whole_files(store: ArtifactStore) -> None:
    intake = take(store, MODEL)
    assert intake.held == ChunkSet()
    for number in (4, 2, 0, 3):
        intake.write(number, MODEL.pieces[number])
    assert intake.held == ALL
    assert not store.shelf.complete(MODEL.artifact)
    assert intake.seal() == MODEL.artifact
    assert store.shelf.complete(MODEL.artifact)
    with store.shelf.hold(MODEL.artifact) as holding:
        assert tuple(path.read_bytes() for path in holding.paths) == MODEL.files
    assert store.shelf.verify(MODEL.artifact, lambda done, total: None) == []


def test_a_chunk_is_written_wherever_its_bytes_are_needed(store: ArtifactStore) -> None:
    intake = take(store, MODEL)
    assert list(intake.twins(1)) == [1, 4]
    assert list(intake.twins(2)) == [2]
    assert intake.write(4, MODEL.pieces[4]) == ChunkSet.of([1, 4])
    assert intake.write(1, MODEL.pieces[1]) == ChunkSet()
    assert intake.read(1) == MODEL.pieces[1]


def test_other_bytes_are_refused_and_change_nothing(store: ArtifactStore) -> None:
    intake = take(store, MODEL)
    for data in (noise(9), MODEL.pieces[1][:-1], b"", MODEL.pieces[3]):
        with pytest.raises(DigestMismatchError):
            intake.write(2, data)
    assert intake.held == ChunkSet()
    with pytest.raises(NotFoundError):
        intake.read(2)
    with pytest.raises(NotFoundError):
        intake.place(2)


def test_what_is_missing_keeps_it_from_being_sealed(store: ArtifactStore) -> None:
    intake = take(store, MODEL)
    write(intake, MODEL, [0, 2, 3])
    with pytest.raises(ConflictError, match="2 chunks"):
        intake.seal()
    write(intake, MODEL)
    intake.seal()
    assert intake.seal() == MODEL.artifact


def test_what_was_committed_is_there_next_time(tmp_path: Path) -> None:
    with_two = store_in(tmp_path)
    intake = take(with_two, MODEL)
    write(intake, MODEL, [2])
    assert intake.committed == ChunkSet()
    assert intake.commit() == ChunkSet.of([2])
    write(intake, MODEL, [0])
    with_two.close()
    again = store_in(tmp_path)
    assert again.shelf.held(MODEL.artifact) == ChunkSet.of([2])
    assert again.shelf.read(MODEL.artifact, 2) == MODEL.pieces[2]
    with pytest.raises(NotFoundError):
        again.shelf.read(MODEL.artifact, 3)
    intake = take(again, MODEL)
    assert intake.committed == ChunkSet.of([2])
    assert intake.held == ChunkSet.of([0, 2]), "what was written and not said is found"
    write(intake, MODEL)
    intake.seal()
    again.close()


def test_a_chunk_can_be_sent_from_the_file(store: ArtifactStore) -> None:
    intake = take(store, MODEL)
    write(intake, MODEL)
    for number, piece in enumerate(MODEL.pieces):
        descriptor, start, size = intake.place(number)
        assert os.pread(descriptor, size, start) == piece
    intake.seal()
    descriptor, start, size = intake.place(3)
    assert os.pread(descriptor, size, start) == MODEL.pieces[3]


def test_files_that_are_held_are_shared(store: ArtifactStore) -> None:
    put(store, MODEL)
    other = made({"other.bin": list(MODEL.pieces[1:]), "new": [noise(77)]})
    intake = take(store, other)
    assert intake.held == ChunkSet.of(range(1, 5))
    write(intake, other)
    intake.seal()
    assert store.shelf.stats().shared_bytes >= len(MODEL.files[2])
    assert store.shelf.verify(other.artifact, lambda done, total: None) == []


def test_chunks_that_are_held_are_copied(store: ArtifactStore) -> None:
    put(store, MODEL)
    other = made({"x": [noise(50), MODEL.pieces[3], MODEL.pieces[1], MODEL.pieces[0]]})
    intake = take(store, other)
    assert intake.held == ChunkSet.of([1, 2, 3])
    assert intake.write(0, noise(50)) == ChunkSet.of([0])
    intake.seal()
    with store.shelf.hold(other.artifact) as holding:
        assert holding.paths[0].read_bytes() == other.files[0]


def test_chunks_of_what_is_under_way_are_copied_once_they_are_committed(
    store: ArtifactStore,
) -> None:
    first = take(store, MODEL)
    write(first, MODEL, [2])
    first.commit()
    write(first, MODEL, [3])
    other = made({"x": [MODEL.pieces[2], MODEL.pieces[3]]})
    assert take(store, other).held == ChunkSet.of([0])


def test_two_artifacts_under_way_fill_the_file_that_they_share(store: ArtifactStore) -> None:
    other = made({"config.json": [noise(5)], "w.bin": list(MODEL.pieces[1:])})
    one, two = take(store, MODEL), take(store, other)
    write(one, MODEL, range(1, 5))
    assert two.held == ChunkSet.of(range(1, 5))
    one.close()
    write(two, other)
    assert two.seal() == other.artifact
    with pytest.raises(NotFoundError), store.shelf.hold(MODEL.artifact):
        pass


def test_an_artifact_is_taken_once_at_a_time(store: ArtifactStore) -> None:
    intake = take(store, MODEL)
    with pytest.raises(ConflictError):
        take(store, MODEL)
    intake.close()
    intake.close()
    take(store, MODEL)
    with pytest.raises(ConflictError, match="closed"):
        intake.write(0, MODEL.pieces[0])


def test_tables_of_another_artifact_are_refused(store: ArtifactStore) -> None:
    with pytest.raises(DigestMismatchError):
        store.take(MODEL.manifest, model(20).tables)
    assert store.shelf.artifacts() == ()


def test_what_is_no_good_manifest_is_not_taken(store: ArtifactStore) -> None:
    first, *others = MODEL.manifest.files
    bad = Manifest(
        MODEL.manifest.kind, None, (msgspec.structs.replace(first, git_oid=None), *others)
    )
    with pytest.raises(BadRequestError):
        store.take(bad, MODEL.tables)
    assert store.shelf.artifacts() == ()


@pytest.mark.parametrize("change", [{"sha256": "sha256:" + "0" * 64}, {"git_oid": "0" * 40}])
def test_a_manifest_that_contradicts_itself_is_never_whole(
    store: ArtifactStore, change: dict[str, str]
) -> None:
    put(store, MODEL)
    first, *others = MODEL.manifest.files
    lie = Manifest(MODEL.manifest.kind, None, (msgspec.structs.replace(first, **change), *others))
    intake = store.take(lie, MODEL.tables)
    assert len(intake.held) == 5, "its chunks are all here"
    with pytest.raises(DigestMismatchError) as raised:
        intake.seal()
    assert raised.value.details["path"] == "config.json"
    assert not store.shelf.complete(lie.artifact)
    with pytest.raises(NotFoundError), store.shelf.hold(lie.artifact):
        pass


def test_what_rots_before_the_seal_is_found_by_it(store: ArtifactStore) -> None:
    intake = take(store, MODEL)
    write(intake, MODEL, [4, 3, 2])
    descriptor, start, _ = intake.place(3)
    os.pwrite(descriptor, b"rot", start)
    write(intake, MODEL)
    with pytest.raises(ConflictError):
        intake.seal()
    assert not intake.holds(3)
    write(intake, MODEL)
    intake.seal()
    assert store.shelf.verify(MODEL.artifact, lambda done, total: None) == []


def test_a_rotten_chunk_is_not_read(store: ArtifactStore) -> None:
    intake = take(store, MODEL)
    write(intake, MODEL, [3])
    descriptor, start, _ = intake.place(3)
    os.pwrite(descriptor, b"rot", start)
    with pytest.raises(DigestMismatchError):
        intake.read(3)
    assert not intake.holds(3)


def test_hashing_goes_on_in_bounded_pieces(store: ArtifactStore) -> None:
    intake = take(store, MODEL)
    write(intake, MODEL, [2, 3, 4])
    assert intake.hash_on(1) == 9_000, "1 came with 4, in its turn, but 2 came before it"
    assert intake.hash_on(10**6) == 2 * 9_000
    write(intake, MODEL, [0])
    assert intake.hash_on(10**6) == 0, "what comes in its turn is hashed as it comes"
    intake.seal()


def test_nothing_is_hashed_of_what_is_closed(store: ArtifactStore) -> None:
    intake = take(store, MODEL)
    write(intake, MODEL, [2, 3])
    intake.close()
    assert intake.hash_on(10**6) == 0


def test_many_threads_may_write(store: ArtifactStore) -> None:
    large = made({"x": [noise(n, 3_000) for n in range(200)]})
    intake = take(store, large)

    def some(first: int) -> None:
        for number in range(first, 200, 4):
            intake.write(number, large.pieces[number])
            if number % 16 == 0:
                intake.commit()

    threads = [Thread(target=some, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    intake.seal()
    with store.shelf.hold(large.artifact) as holding:
        assert holding.paths[0].read_bytes() == large.files[0]


def test_the_same_file_twice_is_one_file(store: ArtifactStore) -> None:
    twice: Made = made({"a": [noise(1), noise(2)], "b": [noise(1), noise(2)]})
    intake = take(store, twice)
    assert intake.write(0, twice.pieces[0]) == ChunkSet.of([0, 2])
    write(intake, twice)
    intake.seal()
    with store.shelf.hold(twice.artifact) as holding:
        assert holding.paths[0] == holding.paths[1]
