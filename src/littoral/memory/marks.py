"""Marks: what a record is stored with so that a server can find it by a filter.

A server elsewhere has a filter language of its own, which means by a path, a list or a null what it
likes. So a driver gives it no metadata to judge. It stores, with each record, **marks**: texts that
say "this field has this value", and the least and the greatest number of a field. What a filter
wants of them (`sought`) needs no more than "has one of these texts" and "lies below", which mean
the same everywhere.

Rules
- Marks are made by `filters.values_at`, so a path means in a server what it means here.
- Only declared fields are marked, and `$document`, `$labels`. What is sought of another is
  everything; the driver looks at what came with `filters.matches`.
- `Wanted.exact` says that a server which evaluates it finds neither too many nor too few. Otherwise
  it finds too many, never too few.

Not here: the languages of servers (`adapters/memory/`).
"""

import math
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Final, assert_never

import msgspec

from littoral.memory.filters import moment, values_at, words_of
from littoral.terms.filters import (
    DOCUMENT,
    LABELS,
    All,
    Allowed,
    Any,
    Between,
    Filter,
    Has,
    Ids,
    Is,
    Matches,
    Near,
    Not,
)
from littoral.terms.memory import CollectionSpec, FieldKind, Record

__all__ = [
    "EVERYTHING",
    "NUMBERED",
    "Alternatives",
    "Complement",
    "Everything",
    "Identified",
    "Marked",
    "Marks",
    "Sought",
    "Together",
    "Wanted",
    "Within",
    "has_vector",
    "marks_of",
    "sought",
]

NUMBERED: Final = frozenset({FieldKind.INTEGER, FieldKind.FLOAT, FieldKind.TIME})
"""Kinds of fields that have `Marks.numbers`."""

_TEXT_MAX: Final = 120
"""Characters of a mark that is kept as it is; a longer one is hashed. Indexes take short keys."""

_WHOLE_MAX: Final = 2**53
"""Beyond it not every whole number is a float, and servers compare floats."""

_PARTS_MAX: Final = 64
"""Parts of one conjunction or disjunction, as servers are asked."""

_WORDS_MAX: Final = 256
"""Different words of one field that are marked; with more, it is marked as having any."""

_UNLABELLED: Final = "$unlabelled"

_MARKED: Final = (DOCUMENT, LABELS)


class Marks(msgspec.Struct, frozen=True):
    """What one record is stored with."""

    texts: tuple[str, ...]
    """In order, each once."""
    numbers: Mapping[str, tuple[float, ...]]
    """In ascending order: of fields of numbers those, of fields of times their moments."""


class Everything(msgspec.Struct, frozen=True):
    """All records."""


class Marked(msgspec.Struct, frozen=True):
    """Records with one of these marks; of none no record."""

    texts: tuple[str, ...]


class Within(msgspec.Struct, frozen=True):
    """Records of which a field has a number in a range.

    A driver that stores a field's least and greatest number alone finds those whose own range
    reaches into this one: `sought` is to know (`numbers_kept`).
    """

    field: str
    least: float
    greatest: float
    least_open: bool = False
    """The end itself is not in it."""
    greatest_open: bool = False


class Identified(msgspec.Struct, frozen=True):
    """Records with one of these ids."""

    ids: tuple[str, ...]


class Together(msgspec.Struct, frozen=True):
    """Records for which all of these hold; never empty."""

    of: "tuple[Sought, ...]"


class Alternatives(msgspec.Struct, frozen=True):
    """Records for which one of these holds; never empty."""

    of: "tuple[Sought, ...]"


class Complement(msgspec.Struct, frozen=True):
    """All records but these."""

    of: "Sought"


Sought = Everything | Marked | Within | Identified | Together | Alternatives | Complement

EVERYTHING: Final = Everything()


class Wanted(msgspec.Struct, frozen=True):
    """What to ask a server for."""

    of: Sought
    exact: bool
    """It finds what the filter means; else that and more."""


def has_vector(field: str) -> str:
    """The mark of records that have a vector under this name."""
    return _bounded(f"$vector={field}")


