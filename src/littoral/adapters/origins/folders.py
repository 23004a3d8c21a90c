"""Files and directories of this machine as an origin.

Rules
- A directory's files are all regular files below it, those that links to files lead to included;
  links to directories are not followed, and directories whose name begins with a dot are left out.
- Size, time of change and inode say whether a file is still the one that was found: looked at for
  every piece, before it is handed on. No digest is promised: finding one would mean reading it all.

Places are size, time and inode, a line end, and the absolute path. Never read one that came from
another machine.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from littoral.adapters.origins.listing import agree_on_state, listed, state_of
from littoral.adapters.origins.ranges import Span
from littoral.adapters.origins.references import FolderReference, parse_reference
from littoral.terms.artifacts import OriginFile, OriginListing
from littoral.terms.errors import BadRequestError, OriginChangedError, OriginRefusedError
from littoral.terms.limits import ORIGIN_FILES_MAX, ORIGIN_PIECE_BYTES

__all__ = ["FolderOrigin"]


class FolderOrigin:
    """This machine's own files."""

    def find(self, reference: str) -> OriginListing:
        """The file of that path, or all files below it.

        Raises:
            BadRequestError: it is no `file:` reference.
            OriginError: as the port says.
        """
        meant = parse_reference(reference)
        if not isinstance(meant, FolderReference):
            raise BadRequestError(f"{reference[:200]!r} is no path", advice="write file:/PATH")
        path = Path(meant.path)
        try:
            found = _below(path) if path.is_dir() else [_file(path, path.name)]
        except OSError as error:
            raise _refused(path, error) from error
        files = listed(found, str(meant))
        state = state_of((file.path, file.size_bytes, file.place) for file in files)
        agree_on_state(meant.state, state, str(meant))
        return OriginListing(str(replace(meant, state=state)), files)

    @contextmanager
    def read(self, file: OriginFile, start: int, end: int) -> Iterator[Iterator[bytes]]:
        """As the port says."""
        span = Span(file, start, end)
        mark, _, path = file.place.partition("\n")
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise _refused(Path(path), error) from error
        try:
            _agree(descriptor, mark, file.path)
            yield _pieces(descriptor, span, mark)
        finally:
            os.close(descriptor)


def _below(root: Path) -> list[OriginFile]:
    """Every file below a directory, with its path from there."""
    found: list[OriginFile] = []
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in files:
            path = Path(folder, name)
            if path.is_file():
                found.append(_file(path, path.relative_to(root).as_posix()))
        if len(found) > ORIGIN_FILES_MAX:
            break
    return found


def _file(path: Path, name: str) -> OriginFile:
    seen = path.stat()
    if not stat.S_ISREG(seen.st_mode):
        raise OriginRefusedError(f"{path} is no regular file")
    return OriginFile(name, seen.st_size, None, f"{_mark(seen)}\n{path}")


def _pieces(descriptor: int, span: Span, mark: str) -> Iterator[bytes]:
    at = span.start
    while at < span.end:
        try:
            piece = os.pread(descriptor, min(ORIGIN_PIECE_BYTES, span.end - at), at)
        except OSError as error:
            raise _refused(Path(span.file.path), error) from error
        _agree(descriptor, mark, span.file.path)
        yield piece
        at += len(piece)


def _agree(descriptor: int, mark: str, name: str) -> None:
    if _mark(os.fstat(descriptor)) != mark:
        raise OriginChangedError(f"{name} has changed since it was found")


def _mark(seen: os.stat_result) -> str:
    return f"{seen.st_size} {seen.st_mtime_ns} {seen.st_ino}"


def _refused(path: Path, error: OSError) -> OriginRefusedError:
    reason = (error.strerror or type(error).__name__).lower()
    return OriginRefusedError(f"{path} can't be read ({reason})", advice="check the path")
