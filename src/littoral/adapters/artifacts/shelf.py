"""What is in the store, for any number of processes that read. It writes nothing.

What another process adds or drops meanwhile is seen at the next call; what somebody holds stays.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final, TypeVar

from blake3 import blake3

from littoral.adapters.artifacts.book import read_book
from littoral.adapters.artifacts.disk import DRAFT_SUFFIX, read_at, translated
from littoral.adapters.artifacts.locks import share
from littoral.adapters.artifacts.places import Places, key_of, whole_path
from littoral.adapters.artifacts.slot import read_map
from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.manifest import Blake3, FileRow, Kind, Manifest, blake3_of, decoded, opened
from littoral.delivery.tables import Chunk, Table
from littoral.terms.errors import BadRequestError, DigestMismatchError, NotFoundError, StoreError
from littoral.terms.ids import ArtifactId

__all__ = ["Holding", "Row", "Shelf", "Stats", "allocated_bytes", "folder_bytes"]

MANIFESTS_KEPT: Final = 1_024
TABLES_KEPT: Final = 16
"""Of how many artifacts they are kept in memory: those last asked for."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Row:
    """One artifact as a listing shows it."""

    artifact: ArtifactId
    kind: Kind
    files: int
    size_bytes: int
    held_bytes: int
    """What of it is committed."""
    complete: bool
    pinned: bool
    asked: int
    """How often it was asked for, as the order of eviction counts it."""


@dataclass(frozen=True, slots=True)
class Stats:
    """The store in numbers."""

    artifacts: int
    complete: int
    disk_bytes: int
    """What all files take, those of drafts included."""
    shared_bytes: int
    """What files that several artifacts have would take more if each had its own."""
    pinned_bytes: int
    """Of the artifacts that are pinned."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A whole artifact that can't be dropped while this is held."""

    artifact: ArtifactId
    manifest: Manifest
    paths: tuple[Path, ...]
    """Of each file, in the order of the manifest. What files are called on disk says nothing."""
    descriptors: tuple[int, ...]
    """The same files, open; a child process that is given them holds the artifact too."""


