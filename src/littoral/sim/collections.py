"""Collections on paper: every record looked at, every vector compared, nothing stored.

It is what all drivers are measured by: slow, small enough to be right, and exact. Words are ranked
by BM25 (k1 = 1.2, b = 0.75) over plain words; drivers with a stemmer may rank otherwise, and differ
from this in nothing else.
"""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from operator import mul
from typing import assert_never

import msgspec

from littoral.memory.changing import patched
from littoral.memory.checking import check_search, check_spec, check_writes, field_named
from littoral.memory.filters import both, check_filter, matches, words_of
from littoral.memory.fusion import fused
from littoral.memory.words import BM25_B, BM25_K1, spoken
from littoral.terms.errors import ConflictError, NotFoundError
from littoral.terms.filters import (
    Filter,
)
from littoral.terms.memory import (
    Ability,
    Applied,
    CollectionShown,
    CollectionSpec,
    Delete,
    DeleteWhere,
    Found,
    Fused,
    Hit,
    Like,
    Metric,
    Nearest,
    Page,
    Patch,
    Query,
    Record,
    Scan,
    Search,
    SparseNearest,
    Upsert,
    VectorField,
    Words,
    Write,
)

__all__ = ["PaperCollection", "PaperCollections"]

_Scored = list[tuple[str, float]]


