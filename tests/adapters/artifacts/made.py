"""Small artifacts, and a store on a disk that need not outlive the test."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from littoral.adapters.artifacts import ArtifactStore, Disk, Intake, open_store
from littoral.delivery.drafts import Draft, DraftFile
from littoral.delivery.manifest import FileFormat, Kind, Manifest, blake3_of
from littoral.terms.ids import ArtifactId
from littoral.trust.names import digest_of
from tests.delivery.made import artifact_of, cuts_of_pieces

ROOM = 10**9


class QuickDisk(Disk):
    """A disk that syncs nothing."""

    def sync(self, descriptor: int) -> None:
        pass

    def sync_folder(self, path: Path) -> None:
        pass


@dataclass(frozen=True)
class Made:
    """An artifact and all of its bytes."""

    manifest: Manifest
    tables: tuple[bytes, ...]
    pieces: tuple[bytes, ...]
    """Of each chunk."""

    @property
    def artifact(self) -> ArtifactId:
        return self.manifest.artifact

    @property
    def files(self) -> tuple[bytes, ...]:
        """Of each file."""
        at, files = 0, []
        for row in self.manifest.files:
            files.append(b"".join(self.pieces[at : at + row.chunks]))
            at += row.chunks
        return tuple(files)


def noise(seed: int, size: int = 9_000) -> bytes:
    return blake3(b"%d" % seed).digest(length=size)


def made(files: Mapping[str, list[bytes]]) -> Made:
    manifest, tables = artifact_of(files)
    pieces = tuple(piece for _, pieces in sorted(files.items()) for piece in pieces)
    return Made(manifest, tables, pieces)


def model(seed: int = 0, *, size: int = 9_000) -> Made:
    """Three files, one of them empty, with two chunks that are the same."""
    twin = noise(seed, size)
    return made(
        {
            "config.json": [noise(seed + 1, 700)],
            "empty": [],
            "w/model.bin": [twin, noise(seed + 2, size), noise(seed + 3, size), twin],
        }
    )


def draft_of(source: Made) -> tuple[Draft, tuple[bytes, ...]]:
    """The draft that becomes this artifact, and its cuts."""
    files, cuts, at = [], [], 0
    for row, data in zip(source.manifest.files, source.files, strict=True):
        rows = cuts_of_pieces(list(source.pieces[at : at + row.chunks]))
        at += row.chunks
        cuts.append(rows)
        files.append(
            DraftFile(
                path=row.path,
                size_bytes=row.size_bytes,
                sha256=digest_of(data),
                git_oid=None,
                place=row.path,
                format=FileFormat.PLAIN,
                chunks=row.chunks,
                cuts=blake3_of(rows),
                tensors=None,
            )
        )
    return Draft(Kind.WEIGHTS, "hub:a/b@1", False, None, tuple(files)), tuple(cuts)


def store_in(folder: Path, *, bytes_max: int = ROOM, disk: Disk | None = None) -> ArtifactStore:
    return open_store(folder / "artifacts", bytes_max=bytes_max, disk=disk or QuickDisk())


def take(store: ArtifactStore, source: Made) -> Intake:
    return store.take(source.manifest, source.tables)


def write(intake: Intake, source: Made, numbers: Iterable[int] | None = None) -> None:
    for number in range(len(source.pieces)) if numbers is None else numbers:
        if not intake.holds(number):
            intake.write(number, source.pieces[number])


def put(store: ArtifactStore, source: Made) -> None:
    """Have a whole artifact in the store."""
    intake = take(store, source)
    write(intake, source)
    assert intake.seal() == source.artifact
    intake.close()
