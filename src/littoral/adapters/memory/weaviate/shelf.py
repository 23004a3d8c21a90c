"""One collection on a Weaviate server.

A record is an object under a UUID made of its id, with the properties

- `record`, the id, and `body`: all of the record as JSON (`bodies`);
- `marks`, and `l0`, `g0`, …: what filters look at (`memory.marks`); a field's least and greatest
  number.

Its vectors are named `v0`, `v1`, … in the order of the collection. The object of the nil UUID has
our note of what the collection is, and the number of the last change.

Rules
- Reads and writes ask a majority of replicas.
- A filter only narrows: a complement is asked of versions that have it, and others have not.

Not here: words. Weaviate ranks them by a BM25 of its own, with other words and other numbers.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any, Final, assert_never
from uuid import UUID

import msgspec
from weaviate.classes.config import ConsistencyLevel
from weaviate.classes.data import DataObject
from weaviate.classes.query import Filter as Condition
from weaviate.collections.classes.filters import _Filters

from littoral.adapters.memory.bodies import body_of, in_batches, read_body, record_of, vectors_sent
from littoral.adapters.memory.naming import name_on_server
from littoral.adapters.memory.noting import Note
from littoral.adapters.memory.ordering import Ordering
from littoral.adapters.memory.scoring import prepared, restored, unpacked
from littoral.adapters.memory.shelf import Candidates, Shelf
from littoral.adapters.memory.weaviate.link import Link, translated
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
from littoral.terms.errors import NotFoundError, UpstreamFailedError
from littoral.terms.memory import CollectionSpec, Record, VectorField

__all__ = ["Note", "WeaviateShelf", "note_of", "noted", "numbered_of", "put"]

_NOTE: Final = UUID(int=0)
_NOTED: Final = "-"
"""`record` of the object that is none."""


def numbered_of(spec: CollectionSpec) -> dict[str, int]:
    """Fields of which least and greatest numbers are properties, with the number in their names."""
    fields = (name for name, kind in spec.fields.items() if kind in NUMBERED)
    return {name: place for place, name in enumerate(fields)}


class WeaviateShelf(Shelf):
    """See `Shelf`."""

    filters_exact = False
    found_max = 10_000

    def __init__(self, spec: CollectionSpec, link: Link) -> None:
        super().__init__(spec)
        self._link = link
        self._name = name_on_server(spec.scope, spec.name)
        self._vectors = {each.name: f"v{place}" for place, each in enumerate(spec.vectors)}
        self._numbered = numbered_of(spec)
        self._ordering = Ordering()

    def through(self) -> int:
        """The number of the last change."""
        return noted(self._link, self._name).through

    def advance(self, count: int) -> int:
        """Take so many numbers."""
        through = self.through() + count
        put(self._link, self._name, [note_of(self.spec, through)])
        return through

    def put(self, records: Sequence[Record]) -> None:
        """Keep these."""
        for batch in in_batches(map(self._object, records), _size):
            put(self._link, self._name, batch)

    def remove(self, ids: Sequence[str]) -> None:
        """Forget these."""
        chosen = Condition.by_id().contains_any([_key(each) for each in ids])
        with translated():
            gone = self._collection().data.delete_many(where=chosen)
        if gone.failed:
            raise UpstreamFailedError("Weaviate has not forgotten all that it was to forget")

    def there(self, ids: Sequence[str]) -> Sequence[str]:
        """Those of the ids that have a record."""
        return [str(each.properties["record"]) for each in self._objects(ids, ["record"], False)]

    def get(self, ids: Sequence[str], *, with_vectors: bool) -> Iterable[Record]:
        """Those that are there."""
        named = list(self._vectors.values()) if with_vectors else False
        return [self._record(each) for each in self._objects(ids, ["body"], named)]

    def page(
        self,
        wanted: Sought,  # noqa: ARG002 - it lists all
        after: str,
        limit: int,
        *,
        with_vectors: bool,
    ) -> Sequence[Record]:
        """So many with ids above one, whatever is wanted of them."""
        read = partial(self.get, with_vectors=with_vectors)
        return self._ordering.page(after, limit, self.through(), self._ids, read)

    def count(self, wanted: Sought) -> int:  # noqa: ARG002 - asked for all alone
        """How many there are, of all."""
        with translated():
            found = self._collection().aggregate.over_all(total_count=True)
        return int(found.total_count or 1) - 1

    def nearest(
        self, field: VectorField, vector: bytes, wanted: Sought, limit: int, *, exact: bool
    ) -> Candidates | None:
        """The nearest that Weaviate finds."""
        if exact:
            return None
        named = self._vectors[field.name]
        with translated():
            found = self._collection().query.near_vector(
                near_vector=unpacked(prepared(field, vector)[0]).tolist(),
                target_vector=named,
                limit=limit,
                filters=self._condition(wanted),
                return_properties=["body"],
                include_vector=[named],
            )
        return Candidates([self._record(each) for each in found.objects], "Weaviate searched")

    def _objects(
        self, ids: Sequence[str], properties: list[str], vectors: list[str] | bool
    ) -> list[Any]:
        if not ids:
            return []
        with translated():
            found = self._collection().query.fetch_objects_by_ids(
                [_key(each) for each in ids],
                limit=len(ids),
                return_properties=properties,
                include_vector=vectors,
            )
        return list(found.objects)

    def _ids(self) -> list[str]:
        with translated():
            every = self._collection().iterator(return_properties=["record"])
            ids = [str(each.properties["record"]) for each in every]
        return [each for each in ids if each != _NOTED]

    def _collection(self) -> Any:  # noqa: ANN401 - its types name what it is made of
        return _opened(self._link, self._name)

    def _object(self, record: Record) -> Any:  # noqa: ANN401 - as `_collection`
        marks = marks_of(self.spec, record)
        sent = vectors_sent(self.spec, record)
        apart = [name for name, (_, changed) in sent.items() if changed]
        properties: dict[str, Any] = {
            "record": record.id,
            "body": body_of(record, apart).decode(),
            "marks": list(marks.texts),
        }
        for name, numbers in marks.numbers.items():
            place = self._numbered[name]
            properties |= {f"l{place}": _finite(numbers[0]), f"g{place}": _finite(numbers[-1])}
        vectors = {self._vectors[name]: unpacked(v).tolist() for name, (v, _) in sent.items()}
        return DataObject(properties=properties, uuid=_key(record.id), vector=vectors)

    def _record(self, found: Any) -> Record:  # noqa: ANN401 - as `_collection`
        vectors = found.vector if isinstance(found.vector, Mapping) else {}
        there = {
            name: restored(vectors[called])
            for name, called in self._vectors.items()
            if called in vectors
        }
        return record_of(read_body(found.properties["body"]), there)

    def _condition(self, wanted: Sought) -> _Filters | None:
        """Of what is everything there is no condition."""
        match wanted:
            case Everything() | Complement():
                return None
            case Marked(texts=texts):
                return Condition.by_property("marks").contains_any(list(texts) or ["-"])
            case Identified(ids=ids):
                return Condition.by_id().contains_any([_key(each) for each in ids])
            case Within(field=field, least=least, greatest=greatest):
                place = self._numbered[field]
                ends = []
                if math.isfinite(least):
                    ends.append(Condition.by_property(f"g{place}").greater_or_equal(least))
                if math.isfinite(greatest):
                    ends.append(Condition.by_property(f"l{place}").less_or_equal(greatest))
                return Condition.all_of(ends) if ends else None
            case Together(of=parts):
                narrowing = [each for each in map(self._condition, parts) if each is not None]
                return Condition.all_of(narrowing) if narrowing else None
            case Alternatives(of=parts):
                any_of = [self._condition(part) for part in parts]
                narrow = [each for each in any_of if each is not None]
                return Condition.any_of(narrow) if len(narrow) == len(any_of) else None
            case _:
                assert_never(wanted)


def noted(link: Link, called: str, name: str = "") -> Note:
    """What a collection says of itself. Raises NotFoundError where there is none."""
    try:
        with translated():
            found = _opened(link, called).query.fetch_object_by_id(
                _NOTE, return_properties=["body"]
            )
    except NotFoundError:
        found = None
    if found is None:
        raise NotFoundError(f"there is no collection {(name or called)[:128]}")
    return msgspec.json.decode(str(found.properties["body"]), type=Note)


def note_of(spec: CollectionSpec, through: int) -> Any:  # noqa: ANN401 - a DataObject of some types
    """The object that is no record."""
    note = msgspec.json.encode(Note(spec, through)).decode()
    return DataObject(properties={"record": _NOTED, "body": note, "marks": []}, uuid=_NOTE)


def put(link: Link, called: str, objects: Sequence[Any]) -> None:
    """Keep objects, whole, instead of what is there under their UUIDs."""
    with translated():
        answer = _opened(link, called).data.insert_many(objects)
    if answer.has_errors:
        raise UpstreamFailedError("Weaviate has not kept all that it was given")


def _opened(link: Link, called: str) -> Any:  # noqa: ANN401 - its types name what it is made of
    return link.client().collections.use(called).with_consistency_level(ConsistencyLevel.QUORUM)


def _key(record_id: str) -> UUID:
    digest = sha256(record_id.encode("utf-8", "surrogatepass")).digest()
    return UUID(bytes=digest[:16])


def _size(item: Any) -> int:  # noqa: ANN401 - a DataObject
    return len(item.properties["body"]) + 4 * sum(map(len, item.vector.values()))


def _finite(number: float) -> float:
    return max(-1.7e308, min(1.7e308, number))
