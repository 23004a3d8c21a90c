"""Searches by one vector whose ranking needs only what is in memory: an index, rows of a filter.

Rules
- All of it is as of the last change that anybody was told of, or the search is not for here: None,
  and it is made by asking the truth (`searching.py`), which says as well what is wrong with it.
- The id of a row never changes, so ids are kept until there are too many. Contents are read.
- What is mapped may have to be read from the disk. Where that was so the next searches are not made
  at once: by then they, on threads, have brought more of it into memory.
"""

import resource
from collections.abc import Mapping, Sequence
from typing import Final

from littoral.adapters.memory.embedded.indexing import FieldIndex
from littoral.adapters.memory.embedded.kept import KeptFilters
from littoral.adapters.memory.embedded.position import Position
from littoral.adapters.memory.embedded.reading import Readers
from littoral.terms.limits import MEMORY_IDS_MAX
from littoral.terms.memory import Found, Hit, Nearest, Record, Search

__all__ = ["Quick"]

_LEFT_TO_THREADS: Final = 64
"""Searches after one that read from the disk."""
_WHOSE: Final = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)


class Quick:
    """What is in memory of one collection."""

    def __init__(
        self,
        indexes: Mapping[str, FieldIndex],
        kept: KeptFilters,
        position: Position,
        readers: Readers,
    ) -> None:
        """Look at these."""
        self._indexes = indexes
        self._kept = kept
        self._position = position
        self._readers = readers
        self._records: dict[int, Record] = {}
        """By rows; their ids alone."""
        self._left_to_threads = 0

    def at_once(self, search: Search) -> Found | None:
        """The same if it is little, and was in memory of late."""
        if search.with_content:
            return None
        if self._left_to_threads:
            self._left_to_threads -= 1
            return None
        before = _pages_read()
        found = self.found(search, only_brief=True)
        if _pages_read() != before:
            self._left_to_threads = _LEFT_TO_THREADS
        return found

    def found(self, search: Search, *, only_brief: bool = False) -> Found | None:
        """What the search gives, if it is in memory."""
        query = search.query
        if type(query) is not Nearest or search.with_vectors:
            return None
        index = self._indexes.get(query.field)
        if index is None or not index.takes(query.vector):
            return None
        through = self._position.read()
        among = None
        if search.where is not None:
            among = self._kept.quick_rows(search.where, through)
            if among is None:
                return None
        count = search.offset + search.limit
        if only_brief and not index.is_brief(query, count, among):
            return None
        near = index.quick_search(through, query, count, among)
        if near is None:
            return None
        rows, scores, reasons = near
        if search.score_min is not None:
            scores = [score for score in scores if score >= search.score_min]
            rows = rows[: len(scores)]
        records = self._contents(rows, through) if search.with_content else self._records
        try:
            hits = [Hit(records[row], score) for row, score in zip(rows, scores, strict=True)]
        except KeyError:
            return None
        if len(set(scores)) < len(scores):
            hits.sort(key=_order)
        return Found(tuple(hits[search.offset : count]), reasons, through)

    def _contents(self, rows: Sequence[int], through: int) -> dict[int, Record]:
        """The records themselves, from the truth, if it is as of this change."""
        with self._readers.one() as reader:
            if reader.through() != through:
                return {}
            return reader.records(rows)

    def keep(self, records: Mapping[int, Record]) -> None:
        """Keep the ids of these rows."""
        if len(self._records) + len(records) > MEMORY_IDS_MAX:
            self._records = {}
        for row, record in records.items():
            self._records[row] = Record(id=record.id)


def _pages_read() -> int:
    """From the disk, by this thread so far."""
    return resource.getrusage(_WHOSE).ru_majflt


def _order(hit: Hit) -> tuple[float, str]:
    return -hit.score, hit.record.id
