"""How a collection lies in its database: tables, and what is written into them of each record.

Rules
- A row has a number that no other row of the collection ever had: the number of the change that
  made it. What a row's vectors are never changes; whatever replaces a record makes a new row.
- `records.seq` is the number of the last change of a record; of one that went, `gone` keeps it.
- `terms` has what declared fields hold, so that filters find rows without looking at each. A value
  that SQL would compare otherwise than `memory/filters.py` lies there as `ODD`, and whoever finds
  that looks at the record itself.

Not here: who writes and reads them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Final

from littoral.memory.filters import moment, values_at, words_of
from littoral.terms.limits import INDEXED_TERM_BYTES_MAX
from littoral.terms.memory import CollectionSpec, FieldKind, Record, VectorField

__all__ = ["FALSE", "LABEL", "ODD", "TOKENS", "TRUE", "Layout", "Term", "indexable"]

Term = tuple[int, object]
"""The number of an index, and a value in it."""

LABEL: Final = -1
"""The index of labels. A declared field has two: of values, and, after it, of its kind's own."""

ODD: Final = b""
"""There is a value here; look at the record."""
FALSE: Final = b"f"
TRUE: Final = b"t"

_INTEGER_MAX: Final = 2**63 - 1

_TABLES: Final = """
    CREATE TABLE state (
        through INTEGER NOT NULL,
        records INTEGER NOT NULL,
        gone INTEGER NOT NULL,
        oldest_tombstone INTEGER NOT NULL
    ) STRICT;
    INSERT INTO state VALUES (0, 0, 0, 0);
    CREATE TABLE era (
        name TEXT NOT NULL,
        boot TEXT NOT NULL
    ) STRICT;
    INSERT INTO era VALUES ('', '');
    CREATE TABLE records (
        row INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        seq INTEGER NOT NULL UNIQUE,
        labelled INTEGER NOT NULL,
        document TEXT NOT NULL,
        rest BLOB NOT NULL,
        header TEXT NOT NULL,
        text TEXT NOT NULL
    ) STRICT;
    CREATE INDEX documents ON records (document) WHERE document <> '';
    CREATE TABLE gone (
        seq INTEGER PRIMARY KEY,
        row INTEGER NOT NULL,
        id TEXT
    ) STRICT;
    CREATE TABLE terms (
        field INTEGER NOT NULL,
        value ANY NOT NULL,
        row INTEGER NOT NULL,
        PRIMARY KEY (field, value, row)
    ) STRICT, WITHOUT ROWID"""

TOKENS: Final = "tokenize = 'porter unicode61 remove_diacritics 2'"
"""What FTS5 makes of texts."""

_WORDS: Final = f""";
    CREATE VIRTUAL TABLE words USING fts5 (
        header, text, content = 'records', content_rowid = 'row', {TOKENS}
    )"""

_DENSE: Final = """;
    CREATE TABLE vectors_{0} (
        row INTEGER PRIMARY KEY,
        data BLOB NOT NULL
    ) STRICT"""

_SPARSE: Final = """;
    CREATE TABLE sparse_{0} (
        row INTEGER PRIMARY KEY,
        data BLOB NOT NULL
    ) STRICT;
    CREATE TABLE postings_{0} (
        term INTEGER NOT NULL,
        row INTEGER NOT NULL,
        value REAL NOT NULL,
        PRIMARY KEY (term, row)
    ) STRICT, WITHOUT ROWID"""


_FOLLOWING: Final = """;
    CREATE TABLE followed (
        incarnation TEXT NOT NULL,
        era TEXT NOT NULL,
        through INTEGER NOT NULL,
        begun INTEGER NOT NULL,
        ever INTEGER NOT NULL
    ) STRICT;
    INSERT INTO followed VALUES ('', '', 0, 0, 0);
    CREATE TABLE seen (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID"""
"""What a replica keeps of how far it has come, and, while it begins anew, of what it has met."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What a collection's tables are called, by what its spec names."""

    spec: CollectionSpec
    dense: Mapping[str, int] = field(init=False)
    sparse: Mapping[str, int] = field(init=False)
    fields: Mapping[str, int] = field(init=False)
    """The index of each declared field's values."""

    def __post_init__(self) -> None:
        """Number what is named; a spec never changes."""
        spec = self.spec
        numbered = {each.name: number for number, each in enumerate(spec.vectors)}
        object.__setattr__(self, "dense", numbered)
        object.__setattr__(self, "sparse", {name: at for at, name in enumerate(spec.sparse)})
        indexes = {name: 2 * at for at, name in enumerate(sorted(spec.fields))}
        object.__setattr__(self, "fields", indexes)

    @property
    def migrations(self) -> tuple[str, ...]:
        """What makes the tables."""
        dense = "".join(_DENSE.format(number) for number in self.dense.values())
        sparse = "".join(map(_SPARSE.format, self.sparse.values()))
        return (_TABLES + _WORDS + dense + sparse + _FOLLOWING,)

    def field(self, name: str) -> VectorField:
        """The vector field of this name."""
        return self.spec.vectors[self.dense[name]]

    def terms(self, record: Record) -> set[Term]:
        """What filters find a record by."""
        terms: set[Term] = {(LABEL, indexable(label)) for label in record.labels}
        for name, index in self.fields.items():
            kind = self.spec.fields[name]
            for value in values_at(record, name):
                terms.add((index, _stored(value, kind)))
                terms.update((index + 1, own) for own in _own(value, kind))
        return terms


def indexable(value: object) -> object:
    """The value as an index has it: such that SQL compares it as filters do; else `ODD`."""
    if isinstance(value, bool):
        return TRUE if value else FALSE
    if isinstance(value, str):
        return value if len(value.encode()) <= INDEXED_TERM_BYTES_MAX else ODD
    if isinstance(value, int):
        return value if -_INTEGER_MAX <= value <= _INTEGER_MAX else ODD
    if isinstance(value, float):
        return value if isfinite(value) else ODD
    return ODD


def _stored(value: object, kind: FieldKind) -> object:
    return ODD if kind is FieldKind.TEXT and isinstance(value, str) else indexable(value)


def _own(value: object, kind: FieldKind) -> Iterator[object]:
    """What only a field of this kind is found by: words, moments, degrees of latitude."""
    match kind:
        case FieldKind.TEXT if isinstance(value, str):
            yield from (word for word in words_of(value) if indexable(word) != ODD)
        case FieldKind.TIME if isinstance(value, str):
            at = moment(value)
            if at is not None:
                yield at
        case FieldKind.GEO if isinstance(value, Mapping):
            latitude = value.get("lat")
            if isinstance(latitude, int | float):
                yield float(latitude) if abs(latitude) <= 90 else ODD
        case _:
            pass
