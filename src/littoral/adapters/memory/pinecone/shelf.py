"""One collection in an index of Pinecone.

It is a namespace. A record is a vector under its id
in hexadecimal, with the metadata

- `id`, and `body`: all of the record as JSON (`bodies`);
- `marks`, and `l0`, `g0`, …: what filters look at (`memory.marks`); a field's least and greatest
  number.

The vector `note` says what the collection is, and the number of the last change. A record without
a vector has one that no search asks for, since Pinecone has no record without; a zero vector is
stored as one that is next to it, since Pinecone takes none.

Rules
- A search is asked again until Pinecone says that it has seen the last write of this process. It
  says nothing of that kind where records are fetched or listed.
- A filter only narrows: what a complement is of a list, Pinecone does not say.

Not here: sparse vectors and words; indexes, which cost money and are the operator's to make.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from threading import Event
from typing import Any, Final, assert_never

import msgspec

from littoral.adapters.clock import SystemClock
from littoral.adapters.memory.bodies import body_of, in_batches, read_body, record_of, vectors_sent
from littoral.adapters.memory.naming import name_on_server
from littoral.adapters.memory.noting import Note
from littoral.adapters.memory.ordering import Ordering
from littoral.adapters.memory.pinecone.link import translated
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
    has_vector,
    marks_of,
)
from littoral.terms.errors import (
    BadRequestError,
    NotFoundError,
    UpstreamTimeoutError,
)
from littoral.terms.memory import (
    CollectionSpec,
    Record,
    VectorField,
)
from littoral.terms.values import SECOND

__all__ = ["Namespace", "PineconeShelf", "note_of", "noted"]

_NOTE: Final = "note"
"""The id of the vector that is no record: no id in hexadecimal is like it."""
_decode: Final = msgspec.json.Decoder(Note).decode

_METADATA_BYTES_MAX: Final = 40_000
_ID_BYTES_MAX: Final = 255
"""Of Pinecone's documentation: 40 KB of metadata, and 512 characters of an id."""

_LISTED_MAX: Final = 100
_BATCH_BYTES: Final = 1_000_000
"""An upsert has two megabytes at most."""

_AGAIN_S: Final = 0.05

_NEXT_TO_ZERO: Final = 1e-30

Namespace = Any
"""pinecone's Index: its types differ from release to release."""