class PaperCollections:
    """See `terms.collections.Collections`."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, str], PaperCollection] = {}

    @property
    def abilities(self) -> frozenset[Ability]:
        """Everything."""
        return frozenset(Ability)

    def create(self, spec: CollectionSpec) -> None:
        """Make a collection."""
        check_spec(spec)
        if (spec.scope, spec.name) in self._all:
            raise ConflictError(f"there is a collection {spec.name} already")
        self._all[spec.scope, spec.name] = PaperCollection(spec)

    def drop(self, name: str, scope: str = "") -> None:
        """Forget a collection."""
        self.open(name, scope)
        del self._all[scope, name]

    def open(self, name: str, scope: str = "") -> "PaperCollection":
        """The collection."""
        found = self._all.get((scope, name))
        if found is None:
            raise NotFoundError(f"there is no collection {name[:128]}")
        return found

    def describe(self) -> Sequence[CollectionShown]:
        """All there are."""
        return [collection.shown() for _, collection in sorted(self._all.items())]

    def close(self) -> None:
        """Nothing to let go of."""


class PaperCollection:
    """See `ports.Collection`."""

    def __init__(self, spec: CollectionSpec) -> None:
        self._spec = spec
        self._records: dict[str, Record] = {}
        self._through = 0

    def shown(self) -> CollectionShown:
        """As `Collections.describe` says it."""
        return CollectionShown(
            spec=self._spec, driver="paper", records=len(self._records), through=self._through
        )

    def apply(self, writes: Sequence[Write]) -> Applied:
        """Make these changes."""
        check_writes(self._spec, writes)
        changed = 0
        for write in writes:
            match write:
                case Upsert(records=records):
                    self._records |= {record.id: record for record in records}
                    changed += len({record.id for record in records})
                case Delete(ids=ids):
                    changed += sum(self._records.pop(each, None) is not None for each in set(ids))
                case DeleteWhere(where=where):
                    gone = [record.id for record in self._matching(where)]
                    for each in gone:
                        del self._records[each]
                    changed += len(gone)
                case Patch():
                    now = [patched(record, write) for record in self._matching(write.where)]
                    self._records |= {record.id: record for record in now}
                    changed += len(now)
                case _:
                    assert_never(write)
        self._through += changed
        return Applied(self._through, changed)

    def search(self, search: Search) -> Found:
        """The best records."""
        check_search(self._spec, search)
        ranked = self._ranked(search.query, search.where)
        if search.score_min is not None:
            ranked = [each for each in ranked if each[1] >= search.score_min]
        chosen = ranked[search.offset : search.offset + search.limit]
        hits = (Hit(self._given(key, search), score) for key, score in chosen)
        return Found(tuple(hits), ("every record was looked at",), self._through)

    def fetch(self, ids: Sequence[str], *, with_vectors: bool = False) -> Sequence[Record]:
        """Those that are there."""
        found = [self._records[each] for each in ids if each in self._records]
        return found if with_vectors else [_bare(record) for record in found]

    def scan(self, scan: Scan) -> Page:
        """Records in the order of their ids."""
        check_filter(scan.where)
        found = sorted(self._matching(scan.where), key=lambda record: record.id.encode())
        left = [record for record in found if record.id.encode() > scan.after.encode()]
        page = [record if scan.with_vectors else _bare(record) for record in left[: scan.limit]]
        return Page(tuple(page), page[-1].id if len(left) > scan.limit else "")

    def count(self, where: Filter | None = None) -> int:
        """How many match."""
        check_filter(where)
        return sum(1 for _ in self._matching(where))

    def _matching(self, where: Filter | None) -> Iterator[Record]:
        return (record for record in self._records.values() if matches(where, record))

    def _given(self, key: str, search: Search) -> Record:
        record = self._records[key]
        record = record if search.with_content else Record(id=key, vectors=record.vectors)
        return record if search.with_vectors else _bare(record)

    def _ranked(self, query: Query, where: Filter | None) -> _Scored:
        match query:
            case Nearest(vector=vector, field=name):
                field = field_named(self._spec, name)
                return _sorted(
                    (record.id, _likeness(field, vector, record.vectors[name]))
                    for record in self._matching(where)
                    if name in record.vectors
                )
            case SparseNearest(vector=vector, field=name):
                wanted = dict(zip(vector.indices, vector.values, strict=True))
                scored = []
                for record in self._matching(where):
                    there = record.sparse.get(name)
                    if there is not None and not wanted.keys().isdisjoint(there.indices):
                        pairs = zip(there.indices, there.values, strict=True)
                        scored.append((record.id, sum(wanted.get(i, 0.0) * v for i, v in pairs)))
                return _sorted(scored)
            case Words(text=text):
                return _bm25(text, self._records.values(), where)
            case Fused(branches=branches, k=k):
                rankings = [
                    [key for key, _ in self._ranked(branch.query, both(where, branch.where))][
                        : branch.limit
                    ]
                    for branch in branches
                ]
                return fused(rankings, k)
            case Like():
                raise AssertionError("whoever embeds has put a vector in its place")
            case _:
                assert_never(query)


def _sorted(scored: Iterable[tuple[str, float]]) -> _Scored:
    return sorted(scored, key=lambda each: (-each[1], each[0]))


def _bare(record: Record) -> Record:
    return msgspec.structs.replace(record, vectors={}, sparse={})


def _likeness(field: VectorField, query: bytes, vector: bytes) -> float:
    """MaxSim where there are several: for each row of the query its best row of the vector."""
    rows, others = _rows(field, query), _rows(field, vector)
    if not field.multi:
        return _score(field.metric, rows[0], others[0])
    return sum(max(_score(field.metric, row, other) for other in others) for row in rows)


def _rows(field: VectorField, packed: bytes) -> list[list[float]]:
    numbers = array("f", packed).tolist()
    size = field.dimensions
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]


def _score(metric: Metric, one: Sequence[float], other: Sequence[float]) -> float:
    match metric:
        case Metric.DOT:
            return float(sum(map(mul, one, other)))
        case Metric.COSINE:
            lengths = math.hypot(*one) * math.hypot(*other)
            return sum(map(mul, one, other)) / lengths if lengths else 0.0
        case Metric.L2:
            apart = math.dist(one, other)
            return -apart * apart
        case _:
            assert_never(metric)


def _bm25(text: str, records: Iterable[Record], where: Filter | None) -> _Scored:
    """Weights are of the whole collection, whatever the filter leaves."""
    every = [(record, Counter(spoken(record))) for record in records]
    lengths = [sum(counts.values()) for _, counts in every]
    mean = sum(lengths) / len(lengths) if lengths else 0.0
    scores: dict[str, float] = {}
    for word in words_of(text):
        having = sum(1 for _, counts in every if word in counts)
        weight = math.log(1 + (len(every) - having + 0.5) / (having + 0.5))
        for (record, counts), length in zip(every, lengths, strict=True):
            if word in counts and matches(where, record):
                share = counts[word] / (
                    counts[word] + BM25_K1 * (1 - BM25_B + BM25_B * length / mean)
                )
                scores[record.id] = scores.get(record.id, 0.0) + weight * share * (BM25_K1 + 1)
    return _sorted(scores.items())
