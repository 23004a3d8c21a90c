"""A whole artifact of the store, held open: it can't be dropped meanwhile.

It is given to others from here, and what resembles it is encoded against it.
"""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from functools import cached_property
from typing import Final

from littoral.adapters.moving.words import Base
from littoral.delivery.encoding import Place
from littoral.delivery.manifest import FileRow, Manifest
from littoral.delivery.resemblance import Tensors
from littoral.delivery.tables import Table
from littoral.node.delivery.holdings import Holdings
from littoral.node.delivery.shelves import WholeShelf
from littoral.terms.errors import NotFoundError
from littoral.terms.ids import ArtifactId

__all__ = ["Whole", "first_whole"]


class Whole:
    """One of them."""

    def __init__(self, holdings: Holdings, artifact: ArtifactId) -> None:
        """Open it.

        Raises:
            NotFoundError: it is not here, or not whole.
        """
        shelf = holdings.store.shelf
        self.artifact: Final = artifact
        self._holdings = holdings
        self._held = ExitStack()
        self._holding = self._held.enter_context(shelf.hold(artifact))
        self._tables = shelf.tables(artifact)
        self.table: Final = Table(self._tables)
        self.shelf: Final = WholeShelf(self._holding, self.table)

    @cached_property
    def tensors(self) -> Tensors:
        """Its tensors; it takes a while for a model of many experts."""
        return Tensors(_lists_of(self._holdings, self._holding.manifest))

    @property
    def base(self) -> Base:
        """It, for others to encode against."""
        return Base(self.artifact, self.span)

    def span(self, place: Place, size_bytes: int) -> memoryview | None:
        """So many of its bytes from a place on; None where it has no such."""
        if place.file >= self.table.files:
            return None
        data = self.shelf.file(place.file)[place.start : place.start + size_bytes]
        return data if len(data) == size_bytes else None

    def document(self, name: str) -> memoryview | None:
        """One of its documents; None where it has no such."""
        kind, _, number = name.partition("/")
        at = int(number) if number else 0
        match kind:
            case "manifest":
                return memoryview(self._holding.manifest.encoded())
            case "claims":
                claims = self._holdings.store.shelf.claims(self.artifact)
                return memoryview(b"\n".join(claims))
            case "tables" if at < len(self._tables):
                return memoryview(self._tables[at])
            case "tensors" if at < len(self._tables):
                found = _list_of(self._holdings, self._holding.manifest.files[at])
                return None if found is None else memoryview(found)
            case "files" if at < len(self._holding.paths):
                return self.shelf.file(at)
            case _:
                return None

    def close(self) -> None:
        """Let go of it; what is being sent of it still is."""
        self._held.close()


def _lists_of(holdings: Holdings, manifest: Manifest) -> Mapping[int, bytes]:
    """The lists of tensors that are here, by the number of their file."""
    found = ((number, _list_of(holdings, row)) for number, row in enumerate(manifest.files))
    return {number: each for number, each in found if each is not None}


def _list_of(holdings: Holdings, row: FileRow) -> bytes | None:
    if row.tensors is not None:
        with suppress(NotFoundError):  # it was pulled from who had none
            return holdings.store.shelf.blob(row.tensors)
    return None


def first_whole(holdings: Holdings, references: Iterable[str]) -> Whole | None:
    """The first of these that is here whole, open; None where none is."""
    for reference in references:
        artifact = holdings.resembling(reference)
        if artifact is not None:
            with suppress(NotFoundError):
                return Whole(holdings, artifact)
    return None