def marks_of(spec: CollectionSpec, record: Record) -> Marks:
    """What to store a record with."""
    texts = dict.fromkeys(_own_marks(record))
    kept: dict[str, tuple[float, ...]] = {}
    for field, kind in spec.fields.items():
        values = list(values_at(record, field))
        texts |= dict.fromkeys(_field_marks(field, kind, values))
        numbers = {number for value in values if (number := _number(kind, value)) is not None}
        if numbers:
            kept[field] = tuple(sorted(numbers))
    for field in (DOCUMENT, LABELS):
        texts |= dict.fromkeys(_field_marks(field, None, list(values_at(record, field))))
    return Marks(tuple(texts), kept)


def sought(spec: CollectionSpec, where: Filter | None, *, numbers_kept: bool) -> Wanted:
    """What to ask a server for so that nothing that a filter means is missed.

    Args:
        spec: of the collection.
        where: the filter.
        numbers_kept: the server compares each number of a field, not its ends alone.
    """
    if where is None:
        return Wanted(EVERYTHING, True)
    match where:
        case All(of=parts):
            return _together([sought(spec, part, numbers_kept=numbers_kept) for part in parts])
        case Any(of=parts):
            return _alternatives([sought(spec, part, numbers_kept=numbers_kept) for part in parts])
        case Not(of=part):
            inner = sought(spec, part, numbers_kept=numbers_kept)
            return Wanted(Complement(inner.of), True) if inner.exact else _UNKNOWN
        case Ids(ids=ids):
            return Wanted(Identified(tuple(dict.fromkeys(ids))), True)
        case Allowed(labels=labels):
            wanted = (_UNLABELLED, *(_value_mark(LABELS, label) for label in labels))
            return Wanted(Marked(wanted), True)
        case Is() | Between() | Has() | Matches() | Near():
            if where.field in spec.fields or where.field in _MARKED:
                found = _of_field(spec.fields.get(where.field), where)
                whole = isinstance(found.of, Within) and not _is_rounded(found.of)
                return Wanted(found.of, found.exact or (numbers_kept and whole))
            return _UNKNOWN
        case _:
            assert_never(where)


_UNKNOWN: Final = Wanted(EVERYTHING, False)


def _of_field(kind: FieldKind | None, where: Is | Between | Has | Matches | Near) -> Wanted:
    match where:
        case Is(field=field, values=values):
            if kind is FieldKind.TEXT:
                return Wanted(Marked((_has_mark(field),)), False)
            return Wanted(Marked(tuple({_value_mark(field, value) for value in values})), True)
        case Has(field=field):
            return Wanted(Marked((_has_mark(field),)), True)
        case Matches(field=field, words=text) if kind is FieldKind.TEXT:
            words = sorted(words_of(text))
            full = _mark(field, "~~")
            return _together([Wanted(Marked((_word_mark(field, w), full)), False) for w in words])
        case Between() if kind in NUMBERED:
            return _overlapping(where, times=kind is FieldKind.TIME)
        case Between() | Matches() | Near():
            return Wanted(Marked((_has_mark(where.field),)), False)
        case _:
            assert_never(where)


def _overlapping(where: Between, *, times: bool) -> Wanted:
    """Of ends alone never exact: one number may lie below and one above, and none within."""
    ends = where.gt, where.gte, where.lt, where.lte
    if times is not any(isinstance(end, str) for end in ends):
        return Wanted(Marked((_has_mark(where.field),)), False)
    gt, gte, lt, lte = map(_end, ends)
    least = max((end for end in (gt, gte) if end is not None), default=-math.inf)
    greatest = min((end for end in (lt, lte) if end is not None), default=math.inf)
    found = Within(where.field, least, greatest, least == gt, greatest == lt)
    return Wanted(_closed(found) if _is_rounded(found) else found, False)


def _is_rounded(within: Within) -> bool:
    """Whether numbers about an end are not all told apart."""
    ends = (within.least, within.greatest)
    return any(math.isfinite(end) and abs(end) >= _WHOLE_MAX for end in ends)


