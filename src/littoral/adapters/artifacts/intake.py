"""An artifact that is being filled: chunks in any order, from anywhere, checked as they come."""

from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.manifest import Manifest
from littoral.delivery.tables import Table
from littoral.terms.ids import ArtifactId

__all__ = ["DraftIntake", "Intake"]


class Intake:
    """An artifact under way, or one with rotten chunks under repair. Closed by whoever opened it.

    All methods block, briefly but for `commit`, `hash_on` and `seal`, and may be called on any
    thread; `write` on several at a time.
    """

    artifact: ArtifactId
    table: Table

    @property
    def held(self) -> ChunkSet:
        """Chunks whose right bytes are in the file. After a power cut some may be gone."""
        raise NotImplementedError

    @property
    def committed(self) -> ChunkSet:
        """Chunks that stay, whatever happens."""
        raise NotImplementedError

    def write(self, number: int, data: bytes) -> ChunkSet:
        """Check a chunk and write it, and all others of this artifact that have the same bytes.

        Returns:
            What is held by it that was not held before.

        Raises:
            DigestMismatchError: these are not its bytes. Nothing was written.
            DiskShortError: the disk is full. The chunk is not held; all others still are.
        """
        raise NotImplementedError

    def read(self, number: int) -> bytes:
        """The bytes of a held chunk.

        Raises:
            NotFoundError: it is not held.
            DigestMismatchError: it has rotted; it is not held any more.
        """
        raise NotImplementedError

    def place(self, number: int) -> tuple[int, int, int]:
        """(open file, start, bytes) of a held chunk, for `sendfile`; the intake keeps it open.

        Raises:
            NotFoundError: it is not held.
        """
        raise NotImplementedError

    def commit(self) -> ChunkSet:
        """Have what is held stay: sync the bytes, then say so on disk.

        Returns:
            What is committed now.

        Raises:
            DiskShortError: what was written since the last `commit` is not held any more.
        """
        raise NotImplementedError

    def hash_on(self, bytes_max: int) -> int:
        """Take the SHA-256 of files further, as far as they are held from their start.

        Returns:
            How many bytes were hashed; 0 when there is nothing more to do for now.
        """
        raise NotImplementedError

    def seal(self) -> ArtifactId:
        """Give every file its name, when all chunks are held and every SHA-256 is right.

        Raises:
            ConflictError: chunks are missing.
            DigestMismatchError: a file has another SHA-256 than the manifest says, which so
                contradicts itself: the artifact can't be had from anybody. It stays unsealed.
            DiskShortError: as `commit`.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Commit and let go of the files. What is held stays for the next time."""
        raise NotImplementedError


class DraftIntake:
    """A draft under way: as an `Intake`, but a chunk has the hash that somebody vouches for."""

    table: Table

    @property
    def held(self) -> ChunkSet:
        """As `Intake.held`."""
        raise NotImplementedError

    def hash_of(self, number: int) -> bytes | None:
        """The BLAKE3 of a held chunk, as it was vouched for; None where it is not held."""
        raise NotImplementedError

    def write(self, number: int, data: bytes, vouched: bytes | None = None) -> ChunkSet:
        """Write a chunk, over whatever is there.

        Args:
            number: of the chunk.
            data: all of its bytes.
            vouched: the BLAKE3 that whoever read it at the origin says; None where that was us.

        Raises:
            DigestMismatchError: these are not the bytes that are vouched for.
            DiskShortError: as `Intake.write`.
        """
        raise NotImplementedError

    def seal(self) -> tuple[Manifest, tuple[bytes, ...]]:
        """Make the manifest and the tables, and give every file its name.

        Raises:
            ConflictError: chunks are missing.
            DigestMismatchError: a file is another than the origin promises (`details["path"]`).
                Nothing changes: read chunks of it again, and `write` those that are others.
            DiskShortError: as `Intake.commit`.
        """
        raise NotImplementedError