class Shelf:
    """The reading side of a store. It may be opened before there is one: then it is empty."""

    def __init__(self, folder: Path) -> None:
        self._places = Places(folder)
        self._lock = Lock()
        self._manifests: dict[ArtifactId, Manifest] = {}
        self._tables: dict[ArtifactId, Table] = {}

    def artifacts(self) -> tuple[ArtifactId, ...]:
        """All that are here, in part or whole, sorted."""
        with suppress(FileNotFoundError):
            names = sorted(entry.name for entry in os.scandir(self._places.manifests))
            return tuple(
                ArtifactId(f"blake3:{name}") for name in names if not name.endswith(DRAFT_SUFFIX)
            )
        return ()

    def manifests(self) -> Iterator[tuple[ArtifactId, Manifest]]:
        """All that are here and readable, in the order of `artifacts`."""
        for artifact in self.artifacts():
            with suppress(NotFoundError):
                yield artifact, self.manifest(artifact)

    def rows(self) -> tuple[Row, ...]:
        """All that are here, as a listing shows them. Of what is whole no table is read."""
        entries = read_book(self._places.book)
        rows = []
        for artifact, manifest in self.manifests():
            with suppress(NotFoundError):
                complete, size = self.complete(artifact), manifest.size_bytes
                held = size if complete else self.table(artifact).bytes_of(self.held(artifact))
                entry = entries.get(artifact)
                rows.append(
                    Row(
                        artifact=artifact,
                        kind=manifest.kind,
                        files=len(manifest.files),
                        size_bytes=size,
                        held_bytes=held,
                        complete=complete,
                        pinned=entry is not None and entry.pinned,
                        asked=entry.asked if entry is not None else 0,
                    )
                )
        return tuple(rows)

    def stats(self) -> Stats:
        """The store in numbers."""
        rows, files = self.rows(), list[dict[str, int]]()
        for row in rows:
            with suppress(NotFoundError):  # it has just been dropped
                files.append(self.files_of(row.artifact))
        together = sum(size for sizes in files for size in sizes.values())
        once = sum({key: size for sizes in files for key, size in sizes.items()}.values())
        return Stats(
            artifacts=len(rows),
            complete=sum(row.complete for row in rows),
            disk_bytes=self.disk_bytes(),
            shared_bytes=together - once,
            pinned_bytes=sum(row.held_bytes for row in rows if row.pinned),
        )

    def disk_bytes(self) -> int:
        """What all files take on disk."""
        files = [self._places.files, *self._places.drafts.glob("*")]
        return sum(map(folder_bytes, files))

    def files_of(self, artifact: ArtifactId) -> dict[str, int]:
        """What each file of an artifact is known by, and what it takes on disk.

        Raises:
            NotFoundError: it is not here.
        """
        keys = {key_of(row) for row in self.manifest(artifact).files}
        slots = {key: self._places.slot(key) for key in keys}
        return {
            key: allocated_bytes(slot.part) or allocated_bytes(whole_path(slot))
            for key, slot in slots.items()
        }

    def complete(self, artifact: ArtifactId) -> bool:
        """Whether all of its files are here and right, as far as is known."""
        try:
            manifest = self.manifest(artifact)
        except NotFoundError:
            return False
        return all(self._iswhole_path(row) for row in manifest.files)

    def manifest(self, artifact: ArtifactId) -> Manifest:
        """What it is.

        Raises:
            NotFoundError: it is not here, or damaged.
        """
        path = self._places.manifest(artifact)
        kept = self._from_memory(self._manifests, artifact)
        if kept is not None and path.exists():
            return kept
        try:
            manifest = decoded(self._small(path, artifact), artifact)
        except (DigestMismatchError, BadRequestError):
            raise _damaged(path) from None
        self._keep(self._manifests, artifact, manifest, MANIFESTS_KEPT)
        return manifest

    def table(self, artifact: ArtifactId) -> Table:
        """Its chunks. Raises as `manifest`."""
        manifest = self.manifest(artifact)
        kept = self._from_memory(self._tables, artifact)
        if kept is not None:
            return kept
        table = opened(manifest, [self.blob(row.table) for row in manifest.files])
        self._keep(self._tables, artifact, table, TABLES_KEPT)
        return table

    def tables(self, artifact: ArtifactId) -> tuple[bytes, ...]:
        """The table of each file. Raises as `manifest`."""
        return tuple(self.blob(row.table) for row in self.manifest(artifact).files)

    def blob(self, name: Blake3) -> bytes:
        """A table or a list of tensors, by its name.

        Raises:
            NotFoundError: it is not here, or damaged.
        """
        data = self._small(self._places.blob(name), name)
        if blake3_of(data) != name:
            raise _damaged(self._places.blob(name))
        return data

    def held(self, artifact: ArtifactId) -> ChunkSet:
        """What of it is committed, now. Raises as `manifest`."""
        manifest, table = self.manifest(artifact), self.table(artifact)
        return table.joined(self.held_of(row) for row in manifest.files)

    def held_of(self, row: FileRow) -> ChunkSet:
        """What of one file is committed, its chunks numbered from 0."""
        if self._iswhole_path(row):
            return ChunkSet.of_runs([(0, row.chunks)])
        return read_map(self._places.slot(key_of(row)), row.chunks)[0]

    def like(self, size_bytes: int, sha256: str | None, git_oid: str | None) -> FileRow | None:
        """A whole file that is here and has what an origin promises of one, if it says enough."""
        promised = (sha256, None) if sha256 is not None else (None, git_oid)
        for _, manifest in self.manifests() if any(promised) else ():
            for row in manifest.files:
                same = (row.sha256, None) if sha256 is not None else (None, row.git_oid)
                if same == promised and row.size_bytes == size_bytes and self._iswhole_path(row):
                    return row
        return None

    def open_file(self, row: FileRow) -> int:
        """One file, open to read, in whichever state it is; who asks closes it.

        Raises:
            NotFoundError: it is not here.
        """
        slot = self._places.slot(key_of(row))
        for path in (
            whole_path(slot),
            slot.part,
            whole_path(slot),
        ):  # it may get its name meanwhile
            with suppress(FileNotFoundError):
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        raise NotFoundError(f"{row.path} is not here any more")

    def read(self, artifact: ArtifactId, number: int) -> bytes:
        """One committed chunk, checked.

        Raises:
            NotFoundError: the artifact, or the chunk, is not here.
            DigestMismatchError: it has rotted.
        """
        manifest, table = self.manifest(artifact), self.table(artifact)
        chunk = table[number]
        row = manifest.files[chunk.file]
        if number - table.run_of(chunk.file)[0] not in self.held_of(row):
            raise NotFoundError(f"chunk {number} of {artifact} is not here")
        descriptor = self.open_file(row)
        try:
            data = read_at(descriptor, chunk.start, chunk.size_bytes)
        finally:
            os.close(descriptor)
        if blake3(data).digest() != chunk.hash:
            raise DigestMismatchError(f"chunk {number} of {artifact} has rotted on disk")
        return data

    def claims(self, artifact: ArtifactId) -> tuple[bytes, ...]:
        """Who vouches for it: envelopes as they came (`delivery.claims`), oldest name first."""
        folder = self._places.claims_of(artifact)
        paths = sorted(path for path in folder.glob("*") if path.suffix != DRAFT_SUFFIX)
        return tuple(path.read_bytes() for path in paths)

    @contextmanager
    def hold(self, artifact: ArtifactId) -> Iterator[Holding]:
        """The files of a whole artifact, which stay while the context is open.

        It is held by locks on the open files, so a killed process holds nothing.

        Raises:
            NotFoundError: it is not here, or not whole.
        """
        manifest = self.manifest(artifact)
        with ExitStack() as stack:
            paths, descriptors = [], []
            for row in manifest.files:
                path = whole_path(self._places.slot(key_of(row)))
                descriptors.append(self._held_open(path, row, stack))
                paths.append(path)
            yield Holding(artifact, manifest, tuple(paths), tuple(descriptors))

    def verify(self, artifact: ArtifactId, progress: Callable[[int, int], None]) -> Sequence[Chunk]:
        """Read all that is committed of it and hash it again.

        Args:
            artifact: which.
            progress: told (bytes done, bytes in all) after every chunk; may raise to end it.

        Returns:
            The rotten chunks. Nothing is done about them.

        Raises:
            NotFoundError: it is not here.
        """
        manifest, table = self.manifest(artifact), self.table(artifact)
        held = self.held(artifact)
        total, done = table.bytes_of(held), 0
        rotten = []
        for file, row in enumerate(manifest.files):
            chunks = [table[n] for n in held & ChunkSet.of_runs([table.run_of(file)])]
            descriptor = self.open_file(row) if chunks else -1
            try:
                for chunk in chunks:
                    if not _is_right(descriptor, chunk):
                        rotten.append(chunk)
                    done += chunk.size_bytes
                    progress(done, total)
            finally:
                if chunks:
                    os.close(descriptor)
        return rotten

    def _from_memory(self, kept: dict[ArtifactId, T], artifact: ArtifactId) -> T | None:
        with self._lock:
            value = kept.pop(artifact, None)
            if value is not None:
                kept[artifact] = value
            return value

    def _keep(
        self, kept: dict[ArtifactId, T], artifact: ArtifactId, value: T, kept_max: int
    ) -> None:
        with self._lock:
            kept[artifact] = value
            while len(kept) > kept_max:
                del kept[next(iter(kept))]

    def _small(self, path: Path, name: str) -> bytes:
        with translated():
            try:
                return path.read_bytes()
            except FileNotFoundError:
                raise NotFoundError(f"{name} is not in the store") from None

    def _iswhole_path(self, row: FileRow) -> bool:
        slot = self._places.slot(key_of(row))
        if not whole_path(slot).exists():
            return False
        return not slot.map.exists() or len(read_map(slot, row.chunks)[0]) == row.chunks

    def _held_open(self, path: Path, row: FileRow, stack: ExitStack) -> int:
        """A file, open, with a lock on it, until the stack ends."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFoundError(f"{row.path} is not here, or not whole") from None
        stack.callback(os.close, descriptor)
        if (
            not share(descriptor)
            or not os.fstat(descriptor).st_nlink
            or not self._iswhole_path(row)
        ):
            raise NotFoundError(f"{row.path} is not here any more")
        return descriptor


def folder_bytes(folder: Path) -> int:
    """What the files of a folder take on disk; 0 where there is none."""
    return sum(map(allocated_bytes, folder.glob("*")))


def allocated_bytes(path: Path) -> int:
    """What a file takes on disk; 0 where there is none."""
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def _is_right(descriptor: int, chunk: Chunk) -> bool:
    """Whether a chunk can be read and has its bytes."""
    with suppress(StoreError):
        data = read_at(descriptor, chunk.start, chunk.size_bytes)
        return blake3(data).digest() == chunk.hash
    return False


def _damaged(path: Path) -> NotFoundError:
    return NotFoundError(
        f"{path} is damaged, or of another version",
        advice="fetch the artifact again, and look at the disk",
    )
