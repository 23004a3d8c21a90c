"""The best of a collection on a server: candidates asked for until nothing better can be missing.

Rules
- The server chooses candidates, with its own index and in its own arithmetic. Scores, order and
  filter are ours (`scoring`, `memory.filters`): more is asked for until the last hit that is wanted
  is better than the worst candidate by more than both can differ.
- Where a server can't bring as many, every record is looked at: slow, and right.
"""

from collections.abc import Callable
from heapq import nsmallest
from typing import Final, assert_never

from littoral.adapters.memory.scoring import margin, scores, sparse_margin, sparse_score
from littoral.adapters.memory.shelf import Candidates, Shelf
from littoral.memory.filters import both, matches, words_of
from littoral.memory.fusion import fused
from littoral.memory.marks import sought
from littoral.terms.filters import Filter
from littoral.terms.memory import (
    Fused,
    Like,
    Nearest,
    Query,
    Record,
    SparseNearest,
    VectorField,
    Words,
)

__all__ = ["Ranking"]

_MORE: Final = 8
"""Asked for beyond what is wanted, so that one question does where no two are as good."""

_GROWTH: Final = 4

_Ranked = list[tuple[str, float]]

_Scored = tuple[_Ranked, float]
"""With how far from it the server's idea of a score may be."""


class Ranking:
    """One search, with the records that it has come by."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._spec = shelf.spec
        self.seen: dict[str, Record] = {}
        self.plan: list[str] = []

    def ranked(self, query: Query, where: Filter | None, want: int) -> _Ranked:
        """So many ids with their scores, best first."""
        match query:
            case Nearest():
                return self._nearest(query, where, want)
            case SparseNearest():
                return self._sparse(query, where, want)
            case Words(text=text):
                return self._words(text, where, want)
            case Fused(branches=branches, k=k):
                rankings = [
                    [
                        key
                        for key, _ in self.ranked(
                            branch.query, both(where, branch.where), branch.limit
                        )
                    ]
                    for branch in branches
                ]
                self.plan.append(f"{len(branches)} rankings fused")
                return fused(rankings, k)[:want]
            case Like():
                raise AssertionError("whoever embeds has put a vector in its place")
            case _:
                assert_never(query)

    def _nearest(self, query: Nearest, where: Filter | None, want: int) -> _Ranked:
        field = next(each for each in self._spec.vectors if each.name == query.field)
        wanted = sought(self._spec, where, numbers_kept=self._shelf.numbers_kept)

        def ask(limit: int) -> Candidates | None:
            return self._shelf.nearest(field, query.vector, wanted.of, limit, exact=query.exact)

        def score(records: list[Record]) -> _Scored:
            vectors = [each.vectors[field.name] for each in records]
            return _scored(field, query.vector, records), margin(field, query.vector, vectors)

        found = self._widened(ask, score, where, want)
        return self._all_looked_at(field, query, where, want) if found is None else found

    def _sparse(self, query: SparseNearest, where: Filter | None, want: int) -> _Ranked:
        wanted = sought(self._spec, where, numbers_kept=self._shelf.numbers_kept)
        if not query.vector.indices:
            return []

        def ask(limit: int) -> Candidates:
            return self._shelf.sparse(query.field, query.vector, wanted.of, limit)

        def score(records: list[Record]) -> _Scored:
            found = ((each.id, sparse_score(query.vector, each, query.field)) for each in records)
            ranked = [(key, number) for key, number in found if number is not None]
            return ranked, sparse_margin(
                query.vector, [each.sparse[query.field] for each in records]
            )

        found = self._widened(ask, score, where, want)
        assert found is not None, "a server that compares sparse vectors brings any number"
        return found

    def _words(self, text: str, where: Filter | None, want: int) -> _Ranked:
        wanted = sought(self._spec, where, numbers_kept=self._shelf.numbers_kept)
        words = sorted(words_of(text))
        if not words:
            return []

        def ask(limit: int) -> Candidates:
            return self._shelf.words(words, wanted.of, limit)

        found = self._widened(ask, None, where, want)
        assert found is not None, "a server that searches words brings any number"
        return found

    def _widened(
        self,
        ask: Callable[[int], Candidates | None],
        score: Callable[[list[Record]], _Scored] | None,
        where: Filter | None,
        want: int,
    ) -> _Ranked | None:
        """Ask for more and more until it is enough; None where the server does not bring enough.

        Args:
            ask: for so many candidates.
            score: what they score, and how far from that the server's idea may be; without it the
                server's scores are ours.
            where: what they are to be.
            want: how many of them.
        """
        limit = min(want + _MORE, self._shelf.found_max)
        while True:
            found = ask(limit)
            if found is None:
                return None
            records = list(found.records)
            if score is None:
                ids = (each.id for each in records)
                ranked, unsure = list(zip(ids, found.scores or (), strict=True)), 0.0
            else:
                ranked, unsure = score(records)
            worst = min((number for _, number in ranked), default=0.0) + unsure
            by_id = {each.id: each for each in records}
            ranked = sorted(
                ((key, number) for key, number in ranked if matches(where, by_id[key])),
                key=lambda each: (-each[1], each[0]),
            )
            settled = len(ranked) >= want and (score is None or ranked[want - 1][1] > worst)
            if found.whole or len(records) < limit or settled:
                self.plan.append(f"{found.plan}: {len(records)} records looked at")
                self.seen |= by_id
                return ranked[:want]
            if limit == self._shelf.found_max:
                return None
            limit = min(limit * _GROWTH, self._shelf.found_max)

    def _all_looked_at(
        self, field: VectorField, query: Nearest, where: Filter | None, want: int
    ) -> _Ranked:
        wanted = sought(self._spec, where, numbers_kept=self._shelf.numbers_kept)
        best: _Ranked = []
        seen: dict[str, Record] = {}
        looked, after = 0, ""
        while True:
            page = self._shelf.page(wanted.of, after, self._shelf.page_records, with_vectors=True)
            having = [each for each in page if field.name in each.vectors and matches(where, each)]
            seen |= {each.id: each for each in having}
            best += _scored(field, query.vector, having)
            best = nsmallest(want, best, key=lambda each: (-each[1], each[0]))
            looked += len(page)
            seen = {key: seen[key] for key, _ in best}
            if len(page) < self._shelf.page_records:
                self.plan.append(f"the server brings no more at once: all {looked} looked at")
                self.seen |= seen
                return best
            after = page[-1].id


def _scored(field: VectorField, query: bytes, records: list[Record]) -> _Ranked:
    vectors = [each.vectors[field.name] for each in records]
    ids = (each.id for each in records)
    return list(zip(ids, scores(field, query, vectors), strict=True))
