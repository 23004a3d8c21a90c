"""The passages of a collection that a model is to be asked about, document by document.

It goes through the collection once, in the order of ids, and takes with the first passage of a
document all others of it: so a model reads each document once. Where it stands is kept nowhere. A
PoP that starts again begins anew, and passes over what is done.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from littoral.memory.contextual import needs_context
from littoral.terms.collections import OpenCollection
from littoral.terms.filters import DOCUMENT, Is
from littoral.terms.ids import ModelName
from littoral.terms.limits import PASSAGES_MAX
from littoral.terms.memory import Record, Scan

__all__ = ["Pending", "Placed"]

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Placed:
    """A passage that is to be placed."""

    passage: Record
    document: Sequence[Record]
    """All passages of its document that whoever has asked may see, without an order."""


class Pending:
    """One way through a collection."""

    def __init__(self, collection: OpenCollection, model: ModelName) -> None:
        self.collection = collection
        self._model = model
        self._scan: Scan | None = Scan(limit=_PAGE)
        self._page: dict[str, Record] = {}
        self._document: Sequence[Record] = ()
        self._work: list[Record] = []
        self.left: int | None = None
        """Passages that are still to be asked about, as far as is known."""
        self.changed = 0
        """Passages that were kept, on this way."""

    async def count(self) -> int:
        """See how many there are."""
        scan: Scan | None = Scan(limit=_PAGE)
        found = 0
        while scan is not None:
            page = await self.collection.scan(scan)
            found += sum(map(self._needs, page.records))
            scan = msgspec.structs.replace(scan, after=page.next) if page.next else None
        self.left = found
        return found

    async def next(self) -> Placed | None:
        """The next one; None at the end of the way. The same one again until it is `done`."""
        while not self._work:
            while not self._page:
                if self._scan is None:
                    return None
                await self._read(self._scan)
            await self._take(next(iter(self._page.values())))
        return Placed(self._work[-1], self._document)

    def done(self, *, kept: bool) -> None:
        """The last one has been asked about; whether that was kept."""
        self._work.pop()
        self.changed += kept
        if self.left:
            self.left -= 1

    def _needs(self, record: Record) -> bool:
        return needs_context(record, self._model)

    async def _read(self, scan: Scan) -> None:
        page = await self.collection.scan(scan)
        self._page = {record.id: record for record in page.records if self._needs(record)}
        self._scan = msgspec.structs.replace(scan, after=page.next) if page.next else None

    async def _take(self, first: Record) -> None:
        """All of a document, and what of it is to be done."""
        document: dict[str, Record] = {}
        scan: Scan | None = Scan(where=Is(DOCUMENT, (first.document,)), limit=_PAGE)
        while scan is not None and len(document) < PASSAGES_MAX:
            page = await self.collection.scan(scan)
            document |= {record.id: record for record in page.records}
            scan = msgspec.structs.replace(scan, after=page.next) if page.next else None
        # What a document has beyond that is done as its page of the collection comes by; and what
        # has left the document since the page was read is not there any more.
        own = [record for record in self._page.values() if record.document == first.document]
        for record in own:
            del self._page[record.id]
        beyond = own if scan is not None else ()
        work = {record.id: record for record in (*document.values(), *beyond)}
        self._document = [*document.values()]
        self._work = sorted(
            filter(self._needs, work.values()), key=lambda each: each.position, reverse=True
        )
