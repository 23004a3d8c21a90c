"""An artifact that is being filled: chunks in any order, from anywhere, checked as they come."""

from collections.abc import Callable, Mapping, Sequence

from blake3 import blake3

from littoral.adapters.artifacts.filling import Filling
from littoral.adapters.artifacts.slot import Slot
from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.manifest import FileRow, Manifest
from littoral.delivery.tables import Table
from littoral.terms.errors import DigestMismatchError
from littoral.terms.ids import ArtifactId

__all__ = ["Intake"]


class Intake(Filling):
    """An artifact under way, or one with rotten chunks under repair, or a whole one to send from.

    Chunks of it with the same bytes are written together: whoever pulls need fetch one of them.
    """

    def __init__(
        self,
        manifest: Manifest,
        table: Table,
        slots: Sequence[Slot],
        name: Callable[[Sequence[Slot]], None],
        closed: Callable[[], None],
    ) -> None:
        super().__init__(manifest.artifact, table, slots, closed)
        self._name = name
        self.manifest = manifest
        self.artifact: ArtifactId = manifest.artifact
        self._twins = _twins(table)

    def twins(self, number: int) -> Sequence[int]:
        """All chunks with the bytes of this one, itself included."""
        found = self.table[number].hash
        assert found is not None, "the table of an artifact has hashes"
        return self._twins.get(found, (number,))

    def write(self, number: int, data: bytes | memoryview) -> ChunkSet:
        """Check a chunk and write it, and all others of this artifact that have the same bytes.

        Returns:
            What is held by it that was not held before.

        Raises:
            DigestMismatchError: these are not its bytes. Nothing was written.
            DiskShortError: the disk is full. The chunk is not held; all others still are.
        """
        if blake3(data).digest() != self.table[number].hash:
            raise DigestMismatchError(f"what came is not chunk {number} of {self.artifact}")
        new = [twin for twin in self.twins(number) if not self.holds(twin)]
        for twin in new:
            slot, at = self._at(twin)
            if not slot.holds(at):
                slot.put(at, data)
        return ChunkSet.of(new)

    def commit(self) -> ChunkSet:
        """Have what is held stay: sync the bytes, then say so on disk.

        Returns:
            What is committed now.

        Raises:
            DiskShortError, StoreError: what was written since the last `commit` is not held any
                more.
        """
        with self._committing:
            for slot in self._slots:
                slot.say()
            return self.committed

    def seal(self) -> ArtifactId:
        """Give every file its name, when all chunks are held and every digest is right.

        Raises:
            ConflictError: chunks are missing, or have turned out to have rotted: fetch them.
            DigestMismatchError: a file has another SHA-256, or git another name for it, than the
                manifest says, which so contradicts itself: the artifact can't be had from anybody.
                `details["path"]`.
            DiskShortError, StoreError: as `commit`.
        """
        self._hash_all()
        self.commit()
        for row, slot in zip(self.manifest.files, self._slots, strict=True):
            if not slot.proven:
                _check(row, slot)
        self._name(self._slots)
        return self.artifact


def _check(row: FileRow, slot: Slot) -> None:
    """See that a file is what its row says."""
    found = slot.digest()
    git_oid = slot.git_oid() if row.git_oid is not None else None
    if (found, git_oid) != (row.sha256, row.git_oid):
        raise DigestMismatchError(
            f"{row.path} is not what its own manifest says",
            details={"path": row.path, "promised": row.sha256, "found": found},
        )


def _twins(table: Table) -> Mapping[bytes, Sequence[int]]:
    """The chunks of each hash that more than one has."""
    seen: set[bytes] = set()
    twice: dict[bytes, list[int]] = {}
    for found in table.hashes():
        if found in seen:
            twice[found] = []
        seen.add(found)
    if twice:
        for number, found in enumerate(table.hashes()):
            if found in twice:
                twice[found].append(number)
    return twice
