"""What is written to the tables of a collection in Postgres, within a transaction.

Rows are copied in: of the ways into Postgres the fastest. What was there under an id goes first.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, Final

from psycopg import sql

from littoral.adapters.memory.bodies import body_of, vectors_sent
from littoral.adapters.memory.pgvector.link import Connection, Packed
from littoral.adapters.memory.pgvector.tables import Tables
from littoral.adapters.memory.scoring import prepared
from littoral.memory.marks import marks_of
from littoral.memory.words import spoken
from littoral.terms.errors import NotFoundError
from littoral.terms.memory import Record, VectorField

__all__ = ["cut", "put", "remove", "there", "word_key"]

_WORD_BYTES_MAX: Final = 256
"""Of a word's key, as an index takes it: of what is longer the beginning, and a digest."""


def put(connection: Connection, tables: Tables, number: int, records: Sequence[Record]) -> None:
    """Keep these, whole, instead of what is there under their ids."""
    gone, unsaid = _forget(connection, tables, [each.id for each in records])
    said = [Counter(spoken(record)) for record in records]
    lengths = [counts.total() for counts in said]
    _put_rows(connection, tables, records, lengths)
    _put_words(connection, tables, records, said)
    _put_sparse(connection, tables, records)
    _put_many(connection, tables, records)
    _count(connection, number, len(records) - gone, sum(lengths) - unsaid)


def remove(connection: Connection, tables: Tables, number: int, ids: Sequence[str]) -> None:
    """Forget these."""
    gone, unsaid = _forget(connection, tables, ids)
    _count(connection, number, -gone, -unsaid)


def cut(field: VectorField, packed: bytes) -> list[Packed]:
    """The vectors of a field that keeps many, each of its own."""
    size = field.dimensions * 4
    return [Packed(packed[start : start + size]) for start in range(0, len(packed), size)]


def word_key(word: str) -> bytes:
    """What a word is found by."""
    key = word.encode()
    return key if len(key) <= _WORD_BYTES_MAX else key[:224] + sha256(key).digest()


def there(row: tuple[Any, ...] | None) -> tuple[Any, ...]:
    """A row of the collection's own; without it somebody has dropped the collection."""
    if row is None:
        raise NotFoundError("the collection is no longer there")
    return row


def _forget(connection: Connection, tables: Tables, ids: Sequence[str]) -> tuple[int, int]:
    """Gives how many records went, and how many words."""
    keys = [each.encode() for each in ids]
    deleting = sql.SQL("DELETE FROM {} WHERE id = ANY(%s)")
    row = connection.execute(
        sql.SQL(
            "WITH gone AS ({} RETURNING length) SELECT count(*), coalesce(sum(length), 0) FROM gone"
        ).format(deleting.format(tables.records)),
        (keys,),
    ).fetchone()
    gone, unsaid = there(row)
    if gone:
        for table in (tables.words, tables.sparse, tables.rows):
            connection.execute(deleting.format(table), (keys,))
    return int(gone), int(unsaid)


def _count(connection: Connection, number: int, records: int, words: int) -> None:
    connection.execute(
        "UPDATE littoral.collections SET records = records + %s, words = words + %s"
        " WHERE number = %s",
        (records, words, number),
    )


def _put_rows(
    connection: Connection, tables: Tables, records: Sequence[Record], lengths: Sequence[int]
) -> None:
    fields = tables.spec.vectors
    places = [*map(sql.Identifier, ("id", "body", "length", "marks")), *tables.numbered.values()]
    types = ["bytea", "text", "int4", "text[]"] + ["float8[]"] * len(tables.numbered)
    types += ["bytea" if field.multi else "vector" for field in fields]
    copying = _copying(tables.records, [*places, *tables.columns.values()])
    with connection.cursor().copy(copying) as copy:
        copy.set_types(types)
        for record, length in zip(records, lengths, strict=True):
            marks = marks_of(tables.spec, record)
            sent = vectors_sent(tables.spec, record)
            apart = [f.name for f in fields if f.name in sent and sent[f.name][1] and not f.multi]
            numbers = (marks.numbers.get(name) for name in tables.numbered)
            copy.write_row(
                (
                    record.id.encode(),
                    body_of(record, apart).decode(),
                    length,
                    list(marks.texts),
                    *(None if each is None else list(each) for each in numbers),
                    *(_vector(field, record, sent) for field in fields),
                )
            )


def _vector(
    field: VectorField, record: Record, sent: dict[str, tuple[bytes, bool]]
) -> bytes | None:
    if field.name not in sent:
        return None
    return record.vectors[field.name] if field.multi else Packed(sent[field.name][0])


def _put_words(
    connection: Connection, tables: Tables, records: Sequence[Record], said: Sequence[Counter[str]]
) -> None:
    copying = _copying(tables.words, map(sql.Identifier, ("word", "id", "said")))
    with connection.cursor().copy(copying) as copy:
        copy.set_types(["bytea", "bytea", "int4"])
        for record, counts in zip(records, said, strict=True):
            key = record.id.encode()
            for word, count in counts.items():
                copy.write_row((word_key(word), key, count))


def _put_sparse(connection: Connection, tables: Tables, records: Sequence[Record]) -> None:
    if not any(record.sparse for record in records):
        return
    copying = _copying(tables.sparse, map(sql.Identifier, ("field", "index", "id", "value")))
    with connection.cursor().copy(copying) as copy:
        copy.set_types(["int2", "int8", "bytea", "float8"])
        for record in records:
            for name, vector in record.sparse.items():
                place = tables.spec.sparse.index(name)
                for index, value in zip(vector.indices, vector.values, strict=True):
                    copy.write_row((place, index, record.id.encode(), value))


def _put_many(connection: Connection, tables: Tables, records: Sequence[Record]) -> None:
    many = [(place, f) for place, f in enumerate(tables.spec.vectors) if f.multi]
    if not many:
        return
    copying = _copying(tables.rows, map(sql.Identifier, ("field", "id", "place", "part")))
    with connection.cursor().copy(copying) as copy:
        copy.set_types(["int2", "bytea", "int4", "vector"])
        for record in records:
            for place, field in many:
                packed = record.vectors.get(field.name)
                parts = [] if packed is None else cut(field, prepared(field, packed)[0])
                for number, part in enumerate(parts):
                    copy.write_row((place, record.id.encode(), number, part))


def _copying(table: sql.Identifier, columns: Iterable[sql.Identifier]) -> sql.Composed:
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        table, sql.SQL(", ").join(columns)
    )
