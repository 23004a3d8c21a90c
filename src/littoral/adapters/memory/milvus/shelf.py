"""One collection on a Milvus server.

Each is a collection of Milvus with the fields

- `id`: the record's id in hexadecimal, so that Milvus sorts as we do and no id is part of its
  filter language. The empty one has the number of the last change;
- `body`: all of the record as JSON (`bodies`), in pieces, since a text has 65,535 bytes at most;
- `marks`, `ranges`: what filters look at (`memory.marks`); a field's least and greatest number;
- `vector`: as it is compared. Milvus 2.3 has one, and each row has it: where a record has none it
  is zero, and no search asks for such rows.

Rules
- Every vector is compared (`FLAT`), by all that Milvus has to compare with. Its graphs are for
  segments that it has closed; what was written last it searches by an index of its own choice that
  missed 16 of 100 of the best, and half of them with a filter that leaves one in a hundred.
- Reads are `Strong`: they wait until all that was written before is there to be read.

Not here: words. Milvus ranks them by BM25 from 2.5 on, which there was no server of to test with.
"""

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, assert_never

import numpy as np
from pymilvus import DataType, MilvusClient

from littoral.adapters.memory.bodies import body_of, read_body, record_of, vectors_sent
from littoral.adapters.memory.milvus.link import TooLargeError, translated
from littoral.adapters.memory.naming import name_on_server
from littoral.adapters.memory.scoring import Numbers, prepared, restored, unpacked
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
from littoral.terms.errors import BadRequestError, UpstreamFailedError
from littoral.terms.memory import CollectionSpec, Metric, Record, VectorField

__all__ = ["MilvusShelf", "index_of", "schema_of"]

_PIECE_CHARS: Final = 16_000
PIECES_MAX: Final = 256
"""A text of Milvus has 65,535 bytes at most, a character four."""

MARKS_MAX: Final = 4_096
"""Elements of an array of Milvus."""

MARK_BYTES: Final = 512
ID_CHARS: Final = 1_024

_BATCH_CHARS: Final = 8 * 1024 * 1024
"""Of bodies in one request: Milvus takes messages of 64 MiB."""


