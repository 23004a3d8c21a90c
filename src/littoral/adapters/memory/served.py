"""A collection on a server: what all such drivers do alike. How a server is asked is its shelf's.

Rules
- One write at a time in this process; a shelf whose server has transactions makes a call one.
- A number is taken before its change is made: who has seen `through` has seen the change, and a
  crash in between leaves a number unused.
- Where a filter can't be said to the server exactly, more comes than is meant, and what came is
  looked at here.

Not here: several processes that write to one collection of a server without transactions. Each of
their changes is made; two may have the same number.
"""

from collections.abc import Iterator, Sequence
from threading import Lock
from typing import assert_never

from littoral.adapters.memory.bodies import bare, check_text
from littoral.adapters.memory.ranking import Ranking
from littoral.adapters.memory.shelf import Shelf
from littoral.memory.changing import patched
from littoral.memory.checking import check_search, check_writes
from littoral.memory.filters import check_filter, matches
from littoral.memory.marks import Wanted, sought
from littoral.terms.errors import UnsupportedError
from littoral.terms.filters import Filter
from littoral.terms.memory import (
    Ability,
    Applied,
    CollectionSpec,
    Delete,
    DeleteWhere,
    Found,
    Fused,
    Hit,
    Page,
    Patch,
    Query,
    Record,
    Scan,
    Search,
    SparseNearest,
    Upsert,
    Words,
    Write,
)

__all__ = ["ServedCollection", "check_abilities"]


def check_abilities(spec: CollectionSpec, abilities: frozenset[Ability], driver: str) -> None:
    """Refuse a collection that a driver can't keep, before anything is made.

    Raises:
        UnsupportedError: with what it lacks.
    """
    wanted = {
        Ability.SPARSE: bool(spec.sparse),
        Ability.MULTI: any(field.multi for field in spec.vectors),
        Ability.NAMED: len(spec.vectors) > 1,
    }
    for ability, needed in wanted.items():
        if needed:
            _need(ability, abilities, driver)