def _closed(within: Within) -> Within:
    return msgspec.structs.replace(within, least_open=False, greatest_open=False)


def _end(end: float | str | None) -> float | None:
    at = moment(end) if isinstance(end, str) else end
    return None if at is None else _as_float(at)


def _together(parts: list[Wanted]) -> Wanted:
    """Of very many the first narrow enough; what they leave is looked at."""
    exact = all(part.exact for part in parts)
    narrowing = tuple(dict.fromkeys(part.of for part in parts if part.of != EVERYTHING))
    match narrowing:
        case ():
            return Wanted(EVERYTHING, exact)
        case (only,):
            return Wanted(only, exact)
        case _:
            some = narrowing[:_PARTS_MAX]
            return Wanted(Together(some), exact and len(some) == len(narrowing))


def _alternatives(parts: list[Wanted]) -> Wanted:
    """Alternatives of one kind are one, with more to choose from; of too many kinds is everything.

    A server's language nests no deeper than its filter did, and is not longer than its values.
    """
    exact = all(part.exact for part in parts)
    texts: dict[str, None] = {}
    ids: dict[str, None] = {}
    others: dict[Sought, None] = {}
    for part in parts:
        match part.of:
            case Everything():
                return Wanted(EVERYTHING, exact)
            case Marked(texts=some):
                texts |= dict.fromkeys(some)
            case Identified(ids=some):
                ids |= dict.fromkeys(some)
            case other:
                others[other] = None
    wanted: list[Sought] = [*([Identified(tuple(ids))] if ids else []), *others]
    if texts or not wanted:
        wanted.append(Marked(tuple(texts)))
    if len(wanted) > _PARTS_MAX:
        return Wanted(EVERYTHING, False)
    return Wanted(wanted[0] if len(wanted) == 1 else Alternatives(tuple(wanted)), exact)


def _own_marks(record: Record) -> Iterator[str]:
    if not record.labels:
        yield _UNLABELLED
    for name in record.vectors:
        yield has_vector(name)


def _field_marks(field: str, kind: FieldKind | None, values: list[object]) -> Iterator[str]:
    if values:
        yield _has_mark(field)
    if kind is FieldKind.TEXT:
        words = {word for value in values if isinstance(value, str) for word in words_of(value)}
        if len(words) > _WORDS_MAX:
            yield _mark(field, "~~")
        else:
            yield from (_word_mark(field, word) for word in sorted(words))
        return
    for value in values:
        if isinstance(value, str | int | float):
            yield _value_mark(field, value)


def _number(kind: FieldKind, value: object) -> float | None:
    if kind is FieldKind.TIME:
        return moment(value) if isinstance(value, str) else None
    if kind not in NUMBERED or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return _as_float(value)


def _as_float(number: float) -> float:
    """The number, or the end of what floats can say; rounding keeps the order of two."""
    try:
        return float(number)
    except OverflowError:
        return math.copysign(math.inf, number)


def _has_mark(field: str) -> str:
    return _mark(field, "?")


def _word_mark(field: str, word: str) -> str:
    return _mark(field, f"~{word}")


def _value_mark(field: str, value: str | float) -> str:
    """One for each value that `Is` tells apart; 1 and 1.0 are one."""
    match value:
        case bool():
            return _mark(field, f"!{'true' if value else 'false'}")
        case str():
            return _mark(field, f"={value}")
        case int() | float():
            whole = isinstance(value, int) or value.is_integer()
            if whole and abs(value) <= _WHOLE_MAX:
                return _mark(field, f"#{int(value)}")
            return _mark(field, f"#{int(value):x}" if whole else f"#{value!r}")
        case _:
            assert_never(value)


def _mark(field: str, said: str) -> str:
    """The length tells where the field's name ends, whatever is in it."""
    return _bounded(f"{len(field)}:{field}{said}")


def _bounded(text: str) -> str:
    """The text itself where it is short and printable, else what stands for it."""
    if len(text) <= _TEXT_MAX and text.isprintable():
        return text
    return f"#{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"
