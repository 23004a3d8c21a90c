"""What origins list, checked before anybody believes it: names, sizes, number. Pure.

Rules
- A name is relative, with `/` between its parts, and could be a file's on any system: no `..`, no
  empty part, no backslash, no control character, no two that differ in case alone, and no file
  where another has a directory.
- One file that breaks a rule is the end of the whole listing: leaving it out would make another
  artifact of it.
"""

import hashlib
import unicodedata
from collections.abc import Iterable
from typing import Final

from littoral.terms.artifacts import OriginFile
from littoral.terms.errors import OriginChangedError, OriginRefusedError
from littoral.terms.limits import (
    ORIGIN_ARTIFACT_BYTES_MAX,
    ORIGIN_FILE_BYTES_MAX,
    ORIGIN_FILES_MAX,
    ORIGIN_PATH_CHARS_MAX,
)

__all__ = ["agree_on_state", "listed", "state_of"]

PART_BYTES_MAX: Final = 255
"""Of one part of a name, as file systems have it."""


def listed(files: Iterable[OriginFile], what: str) -> tuple[OriginFile, ...]:
    """The files of a listing, sorted, if all of them may be.

    Args:
        files: as the origin says them.
        what: the reference, as error messages name it.

    Raises:
        OriginRefusedError: there are none, or one has a name or size that none may have.
    """
    found = sorted(files, key=lambda file: file.path)
    if not found:
        raise OriginRefusedError(f"{what} has no files", advice="check the name")
    if len(found) > ORIGIN_FILES_MAX:
        raise OriginRefusedError(f"{what} has over {ORIGIN_FILES_MAX:,} files")
    seen: set[str] = set()
    folders: set[str] = set()
    for file in found:
        _check_name(file.path, what)
        if not 0 <= file.size_bytes <= ORIGIN_FILE_BYTES_MAX:
            raise OriginRefusedError(f"{what} has a file of {file.size_bytes} bytes")
        folded = _folded(file.path)
        if folded in seen:
            raise OriginRefusedError(f"{what} has two files named {file.path!r}, but for case")
        seen.add(folded)
        parts = folded.split("/")
        folders.update("/".join(parts[:count]) for count in range(1, len(parts)))
    if clash := seen & folders:
        raise OriginRefusedError(f"{what} has a file and a directory named {min(clash)!r}")
    if sum(file.size_bytes for file in found) > ORIGIN_ARTIFACT_BYTES_MAX:
        raise OriginRefusedError(f"{what} has over {ORIGIN_ARTIFACT_BYTES_MAX:,} bytes")
    return tuple(found)


def state_of(marks: Iterable[tuple[str, int, str]]) -> str:
    """A name for what an origin lists that names nothing by content itself: 32 hexadecimal digits.

    Args:
        marks: path, size and what changes when a file changes (an entity tag, a time) of each.
    """
    hashed = hashlib.sha256()
    for path, size, mark in sorted(marks):
        hashed.update(f"{len(path)} {path} {size} {len(mark)} {mark}\n".encode())
    return hashed.hexdigest()[:32]


def agree_on_state(pinned: str | None, now: str, what: str) -> None:
    """See that a reference which names a state is still in it.

    Raises:
        OriginChangedError: it is not.
    """
    if pinned not in {None, now}:
        raise OriginChangedError(f"{what} has changed since it was named so")


def _check_name(path: str, what: str) -> None:
    parts = path.split("/")
    if (
        not path
        or len(path) > ORIGIN_PATH_CHARS_MAX
        or any(part in {"", ".", ".."} for part in parts)
        or any(len(part.encode(errors="replace")) > PART_BYTES_MAX for part in parts)
        or any(unicodedata.category(ch) in {"Cc", "Cs"} or ch == "\\" for ch in path)
        or (len(parts[0]) > 1 and parts[0][1] == ":")
    ):
        raise OriginRefusedError(
            f"{what} has a file with a name that no file may have: {path[:80]!r}"
        )


def _folded(path: str) -> str:
    """Equal for names that some file system takes for one."""
    return unicodedata.normalize("NFC", path).casefold()
