"""Sets of chunks of one artifact, by number: what somebody has, lacks, reads or asks for.

Rules
- Chunks of an artifact are numbered from 0, over all of its files in the order of the manifest.
- A set is a value: it never changes, and equal sets are equal.

An operation on a set of 70,000 chunks (70 GB) takes some microseconds.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["ChunkSet", "Run"]

Run = tuple[int, int]
"""Chunks that follow each other: the first, and the one after the last."""


@dataclass(frozen=True, slots=True)
class ChunkSet:
    """A set of chunk numbers."""

    mask: int = 0
    """Bit n is set where chunk n is in the set."""

    @classmethod
    def of(cls, numbers: Iterable[int]) -> "ChunkSet":
        """The set of these numbers."""
        mask = bytearray()
        for number in numbers:
            byte, bit = divmod(number, 8)
            if byte >= len(mask):
                mask.extend(bytes(byte + 1 - len(mask)))
            mask[byte] |= 1 << bit
        return cls(int.from_bytes(mask, "little"))

    @classmethod
    def of_runs(cls, runs: Iterable[Run]) -> "ChunkSet":
        """The set of all numbers in these runs."""
        mask = 0
        for first, end in runs:
            mask |= (1 << end) - (1 << first)
        return cls(mask)

    @classmethod
    def of_bytes(cls, data: bytes) -> "ChunkSet":
        """The set that `encoded` gave these bytes for."""
        return cls(int.from_bytes(data, "little"))

    def encoded(self) -> bytes:
        """As bytes: chunk n is bit n % 8 of byte n // 8; as few bytes as hold the last."""
        return self.mask.to_bytes((self.mask.bit_length() + 7) // 8, "little")

    def __contains__(self, number: int) -> bool:
        return bool(self.mask >> number & 1)

    def __len__(self) -> int:
        return self.mask.bit_count()

    def __bool__(self) -> bool:
        return self.mask != 0

    def __or__(self, other: "ChunkSet") -> "ChunkSet":
        return ChunkSet(self.mask | other.mask)

    def __and__(self, other: "ChunkSet") -> "ChunkSet":
        return ChunkSet(self.mask & other.mask)

    def __sub__(self, other: "ChunkSet") -> "ChunkSet":
        return ChunkSet(self.mask & ~other.mask)

    def __iter__(self) -> Iterator[int]:
        for first, end in self.runs():
            yield from range(first, end)

    def later_half(self) -> "ChunkSet":
        """Its chunks from the middle one on; it has at least one."""
        numbers = list(self)
        first = numbers[len(numbers) // 2]
        return ChunkSet(self.mask >> first << first)

    def runs(self) -> Iterator[Run]:
        """The set as runs, in order, none of which touches the next."""
        mask, at = self.mask, 0
        while mask:
            skipped = (mask & -mask).bit_length() - 1
            mask >>= skipped
            long = (~mask & (mask + 1)).bit_length() - 1
            mask >>= long
            at += skipped
            yield at, at + long
            at += long
