"""Tables: where each chunk of an artifact is, and what its bytes hash to.

A table on the wire is a row of fixed width for each chunk of one file, in file order, numbers big
endian: 32 bytes of BLAKE3, 5 of start, 3 of size. A draft knows no hashes yet, so its rows (*cuts*)
are the last 8 bytes alone.

Rules
- A file is covered exactly once, in order: each chunk starts where the one before it ends.
- A chunk has 1 to CHUNK_BYTES_MAX bytes, a file less than FILE_BYTES_MAX.
- Chunks of an artifact are numbered from 0 over all of its files in the order of the manifest.

Looking up a chunk takes about a microsecond; a table takes 40 bytes of memory for each chunk, which
is 40 MB for a terabyte in chunks of 1 MiB.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from typing import Final, NamedTuple

from littoral.delivery.chunk_set import ChunkSet, Run
from littoral.terms.errors import BadRequestError

__all__ = [
    "CHUNK_BYTES_MAX",
    "CUT_BYTES",
    "FILE_BYTES_MAX",
    "HASH_BYTES",
    "ROW_BYTES",
    "Chunk",
    "Table",
    "check_cuts",
    "cuts_of",
    "encode_cuts",
    "encode_table",
    "hashes_of",
]

HASH_BYTES: Final = 32
CUT_BYTES: Final = 8
ROW_BYTES: Final = HASH_BYTES + CUT_BYTES

CHUNK_BYTES_MAX: Final = 4 * 1024 * 1024
"""The largest that is ever cut; a receiver need not have room for more at a time."""

FILE_BYTES_MAX: Final = 1 << 40
"""What 5 bytes of start can say."""

_CUT: Final = struct.Struct(">BIBH")
_CUT_AFTER_HASH: Final = struct.Struct(">32xBIBH")
_HASH: Final = struct.Struct(">32s8x")


class Chunk(NamedTuple):
    """One chunk: the bytes of a file from `start` up to `start + size_bytes`."""

    number: int
    file: int
    """Which file of the manifest, from 0."""
    start: int
    size_bytes: int
    hash: bytes | None
    """The BLAKE3 of its bytes, 32 bytes; None in a draft."""


class Table:
    """The chunks of all files of one artifact, or of a draft of one. It never changes."""

    __slots__ = ("_bytes_before", "_chunks_before", "_rows", "_width", "chunks", "size_bytes")

    def __init__(self, rows: Sequence[bytes], *, hashed: bool = True) -> None:
        """Number the chunks of these files.

        Args:
            rows: for each file in order its table, or its cuts; checked (`check_cuts`).
            hashed: they are tables; else cuts.
        """
        self._rows = tuple(rows)
        self._width = ROW_BYTES if hashed else CUT_BYTES
        self._chunks_before = (0, *accumulate(len(file) // self._width for file in self._rows))
        self._bytes_before = (0, *accumulate(self._size_of_file(file) for file in self._rows))
        self.chunks: int = self._chunks_before[-1]
        """How many there are."""
        self.size_bytes: int = self._bytes_before[-1]
        """Of all files together."""

    @property
    def files(self) -> int:
        """How many files there are."""
        return len(self._rows)

    def __getitem__(self, number: int) -> Chunk:
        """The chunk of this number. Raises IndexError where there is none."""
        if not 0 <= number < self.chunks:
            raise IndexError(f"no chunk {number} among {self.chunks}")
        file = bisect_right(self._chunks_before, number) - 1
        at = (number - self._chunks_before[file]) * self._width
        row = self._rows[file][at : at + self._width]
        start, size = _of_cut(row[-CUT_BYTES:])
        return Chunk(number, file, start, size, row[:HASH_BYTES] if len(row) > CUT_BYTES else None)

    def hashes(self) -> Iterator[bytes]:
        """The hash of each chunk, in order; not of a draft."""
        assert self._width == ROW_BYTES, "a draft has no hashes"
        return chain.from_iterable(hashes_of(rows) for rows in self._rows)

    def run_of(self, file: int) -> Run:
        """The chunks of a file; the run is empty where the file is."""
        return self._chunks_before[file], self._chunks_before[file + 1]

    def size_of(self, file: int) -> int:
        """The size of a file in bytes."""
        return self._bytes_before[file + 1] - self._bytes_before[file]

    def run_over(self, file: int, start: int, end: int) -> Run:
        """The chunks that have the bytes of a file from `start` up to `end`, cut to the file."""
        first, _ = self.run_of(file)
        start, end = max(start, 0), min(end, self.size_of(file))
        if start >= end:
            return first, first
        return self._at(file, start), self._at(file, end - 1) + 1

    def bytes_of(self, chunks: ChunkSet) -> int:
        """How many bytes these chunks have together. It takes time for each run, not each chunk."""
        return sum(
            self._bytes_up_to(end) - self._bytes_up_to(first) for first, end in chunks.runs()
        )

    def _at(self, file: int, offset: int) -> int:
        """The chunk of a file that has the byte at this offset."""
        run = range(*self.run_of(file))
        return run[bisect_right(run, offset, key=lambda number: self[number].start) - 1]

    def joined(self, sets: Iterable[ChunkSet]) -> ChunkSet:
        """These sets, one for each file and numbered from 0 in it, as one."""
        mask = 0
        for before, one in zip(self._chunks_before, sets, strict=False):
            mask |= one.mask << before
        return ChunkSet(mask)

    def _bytes_up_to(self, number: int) -> int:
        """The bytes of all chunks before this one."""
        if number >= self.chunks:
            return self.size_bytes
        chunk = self[number]
        return self._bytes_before[chunk.file] + chunk.start

    def _size_of_file(self, rows: bytes) -> int:
        return sum(_of_cut(rows[-CUT_BYTES:])) if rows else 0


def check_cuts(rows: bytes, size_bytes: int, *, hashed: bool = True) -> None:
    """See that a table, or cuts, cover a file of this size once and in order.

    Args:
        rows: of one file.
        size_bytes: of that file.
        hashed: they are a table; else cuts.

    Raises:
        BadRequestError: they do not, or are no table.
    """
    if len(rows) % (ROW_BYTES if hashed else CUT_BYTES):
        raise _refusal("has a row that is cut off")
    at = 0
    for start, size in cuts_of(rows, hashed=hashed):
        if start != at or not 0 < size <= CHUNK_BYTES_MAX:
            raise _refusal(f"has a chunk of {size} bytes at {start} where {at} is next")
        at += size
    if at != size_bytes:
        raise _refusal(f"covers {at} bytes of a file of {size_bytes}")


def cuts_of(rows: bytes, *, hashed: bool = True) -> Iterator[tuple[int, int]]:
    """(start, size) of each chunk of a table, or of cuts."""
    form = _CUT_AFTER_HASH if hashed else _CUT
    for start_high, start, size_high, size in form.iter_unpack(rows):
        yield start_high << 32 | start, size_high << 16 | size


def hashes_of(table: bytes) -> Iterator[bytes]:
    """The hash of each chunk of a table."""
    return (found for (found,) in _HASH.iter_unpack(table))


def encode_cuts(cuts: Iterable[tuple[int, int]]) -> bytes:
    """(start, size) of each chunk, as bytes."""
    return b"".join(
        _CUT.pack(start >> 32, start & 0xFFFFFFFF, size >> 16, size & 0xFFFF)
        for start, size in cuts
    )


def encode_table(cuts: bytes, hashes: Sequence[bytes]) -> bytes:
    """The table of a file: its cuts, and the hash of each of its chunks."""
    assert len(cuts) == CUT_BYTES * len(hashes), "a hash for each chunk"
    return b"".join(
        found + cuts[at * CUT_BYTES : (at + 1) * CUT_BYTES] for at, found in enumerate(hashes)
    )


def _of_cut(cut: bytes) -> tuple[int, int]:
    start_high, start, size_high, size = _CUT.unpack(cut)
    return start_high << 32 | start, size_high << 16 | size


def _refusal(problem: str) -> BadRequestError:
    return BadRequestError(f"the table of chunks {problem}", advice="ask another for it")
