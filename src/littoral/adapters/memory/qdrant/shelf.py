"""One collection on a Qdrant server.

A record is a point under a UUID made of its id, with the payload

- `body`: all of the record as JSON (`bodies`);
- `marks`, `n`: what filters look at (`memory.marks`), and all numbers of declared fields.

Dense vectors are named `v0`, `v1`, … and sparse ones `s0`, …, in the order of the collection. The
point 0 has our note of what the collection is, and the number of the last change.

Rules
- A write is waited for and ordered, a read asks a majority of replicas: who has written, reads it.
- Qdrant sorts points by their UUIDs, so a scan reads the ids that are meant, sorts them here, and
  keeps them until something has changed.

Not here: words. Qdrant ranks by sparse vectors that somebody else has made of them.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from hashlib import sha256
from typing import Any, Final, assert_never
from uuid import UUID

import msgspec
from qdrant_client import QdrantClient, models

from littoral.adapters.memory.bodies import (
    body_of,
    in_batches,
    read_body,
    record_of,
    vectors_sent,
)
from littoral.adapters.memory.naming import name_on_server
from littoral.adapters.memory.noting import Note
from littoral.adapters.memory.ordering import Ordering
from littoral.adapters.memory.qdrant.link import translated
from littoral.adapters.memory.scoring import prepared, restored, unpacked
from littoral.adapters.memory.shelf import Candidates, Shelf
from littoral.memory.marks import (
    NUMBERED,
    Alternatives,
    Complement,
    Everything,
    Identified,
    Marked,
    Sought,
    Together,
    Within,
    marks_of,
)
from littoral.terms.errors import (
    NotFoundError,
)
from littoral.terms.limits import SERVED_IDS_PAGE
from littoral.terms.memory import (
    CollectionSpec,
    Record,
    Sparse,
    VectorField,
)

__all__ = ["MAJORITY", "NOTE", "ORDERED", "QdrantShelf", "note_of", "noted"]

NOTE: Final = 0
"""The point that is no record."""

MAJORITY: Final = models.ReadConsistencyType.MAJORITY
ORDERED: Final = models.WriteOrdering.STRONG

_NOTHING: Final = models.HasIdCondition(has_id=[])

_EF_MIN: Final = 128


class QdrantShelf(Shelf):
    """See `Shelf`."""

    numbers_kept = True

    def __init__(self, spec: CollectionSpec, client: QdrantClient, *, stand_in: bool) -> None:
        super().__init__(spec)
        self._stand_in = stand_in
        self._client = client
        self._name = name_on_server(spec.scope, spec.name)
        self._dense = {each.name: f"v{place}" for place, each in enumerate(spec.vectors)}
        self._sparse = {name: f"s{place}" for place, name in enumerate(spec.sparse)}
        self._fields = {each.name: each for each in spec.vectors}
        numbered = (name for name, kind in spec.fields.items() if kind in NUMBERED)
        self._numbered = {name: f"n{place}" for place, name in enumerate(numbered)}
        self._ordering = Ordering()

    def through(self) -> int:
        """The number of the last change."""
        with translated():
            found = self._client.retrieve(self._name, [NOTE], consistency=MAJORITY)
        if not found:
            raise NotFoundError("the collection is no longer there")
        return note_of(found[0].payload).through

    def advance(self, count: int) -> int:
        """Take so many numbers."""
        through = self.through() + count
        with translated():
            self._client.upsert(
                self._name, [noted(self.spec, through)], wait=True, ordering=ORDERED
            )
        return through

    def put(self, records: Sequence[Record]) -> None:
        """Keep these."""
        for batch in in_batches(map(self._point, records), _size):
            with translated():
                self._client.upsert(self._name, batch, wait=True, ordering=ORDERED)

    def remove(self, ids: Sequence[str]) -> None:
        """Forget these."""
        chosen = models.PointIdsList(points=[_key(each) for each in ids])
        with translated():
            self._client.delete(self._name, chosen, wait=True, ordering=ORDERED)

    def there(self, ids: Sequence[str]) -> Sequence[str]:
        """Those of the ids that have a record."""
        keys = {_key(each): each for each in ids}
        with translated():
            found = self._client.retrieve(
                self._name, list(keys), with_payload=False, consistency=MAJORITY
            )
        return [keys[str(each.id)] for each in found]

    def get(self, ids: Sequence[str], *, with_vectors: bool) -> Iterable[Record]:
        """Those that are there."""
        with translated():
            found = self._client.retrieve(
                self._name,
                [_key(each) for each in ids],
                with_payload=["body"],
                with_vectors=list(self._dense.values()) if with_vectors else False,
                consistency=MAJORITY,
            )
        return [self._record(each.payload, each.vector) for each in found]

    def page(
        self, wanted: Sought, after: str, limit: int, *, with_vectors: bool
    ) -> Sequence[Record]:
        """So many with ids above one."""
        of = (self.through(), wanted)
        read = partial(self.get, with_vectors=with_vectors)
        return self._ordering.page(after, limit, of, self._ids(wanted), read)

    def count(self, wanted: Sought) -> int:
        """How many there are."""
        with translated():
            return self._client.count(self._name, self._records(wanted), exact=True).count

    def nearest(
        self, field: VectorField, vector: bytes, wanted: Sought, limit: int, *, exact: bool
    ) -> Candidates:
        """The nearest."""
        rows = unpacked(prepared(field, vector)[0]).reshape(-1, field.dimensions).tolist()
        name = self._dense[field.name]
        asked = models.SearchParams(exact=exact, hnsw_ef=max(_EF_MIN, limit))
        records = self._query(rows if field.multi else rows[0], name, wanted, limit, asked)
        return Candidates(records, "Qdrant compared all" if exact else "Qdrant searched")

    def sparse(self, field: str, vector: Sparse, wanted: Sought, limit: int) -> Candidates:
        """Those of the highest dot product."""
        asked = models.SparseVector(indices=list(vector.indices), values=list(vector.values))
        records = self._query(asked, self._sparse[field], wanted, limit, None)
        return Candidates(records, "Qdrant multiplied")

    def _query(
        self,
        query: Any,  # noqa: ANN401 - one of some twenty types of the client's
        using: str,
        wanted: Sought,
        limit: int,
        asked: models.SearchParams | None,
    ) -> list[Record]:
        with translated():
            found = self._client.query_points(
                self._name,
                query=query,
                using=using,
                query_filter=self._records(wanted),
                search_params=None if self._stand_in else asked,
                limit=limit,
                with_payload=["body"],
                with_vectors=[using] if using in self._dense.values() else False,
                consistency=MAJORITY,
            )
        return [self._record(each.payload, each.vector) for each in found.points]

    def _ids(self, wanted: Sought) -> Callable[[], list[str]]:
        def read() -> list[str]:
            ids, offset = list[str](), None
            while True:
                with translated():
                    points, offset = self._client.scroll(
                        self._name,
                        self._records(wanted),
                        limit=SERVED_IDS_PAGE,
                        offset=offset,
                        with_payload=["id"],
                        consistency=MAJORITY,
                    )
                ids += [str((each.payload or {})["id"]) for each in points]
                if offset is None:
                    return ids

        return read

    def _point(self, record: Record) -> models.PointStruct:
        marks = marks_of(self.spec, record)
        sent = vectors_sent(self.spec, record)
        vectors: dict[str, Any] = {}
        for name, (packed, _) in sent.items():
            field = self._fields[name]
            rows = unpacked(packed).reshape(-1, field.dimensions).tolist()
            vectors[self._dense[name]] = rows if field.multi else rows[0]
        for name, vector in record.sparse.items():
            if vector.indices:
                vectors[self._sparse[name]] = models.SparseVector(
                    indices=list(vector.indices), values=list(vector.values)
                )
        body = body_of(record, [name for name, (_, changed) in sent.items() if changed])
        numbers = {self._numbered[name]: list(each) for name, each in marks.numbers.items()}
        return models.PointStruct(
            id=_key(record.id),
            vector=vectors,
            payload={
                "id": record.id,
                "body": body.decode(),
                "marks": list(marks.texts),
                "n": numbers,
            },
        )

    def _record(self, payload: dict[str, Any] | None, vectors: object) -> Record:
        given = vectors if isinstance(vectors, dict) else {}
        there = {
            name: restored(given[called]) for name, called in self._dense.items() if called in given
        }
        return record_of(read_body((payload or {})["body"]), there)

    def _records(self, wanted: Sought) -> models.Filter:
        """Of points that are records."""
        return models.Filter(
            must=[self._condition(wanted)], must_not=[models.HasIdCondition(has_id=[NOTE])]
        )

    def _condition(self, wanted: Sought) -> models.Condition:
        match wanted:
            case Everything():
                return models.Filter()
            case Marked(texts=()):
                return _NOTHING
            case Marked(texts=texts):
                return models.FieldCondition(key="marks", match=models.MatchAny(any=list(texts)))
            case Identified(ids=ids):
                return models.HasIdCondition(has_id=[_key(each) for each in ids])
            case Within(field=field, least=least, greatest=greatest):
                ends = models.Range(
                    gt=least if wanted.least_open else None,
                    gte=None if wanted.least_open else least,
                    lt=greatest if wanted.greatest_open else None,
                    lte=None if wanted.greatest_open else greatest,
                )
                return models.FieldCondition(key=f"n.{self._numbered[field]}", range=_finite(ends))
            case Together(of=parts):
                return models.Filter(must=[self._condition(part) for part in parts])
            case Alternatives(of=parts):
                return models.Filter(should=[self._condition(part) for part in parts])
            case Complement(of=part):
                return models.Filter(must_not=[self._condition(part)])
            case _:
                assert_never(wanted)


def noted(spec: CollectionSpec, through: int) -> models.PointStruct:
    """The point that is no record."""
    note = msgspec.json.encode(Note(spec, through)).decode()
    return models.PointStruct(id=NOTE, vector={}, payload={"note": note})


def note_of(payload: dict[str, Any] | None) -> Note:
    """What it says."""
    return msgspec.json.decode(str((payload or {})["note"]), type=Note)


def _key(record_id: str) -> str:
    digest = sha256(record_id.encode("utf-8", "surrogatepass")).digest()
    return str(UUID(bytes=digest[:16]))


def _size(point: models.PointStruct) -> int:
    """About how long it is as JSON: a number takes some twelve characters."""
    numbers = 0
    if isinstance(point.vector, dict):
        for vector in point.vector.values():
            if isinstance(vector, models.SparseVector):
                numbers += 2 * len(vector.indices)
            elif isinstance(vector, list):
                numbers += sum(len(row) if isinstance(row, list) else 1 for row in vector)
    return len((point.payload or {})["body"]) + 12 * numbers


def _finite(ends: models.Range) -> models.Range:
    """JSON has no infinity: an end that is none is left out."""
    inf = float("inf")
    kept = {name: end for name, end in ends.model_dump().items() if end not in {None, inf, -inf}}
    return models.Range(**kept)
