"""What an artifact and a draft have in common while they are filled: their files, side by side."""

import threading
from collections.abc import Callable, Sequence
from typing import Self

from littoral.adapters.artifacts.slot import Slot
from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.tables import Table
from littoral.terms.errors import ConflictError, DigestMismatchError, NotFoundError

__all__ = ["Filling"]

HASHED_AT_ONCE_BYTES = 64 * 1024 * 1024


class Filling:
    """Files that are filled chunk by chunk. Closed by whoever opened it.

    All methods block, briefly but for `commit`, `hash_on` and `seal`, and may be called on any
    thread; `write` on several at a time.
    """

    def __init__(
        self, name: str, table: Table, slots: Sequence[Slot], closed: Callable[[], None]
    ) -> None:
        self._called = name
        self.table = table
        self._slots = slots
        self._closed = closed
        self._committing = threading.Lock()
        """One commit at a time, and no end meanwhile: what it writes to would be closed."""
        self._open = True

    def after(self, fill: Callable[[], object]) -> Self:
        """Itself, once this is done; closed where it raises."""
        try:
            fill()
        except BaseException:
            self.close()
            raise
        return self

    @property
    def held(self) -> ChunkSet:
        """Chunks whose right bytes are in the files. After a power cut some may be gone."""
        return self.table.joined(slot.held for slot in self._slots)

    @property
    def committed(self) -> ChunkSet:
        """Chunks that stay, whatever happens."""
        return self.table.joined(slot.said for slot in self._slots)

    def holds(self, number: int) -> bool:
        """Whether a chunk is held."""
        slot, at = self._at(number)
        return slot.holds(at)

    def place(self, number: int) -> tuple[int, int, int]:
        """(open file, start, bytes) of a held chunk, for `sendfile`; it is open until `close`.

        Raises:
            NotFoundError: it is not held.
        """
        slot, at = self._held_at(number)
        chunk = slot.table[at]
        return slot.descriptor, chunk.start, chunk.size_bytes

    def read(self, number: int) -> bytes:
        """The bytes of a held chunk.

        Raises:
            NotFoundError: it is not held.
            DigestMismatchError: it has rotted; it is not held any more.
        """
        slot, at = self._held_at(number)
        data = slot.read(at)
        if not slot.fits(at, data):
            slot.lose(at)
            raise DigestMismatchError(f"chunk {number} of {self._called} has rotted on disk")
        return data

    def hash_on(self, bytes_max: int) -> int:
        """Take the SHA-256 of files further, as far as they are held from their start.

        What comes in order is hashed as it comes; this is for the rest, which is read back. A
        chunk that turns out to have rotted is not held any more.

        Returns:
            How many bytes were hashed; 0 when there is nothing more to do for now, or it is closed.
        """
        done = 0
        with self._committing:
            for slot in self._slots if self._open else ():
                if done < bytes_max:
                    done += slot.hash_on(bytes_max - done)
        return done

    def close(self) -> None:
        """Let go of the files. What was committed stays for the next time."""
        with self._committing:
            self._open = False
            self._closed()

    def _hash_all(self) -> None:
        """Hash what is left.

        Raises:
            ConflictError: chunks are missing, or have turned out to have rotted.
        """
        while self.hash_on(HASHED_AT_ONCE_BYTES):
            pass
        missing = self.table.chunks - len(self.held)
        if missing:
            raise ConflictError(
                f"{missing} chunks are not here yet", advice="fetch them, then seal again"
            )

    def _held_at(self, number: int) -> tuple[Slot, int]:
        slot, at = self._at(number)
        if not slot.holds(at):
            raise NotFoundError(f"chunk {number} is not here", advice="fetch it first")
        return slot, at

    def _at(self, number: int) -> tuple[Slot, int]:
        """The file that has a chunk, and the chunk's number in that file alone."""
        file = self.table[number].file
        return self._slots[file], number - self.table.run_of(file)[0]
