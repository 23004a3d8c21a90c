"""One file on disk that is filled chunk by chunk: its bytes, and the map of what is there.

Rules
- A bit of the map is set on disk only after the bytes that it stands for were synced.
- Before bytes that a set bit stands for change, the bit is cleared on disk.
- A whole file has a name of its own and no map. Both at once are the traces of a kill: with a full
  map, while the file got its name; with another, while it lost it because it had rotted.
- Where syncing fails, what was written since the last time is taken for lost.

The map is a byte of flags, then a bit for each chunk, as `ChunkSet.encoded` has them. Checking is
for who writes (`intake.py`); but whatever is read back to take the whole file's SHA-256 is checked.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Condition, Lock
from typing import Final

from blake3 import blake3

from littoral.adapters.artifacts.disk import Disk, read_at
from littoral.adapters.artifacts.places import SlotPaths, whole_path
from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.tables import Table
from littoral.terms.errors import ConflictError, StoreError
from littoral.terms.ids import Digest
from littoral.trust.names import named

__all__ = ["Slot", "map_of", "name_all", "read_map"]

_PROVEN: Final = 1
"""The flag of a file whose SHA-256 was once found to be right: its chunks decide from then on."""

HashOf = Callable[[int], bytes | None]
"""The BLAKE3 that a chunk has to have; None where it is not known."""


def map_of(held: ChunkSet, *, proven: bool) -> bytes:
    """A map as it is on disk; what it has no bits for is not held."""
    return bytes([_PROVEN if proven else 0]) + held.encoded()


def read_map(paths: SlotPaths, chunks: int) -> tuple[ChunkSet, bool]:
    """What the map of a file says that it holds, and whether it is proven.

    Nothing is held without a map, nor by a map whose file has gone.
    """
    try:
        data = paths.map.read_bytes()
        (paths.part if paths.whole is None or not paths.whole.exists() else paths.whole).stat()
    except FileNotFoundError:
        return ChunkSet(), False
    everything = ChunkSet.of_runs([(0, chunks)])
    return ChunkSet.of_bytes(data[1:]) & everything, bool(data[:1] and data[0] & _PROVEN)


class Slot:
    """A file, open. Its methods may be called on any thread."""

    def __init__(self, disk: Disk, paths: SlotPaths, table: Table, hash_of: HashOf) -> None:
        """Open a file where it is, or begin one.

        Args:
            disk: that it is on.
            paths: its names.
            table: of this file alone.
            hash_of: what each chunk has to hash to.

        Raises:
            DiskShortError, StoreError: it can't be opened.
        """
        self._disk = disk
        self._paths = paths
        self.table = table
        self._hash_of = hash_of
        self._lock = Lock()
        self._hashing = Lock()
        self._idle = Condition(Lock())
        self._at_work = 0
        self._closed = False
        self._new = False
        self._unsaid: list[int] = []
        self._renamed = False
        self.whole = False
        """It has its own name: it is complete, and its SHA-256 is right."""
        self.proven = False
        self._file = self._open()
        self._sha256 = hashlib.sha256()
        self._hashed = 0

    def _open(self) -> int:
        _settle(self._disk, self._paths, self.table.chunks)
        everything = ChunkSet.of_runs([(0, self.table.chunks)])
        length = (self.table.chunks + 7) // 8
        whole = self._paths.whole
        if whole is not None and whole.exists():
            self.whole = self.proven = self._renamed = True
            self._held = bytearray(everything.mask.to_bytes(length, "little"))
            self._said = bytearray(self._held)
            return os.open(whole, os.O_RDONLY | os.O_CLOEXEC)
        there = self._paths.part.exists()
        if self._paths.map.exists() and not there:
            self._disk.unlink(self._paths.map)
            self._disk.sync_folder(self._paths.map.parent)
        self._new = not (there and self._paths.map.exists())
        held, self.proven = read_map(self._paths, self.table.chunks)
        self._said = bytearray(held.mask.to_bytes(length, "little"))
        self._held = bytearray(self._said)
        os.close(self._disk.open(self._paths.map))
        file = self._disk.open(self._paths.part)
        self._disk.resize(file, self.table.size_bytes)
        return file

    @property
    def descriptor(self) -> int:
        """The open file, for who reads it; closed with the slot."""
        return self._file

    @property
    def held(self) -> ChunkSet:
        """Chunks whose bytes are in the file."""
        with self._lock:
            return ChunkSet.of_bytes(bytes(self._held))

    @property
    def said(self) -> ChunkSet:
        """Chunks that the map on disk says are there."""
        with self._lock:
            return ChunkSet.of_bytes(bytes(self._said))

    def holds(self, number: int) -> bool:
        """Whether the bytes of a chunk are in the file."""
        return bool(self._held[number >> 3] >> (number & 7) & 1)

    def lacking_bytes(self) -> int:
        """What the file will take on disk beyond what it takes now."""
        if self.whole:
            return 0
        with self._work():
            return max(0, self.table.size_bytes - os.fstat(self._file).st_blocks * 512)

    def put(self, number: int, data: bytes | memoryview) -> None:
        """Write a chunk that has been checked.

        Raises:
            DiskShortError, StoreError: it is not held.
        """
        with self._work():
            self._disk.write(self._file, data, self.table[number].start)
        self._add(number)
        if self._hashing.acquire(blocking=False):
            try:
                if number == self._hashed and not self.proven:
                    self._hash(data)
            finally:
                self._hashing.release()

    def copy(self, number: int, source: int, start: int) -> bool:
        """Copy a chunk from another open file; say whether it had the right bytes there."""
        chunk = self.table[number]
        with self._work():
            self._disk.copy(source, start, self._file, chunk.start, chunk.size_bytes)
        right = self.is_right(number)
        if right:
            self._add(number)
        return right

    def adopt(self) -> None:
        """Take in what a killed process had written and not said yet, if it is right."""
        missing = ChunkSet.of_runs([(0, self.table.chunks)]) - self.held
        for first, end in _written(self._file, self.table.size_bytes):
            over = ChunkSet.of_runs([self.table.run_over(0, first, end)])
            for number in over & missing:
                if self.is_right(number):
                    self._add(number)

    def read(self, number: int) -> bytes:
        """The bytes of a chunk, as they are on disk."""
        chunk = self.table[number]
        with self._work():
            return read_at(self._file, chunk.start, chunk.size_bytes)

    def is_right(self, number: int) -> bool:
        """Whether a chunk can be read and has the bytes that it has to have."""
        try:
            return self.fits(number, self.read(number))
        except StoreError:
            return False

    def fits(self, number: int, data: bytes) -> bool:
        """Whether these are the bytes that a chunk has to have."""
        expected = self._hash_of(number)
        return expected is not None and blake3(data).digest() == expected

    def say(self, first: Callable[[], None] = lambda: None) -> None:
        """Sync what was written, then have the map on disk say so.

        Args:
            first: what is to be on disk before the map is.

        Raises:
            DiskShortError, StoreError: what was written since the last time is not held any more.
        """
        with self._lock:
            unsaid, self._unsaid = self._unsaid, []
        if not unsaid:
            return
        try:
            with self._work():
                self._disk.sync(self._file)
            first()
            if self._new:
                self._disk.sync_folder(self._paths.part.parent)
                self._new = False
        except BaseException:
            with self._lock:
                for number in (*unsaid, *self._unsaid):
                    _clear(self._held, number)
                self._unsaid = []
            raise
        with self._lock:
            still = [number for number in unsaid if self.holds(number)]
            for number in still:
                _set(self._said, number)
            try:
                self._write_map(min(unsaid), max(unsaid))
            except BaseException:
                for number in still:
                    _clear(self._said, number)
                self._unsaid += still
                raise

    def lose(self, number: int) -> None:
        """Let a chunk go, rotten or about to be another: it is not held, and nobody says so."""
        with self._lock:
            said = bool(self._said[number >> 3] >> (number & 7) & 1)
            _clear(self._held, number)
            _clear(self._said, number)
            if number in self._unsaid:
                self._unsaid.remove(number)
            if self._renamed:
                self._lose_name()
            elif said:
                self._write_map(number, number)

    def hash_on(self, bytes_max: int) -> int:
        """Take the SHA-256 further, as far as chunks are held from the start; say how far.

        A chunk that turns out to have rotted is not held any more.
        """
        done = 0
        with self._hashing:
            while not self.proven and done < bytes_max and self._hashed < self.table.chunks:
                if not self.holds(self._hashed):
                    break
                data = self.read(self._hashed)
                if not self.fits(self._hashed, data):
                    self.lose(self._hashed)
                    break
                self._hash(data)
                done += len(data)
        return done

    def hash_again_from(self, number: int) -> None:
        """A chunk is another by now: forget a SHA-256 that it is in."""
        with self._hashing:
            if number < self._hashed:
                self._sha256 = hashlib.sha256()
                self._hashed = 0

    def digest(self) -> Digest | None:
        """The SHA-256 of the file; None until all of it is hashed (`hash_on`)."""
        with self._hashing:
            return named(self._sha256) if self._hashed == self.table.chunks else None

    def git_oid(self) -> str:
        """What git calls the file, in hexadecimal. All of it is read."""
        taken = hashlib.sha1(b"blob %d\0" % self.table.size_bytes, usedforsecurity=False)
        for number in range(self.table.chunks):
            taken.update(self.read(number))
        return taken.hexdigest()

    def name(self) -> None:
        """Give a full file that is right its own name, certain once the folder is synced."""
        whole = whole_path(self._paths)
        assert len(self.said) == self.table.chunks, "a file is named when all of it is there"
        with self._work(), self._lock:
            if not self._renamed:
                os.fchmod(self._file, 0o444)
                self._disk.rename(self._paths.part, whole)
                self._renamed = True

    def named(self) -> None:
        """The file has its name for certain, and needs no map any more."""
        with self._lock:
            if self._renamed and not self.whole:
                self.whole = self.proven = True
                self._disk.unlink(self._paths.map)

    def close(self) -> None:
        """Let go of the file, once nobody is at work on it. What was not said may be lost."""
        with self._idle:
            self._closed = True
            self._idle.wait_for(lambda: not self._at_work)
            os.close(self._file)

    @contextmanager
    def _work(self) -> Iterator[None]:
        """Keep the file open meanwhile: its number would soon be that of another."""
        with self._idle:
            if self._closed:
                raise ConflictError("a file was closed while it was being filled")
            self._at_work += 1
        try:
            yield
        finally:
            with self._idle:
                self._at_work -= 1
                self._idle.notify_all()

    def _add(self, number: int) -> None:
        with self._lock:
            if not self.holds(number):
                _set(self._held, number)
                self._unsaid.append(number)

    def _hash(self, data: bytes | memoryview) -> None:
        self._sha256.update(data)
        self._hashed += 1

    def _write_map(self, first: int, last: int) -> None:
        """Have the bits of these chunks, and the flags, on disk."""
        start, end = first >> 3, (last >> 3) + 1
        file = self._disk.open(self._paths.map)
        try:
            self._disk.write(file, bytes([_PROVEN if self.proven else 0]), 0)
            self._disk.write(file, bytes(self._said[start:end]), 1 + start)
            self._disk.sync(file)
        finally:
            os.close(file)

    def _lose_name(self) -> None:
        whole = whole_path(self._paths)
        said = map_of(ChunkSet.of_bytes(bytes(self._said)), proven=True)
        self._disk.write_whole(self._paths.map, said)
        whole.chmod(0o600)
        self._disk.rename(whole, self._paths.part)
        self._disk.sync_folder(whole.parent)
        self.whole = self._renamed = False
        writable = self._disk.open(self._paths.part)
        os.dup2(writable, self._file, inheritable=False)  # somebody may be sending from it
        os.close(writable)


def name_all(disk: Disk, folder: Path, slots: Sequence[Slot]) -> None:
    """Give full files of one folder, whose SHA-256 is right, their names."""
    for slot in slots:
        slot.name()
    disk.sync_folder(folder)
    for slot in slots:
        slot.named()


def _settle(disk: Disk, paths: SlotPaths, chunks: int) -> None:
    """Bring a file's names to where a killed process was going."""
    whole = paths.whole
    if whole is None or not whole.exists() or not paths.map.exists():
        return
    held, _ = read_map(paths, chunks)
    if len(held) == chunks or paths.part.exists():
        disk.unlink(paths.part)
        disk.unlink(paths.map)
    else:
        whole.chmod(0o600)
        disk.rename(whole, paths.part)
    disk.sync_folder(whole.parent)


def _written(descriptor: int, size_bytes: int) -> list[tuple[int, int]]:
    """The parts of a sparse file that have been written, as (start, end)."""
    parts = []
    at = 0
    with suppress(OSError):
        while at < size_bytes:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
            at = os.lseek(descriptor, start, os.SEEK_HOLE)
            parts.append((start, at))
    return parts


def _set(bits: bytearray, number: int) -> None:
    bits[number >> 3] |= 1 << (number & 7)


def _clear(bits: bytearray, number: int) -> None:
    bits[number >> 3] &= ~(1 << (number & 7)) & 0xFF
