"""Which files a person means who names files, folders and patterns.

Rules
- A document is called as its file was named (`docs/keys.md`), so that the same command run again
  finds it again.
- Of a folder, files are taken that have a name of a kind that is read; others are counted. What
  begins with a dot is passed over, and links to folders are not followed. A folder in it that can't
  be listed is told.
- A file that is named itself is always taken: if it can't be read, that is told.
"""

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from littoral.adapters.documents.kinds import is_readable_name
from littoral.terms.errors import BadRequestError
from littoral.terms.limits import IMPORT_FILES_MAX

__all__ = ["Source", "Sources", "empty_above", "found_sources", "is_gone", "place_of", "source"]


@dataclass(frozen=True, slots=True)
class Source:
    """One file to be taken into a collection."""

    path: Path
    name: str
    """What its document is called."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Sources:
    """All of them."""

    files: tuple[Source, ...]
    passed_over: int
    """Files in folders that are of no kind that is read."""
    folders: tuple[str, ...] = ()
    """Those that were named themselves, each as the names of its documents begin."""
    unlisted: tuple[tuple[str, str], ...] = ()
    """Folders of which it is not known what is in them, and why."""


def source(path: Path, name: str) -> Source:
    """One file; one that is not there fails when it is read."""
    try:
        size = path.stat().st_size
    except OSError:
        size = 0
    return Source(path, name, size)


def found_sources(named: Sequence[str]) -> Sources:
    """The files that these names mean, each once.

    Raises:
        BadRequestError: one means nothing, or they are too many.
    """
    found: dict[str, Source] = {}
    unlisted: dict[str, str] = {}
    passed_over = 0
    for name in named:
        for path in _meant(name):
            if not path.is_dir():
                _add(found, path)
                continue
            for inside in _inside(path, unlisted):
                if is_readable_name(inside.name):
                    _add(found, inside)
                else:
                    passed_over += 1
    folders = dict.fromkeys(_called(Path(name)) for name in named if Path(name).is_dir())
    return Sources(tuple(found.values()), passed_over, tuple(folders), tuple(unlisted.items()))


def place_of(name: str) -> str:
    """Where the file lies that is called so from here."""
    return os.path.abspath(name)  # noqa: PTH100 - `..` is taken away, as names have it


def is_gone(place: str) -> bool:
    """Whether there is no file at this place any more: nothing, or a folder.

    Raises:
        OSError: that can't be told.
    """
    try:
        return stat.S_ISDIR(os.lstat(place).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True


def empty_above(place: str, folder: str) -> str:
    """The nearest folder above a place, if it has nothing in it; else nothing.

    Args:
        place: of a file that is not there.
        folder: above it; none above this one is looked at.

    Raises:
        OSError: that can't be told.
    """
    above = Path(place).parent
    while str(above) != folder and not above.is_dir():
        above = above.parent
    return "" if any(above.iterdir()) else str(above)


def _called(path: Path) -> str:
    return os.path.normpath(path).replace(os.sep, "/")


def _add(found: dict[str, Source], path: Path) -> None:
    name = _called(path)
    found.setdefault(name, source(path, name))
    if len(found) > IMPORT_FILES_MAX:
        raise BadRequestError(
            f"these are over {IMPORT_FILES_MAX:,} files", advice="add a part of them at a time"
        )


def _meant(name: str) -> Sequence[Path]:
    if Path(name).exists():
        return [Path(name)]
    meant = [Path(each) for each in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207
    if not meant:
        raise BadRequestError(
            f"there is no file {name[-200:]}", advice="check the path", param="files"
        )
    return meant


def _inside(folder: Path, unlisted: dict[str, str]) -> Iterator[Path]:
    def told(error: OSError) -> None:
        unlisted[_called(Path(error.filename))] = error.strerror or type(error).__name__

    for where, folders, files in os.walk(folder, onerror=told):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for file in sorted(files):
            if not file.startswith("."):
                yield Path(where, file)
