"""Any process reads what is in the store, and keeps what it holds."""

import os
from pathlib import Path

import pytest

from littoral.adapters.artifacts import Shelf
from littoral.delivery.manifest import Kind, blake3_of
from littoral.terms.errors import DigestMismatchError, NotFoundError
from littoral.terms.ids import ArtifactId
from tests.adapters.artifacts.made import made, model, noise, put, store_in, take, write

MODEL = model()
NOBODY = ArtifactId("blake3:" + "0" * 64)


def test_a_shelf_of_no_store_is_empty(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "none")
    assert shelf.artifacts() == ()
    assert shelf.rows() == ()
    assert shelf.stats().disk_bytes == 0
    assert not shelf.complete(NOBODY)
    for ask in (shelf.manifest, shelf.table, shelf.tables, shelf.held):
        with pytest.raises(NotFoundError):
            ask(NOBODY)
    with pytest.raises(NotFoundError):
        shelf.blob(blake3_of(b""))


def test_a_shelf_sees_what_the_writer_does(tmp_path: Path) -> None:
    store, shelf = store_in(tmp_path), Shelf(tmp_path / "artifacts")
    intake = take(store, MODEL)
    write(intake, MODEL, [0, 2])
    intake.commit()
    (row,) = shelf.rows()
    assert (row.artifact, row.kind, row.files) == (MODEL.artifact, Kind.WEIGHTS, 3)
    assert (row.held_bytes, row.size_bytes) == (9_700, 36_700)
    assert not row.complete
    write(intake, MODEL)
    intake.seal()
    intake.close()
    (row,) = shelf.rows()
    assert row.complete
    assert row.held_bytes == row.size_bytes
    assert shelf.manifest(MODEL.artifact) == MODEL.manifest
    assert shelf.tables(MODEL.artifact) == MODEL.tables
    assert [shelf.read(MODEL.artifact, n) for n in range(5)] == list(MODEL.pieces)
    stats = shelf.stats()
    assert (stats.artifacts, stats.complete, stats.pinned_bytes) == (1, 1, 0)
    assert stats.disk_bytes >= 36_700
    store.remove(MODEL.artifact)
    assert shelf.artifacts() == ()
    with pytest.raises(NotFoundError):
        shelf.manifest(MODEL.artifact)
    store.close()


def test_whole_files_are_only_for_reading(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    put(store, MODEL)
    with store.shelf.hold(MODEL.artifact) as holding:
        assert {path.stat().st_mode & 0o777 for path in holding.paths} == {0o444}
        for descriptor, data in zip(holding.descriptors, MODEL.files, strict=True):
            assert os.pread(descriptor, 10**6, 0) == data
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.pwrite(descriptor, b"x", 0)
    store.close()


def test_rot_is_reported_and_left_alone(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    put(store, MODEL)
    with store.shelf.hold(MODEL.artifact) as holding:
        holding.paths[2].chmod(0o600)
        with holding.paths[2].open("r+b") as file:
            file.seek(20_000)
            file.write(b"rotten")
    told: list[tuple[int, int]] = []
    rotten = store.shelf.verify(MODEL.artifact, lambda *done: told.append(done))
    assert [(chunk.number, chunk.file, chunk.start) for chunk in rotten] == [(3, 2, 18_000)]
    assert told[-1] == (36_700, 36_700)
    assert store.shelf.complete(MODEL.artifact)
    with pytest.raises(DigestMismatchError):
        store.shelf.read(MODEL.artifact, 3)
    store.close()


def test_a_damaged_manifest_or_table_is_not_here(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    put(store, MODEL)
    put(store, made({"x": [noise(9)]}))
    store.close()
    folder = tmp_path / "artifacts"
    table = folder / "blobs" / MODEL.manifest.files[2].table[7:]
    table.write_bytes(b"damaged")
    shelf = Shelf(folder)
    with pytest.raises(NotFoundError, match="damaged"):
        shelf.table(MODEL.artifact)
    again = store_in(tmp_path)
    assert len(take(again, MODEL).held) == 5, "its files are as they were"
    assert again.shelf.table(MODEL.artifact).chunks == 5
    again.close()
    (folder / "manifests" / MODEL.artifact[7:]).write_bytes(b"damaged")
    last = store_in(tmp_path)
    assert len(last.shelf.artifacts()) == 1
    put(last, MODEL)
    last.close()
