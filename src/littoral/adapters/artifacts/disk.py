"""What the store does to the disk: the few operations, in the order that it needs them.

All changes go through here, so that tests can stop after any of them and see what is left.

Rules
- What is written may be lost with the power until the file was synced, and a name until its folder
  was. Nothing else is taken for granted, not even the order.
- A full disk is DiskShortError, whichever operation meets it.
"""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from littoral.adapters.models.digests import sync
from littoral.terms.errors import DiskShortError, HomeUnwritableError, StoreError

__all__ = ["DRAFT_SUFFIX", "Disk", "read_at", "translated"]

DRAFT_SUFFIX: Final = ".new"
"""Of a small file that is being written; what a killed process leaves of one means nothing."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_COPY: Final = (errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_READ_BYTES: Final = 1024 * 1024
_sync: Final = getattr(os, "fdatasync", os.fsync)


@contextmanager
def translated() -> Iterator[None]:
    """Make what goes wrong with the disk one of our errors."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskShortError("the disk that the artifacts are on is full") from error
        if error.errno in _FORBIDDEN:
            raise HomeUnwritableError(f"artifacts can't be written: {error}") from error
        raise StoreError(
            f"artifacts can't be kept: {error}", advice="look at the disk that they are on"
        ) from error


def read_at(descriptor: int, start: int, size_bytes: int) -> bytes:
    """These bytes of an open file; fewer where it ends.

    Raises:
        StoreError: the disk can't read them.
    """
    with translated():
        data = os.pread(descriptor, size_bytes, start)
        while data and len(data) < size_bytes:
            more = os.pread(descriptor, size_bytes - len(data), start + len(data))
            if not more:
                break
            data += more
        return data


class Disk:
    """A real one. Every method raises DiskShortError, HomeUnwritableError or StoreError."""

    def make_folder(self, path: Path) -> None:
        """Have a folder there; its parents too."""
        with translated():
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.sync_folder(path.parent)

    def open(self, path: Path) -> int:
        """Open a file to read and write; it is made where there is none."""
        with translated():
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def resize(self, descriptor: int, size_bytes: int) -> None:
        """Make a file so long; what is added takes no room yet."""
        with translated():
            os.ftruncate(descriptor, size_bytes)

    def write(self, descriptor: int, data: bytes | memoryview, start: int) -> None:
        """Write all of these bytes from there on."""
        left = memoryview(data)
        with translated():
            while left:
                done = os.pwrite(descriptor, left, start)
                left, start = left[done:], start + done

    def copy(self, source: int, at: int, descriptor: int, start: int, size_bytes: int) -> None:
        """Copy so many bytes of one open file to a place in another; shared, if the disk can."""
        done = 0
        with translated(), suppress(_NoCopyError):
            while done < size_bytes:
                moved = _copy_some(source, at + done, descriptor, start + done, size_bytes - done)
                if not moved:
                    return
                done += moved
        while done < size_bytes:
            data = read_at(source, at + done, min(_READ_BYTES, size_bytes - done))
            if not data:
                return
            self.write(descriptor, data, start + done)
            done += len(data)

    def sync(self, descriptor: int) -> None:
        """Have the bytes of an open file, and its length, survive a power cut."""
        with translated():
            _sync(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name, in the place of whatever has it."""
        with translated():
            old.replace(new)

    def unlink(self, path: Path) -> None:
        """Take a name away; nothing happens where there is none."""
        with translated():
            path.unlink(missing_ok=True)

    def remove_folder(self, path: Path) -> None:
        """Take an empty folder away; nothing happens where there is none."""
        with translated(), suppress(FileNotFoundError):
            path.rmdir()

    def sync_folder(self, path: Path) -> None:
        """Have the names in a folder survive a power cut."""
        with translated():
            sync(path)

    def write_whole(self, path: Path, data: bytes) -> None:
        """Make a small file, or put another in its place: it is there whole or not at all."""
        self.write_all(path.parent, {path.name: data})

    def write_all(self, folder: Path, files: Mapping[str, bytes]) -> None:
        """Make small files of one folder, each as `write_whole` does, in less time."""
        for name, data in files.items():
            descriptor = self.open(folder / (name + DRAFT_SUFFIX))
            try:
                self.resize(descriptor, 0)
                self.write(descriptor, data, 0)
                self.sync(descriptor)
            finally:
                os.close(descriptor)
        for name in files:
            self.rename(folder / (name + DRAFT_SUFFIX), folder / name)
        if files:
            self.sync_folder(folder)


class _NoCopyError(Exception):
    """These two files can't be copied within the kernel."""


def _copy_some(source: int, at: int, descriptor: int, start: int, size_bytes: int) -> int:
    try:
        return os.copy_file_range(source, descriptor, size_bytes, at, start)
    except AttributeError:  # not every system can
        raise _NoCopyError from None
    except OSError as error:
        if error.errno in _NO_COPY:
            raise _NoCopyError from error
        raise