class PineconeShelf(Shelf):
    """See `Shelf`."""

    filters_exact = False
    found_max = 10_000
    page_records = _LISTED_MAX

    def __init__(
        self, spec: CollectionSpec, index: Namespace, dimensions: int, answer_s: float
    ) -> None:
        super().__init__(spec)
        self._index = index
        self._answer_s = answer_s
        self._name = name_on_server(spec.scope, spec.name)
        self._dimensions = dimensions
        numbered = (name for name, kind in spec.fields.items() if kind in NUMBERED)
        self._numbered = {name: place for place, name in enumerate(numbered)}
        self._ordering = Ordering()
        self._written = 0
        """Pinecone's own number of the last write."""
        self._through = self._noted().through

    def check(self, record: Record) -> None:
        """Refuse what Pinecone can't keep."""
        size = len(msgspec.json.encode(self._vector(record)["metadata"]))
        if size > _METADATA_BYTES_MAX or len(record.id.encode()) > _ID_BYTES_MAX:
            raise BadRequestError(
                f"{record.id[:40]!r} is too large for Pinecone",
                advice=f"it keeps {_METADATA_BYTES_MAX} bytes of text and metadata of a record, "
                f"and ids of {_ID_BYTES_MAX}",
            )

    def through(self) -> int:
        """The number of the last change of this process, or of others before it wrote."""
        return self._through

    def advance(self, count: int) -> int:
        """Take so many numbers."""
        self._through = max(self._through, self._noted().through) + count
        self._note()
        return self._through

    def put(self, records: Sequence[Record]) -> None:
        """Keep these."""
        for batch in in_batches(map(self._vector, records), _size, _BATCH_BYTES):
            self._upsert(batch)

    def remove(self, ids: Sequence[str]) -> None:
        """Forget these; what is written after it tells when that is seen."""
        with translated():
            self._index.delete(ids=[_key(each) for each in ids], namespace=self._name)
        self._note()

    def there(self, ids: Sequence[str]) -> Sequence[str]:
        """Those of the ids that have a record."""
        return [record.id for record in self.get(ids, with_vectors=False)]

    def get(self, ids: Sequence[str], *, with_vectors: bool) -> Iterable[Record]:  # noqa: ARG002 - it gives all
        """Those that are there."""
        keys = [_key(each) for each in ids if len(each.encode()) <= _ID_BYTES_MAX]
        found: list[Record] = []
        for start in range(0, len(keys), _LISTED_MAX):
            with translated():
                part = keys[start : start + _LISTED_MAX]
                vectors = self._index.fetch(ids=part, namespace=self._name).vectors
            found += [self._record(vectors[key]) for key in part if key in vectors]
        return found

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
        return self._ordering.page(after, limit, self._noted().through, self._ids, read)

    def count(self, wanted: Sought) -> int:  # noqa: ARG002 - asked for all alone
        """How many there are, of all."""
        return len(self._ids())

    def nearest(
        self, field: VectorField, vector: bytes, wanted: Sought, limit: int, *, exact: bool
    ) -> Candidates | None:
        """The nearest that Pinecone finds."""
        if exact:
            return None
        asked = {
            "vector": unpacked(prepared(field, vector)[0]).tolist(),
            "top_k": limit,
            "filter": self._condition(Together((Marked((has_vector(field.name),)), wanted))),
            "namespace": self._name,
        }
        matches = self._fresh(lambda: self._index.query(**asked)).matches
        ids = [_id(each.id) for each in matches]
        return Candidates(list(self.get(ids, with_vectors=True)), "Pinecone searched")

    def _fresh(self, ask: Callable[[], Any]) -> Any:  # noqa: ANN401 - pinecone's response
        """An answer that has seen the last write, as far as Pinecone says what it has seen."""
        deadline = SystemClock.now() + int(self._answer_s * SECOND)
        while True:
            with translated():
                answer = ask()
            seen = answer.response_info and answer.response_info.lsn_reconciled
            if seen is None or seen >= self._written:
                return answer
            if SystemClock.now() > deadline:
                raise UpstreamTimeoutError("Pinecone has not caught up with what was written")
            Event().wait(_AGAIN_S)

    def _ids(self) -> list[str]:
        ids, token = list[str](), None
        while True:
            with translated():
                page = self._index.list_paginated(
                    limit=_LISTED_MAX, namespace=self._name, pagination_token=token
                )
            ids += [_id(each.id) for each in page.vectors if each.id != _NOTE]
            token = page.pagination.next if page.pagination else None
            if not token:
                return ids

    def _noted(self) -> Note:
        return noted(self._index, self._name)

    def _note(self) -> None:
        self._upsert([note_of(self.spec, self._through, self._dimensions)])

    def _upsert(self, vectors: list[dict[str, Any]]) -> None:
        with translated():
            answer = self._index.upsert(vectors=vectors, namespace=self._name)
        committed = answer.response_info and answer.response_info.lsn_committed
        self._written = max(self._written, committed or 0)

    def _vector(self, record: Record) -> dict[str, Any]:
        field = self.spec.vectors[0] if self.spec.vectors else None
        sent = vectors_sent(self.spec, record)
        values, apart = _unit(self._dimensions), list[str]()
        if field is not None and field.name in sent:
            packed, changed = sent[field.name]
            values = unpacked(packed).tolist()
            if not any(values):
                values = [_NEXT_TO_ZERO, *values[1:]]
                changed = True
            apart = [field.name] if changed else []
        marks = marks_of(self.spec, record)
        metadata: dict[str, Any] = {
            "id": record.id,
            "body": body_of(record, apart).decode(),
            "marks": list(marks.texts),
        }
        for name, numbers in marks.numbers.items():
            place = self._numbered[name]
            metadata |= {f"l{place}": _finite(numbers[0]), f"g{place}": _finite(numbers[-1])}
        return {"id": _key(record.id), "values": values, "metadata": metadata}

    def _record(self, vector: Any) -> Record:  # noqa: ANN401 - pinecone's Vector
        names = [field.name for field in self.spec.vectors]
        vectors = {name: restored(vector.values) for name in names}
        return record_of(read_body(vector.metadata["body"]), vectors)

    def _condition(self, wanted: Sought) -> dict[str, Any]:
        match wanted:
            case Everything() | Complement():
                return {"id": {"$exists": True}}
            case Marked(texts=texts):
                return {"marks": {"$in": list(texts) or ["-"]}}
            case Identified(ids=ids):
                return {"id": {"$in": list(ids) or ["-"]}}
            case Within(field=field, least=least, greatest=greatest):
                place = self._numbered[field]
                ends = []
                if math.isfinite(least):
                    ends.append({f"g{place}": {"$gte": least}})
                if math.isfinite(greatest):
                    ends.append({f"l{place}": {"$lte": greatest}})
                return {"$and": ends} if ends else self._condition(Everything())
            case Together(of=parts):
                return {"$and": [self._condition(part) for part in parts]}
            case Alternatives(of=parts):
                return {"$or": [self._condition(part) for part in parts]}
            case _:
                assert_never(wanted)


def noted(index: Namespace, called: str, name: str = "") -> Note:
    """What a namespace says of itself. Raises NotFoundError where it is no collection."""
    with translated():
        found = index.fetch(ids=[_NOTE], namespace=called).vectors
    if _NOTE not in found:
        raise NotFoundError(f"there is no collection {(name or called)[:128]}")
    return _decode(found[_NOTE].metadata["note"])


def note_of(spec: CollectionSpec, through: int, dimensions: int) -> dict[str, Any]:
    """The vector that is no record."""
    note = msgspec.json.encode(Note(spec, through)).decode()
    return {"id": _NOTE, "values": _unit(dimensions), "metadata": {"note": note}}


def _unit(dimensions: int) -> list[float]:
    return [1.0] + [0.0] * (dimensions - 1)


def _key(record_id: str) -> str:
    return record_id.encode("utf-8", "surrogatepass").hex()


def _id(key: str) -> str:
    return bytes.fromhex(key).decode()


def _size(vector: dict[str, Any]) -> int:
    return len(vector["metadata"]["body"]) + 14 * len(vector["values"])


def _finite(number: float) -> float:
    return max(-1.7e308, min(1.7e308, number))
