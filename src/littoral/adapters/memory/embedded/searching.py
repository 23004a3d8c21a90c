"""A search of a collection: every way of ranking, and what is given of the best.

Rules
- All of one search is of one moment of the truth, and says which (`Found.through`).
- Of equal scores the lower id comes first, also where the last place falls among equals.

Not here: filters as SQL (`filtering.py`), how vectors are compared (`indexing.py`, `comparing.py`).
"""

# ruff: noqa: S608 - names of tables and marks go in, values never

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from littoral.adapters.memory.embedded.comparing import best, compared
from littoral.adapters.memory.embedded.indexing import FieldIndex
from littoral.adapters.memory.embedded.kept import KeptFilters
from littoral.adapters.memory.embedded.layout import Layout
from littoral.adapters.memory.embedded.quick import Quick
from littoral.adapters.memory.embedded.reading import Reader
from littoral.adapters.memory.embedded.wording import Wording
from littoral.memory.filters import both
from littoral.memory.fusion import fused
from littoral.terms.filters import Filter
from littoral.terms.memory import (
    Found,
    Fused,
    Hit,
    Like,
    Nearest,
    Query,
    Record,
    Search,
    SparseNearest,
    Words,
)

__all__ = ["Held", "Searching"]

_Ranked = list[tuple[str, float, int]]
"""Ids, scores, rows; best first."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a collection has in memory, derived from its truth."""

    indexes: Mapping[str, FieldIndex]
    kept: KeptFilters
    quick: Quick
    wording: Wording


class Searching:
    """One search, by one connection."""

    def __init__(
        self,
        reader: Reader,
        layout: Layout,
        held: Held,
    ) -> None:
        self._reader = reader
        self._layout = layout
        self._held = held
        self._plan: list[str] = []
        self.through = reader.through()

    def found(self, search: Search) -> Found:
        """What the search gives.

        Raises:
            Behind: try again with a later snapshot.
        """
        ranked = self._ranked(search.query, search.where, search.offset + search.limit)
        chosen = ranked[search.offset :]
        if search.score_min is not None:
            chosen = [each for each in chosen if each[1] >= search.score_min]
        return Found(self._hits(chosen, search), tuple(self._plan), self.through)

    def _hits(self, chosen: _Ranked, search: Search) -> tuple[Hit, ...]:
        if search.with_content:
            rows = [row for _, _, row in chosen]
            records = self._reader.records(rows, with_vectors=search.with_vectors)
        elif search.with_vectors:
            records = {
                row: Record(id=each, vectors=self._reader.vectors_of(row)[0])
                for each, _, row in chosen
            }
        else:
            records = {row: Record(id=each) for each, _, row in chosen}
            self._held.quick.keep(records)
        return tuple(Hit(records[row], score) for _, score, row in chosen)

    def _ranked(self, query: Query, where: Filter | None, count: int) -> _Ranked:
        match query:
            case Nearest():
                return self._nearest(query, where, count)
            case SparseNearest():
                return self._sparse(query, where, count)
            case Words(text=text):
                return self._by_words(text, where, count)
            case Fused(branches=branches, k=k):
                rankings = [
                    self._ranked(branch.query, both(where, branch.where), branch.limit)
                    for branch in branches
                ]
                rows = {each: row for ranking in rankings for each, _, row in ranking}
                self._plan.append(f"{len(rankings)} rankings were fused, k = {k}")
                ids = [[each for each, _, _ in ranking] for ranking in rankings]
                return [(each, score, rows[each]) for each, score in fused(ids, k)][:count]
            case Like():
                raise AssertionError("whoever embeds has put a vector in its place")
            case _:
                assert_never(query)

    def _nearest(self, query: Nearest, where: Filter | None, count: int) -> _Ranked:
        among = None
        if where is not None:
            among = self._held.kept.rows(where, self._reader, self.through)
        index = self._held.indexes.get(query.field)
        found = None
        if index is not None:
            found = index.search(self._reader, self.through, query, count, among)
        if found is None:
            number, field = self._layout.dense[query.field], self._layout.field(query.field)
            rows, scores = compared(
                self._reader,
                number,
                field,
                query.vector,
                None if among is None else among.rows.tolist(),
            )
            self._plan.append(f"each of {len(rows):,} vectors was read and compared")
            ranked = best(rows, scores, count)
        else:
            near, likeness, reasons = found
            ranked = list(zip(near, likeness, strict=True))
            self._plan += reasons
        return self._named(ranked)[:count]

    def _sparse(self, query: SparseNearest, where: Filter | None, count: int) -> _Ranked:
        number = self._layout.sparse[query.field]
        weights = dict(zip(query.vector.indices, query.vector.values, strict=True))
        scores: dict[int, float] = {}
        for term, weight in weights.items():
            found = self._reader.database.read(
                f"SELECT row, value FROM postings_{number} WHERE term = ?", (term,)
            )
            for row, value in found:
                scores[row] = scores.get(row, 0.0) + weight * value
        if where is not None:
            rows = self._held.kept.rows(where, self._reader, self.through).rows.tolist()
            scores = {row: scores[row] for row in rows if row in scores}
        self._plan.append(f"{len(scores)} sparse vectors have one of {len(weights)} indices")
        best = sorted(scores.items(), key=lambda each: -each[1])
        end = count
        while end < len(best) and best[end - 1][1] == best[end][1]:
            end += 1
        return self._named(best[:end])[:count]

    def _by_words(self, text: str, where: Filter | None, count: int) -> _Ranked:
        among = None
        if where is not None:
            among = self._held.kept.rows(where, self._reader, self.through)
        ranked, reason = self._held.wording.ranked(self._reader, self.through, text, among, count)
        self._plan.append(reason)
        return self._named(ranked)[:count]

    def _named(self, ranked: Sequence[tuple[int, float]]) -> _Ranked:
        """Rows with their ids; of equal scores the lower id first."""
        ids = self._reader.ids([row for row, _ in ranked])
        named = [(ids[row], score, row) for row, score in ranked]
        return sorted(named, key=lambda each: (-each[1], each[0]))
