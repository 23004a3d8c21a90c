"""Bytes on disk and the digests they have: hashing, copying while hashing, room for both.

Rules
- A digest is taken of the bytes that are written or read, in the same pass.
- Progress is told after every piece, so that a person sees a gigabyte move and can stop it.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from littoral.terms.errors import ConflictError, DiskShortError
from littoral.terms.ids import Digest, digest_of_hex
from littoral.terms.values import ModelFile

__all__ = [
    "DISK_SPARE_BYTES",
    "FileMark",
    "Hash",
    "Progress",
    "Readable",
    "check_disk",
    "copy_hashed",
    "digest_of",
    "digest_of_file",
    "feed",
    "hashed_files",
    "mark_of",
    "sync",
]

Progress = Callable[[str, int, int | None], None]
"""Takes (stage, bytes done, bytes in all or None) and returns at once."""

PIECE_BYTES: Final = 1024 * 1024
"""Read, hashed and written at a time."""

DISK_SPARE_BYTES: Final = 64 * 1024 * 1024
"""Left free beside what is fetched: a full disk stops receipts and keys too."""


class Hash(Protocol):
    """A SHA-256 under way."""

    def update(self, data: bytes, /) -> None:
        """Take the next bytes."""

    def hexdigest(self) -> str:
        """Of all bytes so far."""

    def copy(self) -> "Hash":
        """Another that goes on from here."""


class Readable(Protocol):
    """Bytes that come one piece after the other."""

    def read(self, count: int, /) -> bytes:
        """Up to so many; none at the end."""


@dataclass(frozen=True, slots=True)
class FileMark:
    """How a file looked when its digest was last known to be right.

    A file whose mark is unchanged is taken to be unchanged, which spares hashing gigabytes at
    every start. Whoever can forge size, time and inode together already owns this account.
    """

    size_bytes: int
    modified_ns: int
    inode: int


def mark_of(path: Path) -> FileMark:
    """How the file looks now."""
    seen = path.stat()
    return FileMark(seen.st_size, seen.st_mtime_ns, seen.st_ino)


def digest_of(hashed: Hash) -> Digest:
    """The digest of what was hashed."""
    return digest_of_hex(hashed.hexdigest())


def feed(
    source: Readable,
    take: Callable[[bytes], object],
    progress: Callable[[int], None],
    limit_bytes: int | None = None,
) -> int:
    """Hand over what is left of `source`, at most `limit_bytes`, piece by piece; say how much."""
    done = 0
    while True:
        wanted = PIECE_BYTES if limit_bytes is None else min(PIECE_BYTES, limit_bytes - done)
        piece = source.read(wanted) if wanted > 0 else b""
        if not piece:
            return done
        take(piece)
        done += len(piece)
        progress(done)


def digest_of_file(path: Path, stage: str, progress: Progress) -> Digest:
    """Hash a whole file."""
    hashed = hashlib.sha256()
    total = path.stat().st_size
    with path.open("rb") as file:
        feed(file, hashed.update, lambda done: progress(stage, done, total))
    return digest_of(hashed)


def copy_hashed(source: Path, target: Path, stage: str, progress: Progress) -> Digest:
    """Copy a file and hash what was copied."""
    hashed = hashlib.sha256()
    total = source.stat().st_size
    with source.open("rb") as read, target.open("wb") as write:

        def take(piece: bytes) -> None:
            hashed.update(piece)
            write.write(piece)

        feed(read, take, lambda done: progress(stage, done, total))
    return digest_of(hashed)


def hashed_files(
    paths: Sequence[Path], progress: Progress, copy_to: Path | None = None
) -> tuple[ModelFile, ...]:
    """Hash files where they are, or copy them into a folder and hash what is copied.

    Raises:
        ConflictError: one of them changed meanwhile.
        DiskShortError: there is no room for the copies.
    """
    before = [mark_of(path) for path in paths]
    if copy_to is not None:
        check_disk(copy_to, sum(mark.size_bytes for mark in before))
    files = []
    for path, mark in zip(paths, before, strict=True):
        if copy_to is None:
            target = path
            digest = digest_of_file(path, f"hashing {path.name}", progress)
        else:
            target = copy_to / path.name
            digest = copy_hashed(path, target, f"copying {path.name}", progress)
        if mark_of(path) != mark:
            raise ConflictError(
                f"{path.name} changed while it was hashed", advice="run this again when it is done"
            )
        files.append(ModelFile(str(target), mark.size_bytes, digest))
    return tuple(files)


def check_disk(directory: Path, needed_bytes: int) -> None:
    """See that there is room before anything is fetched.

    Raises:
        DiskShortError: there is not; it says both numbers.
    """
    free = shutil.disk_usage(directory).free
    if needed_bytes + DISK_SPARE_BYTES > free:
        raise DiskShortError(
            f"this needs {_megabytes(needed_bytes + DISK_SPARE_BYTES)} of disk and "
            f"{_megabytes(free)} are free at {directory}",
            advice="free some, or choose a state directory on another disk with --home",
            details={"needed_bytes": needed_bytes + DISK_SPARE_BYTES, "free_bytes": free},
        )


def sync(path: Path) -> None:
    """Make a file's bytes, or a directory's names, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"
