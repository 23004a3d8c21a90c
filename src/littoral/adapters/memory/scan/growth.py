"""Vectors that came after the generation: in memory's order, in a mapped file that has no name.

They are compared exactly until there are some hundreds, and then coded with the generation's own
quantiser, beside its codes. A new generation takes them in.

Rules
- One writer at a time changes a `Growth`; readers have a `Grown`, which never changes: rows are
  only ever added behind those that it sees, and what is removed is marked in another array.
- The file is unlinked before it is written: a process that is killed leaves nothing. It is written
  by calls, not through the map, so that a full disk is an error and not a signal.
"""

import mmap
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from littoral.adapters.memory.scan.foreign import faiss
from littoral.adapters.memory.scan.kernels import Flags, Floats, Places, places_of, single_thread
from littoral.adapters.memory.scan.quantiser import Quantiser

__all__ = ["UNCODED_MAX", "Grown", "Growth", "nothing_grown"]

UNCODED_MAX: Final = 1_024
"""Compared exactly: 25 us of each search at 384 dimensions; coding them takes the writer 5 ms."""

_BEGUN_ROWS: Final = 256
_NUMBER_BYTES: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Grown:
    """What one reader sees of them."""

    vectors: Floats
    rows: Places
    sequences: Places
    """The change of the truth that brought each."""
    dead: Flags | None
    dead_count: int
    coded: int
    """The first so many have codes."""
    index: Any
    """faiss.IndexPQFastScan of the coded ones, or None."""

    @property
    def alive(self) -> int:
        """How many may be found."""
        return len(self.rows) - self.dead_count

    def without(self, rows: Places) -> "Grown":
        """The same, these rows removed; they ascend."""
        count = len(self.rows)
        ascending = bool((self.rows[1:] >= self.rows[:-1]).all())
        if ascending:
            places = places_of(self.rows, rows)
        else:
            places = np.flatnonzero(np.isin(self.rows, rows))
        if not len(places):
            return self
        dead = np.zeros(count, np.bool_) if self.dead is None else self.dead.copy()
        dead[places] = True
        return replace(self, dead=dead, dead_count=int(np.count_nonzero(dead)))


def nothing_grown(dimensions: int) -> Grown:
    """Before the first."""
    none = np.empty(0, np.int64)
    return Grown(np.empty((0, dimensions), np.float32), none, none, None, 0, 0, None)


class Growth:
    """The writer's side."""

    def __init__(self, folder: Path, dimensions: int, quantiser: Quantiser | None) -> None:
        """Begin with none; the file is made when the first comes."""
        self._folder = folder
        self._dimensions = dimensions
        self._quantiser = quantiser
        self._descriptor = -1
        self._room = 0
        self._rows = self._sequences = np.empty(0, np.int64)
        self._vectors = np.empty((0, dimensions), np.float32)
        self.now = nothing_grown(dimensions)
        self.error_sum = 0.0
        self.errors = 0
        """Coded ones, over which `error_sum` goes."""

    def append(self, rows: Places, vectors: Floats, sequence: int | Places) -> Grown:
        """What is seen with these rows, which are prepared.

        Raises:
            OSError: the file can't be written.
        """
        before, count = len(self.now.rows), len(self.now.rows) + len(rows)
        if count > self._room:
            self._make_room(count)
        row_bytes = self._dimensions * _NUMBER_BYTES
        _write(self._descriptor, vectors.data.cast("B"), before * row_bytes)
        self._rows[before:count] = rows
        self._sequences[before:count] = sequence
        dead = self.now.dead
        if dead is not None:
            dead = np.concatenate([dead, np.zeros(len(rows), np.bool_)])
        self.now = replace(
            self.now,
            vectors=self._vectors[:count],
            rows=self._rows[:count],
            sequences=self._sequences[:count],
            dead=dead,
        )
        if self._quantiser is not None and count - self.now.coded >= UNCODED_MAX:
            self.now = self._coded(self._quantiser)
        return self.now

    def remove(self, rows: Places) -> Grown:
        """What is seen without these rows, which ascend."""
        self.now = self.now.without(rows)
        return self.now

    def close(self) -> None:
        """Let go of the file; readers keep what they have mapped."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _make_room(self, count: int) -> None:
        room = max(_BEGUN_ROWS, 1 << (count - 1).bit_length())
        if self._descriptor < 0:
            self._descriptor, name = tempfile.mkstemp(prefix="new-growth-", dir=self._folder)
            Path(name).unlink(missing_ok=True)
        size = room * self._dimensions * _NUMBER_BYTES
        os.ftruncate(self._descriptor, size)
        mapped = mmap.mmap(self._descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ)
        flat = np.frombuffer(mapped, np.float32)
        self._vectors = flat.reshape(room, self._dimensions)
        self._rows = np.concatenate([self._rows, np.empty(room - self._room, np.int64)])
        more = np.empty(room - self._room, np.int64)
        self._sequences = np.concatenate([self._sequences, more])
        self._room = room

    def _coded(self, quantiser: Quantiser) -> Grown:
        """All of them with codes. What others scan meanwhile is not touched."""
        single_thread()
        begin, count = self.now.coded, len(self.now.rows)
        fresh = self.now.vectors[begin:count]
        codes = quantiser.encoded(fresh)
        self.error_sum += quantiser.error(fresh, codes) * len(fresh)
        self.errors += len(fresh)
        if self.now.index is None:
            index = quantiser.index(codes)
        else:
            index = faiss.clone_index(self.now.index)
            index.add(quantiser.fitted(fresh))
        return replace(self.now, coded=count, index=index)


def _write(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written
