"""A draft that is being filled: a chunk has the hash that whoever read it vouches for."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from littoral.adapters.artifacts.disk import Disk, read_at
from littoral.adapters.artifacts.filling import Filling
from littoral.adapters.artifacts.slot import Slot
from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.drafts import Draft, DraftId, WholeFile, sealed
from littoral.delivery.manifest import GIT_BYTES_MAX, Manifest
from littoral.delivery.tables import HASH_BYTES, Table
from littoral.terms.errors import DigestMismatchError

__all__ = ["DraftIntake", "Vouched", "Workings"]


class Vouched:
    """The hashes of the chunks of one file of a draft, in a file beside it."""

    def __init__(self, disk: Disk, path: Path, chunks: int) -> None:
        self._disk = disk
        self._file = disk.open(path)
        self._changed: set[int] = set()
        size = chunks * HASH_BYTES
        self._hashes = bytearray(read_at(self._file, 0, size).ljust(size, b"\0"))

    def of(self, number: int) -> bytes:
        """What is vouched for; zeros where nothing is."""
        return bytes(self._hashes[number * HASH_BYTES : (number + 1) * HASH_BYTES])

    def put(self, number: int, found: bytes) -> None:
        """Note what somebody vouches for."""
        self._hashes[number * HASH_BYTES : (number + 1) * HASH_BYTES] = found
        self._changed.add(number)

    def all(self) -> Sequence[bytes]:
        """Of each chunk."""
        return [self.of(number) for number in range(len(self._hashes) // HASH_BYTES)]

    def write(self) -> None:
        """Have what was noted on disk."""
        changed, self._changed = self._changed, set()
        if changed:
            start, end = min(changed) * HASH_BYTES, (max(changed) + 1) * HASH_BYTES
            try:
                self._disk.write(self._file, bytes(self._hashes[start:end]), start)
                self._disk.sync(self._file)
            except BaseException:
                self._changed |= changed
                raise

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


@dataclass(frozen=True, slots=True)
class Workings:
    """What a draft under way is made of."""

    draft: Draft
    cuts: Sequence[bytes]
    table: Table
    slots: Sequence[Slot]
    vouched: Sequence[Vouched]


class DraftIntake(Filling):
    """A draft under way. Nothing of it is listed, or served to engines and clients."""

    def __init__(
        self,
        workings: Workings,
        became: Callable[[Manifest, tuple[bytes, ...]], None],
        closed: Callable[[], None],
    ) -> None:
        super().__init__(workings.draft.id, workings.table, workings.slots, closed)
        self._workings = workings
        self._became = became
        self.draft: Draft = workings.draft
        self.id: DraftId = workings.draft.id

    def hash_of(self, number: int) -> bytes | None:
        """The BLAKE3 of a held chunk, as it was vouched for; None where it is not held."""
        slot, at = self._at(number)
        return self._vouched(number).of(at) if slot.holds(at) else None

    def write(
        self, number: int, data: bytes | memoryview, vouched: bytes | None = None
    ) -> ChunkSet:
        """Write a chunk, in the place of other bytes that somebody vouched for if there are any.

        Args:
            number: of the chunk.
            data: all of its bytes.
            vouched: the BLAKE3 that whoever read it at the origin says; None where that was us.

        Returns:
            What is held by it that was not held before, with these bytes.

        Raises:
            DigestMismatchError: these are not the bytes that are vouched for.
            DiskShortError: the disk is full. The chunk is not held; all others still are.
        """
        slot, at = self._at(number)
        found = blake3(data).digest()
        if vouched not in (None, found) or len(data) != slot.table[at].size_bytes:
            raise DigestMismatchError(f"what came as chunk {number} is not what is vouched for")
        hashes = self._vouched(number)
        if slot.holds(at):
            if hashes.of(at) == found:
                return ChunkSet()
            slot.lose(at)
        slot.hash_again_from(at)
        hashes.put(at, found)
        slot.put(at, data)
        return ChunkSet.of([number])

    def commit(self) -> ChunkSet:
        """As `Intake.commit`, with what was vouched for."""
        with self._committing:
            for slot, vouched in zip(self._slots, self._workings.vouched, strict=True):
                slot.say(vouched.write)
            return self.committed

    def seal(self) -> tuple[Manifest, tuple[bytes, ...]]:
        """Make the manifest and the tables, and give every file its name. The intake is closed.

        Raises:
            ConflictError: chunks are missing, or have turned out to have rotted; or the artifact
                is under way as such, and has to be closed first.
            DigestMismatchError: a file is another than the origin promises (`details["path"]`).
                Nothing changes: read chunks of it again, and `write` those that are others.
            DiskShortError, StoreError: as `commit`.
        """
        self._hash_all()
        self.commit()
        found = []
        for file, slot, vouched in zip(
            self.draft.files, self._slots, self._workings.vouched, strict=True
        ):
            digest = slot.digest()
            assert digest is not None, "all of it was hashed"
            git = file.size_bytes <= GIT_BYTES_MAX or file.git_oid is not None
            found.append(WholeFile(digest, slot.git_oid() if git else None, vouched.all()))
        manifest, tables = sealed(self.draft, self._workings.cuts, found)
        self._became(manifest, tables)
        self.close()
        return manifest, tables

    def _vouched(self, number: int) -> Vouched:
        return self._workings.vouched[self.table[number].file]
