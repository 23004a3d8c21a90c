"""What is here of an artifact, as the transport reads and fills it (`adapters.moving.Shelf`).

`FillingShelf` is of an artifact under way: what comes is checked and written by its intake, and
told to whoever waits for it. It goes on to be read when the artifact is whole. `WholeShelf` is of
one that is whole in the store.

All of it is called on the loop; only an intake is written to by other threads too, which then say
`came` on the loop.
"""

import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from littoral.adapters.artifacts import DraftIntake, Holding, Intake
from littoral.adapters.moving.words import Held
from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.tables import Table
from littoral.terms.errors import DigestMismatchError, LittoralError

__all__ = ["FillingShelf", "WholeShelf"]


class FillingShelf:
    """Of an artifact, or a draft of one, that is being filled."""

    def __init__(
        self, intake: Intake | DraftIntake, failed: Callable[[LittoralError], None]
    ) -> None:
        """Begin with what is held.

        Args:
            intake: takes chunks.
            failed: told when the disk can't.
        """
        self.intake = intake
        self._table = intake.table
        self._failed = failed
        self._here = bytearray(self._table.chunks)
        for first, end in intake.held.runs():
            self._here[first:end] = b"\1" * (end - first)
        self.here_bytes = self._table.bytes_of(intake.held)
        """How many bytes are here."""
        self._doubted: set[int] = set()
        """To be read again: a whole file was wrong."""
        self._maps: dict[int, mmap.mmap] = {}
        self._watchers: dict[int, Callable[[int], None]] = {}
        self._watched = 0

    def size_bytes(self, number: int) -> int:
        """See Shelf."""
        return _size(self._table, number)

    def held(self, number: int) -> Held | None:
        """See Shelf."""
        if not self._here[number]:
            return None
        chunk = self._table[number]
        data = self._mapped(number)[chunk.start : chunk.start + chunk.size_bytes]
        return Held(chunk.hash or self.hash_of(number), data)

    def _mapped(self, number: int) -> memoryview:
        """The file of a chunk that the intake holds."""
        file = self._table[number].file
        mapped = self._maps.get(file)
        if mapped is None:
            descriptor, _, _ = self.intake.place(number)
            mapped = self._maps[file] = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
        return memoryview(mapped)

    def hash_of(self, number: int) -> bytes:
        """Of a held chunk, 32 bytes."""
        if isinstance(self.intake, DraftIntake):
            found = self.intake.hash_of(number)
        else:
            found = self._table[number].hash
        assert found is not None, "it is held"
        return found

    def put(self, number: int, data: memoryview, digest: bytes) -> bool:
        """See Shelf. What is held is not written again; what is doubted, from the origin only."""
        if self._here[number] or number in self._doubted:
            return True
        try:
            if isinstance(self.intake, DraftIntake):
                new = self.intake.write(number, data, digest)
            else:
                new = self.intake.write(number, data)
        except DigestMismatchError:
            return False
        except LittoralError as error:
            self._failed(error)
            return False
        self.came(new)
        return True

    def came(self, chunks: ChunkSet) -> None:
        """These were written, and are here now."""
        for number in chunks:
            if not self._here[number]:
                self.here_bytes += self._table[number].size_bytes
            self._here[number] = 1
            self._doubted.discard(number)
            for hear in tuple(self._watchers.values()):
                hear(number)

    def went(self, number: int) -> None:
        """This one is to be read again, at the origin, and is given to nobody until then."""
        self._doubted.add(number)
        if self._here[number]:
            self.here_bytes -= self._table[number].size_bytes
        self._here[number] = 0

    def watch(self, hear: Callable[[int], None]) -> Callable[[], None]:
        """See Shelf."""
        self._watched += 1
        key = self._watched
        self._watchers[key] = hear
        return lambda: self._watchers.pop(key, None) and None

    def map_all(self) -> None:
        """Have every file at hand, before the intake lets go of them. All must be here."""
        for file in range(self._table.files):
            first, end = self._table.run_of(file)
            if first < end:
                self._mapped(first)

    def sealed(self, table: Table) -> None:
        """It is whole, and of a draft, this is its table now."""
        self._table = table
        self._doubted.clear()
        self._here = bytearray(b"\1" * table.chunks)
        self.here_bytes = table.size_bytes


class WholeShelf:
    """Of an artifact that is whole."""

    def __init__(self, holding: Holding, table: Table) -> None:
        self._table = table
        self._maps: Final = [_mapped(path) for path in holding.paths]

    def size_bytes(self, number: int) -> int:
        """See Shelf."""
        return _size(self._table, number)

    def held(self, number: int) -> Held | None:
        """See Shelf."""
        chunk = self._table[number]
        assert chunk.hash is not None, "a whole artifact has a table with hashes"
        return Held(chunk.hash, self.file(chunk.file)[chunk.start : chunk.start + chunk.size_bytes])

    def put(self, _number: int, _data: memoryview, _digest: bytes) -> bool:
        """See Shelf."""
        raise AssertionError("nothing is fetched of what is whole")

    def watch(self, _hear: Callable[[int], None]) -> Callable[[], None]:
        """See Shelf."""
        return lambda: None

    def file(self, number: int) -> memoryview:
        """All bytes of a file."""
        return memoryview(self._maps[number])


def _size(table: Table, number: int) -> int:
    try:
        return table[number].size_bytes
    except IndexError:
        raise KeyError(number) from None


def _mapped(path: Path) -> mmap.mmap | bytes:
    """The bytes of a file that does not change; an empty one can't be mapped."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return b""
        return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