class MilvusShelf(Shelf):
    """See `Shelf`."""

    found_max = 16_384
    page_records = 250

    def __init__(self, spec: CollectionSpec, client: MilvusClient, answer_s: float) -> None:
        super().__init__(spec)
        self._client = client
        self._answer_s = answer_s
        self._name = name_on_server(spec.scope, spec.name)
        self._field = spec.vectors[0] if spec.vectors else None
        numbered = (name for name, kind in spec.fields.items() if kind in NUMBERED)
        self._numbered = {name: place for place, name in enumerate(numbered)}
        self._through = self._read_through()

    def check(self, record: Record) -> None:
        """Refuse what Milvus can't keep."""
        if len(marks_of(self.spec, record).texts) > MARKS_MAX:
            raise BadRequestError(
                f"{record.id[:40]!r} has too many values in declared fields for Milvus",
                advice=f"Milvus keeps {MARKS_MAX}; leave some of the fields undeclared",
            )

    def through(self) -> int:
        """The number of the last change of this process, or of others before it wrote."""
        return self._through

    def advance(self, count: int) -> int:
        """Take so many numbers, after those that others have taken."""
        self._through = max(self._through, self._read_through()) + count
        self._upsert([self._row("", [str(self._through)], (), {}, None)])
        return self._through

    def put(self, records: Sequence[Record]) -> None:
        """Keep these."""
        rows, chars = list[dict[str, object]](), 0
        for record in records:
            pieces = self._pieces(record)
            rows.append(self._row_of(record, pieces))
            chars += sum(map(len, pieces)) + 4 * dimensions_of(self._field)
            if chars > _BATCH_CHARS:
                self._upsert(rows)
                rows, chars = [], 0
        self._upsert(rows)

    def remove(self, ids: Sequence[str]) -> None:
        """Forget these."""
        with translated(self._answer_s):
            self._client.delete(self._name, ids=[_key(e) for e in ids], timeout=self._answer_s)

    def there(self, ids: Sequence[str]) -> Sequence[str]:
        """Those of the ids that have a record."""
        return [_id(row["id"]) for row in self._query(_identified(ids), ["id"], len(ids))]

    def get(self, ids: Sequence[str], *, with_vectors: bool) -> Iterable[Record]:
        """Those that are there."""
        fields = ["id", "body", *(["vector"] if with_vectors else [])]
        return [self._record(row) for row in self._query(_identified(ids), fields, len(ids))]

    def page(
        self, wanted: Sought, after: str, limit: int, *, with_vectors: bool
    ) -> Sequence[Record]:
        """So many with ids above one; Milvus gives those of the lowest keys."""
        fields = ["id", "body", *(["vector"] if with_vectors else [])]
        where = f'id > "{_key(after)}" and ({self._expression(wanted)})'
        rows = sorted(self._query(where, fields, limit), key=lambda row: str(row["id"]))
        return [self._record(row) for row in rows]

    def count(self, wanted: Sought) -> int:
        """How many there are."""
        where = f'id > "" and ({self._expression(wanted)})'
        return int(self._query(where, ["count(*)"], None)[0]["count(*)"])

    def nearest(
        self,
        field: VectorField,
        vector: bytes,
        wanted: Sought,
        limit: int,
        *,
        exact: bool,  # noqa: ARG002 - it always is
    ) -> Candidates:
        """The nearest of all."""
        having = Together((Marked((has_vector(field.name),)), wanted))
        with translated(self._answer_s):
            found = self._client.search(
                self._name,
                data=[_padded(field, prepared(field, vector)[0])],
                anns_field="vector",
                filter=self._expression(having),
                limit=limit,
                output_fields=["id", "body", "vector"],
                consistency_level="Strong",
                timeout=self._answer_s,
            )
        return Candidates(
            [self._record(hit["entity"]) for hit in found[0]], "Milvus compared every vector"
        )

    def _read_through(self) -> int:
        rows = self._query('id == ""', ["body"], 1)
        return int(rows[0]["body"][0]) if rows else 0

    def _pieces(self, record: Record) -> list[str]:
        sent = vectors_sent(self.spec, record)
        body = body_of(record, [name for name, (_, changed) in sent.items() if changed]).decode()
        return [body[at : at + _PIECE_CHARS] for at in range(0, len(body), _PIECE_CHARS)]

    def _row_of(self, record: Record, pieces: Sequence[str]) -> dict[str, object]:
        marks = marks_of(self.spec, record)
        sent = vectors_sent(self.spec, record)
        vector = sent[self._field.name][0] if self._field and self._field.name in sent else None
        ranges = {name: (numbers[0], numbers[-1]) for name, numbers in marks.numbers.items()}
        return self._row(record.id, pieces, marks.texts, ranges, vector)

    def _row(
        self,
        record_id: str,
        pieces: Sequence[str],
        marks: Sequence[str],
        ranges: dict[str, tuple[float, float]],
        vector: bytes | None,
    ) -> dict[str, object]:
        ends: dict[str, float] = {}
        for name, (least, greatest) in ranges.items():
            ends[f"l{self._numbered[name]}"] = _finite(least)
            ends[f"g{self._numbered[name]}"] = _finite(greatest)
        return {
            "id": _key(record_id),
            "body": list(pieces),
            "marks": list(marks),
            "ranges": ends,
            "vector": _padded(self._field, vector),
        }

    def _upsert(self, rows: list[dict[str, object]]) -> None:
        if rows:
            with translated(self._answer_s):
                self._client.upsert(self._name, rows, timeout=self._answer_s)

    def _query(self, where: str, fields: list[str], limit: int | None) -> list[dict[str, Any]]:
        """Rows; where they are too large for one message, in two."""
        try:
            with translated(self._answer_s):
                return list(
                    self._client.query(
                        self._name,
                        filter=where,
                        output_fields=fields,
                        limit=limit,
                        consistency_level="Strong",
                        timeout=self._answer_s,
                    )
                )
        except TooLargeError:
            assert limit is not None
            if limit == 1:
                raise UpstreamFailedError("Milvus can't give a record back: it is large") from None
        rows = self._query(where, fields, limit // 2)
        if len(rows) < limit // 2:
            return rows
        last = max(str(row["id"]) for row in rows)
        return rows + self._query(f'id > "{last}" and ({where})', fields, limit - limit // 2)

    def _record(self, row: dict[str, Any]) -> Record:
        body = read_body("".join(row["body"]))
        vectors = {}
        if self._field is not None and "vector" in row:
            vectors[self._field.name] = restored(row["vector"][: self._field.dimensions])
        return record_of(body, vectors)

    def _expression(self, wanted: Sought) -> str:
        """A filter in Milvus's language. Its texts are marks and hexadecimal, quoted as JSON."""
        match wanted:
            case Everything():
                return 'id > ""'
            case Marked(texts=()) | Identified(ids=()):
                return 'id in ["-"]'
            case Marked(texts=texts):
                return f"array_contains_any(marks, {_quoted(texts)})"
            case Identified(ids=ids):
                return _identified(ids)
            case Within():
                return self._within(wanted)
            case Together(of=parts):
                return " and ".join(f"({self._expression(part)})" for part in parts)
            case Alternatives(of=parts):
                return " or ".join(f"({self._expression(part)})" for part in parts)
            case Complement(of=part):
                return f"not ({self._expression(part)})"
            case _:
                assert_never(wanted)

    def _within(self, wanted: Within) -> str:
        place = self._numbered[wanted.field]
        ends = []
        if math.isfinite(wanted.least):
            ends.append(f'ranges["g{place}"] >= {wanted.least!r}')
        if math.isfinite(wanted.greatest):
            ends.append(f'ranges["l{place}"] <= {wanted.greatest!r}')
        return " and ".join(ends) or 'id > ""'


def schema_of(client: MilvusClient, spec: CollectionSpec, note: str) -> Any:  # noqa: ANN401 - pymilvus is untyped
    """The fields of a collection."""
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False, description=note)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=ID_CHARS)
    texts = {"datatype": DataType.ARRAY, "element_type": DataType.VARCHAR}
    schema.add_field("body", **texts, max_capacity=PIECES_MAX, max_length=65_535)
    schema.add_field("marks", **texts, max_capacity=MARKS_MAX, max_length=MARK_BYTES)
    schema.add_field("ranges", DataType.JSON)
    field = spec.vectors[0] if spec.vectors else None
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimensions_of(field))
    return schema


