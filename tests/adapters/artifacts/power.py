"""A disk whose power fails: what was not synced is lost, or kept, piece by piece, by chance.

Rules of this world, which are worse than those of any real disk
- A write, or a change of length, is kept for certain only once its file was synced; until then each
  may be kept or not, in whichever combination.
- A name that was made, changed or taken away is so for certain only once its folder was synced;
  until then each such change may have happened or not. A rename happens whole.
- Nothing happens any more after the power failed, whoever tries.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from littoral.adapters.artifacts import Disk
from littoral.adapters.artifacts.disk import read_at


class PowerError(BaseException):
    """The power failed before this was done."""


@dataclass
class Inode:
    """A file: what is on the disk for certain, and what may be."""

    data: bytearray = field(default_factory=bytearray)
    waiting: list[Callable[[bytearray], None]] = field(default_factory=list)

    def after(self, chance: random.Random) -> bytes:
        data = bytearray(self.data)
        for change in self.waiting:
            if chance.random() < 0.5:
                change(data)
        return bytes(data)


@dataclass(frozen=True)
class NameChange:
    """Names of one or two folders that change together; None takes a name away."""

    names: tuple[tuple[Path, Inode | None], ...]

    def folders(self) -> set[Path]:
        return {path.parent for path, _ in self.names}


class FailingDisk(Disk):
    """A real folder to look at, and beside it what would be left of it."""

    def __init__(self, folder: Path, operations: int) -> None:
        self.folder = folder
        self.left = operations
        """Until the power fails."""
        self.named: dict[Path, Inode] = {}
        """As it is now."""
        self.certain: dict[Path, Inode] = {}
        self.changes: list[NameChange] = []
        self.opened: dict[int, Inode] = {}

    def _spend(self) -> None:
        if self.left <= 0:
            raise PowerError
        self.left -= 1

    def _rename(self, *names: tuple[Path, Inode | None]) -> None:
        self.changes.append(NameChange(names))
        _apply(self.named, self.changes[-1])

    def make_folder(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)

    def open(self, path: Path) -> int:
        self._spend()
        if path not in self.named:
            self._rename((path, Inode()))
        descriptor = super().open(path)
        self.opened[descriptor] = self.named[path]
        return descriptor

    def resize(self, descriptor: int, size_bytes: int) -> None:
        self._spend()
        super().resize(descriptor, size_bytes)
        self._wait(descriptor, lambda data: _resize(data, size_bytes))

    def write(self, descriptor: int, data: bytes | memoryview, start: int) -> None:
        self._spend()
        super().write(descriptor, data, start)
        kept = bytes(data)
        self._wait(descriptor, lambda old: _write(old, kept, start))

    def copy(self, source: int, at: int, descriptor: int, start: int, size_bytes: int) -> None:
        self._spend()
        super().copy(source, at, descriptor, start, size_bytes)
        kept = read_at(descriptor, start, size_bytes)
        self._wait(descriptor, lambda old: _write(old, kept, start))

    def sync(self, descriptor: int) -> None:
        self._spend()
        inode = self._inode(descriptor)
        for change in inode.waiting:
            change(inode.data)
        inode.waiting.clear()

    def rename(self, old: Path, new: Path) -> None:
        self._spend()
        super().rename(old, new)
        self._rename((new, self.named[old]), (old, None))

    def unlink(self, path: Path) -> None:
        self._spend()
        super().unlink(path)
        if path in self.named:
            self._rename((path, None))

    def sync_folder(self, path: Path) -> None:
        self._spend()
        for change in self.changes:
            if path in change.folders():
                _apply(self.certain, change)
        self.changes = [change for change in self.changes if path not in change.folders()]

    def _inode(self, descriptor: int) -> Inode:
        """Of an open file, as its descriptor is now: it may have been put on another."""
        seen = os.fstat(descriptor).st_ino
        for path, inode in self.named.items():
            if path.exists() and path.stat().st_ino == seen:
                return inode
        return self.opened[descriptor]

    def _wait(self, descriptor: int, change: Callable[[bytearray], None]) -> None:
        self._inode(descriptor).waiting.append(change)

    def after_the_failure(self, folder: Path, chance: random.Random) -> None:
        """Make a folder as the disk may be found when the power is back."""
        names = dict(self.certain)
        for change in self.changes:
            if chance.random() < 0.5:
                _apply(names, change)
        for path, inode in names.items():
            target = folder / path.relative_to(self.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(inode.after(chance))


def _apply(names: dict[Path, Inode], change: NameChange) -> None:
    for path, inode in change.names:
        if inode is None:
            names.pop(path, None)
        else:
            names[path] = inode


def _resize(data: bytearray, size: int) -> None:
    del data[size:]
    data.extend(bytes(size - len(data)))


def _write(data: bytearray, new: bytes, start: int) -> None:
    data.extend(bytes(max(0, start + len(new) - len(data))))
    data[start : start + len(new)] = new
