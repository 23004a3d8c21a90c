"""Which files a person means who names files, folders and patterns.

Rules
- A document is called as its file was named (`docs/keys.md`), so that the same command run again
  finds it again.
- Of a folder, files are taken that have a name of a kind that is read; others are counted. What
  begins with a dot is passed over, and links to folders are not followed.
- A file that is named itself is always taken: if it can't be read, that is told.
"""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from littoral.adapters.documents.kinds import is_readable_name
from littoral.terms.errors import BadRequestError
from littoral.terms.limits import IMPORT_FILES_MAX

__all__ = ["Source", "Sources", "found_sources", "source"]


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
    passed_over = 0
    for name in named:
        for path in _meant(name):
            if not path.is_dir():
                _add(found, path)
                continue
            for inside in _inside(path):
                if is_readable_name(inside.name):
                    _add(found, inside)
                else:
                    passed_over += 1
    return Sources(tuple(found.values()), passed_over)


def _add(found: dict[str, Source], path: Path) -> None:
    name = os.path.normpath(path).replace(os.sep, "/")
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


def _inside(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for file in sorted(files):
            if not file.startswith("."):
                yield Path(where, file)