def index_of(client: MilvusClient, spec: CollectionSpec) -> Any:  # noqa: ANN401 - pymilvus is untyped
    """What its vectors are searched by."""
    l2 = bool(spec.vectors) and spec.vectors[0].metric is Metric.L2
    params = client.prepare_index_params()
    params.add_index(
        "vector",
        index_type="FLAT",
        metric_type="L2" if l2 else "IP",
        params={},
    )
    return params


def dimensions_of(field: VectorField | None) -> int:
    """Milvus has at least two."""
    return 2 if field is None else max(2, field.dimensions)


def _padded(field: VectorField | None, packed: bytes | None) -> Numbers:
    """What is added is zero: it changes no product and no distance."""
    numbers = np.zeros(dimensions_of(field), dtype=np.float32)
    if packed is not None:
        given = unpacked(packed)
        numbers[: len(given)] = given
    return numbers


def _identified(ids: Sequence[str]) -> str:
    return f"id in {_quoted([_key(each) for each in ids])}"


def _quoted(texts: Sequence[str]) -> str:
    return json.dumps(list(texts), ensure_ascii=False)


def _key(record_id: str) -> str:
    return record_id.encode("utf-8", "surrogatepass").hex()


def _id(key: str) -> str:
    return bytes.fromhex(key).decode()


def _finite(number: float) -> float:
    return max(-1.7e308, min(1.7e308, number))
