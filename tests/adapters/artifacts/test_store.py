"""The store has one writer, keeps within its bounds, and drops what is worth least."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from littoral.adapters.artifacts import ArtifactStore, Shelf
from littoral.adapters.artifacts.locks import is_held
from littoral.adapters.artifacts.store import CLAIMS_MAX
from littoral.delivery.chunk_set import ChunkSet
from littoral.terms.errors import (
    ConflictError,
    DiskShortError,
    HomeHeldError,
    NotFoundError,
    StoreError,
)
from littoral.terms.ids import ArtifactId
from tests.adapters.artifacts.made import (
    Made,
    draft_of,
    made,
    model,
    noise,
    put,
    store_in,
    take,
    write,
)

SIZE = 64 * 1024
NOBODY = ArtifactId("blake3:" + "0" * 64)


def one(seed: int, chunks: int = 1) -> Made:
    return made({"m": [noise(seed * 100 + n, SIZE) for n in range(chunks)]})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ArtifactStore]:
    opened = store_in(tmp_path, bytes_max=4 * SIZE)
    yield opened
    opened.close()


def test_one_process_writes(tmp_path: Path, store: ArtifactStore) -> None:
    with pytest.raises(HomeHeldError):
        store_in(tmp_path)


def test_room_is_made_by_dropping_what_is_worth_least(store: ArtifactStore) -> None:
    a, b, c = one(1), one(2), one(3)
    for source in (a, b, c):
        put(store, source)
    store.used(a.artifact, refetch_s=100.0)
    store.used(b.artifact)
    put(store, one(4, chunks=2))
    assert store.shelf.artifacts() == tuple(sorted([a.artifact, b.artifact, one(4, 2).artifact]))
    assert store.shelf.disk_bytes() == 4 * SIZE
    assert store.make_room(0) == ()
    assert store.make_room(SIZE) == (b.artifact,)


def test_what_is_under_way_has_its_room_from_the_beginning(store: ArtifactStore) -> None:
    intake = take(store, one(1, chunks=3))
    with pytest.raises(DiskShortError) as raised:
        take(store, one(2, chunks=2))
    assert raised.value.details["needed_bytes"] == SIZE
    draft, cuts = draft_of(one(2, chunks=2))
    with pytest.raises(DiskShortError):
        store.take_draft(draft, cuts)
    write(intake, one(1, chunks=3))
    with pytest.raises(DiskShortError):
        take(store, one(2, chunks=2))
    intake.seal()
    intake.close()
    drafted = store.take_draft(draft, cuts)
    assert store.shelf.artifacts() == ()
    with pytest.raises(DiskShortError):
        take(store, one(1, chunks=3))
    drafted.close()


def test_what_is_pinned_held_or_a_last_copy_is_never_dropped(store: ArtifactStore) -> None:
    a, b, c = one(1), one(2), one(3)
    for source in (a, b, c):
        put(store, source)
    store.pin(a.artifact, pinned=True)
    store.protect([c.artifact])
    with store.shelf.hold(b.artifact):
        assert store.in_use(b.artifact)
        with pytest.raises(DiskShortError):
            store.make_room(2 * SIZE)
        with pytest.raises(ConflictError):
            store.remove(b.artifact)
    assert not store.in_use(b.artifact)
    assert store.make_room(2 * SIZE) == (b.artifact,)
    store.protect([])
    assert store.make_room(3 * SIZE) == (c.artifact,)
    store.pin(a.artifact, pinned=False)
    assert store.make_room(4 * SIZE) == (a.artifact,)


def test_another_goes_where_somebody_takes_hold_of_one_meanwhile(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = one(1), one(2)
    put(store, a)
    put(store, b)
    looks: list[str] = []

    def late(key: str) -> bool:
        looks.append(key)
        return len(looks) > 2 and is_held(store._places.files / key)

    monkeypatch.setattr(store, "_is_held", late)
    with store.shelf.hold(a.artifact):
        store.used(b.artifact, refetch_s=100.0)
        assert store.make_room(3 * SIZE) == (b.artifact,)


def test_more_than_the_disk_has_is_refused(tmp_path: Path) -> None:
    store = store_in(tmp_path, bytes_max=2**60)
    with pytest.raises(DiskShortError):
        store.make_room(2**55)
    store.close()


def test_pins_and_uses_are_there_next_time(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    put(store, one(1))
    store.pin(one(1).artifact, pinned=True)
    store.used(one(1).artifact)
    store.used(NOBODY)
    store.close()
    (row,) = Shelf(tmp_path / "artifacts").rows()
    assert (row.pinned, row.asked) == (True, 2)
    again = store_in(tmp_path, bytes_max=SIZE)
    with pytest.raises(DiskShortError):
        take(again, one(2))
    again.close()


def test_a_damaged_book_is_an_error_in_words(tmp_path: Path) -> None:
    store_in(tmp_path).close()
    (tmp_path / "artifacts/book").write_bytes(b"{")
    with pytest.raises(StoreError, match="damaged"):
        store_in(tmp_path)
    (tmp_path / "artifacts/book").unlink()
    store_in(tmp_path).close()


def test_removing_leaves_what_others_share(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    put(store, model())
    other = made({"x": [noise(50)], "model.bin": list(model().pieces[1:])})
    put(store, other)
    freed = store.remove(model().artifact)
    assert 0 < freed < 10_000
    assert store.shelf.verify(other.artifact, lambda done, total: None) == []
    with store.shelf.hold(other.artifact) as holding:
        assert tuple(path.read_bytes() for path in holding.paths) == other.files
    store.remove(other.artifact)
    left = {path.name for path in (tmp_path / "artifacts").rglob("*") if path.is_file()}
    assert left == {"lock", "book"}
    with pytest.raises(NotFoundError):
        store.remove(other.artifact)
    store.close()


def test_what_is_under_way_is_not_removed(store: ArtifactStore) -> None:
    intake = take(store, one(1))
    with pytest.raises(ConflictError):
        store.remove(one(1).artifact)
    intake.close()
    store.remove(one(1).artifact)
    assert store.shelf.artifacts() == ()


def test_sweeping_takes_what_nobody_names(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    put(store, model())
    folder = tmp_path / "artifacts"
    for name in ("files/ab", "files/ab.part", "files/ab.map", "blobs/cd", "manifests/ef.new"):
        (folder / name).write_bytes(b"left")
    (folder / "drafts/12").mkdir()
    (folder / "drafts/12/0.part").write_bytes(b"left")
    (folder / "claims/34").mkdir()
    (folder / "claims/34/56").write_bytes(b"left")
    assert store.gc().files == 7
    assert store.gc().files == 0
    assert not list(folder.glob("drafts/*"))
    assert store.shelf.verify(model().artifact, lambda done, total: None) == []
    store.close()


def test_claims_are_kept_with_what_they_are_of(store: ArtifactStore) -> None:
    put(store, one(1))
    for number in range(CLAIMS_MAX + 1):
        store.claim(one(1).artifact, b"%d" % number)
    store.claim(one(1).artifact, b"0")
    assert len(store.shelf.claims(one(1).artifact)) == CLAIMS_MAX
    assert store.shelf.claims(one(2).artifact) == ()
    with pytest.raises(NotFoundError):
        store.claim(one(2).artifact, b"claim")
    store.remove(one(1).artifact)
    assert store.shelf.claims(one(1).artifact) == ()


def rot(path: Path, at: int) -> None:
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"rotten")


def test_scrubbing_finds_what_rots_bit_by_bit_and_a_pull_repairs_it(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    sources = [one(1, chunks=3), one(2, chunks=3)]
    other = made({"m": list(sources[1].pieces), "n": [noise(7)]})
    for source in (*sources, other):
        put(store, source)
    with store.shelf.hold(other.artifact) as holding:
        rot(holding.paths[0], SIZE)
        seen, rounds, read = set(), 0, 0
        while not rounds:
            scrubbed = store.scrub(SIZE)
            seen |= set(scrubbed.rotten)
            read += scrubbed.read_bytes
            rounds += scrubbed.round_over
        assert seen == {(sources[1].artifact, 1), (other.artifact, 1)}
        assert read == 6 * SIZE + 9_000
    assert not store.shelf.complete(other.artifact)
    assert store.shelf.complete(sources[0].artifact)
    assert store.shelf.held(other.artifact) == ChunkSet.of([0, 2, 3])
    intake = take(store, other)
    assert intake.write(1, other.pieces[1]) == ChunkSet.of([1])
    intake.seal()
    intake.close()
    assert store.shelf.complete(sources[1].artifact)
    while not (scrubbed := store.scrub(10 * SIZE)).round_over:
        assert not scrubbed.rotten
    store.close()


def test_a_round_of_scrubbing_goes_on_after_a_stop(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    for seed in range(3):
        put(store, one(seed))
    assert not store.scrub(SIZE).round_over
    assert not store.scrub(SIZE).round_over
    store.used(one(1).artifact)
    store.close()
    again = store_in(tmp_path)
    scrubbed = again.scrub(10 * SIZE)
    assert scrubbed.round_over
    assert scrubbed.read_bytes <= 2 * SIZE
    again.close()


def test_a_held_artifact_stays_readable_while_it_is_repaired(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    source = one(1, chunks=2)
    put(store, source)
    with store.shelf.hold(source.artifact) as holding:
        rot(holding.paths[0], SIZE)
        assert store.scrub(10 * SIZE).rotten == ((source.artifact, 1),)
        with pytest.raises(NotFoundError), store.shelf.hold(source.artifact):
            pass
        intake = take(store, source)
        write(intake, source)
        intake.seal()
        intake.close()
        assert os.pread(holding.descriptors[0], 2 * SIZE, 0) == source.files[0]
    store.close()
