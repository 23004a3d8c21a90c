"""Reads what is here again, bit by bit, to find what has rotted before somebody needs it."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from littoral.adapters.artifacts.places import key_of
from littoral.adapters.artifacts.shelf import Shelf
from littoral.adapters.artifacts.slot import Slot
from littoral.adapters.artifacts.slots import Slots
from littoral.delivery.manifest import FileRow
from littoral.terms.errors import NotFoundError
from littoral.terms.ids import ArtifactId

__all__ = ["Scrubbed", "Scrubber"]


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What a bounded piece of scrubbing found."""

    read_bytes: int
    rotten: tuple[tuple[ArtifactId, int], ...]
    """Chunks that are not held any more, by every artifact that has them: each of these is to be
    taken, filled and sealed again."""
    round_over: bool
    """All that is here was looked at since the round began."""


@dataclass(frozen=True, slots=True)
class _File:
    row: FileRow
    users: list[tuple[ArtifactId, int]]
    """Who has it, and their number of its first chunk."""


class Scrubber:
    """Where a round of scrubbing is. Used on one thread at a time."""

    def __init__(self, shelf: Shelf, slots: Slots, key: str) -> None:
        """Go on with a round.

        Args:
            shelf: of the store.
            slots: of the store.
            key: of the file where the last round was; empty to begin.
        """
        self._shelf = shelf
        self._slots = slots
        self.key = key
        """The file that is next."""
        self._chunk = 0

    def scrub(self, bytes_max: int) -> Scrubbed:
        """Look at the next chunks, at least one, until so many bytes were read."""
        files = self._files()
        done, rotten = 0, []
        for key in sorted(key for key in files if key >= self.key):
            if key != self.key:
                self.key, self._chunk = key, 0
            with suppress(NotFoundError):
                read, found = self._look(files[key].row, bytes_max - done)
                done += read
                rotten += [(it, first + n) for it, first in files[key].users for n in found]
            if done >= bytes_max:
                return Scrubbed(done, tuple(rotten), round_over=False)
        self.key, self._chunk = "", 0
        return Scrubbed(done, tuple(rotten), round_over=True)

    def _files(self) -> dict[str, _File]:
        files: dict[str, _File] = {}
        for artifact, manifest in self._shelf.manifests():
            first = 0
            for row in manifest.files:
                file = files.setdefault(key_of(row), _File(row, []))
                file.users.append((artifact, first))
                first += row.chunks
        return files

    def _look(self, row: FileRow, bytes_max: int) -> tuple[int, Sequence[int]]:
        """Go on in one file: the bytes read, and the rotten chunks, numbered from 0 in the file."""
        slot = self._slots.take(row, self._shelf.blob(row.table))
        try:
            said = slot.said
            done, rotten = 0, []
            while self._chunk < row.chunks and done < bytes_max:
                if self._chunk in said:
                    done += slot.table[self._chunk].size_bytes
                    if not _is_right(slot, self._chunk):
                        slot.lose(self._chunk)
                        rotten.append(self._chunk)
                self._chunk += 1
            return done, rotten
        finally:
            self._slots.give(row)


def _is_right(slot: Slot, number: int) -> bool:
    """Whether a chunk has its bytes on the disk, and not only in memory."""
    chunk = slot.table[number]
    with suppress(OSError, AttributeError):  # not every system can forget
        os.posix_fadvise(slot.descriptor, chunk.start, chunk.size_bytes, os.POSIX_FADV_DONTNEED)
    return slot.is_right(number)
