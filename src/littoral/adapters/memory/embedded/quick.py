"""Searches by one vector whose ranking needs only what is in memory: an index, rows of a filter.

Rules
- All of it is as of the last change that anybody was told of, or the search is not for here: None,
  and it is made by asking the truth (`searching.py`), which says as well what is wrong with it.
- The id of a row never changes, so ids are kept until there are too many. Contents are read.
"""

from collections.abc import Mapping, Sequence

from littoral.adapters.memory.embedded.indexing import FieldIndex
from littoral.adapters.memory.embedded.kept import KeptFilters
from littoral.adapters.memory.embedded.position import Position
from littoral.adapters.memory.embedded.reading import Readers
from littoral.terms.limits import MEMORY_IDS_MAX
from littoral.terms.memory import Found, Hit, Nearest, Record, Search

__all__ = ["Quick"]


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

    def found(self, search: Search) -> Found | None:
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
        near = index.quick_search(through, query, search.offset + search.limit, among)
        if near is None:
            return None
        ranked, reasons = near
        if search.score_min is not None:
            ranked = [each for each in ranked if each[1] >= search.score_min]
        records = self._contents(ranked, through) if search.with_content else self._records
        try:
            hits = [Hit(records[row], score) for row, score in ranked]
        except KeyError:
            return None
        hits.sort(key=_order)
        return Found(tuple(hits[search.offset : search.offset + search.limit]), reasons, through)

    def _contents(self, ranked: Sequence[tuple[int, float]], through: int) -> dict[int, Record]:
        """The records themselves, from the truth, if it is as of this change."""
        with self._readers.one() as reader:
            if reader.through() != through:
                return {}
            return reader.records([row for row, _ in ranked])

    def keep(self, records: Mapping[int, Record]) -> None:
        """Keep the ids of these rows."""
        if len(self._records) + len(records) > MEMORY_IDS_MAX:
            self._records = {}
        for row, record in records.items():
            self._records[row] = Record(id=record.id)


def _order(hit: Hit) -> tuple[float, str]:
    return -hit.score, hit.record.id
