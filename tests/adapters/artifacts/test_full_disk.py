"""A full disk is an error, and costs nothing that was held before it."""

import errno
import os
from pathlib import Path

import pytest

from littoral.adapters.artifacts.disk import Disk, read_at, translated
from littoral.delivery.chunk_set import ChunkSet
from littoral.terms.errors import DiskShortError, HomeUnwritableError, StoreError
from tests.adapters.artifacts.made import QuickDisk, draft_of, model, store_in, take, write

MODEL = model()


class FullDisk(QuickDisk):
    """A disk that takes so many operations of a kind more, and then none until it has room."""

    def __init__(self) -> None:
        self.writes = self.syncs = 10**9
        self.error = errno.ENOSPC

    def write(self, descriptor: int, data: bytes | memoryview, start: int) -> None:
        self.writes -= 1
        self._fail_below_zero(self.writes)
        super().write(descriptor, data, start)

    def sync(self, descriptor: int) -> None:
        self.syncs -= 1
        self._fail_below_zero(self.syncs)

    def has_room(self) -> None:
        self.writes = self.syncs = 10**9

    def _fail_below_zero(self, left: int) -> None:
        if left < 0:
            with translated():
                raise OSError(self.error, os.strerror(self.error))


def test_a_chunk_that_finds_no_room_is_not_held_and_all_others_are(tmp_path: Path) -> None:
    disk = FullDisk()
    store = store_in(tmp_path, disk=disk)
    intake = take(store, MODEL)
    write(intake, MODEL, [0, 2])
    disk.writes = 0
    with pytest.raises(DiskShortError):
        intake.write(3, MODEL.pieces[3])
    assert intake.held == ChunkSet.of([0, 2])
    disk.has_room()
    assert intake.commit() == ChunkSet.of([0, 2])
    write(intake, MODEL)
    intake.seal()
    assert store.shelf.verify(MODEL.artifact, lambda done, total: None) == []
    store.close()


@pytest.mark.parametrize("syncs", [0, 1])
def test_what_could_not_be_synced_is_not_said(tmp_path: Path, syncs: int) -> None:
    disk = FullDisk()
    store = store_in(tmp_path, disk=disk)
    intake = take(store, MODEL)
    write(intake, MODEL, [0])
    intake.commit()
    write(intake, MODEL, [2, 3])
    disk.syncs = syncs
    with pytest.raises(DiskShortError):
        intake.commit()
    assert intake.committed == ChunkSet.of([0])
    assert store.shelf.held(MODEL.artifact) - ChunkSet.of([0, 2, 3]) == ChunkSet()
    disk.has_room()
    write(intake, MODEL)
    assert intake.commit() == ChunkSet.of(range(5))
    intake.seal()
    store.close()


def test_every_write_of_a_pull_may_find_the_disk_full(tmp_path: Path) -> None:
    for writes in range(40):
        disk = FullDisk()
        folder = tmp_path / f"{writes}"
        store = store_in(folder, disk=disk)
        disk.writes = writes
        try:
            intake = take(store, MODEL)
            write(intake, MODEL)
            intake.seal()
        except DiskShortError:
            disk.has_room()
            store.close()
            store = store_in(folder, disk=disk)
            intake = take(store, MODEL)
            write(intake, MODEL)
            intake.seal()
        assert store.shelf.verify(MODEL.artifact, lambda done, total: None) == []
        assert store.shelf.complete(MODEL.artifact)
        store.close()


def test_every_write_of_a_draft_may_find_the_disk_full(tmp_path: Path) -> None:
    draft, cuts = draft_of(MODEL)
    for writes in range(40):
        disk = FullDisk()
        folder = tmp_path / f"{writes}"
        store = store_in(folder, disk=disk)
        disk.writes = writes
        for _ in range(2):
            try:
                intake = store.take_draft(draft, cuts)
                for number, piece in enumerate(MODEL.pieces):
                    intake.write(number, piece)
                intake.seal()
                break
            except DiskShortError:
                disk.has_room()
                store.close()
                store = store_in(folder, disk=disk)
                if store.shelf.complete(MODEL.artifact):
                    break
        assert store.shelf.complete(MODEL.artifact)
        assert store.shelf.verify(MODEL.artifact, lambda done, total: None) == []
        store.close()


def test_a_rotten_chunk_is_found_again_when_there_was_no_room_to_say_so(tmp_path: Path) -> None:
    disk = FullDisk()
    store = store_in(tmp_path, disk=disk)
    intake = take(store, MODEL)
    write(intake, MODEL)
    intake.seal()
    intake.close()
    with store.shelf.hold(MODEL.artifact) as holding:
        holding.paths[2].chmod(0o600)
        with holding.paths[2].open("r+b") as file:
            file.write(b"rotten")
    disk.writes = 0
    with pytest.raises(DiskShortError):
        store.scrub(10**6)
    disk.has_room()
    assert store.scrub(10**6).rotten == ((MODEL.artifact, 1),)
    store.close()


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, DiskShortError),
        (errno.EDQUOT, DiskShortError),
        (errno.EROFS, HomeUnwritableError),
        (errno.EIO, StoreError),
    ],
)
def test_what_goes_wrong_with_a_disk_has_a_name(number: int, error: type[Exception]) -> None:
    with pytest.raises(error), translated():
        raise OSError(number, os.strerror(number))


def test_a_real_disk_copies_and_syncs(tmp_path: Path) -> None:
    disk = Disk()
    disk.make_folder(tmp_path / "a/b")
    one, two = disk.open(tmp_path / "a/b/one"), disk.open(tmp_path / "a/b/two")
    disk.write(one, b"0123456789", 5)
    disk.copy(one, 7, two, 2, 4)
    disk.copy(one, 12, two, 100, 50)
    disk.sync(two)
    assert read_at(two, 0, 6) == b"\0\x002345"
    assert read_at(two, 100, 50) == b"789"
    with pytest.raises(StoreError):
        disk.write(10**6, b"x", 0)
    disk.remove_folder(tmp_path / "none")
    os.close(one)
    os.close(two)


def test_a_disk_that_can_not_copy_by_itself_is_copied_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EXDEV, "not here")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    disk = Disk()
    one, two = disk.open(tmp_path / "one"), disk.open(tmp_path / "two")
    disk.write(one, b"0123456789", 0)
    disk.copy(one, 2, two, 1, 5)
    disk.copy(one, 8, two, 10, 5)
    assert read_at(two, 0, 20) == b"\x0023456\0\0\0\x0089"
    os.close(one)
    os.close(two)