class ServedCollection:
    """See `terms.collections.Collection`."""

    def __init__(self, shelf: Shelf, abilities: frozenset[Ability], driver: str) -> None:
        self._shelf = shelf
        self._spec = shelf.spec
        self._abilities = abilities
        self._driver = driver
        self._writing = Lock()

    @property
    def spec(self) -> CollectionSpec:
        """What it is."""
        return self._spec

    def through(self) -> int:
        """The number of the last change."""
        return self._shelf.through()

    def apply(self, writes: Sequence[Write]) -> Applied:
        """Make these changes."""
        check_writes(self._spec, writes)
        if any(isinstance(write, Patch) for write in writes):
            _need(Ability.PATCH, self._abilities, self._driver)
        for write in writes:
            if isinstance(write, Upsert):
                for record in write.records:
                    check_text(record)
                    self._shelf.check(record)
        with self._writing, self._shelf.writing():
            changed = sum(self._apply(write) for write in writes)
            return Applied(self._shelf.through(), changed)

    def search(self, search: Search) -> Found:
        """The best records."""
        check_search(self._spec, search)
        self._check_query(search.query)
        through = self._shelf.through()
        ranking = Ranking(self._shelf)
        ranked = ranking.ranked(search.query, search.where, search.offset + search.limit)
        if search.score_min is not None:
            ranked = [each for each in ranked if each[1] >= search.score_min]
        chosen = ranked[search.offset :]
        records = self._given([key for key, _ in chosen], ranking.seen, search)
        hits = tuple(Hit(records[key], score) for key, score in chosen if key in records)
        return Found(hits, tuple(ranking.plan), through)

    def fetch(self, ids: Sequence[str], *, with_vectors: bool = False) -> Sequence[Record]:
        """Those that are there."""
        there = {each.id: each for each in self._got(ids, with_vectors=with_vectors)}
        return [there[each] for each in ids if each in there]

    def scan(self, scan: Scan) -> Page:
        """Records in the order of their ids."""
        check_filter(scan.where)
        found: list[Record] = []
        for record in self._matching(
            scan.where, after=scan.after, with_vectors=scan.with_vectors, wanted=scan.limit + 1
        ):
            if len(found) == scan.limit:
                return Page(tuple(found), found[-1].id)
            found.append(record)
        return Page(tuple(found))

    def count(self, where: Filter | None = None) -> int:
        """How many match."""
        check_filter(where)
        wanted = self._sought(where)
        if wanted.exact:
            return self._shelf.count(wanted.of)
        return sum(1 for _ in self._matching(where))

    def _apply(self, write: Write) -> int:
        match write:
            case Upsert(records=records):
                last = {record.id: record for record in records}
                return self._put(list(last.values()))
            case Delete(ids=ids):
                unique = list(dict.fromkeys(ids))
                return sum(self._remove(self._shelf.there(part)) for part in self._parts(unique))
            case DeleteWhere(where=where):
                gone = [record.id for record in self._matching(where)]
                return sum(self._remove(part) for part in self._parts(gone))
            case Patch():
                there = list(self._matching(write.where, with_vectors=True))
                return self._put([patched(record, write) for record in there])
            case _:
                assert_never(write)

    def _put(self, records: Sequence[Record]) -> int:
        if records:
            self._shelf.advance(len(records))
            self._shelf.put(records)
        return len(records)

    def _remove(self, ids: Sequence[str]) -> int:
        if ids:
            self._shelf.advance(len(ids))
            self._shelf.remove(ids)
        return len(ids)

    def _matching(
        self,
        where: Filter | None,
        *,
        after: str = "",
        with_vectors: bool = False,
        wanted: int | None = None,
    ) -> Iterator[Record]:
        """Those that a filter means, by id; `wanted` is how many will be taken, if it is known."""
        found = self._sought(where)
        limit = self._shelf.page_records
        if wanted is not None and found.exact:
            limit = min(limit, wanted)
        while True:
            page = self._shelf.page(found.of, after, limit, with_vectors=with_vectors)
            for record in page:
                if found.exact or matches(where, record):
                    yield record if with_vectors else bare(record)
            if len(page) < limit:
                return
            after = page[-1].id

    def _sought(self, where: Filter | None) -> Wanted:
        found = sought(self._spec, where, numbers_kept=self._shelf.numbers_kept)
        exact = found.exact and (where is None or self._shelf.filters_exact)
        return Wanted(found.of, exact)

    def _given(
        self, ids: Sequence[str], seen: dict[str, Record], search: Search
    ) -> dict[str, Record]:
        """The records of hits, as a search wants them."""
        if not search.with_content and not search.with_vectors:
            return {each: Record(id=each) for each in ids}
        if not search.with_vectors:
            return {each: bare(seen[each]) for each in ids}
        there = {each.id: each for each in self._got(ids, with_vectors=True)}
        if search.with_content:
            return there
        return {key: Record(id=key, vectors=each.vectors) for key, each in there.items()}

    def _got(self, ids: Sequence[str], *, with_vectors: bool) -> Iterator[Record]:
        for part in self._parts(list(dict.fromkeys(ids))):
            for record in self._shelf.get(part, with_vectors=with_vectors):
                yield record if with_vectors else bare(record)

    def _parts(self, ids: Sequence[str]) -> Iterator[Sequence[str]]:
        size = self._shelf.page_records
        return (ids[start : start + size] for start in range(0, len(ids), size))

    def _check_query(self, query: Query) -> None:
        match query:
            case Words():
                _need(Ability.WORDS, self._abilities, self._driver)
            case SparseNearest():
                _need(Ability.SPARSE, self._abilities, self._driver)
            case Fused(branches=branches):
                for branch in branches:
                    self._check_query(branch.query)
            case _:
                pass


_LACKING = {
    Ability.WORDS: "search texts by words",
    Ability.SPARSE: "compare sparse vectors",
    Ability.MULTI: "keep many vectors under one name",
    Ability.NAMED: "keep more than one vector of a record",
    Ability.PATCH: "change a part of a record in one step",
}


def _need(ability: Ability, abilities: frozenset[Ability], driver: str) -> None:
    if ability not in abilities:
        raise UnsupportedError(
            f"{driver} does not {_LACKING.get(ability, ability.value)}",
            advice="docs/memory-drivers.md says what each driver can do",
        )
