"""Folders that a collection mirrors: documents whose files are gone are dropped.

Rules
- Only what was taken from a file in one of the folders that are named now, by the name that it has
  from here, and from no other file since: the book says that (adapters/documents/added.py). What
  came in by an API, from another folder or on another machine is in no such place.
- Gone is a file of which the system says that it is not there. One that can't be looked at stays,
  and one that is there and was not taken. Of a folder that is there and empty nothing goes: perhaps
  nothing is mounted on it.
- Of a document, only passages that were cut of a file; their ids say so. What else is kept under
  its name stays, and is told.
- Records of JSONL and Parquet files have ids of their own, and stay.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from littoral.adapters.documents.added import AddedBook
from littoral.adapters.documents.finding import Sources, empty_above, is_gone, place_of
from littoral.adapters.documents.kinds import holds_records, printable
from littoral.memory.passages import cut_of_a_document
from littoral.node.memory.revising import of_documents, patient
from littoral.terms.collections import OpenCollection
from littoral.terms.errors import BadRequestError
from littoral.terms.memory import Delete, Record

__all__ = ["Gone", "Mirror", "check_folders"]

_DOCUMENTS: Final = 16
"""Looked at together."""
_IDS: Final = 1_000
"""Forgotten in one change."""


@dataclass(frozen=True, slots=True)
class Gone:
    """A document whose file is gone, or may be."""

    document: str
    passages: int = 0
    """That are dropped."""
    left: int = 0
    """Records under its name that were not cut of its file: they stay."""
    records: bool = False
    """Its file held records: they stay."""
    why_not: str = ""
    """Why it can't be told whether its file is gone; then all of it stays."""


def check_folders(sources: Sources) -> None:
    """See that there are folders to mirror, with something in each.

    Raises:
        BadRequestError: there is none, or one is empty.
    """
    if not sources.folders:
        raise BadRequestError(
            "no folder is named, and only what came from one can be dropped",
            advice="name the folder itself, instead of files or patterns",
        )
    places = [place_of(file.name) for file in sources.files]
    for folder in sources.folders:
        inside = _inside(folder)
        if not any(place.startswith(inside) for place in places):
            raise BadRequestError(
                f"{folder[-200:]} has no file that is read, and all that came from it would go",
                advice="see whether it is mounted; `littoral memory drop` forgets a collection",
            )


class Mirror:
    """One import's files, and what the book says of the collection that they go to."""

    def __init__(self, collection: OpenCollection, book: AddedBook, sources: Sources) -> None:
        self._collection = collection
        self._whose = (collection.spec.scope, collection.spec.name)
        self._book = book
        self._sources = sources
        self._files = {file.name: place_of(file.name) for file in sources.files}

    def begin(self) -> None:
        """Note that these documents are about to be taken from these files."""
        self._book.loosen(*self._whose, self._files)

    def keep(self, taken: Sequence[str]) -> None:
        """Note which of them are."""
        self._book.keep(*self._whose, {name: self._files[name] for name in taken})

    async def drop(self, *, dry: bool = False) -> AsyncIterator[Gone]:
        """Forget the documents whose files are gone; say each when it is forgotten.

        Args:
            dry: only say what would be.

        Raises:
            BadRequestError: of a folder nothing is there any more; nothing was forgotten.
        """
        gone = []
        for each in self._missing():
            if each.why_not:
                yield each
            else:
                gone.append(each.document)
        for begin in range(0, len(gone), _DOCUMENTS):
            some = tuple(gone[begin : begin + _DOCUMENTS])
            kept: dict[str, list[Record]] = {name: [] for name in some}
            async for record in of_documents(self._collection, some):
                kept[record.document].append(record)
            own = {name: cut_of_a_document(records) for name, records in kept.items()}
            if not dry:
                await self._forget([record.id for each in own.values() for record in each])
                self._book.forget(*self._whose, some)
            for name in some:
                left = len(kept[name]) - len(own[name])
                yield Gone(name, len(own[name]), left, records=holds_records(name))

    def _missing(self) -> list[Gone]:
        """Documents of these folders that were not found now."""
        found: dict[str, Gone] = {}
        for folder in self._sources.folders:
            if not self._stands(folder):
                raise BadRequestError(
                    f"the files of {folder[-200:]} are gone since this began; nothing is dropped",
                    advice="see whether it is mounted, and give the command again",
                )
            for name, place in self._book.inside(*self._whose, place_of(folder)).items():
                if name in self._files or place_of(name) != place or name in found:
                    continue
                try:
                    if is_gone(place):
                        found[name] = Gone(name, why_not=self._doubt(place, folder))
                except OSError as error:
                    found[name] = Gone(name, why_not=error.strerror or type(error).__name__)
        return list(found.values())

    def _doubt(self, place: str, folder: str) -> str:
        """Why a file of this folder that is not there may be there all the same."""
        for unlisted, why in self._sources.unlisted:
            if place.startswith(_inside(unlisted)):
                return f"{printable(unlisted)} can't be listed: {why}"
        empty = printable(empty_above(place, place_of(folder)))
        return f"{empty} is empty; remove it, unless something is to be mounted there" * bool(empty)

    def _stands(self, folder: str) -> bool:
        """Whether some file is there that was found in a folder."""
        inside = _inside(folder)
        for place in self._files.values():
            with suppress(OSError):
                if place.startswith(inside) and not is_gone(place):
                    return True
        return False

    async def _forget(self, ids: Sequence[str]) -> None:
        for begin in range(0, len(ids), _IDS):
            some = tuple(ids[begin : begin + _IDS])
            await patient(partial(self._collection.apply, [Delete(some)]))


def _inside(folder: str) -> str:
    """What places in a folder begin with."""
    return place_of(folder).rstrip("/") + "/"
