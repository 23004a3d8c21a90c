"""What is in the store, for any number of processes that read. It writes nothing."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.manifest import Blake3, Kind, Manifest
from littoral.delivery.tables import Table
from littoral.terms.ids import ArtifactId

__all__ = ["Holding", "Row", "Shelf", "Stats"]


@dataclass(frozen=True, slots=True)
class Row:
    """One artifact as a listing shows it."""

    artifact: ArtifactId
    kind: Kind
    files: int
    size_bytes: int
    held_bytes: int
    complete: bool
    pinned: bool
    in_use: bool
    """An engine or a front door has it now."""
    asked: int
    """How often it was asked for, as the order of eviction counts it."""


@dataclass(frozen=True, slots=True)
class Stats:
    """The store in numbers."""

    artifacts: int
    complete: int
    used_bytes: int
    """On disk, files that several artifacts share counted once."""
    shared_bytes: int
    """What sharing files saves."""
    pinned_bytes: int
    bytes_max: int


@dataclass(frozen=True, slots=True)
class Holding:
    """A whole artifact that can't be dropped while this is open."""

    artifact: ArtifactId
    manifest: Manifest
    paths: tuple[Path, ...]
    """Of each file, in the order of the manifest. The names of files on disk are not theirs."""


class Shelf:
    """The reading side of a store. It may be opened before there is one: then it is empty."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def artifacts(self) -> tuple[ArtifactId, ...]:
        """All that are here, in part or whole, sorted."""
        raise NotImplementedError

    def rows(self) -> tuple[Row, ...]:
        """All that are here, as a listing shows them."""
        raise NotImplementedError

    def stats(self) -> Stats:
        """The store in numbers."""
        raise NotImplementedError

    def complete(self, artifact: ArtifactId) -> bool:
        """Whether all of its files are here, sealed."""
        raise NotImplementedError

    def manifest(self, artifact: ArtifactId) -> Manifest:
        """What it is. Raises NotFoundError."""
        raise NotImplementedError

    def tables(self, artifact: ArtifactId) -> tuple[bytes, ...]:
        """The table of each file. Raises NotFoundError."""
        raise NotImplementedError

    def table(self, artifact: ArtifactId) -> Table:
        """Its chunks. Raises NotFoundError."""
        raise NotImplementedError

    def blob(self, name: Blake3) -> bytes:
        """A table or a list of tensors, by its name. Raises NotFoundError."""
        raise NotImplementedError

    def held(self, artifact: ArtifactId) -> ChunkSet:
        """What of it is committed, now. Raises NotFoundError."""
        raise NotImplementedError

    def read(self, artifact: ArtifactId, number: int) -> bytes:
        """One committed chunk, checked. Raises NotFoundError, DigestMismatchError."""
        raise NotImplementedError

    def claims(self, artifact: ArtifactId) -> tuple[bytes, ...]:
        """Who vouches for it: envelopes as they came (`delivery.claims`)."""
        raise NotImplementedError

    def hold(self, artifact: ArtifactId) -> AbstractContextManager[Holding]:
        """The files of a whole artifact, which stay while the context is open.

        It is held by locks on the files, which end with this process, and which a child that
        inherits the descriptors shares.

        Raises:
            NotFoundError: it is not here, or not whole.
        """
        raise NotImplementedError

    def verify(self, artifact: ArtifactId, progress: Callable[[int, int], None]) -> tuple[int, ...]:
        """Read all that is committed of it and hash it again.

        Args:
            artifact: which.
            progress: told (bytes done, bytes in all) after every piece; may raise to end it.

        Returns:
            The numbers of rotten chunks. Nothing is done about them.
        """
        raise NotImplementedError
