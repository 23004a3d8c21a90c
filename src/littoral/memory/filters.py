"""What a filter means, for one record: the meaning that every driver keeps.

Rules
- A path is looked up by its whole name first, then by its parts (`a.b` in `{"a": {"b": 1}}`);
  through a list it leads into every element.
- Numbers compare as numbers, and true and false are none. Times compare as moments.

Not here: how a driver finds such records without looking at each.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from math import asin, cos, isfinite, radians, sin, sqrt
from typing import Final, assert_never

from littoral.terms.errors import BadRequestError
from littoral.terms.filters import (
    DOCUMENT,
    LABELS,
    TEXT,
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
from littoral.terms.limits import (
    FILTER_DEPTH_MAX,
    FILTER_FIELD_CHARS_MAX,
    FILTER_PARTS_MAX,
    FILTER_VALUES_MAX,
    QUESTION_CHARS_MAX,
)
from littoral.terms.memory import (
    Record,
)

__all__ = [
    "EARTH_M",
    "both",
    "check_filter",
    "distance_m",
    "fits",
    "matches",
    "moment",
    "values_at",
    "words_of",
]

EARTH_M: Final = 6_371_008.8
"""The mean radius."""

_WORD: Final = re.compile(r"\w+")


def both(one: Filter | None, other: Filter | None) -> Filter | None:
    """What holds where both do; None is everything."""
    if one is None or other is None:
        return other if one is None else one
    return All((one, other))


def matches(where: Filter | None, record: Record) -> bool:
    """Whether a record is among those that a filter means."""
    if where is None:
        return True
    match where:
        case All(of=parts):
            return all(matches(part, record) for part in parts)
        case Any(of=parts):
            return any(matches(part, record) for part in parts)
        case Not(of=part):
            return not matches(part, record)
        case Ids(ids=ids):
            return record.id in ids
        case Allowed(labels=labels):
            return not record.labels or not set(record.labels).isdisjoint(labels)
        case _:
            return any(_holds(where, value) for value in values_at(record, where.field))


def values_at(record: Record, field: str) -> Iterator[object]:
    """All values that a field has in a record; null is none, and a list its elements."""
    match field:
        case "$document":
            yield from (record.document,) if record.document else ()
        case "$text":
            yield from (record.text,) if record.text else ()
        case "$labels":
            yield from record.labels
        case _:
            yield from _found(record.metadata, field)


def words_of(text: str) -> frozenset[str]:
    """The words of a text, as `Matches` compares them."""
    return frozenset(_WORD.findall(text.casefold()))


def moment(text: str) -> float | None:
    """Seconds since 1970 of an RFC 3339 time or date; None where it is neither."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def fits(number: int | float) -> bool:  # noqa: PYI041 - mypy tells them apart
    """Whether a record can have this number: one that is finite, or a whole one of 64 bits."""
    return isfinite(number) if isinstance(number, float) else -(2**63) <= number < 2**64


def distance_m(latitude: float, longitude: float, other: tuple[float, float]) -> float:
    """Metres between two places, by the haversine formula."""
    from_, to = radians(latitude), radians(other[0])
    half = sin((to - from_) / 2) ** 2
    half += cos(from_) * cos(to) * sin(radians(other[1] - longitude) / 2) ** 2
    return 2 * EARTH_M * asin(min(1.0, sqrt(half)))


def check_filter(where: Filter | None, depth: int = 0) -> None:
    """Refuse what is too deep or too long, or has no meaning.

    Raises:
        BadRequestError: with what to mend.
    """
    if not depth and sum(1 for _ in islice(_parts(where), FILTER_PARTS_MAX + 1)) > FILTER_PARTS_MAX:
        raise BadRequestError(f"the filter has over {FILTER_PARTS_MAX} parts", param="filter")
    if depth > FILTER_DEPTH_MAX:
        raise BadRequestError(f"the filter is more than {FILTER_DEPTH_MAX} deep", param="filter")
    match where:
        case All(of=parts) | Any(of=parts):
            _check_size(len(parts))
            for part in parts:
                check_filter(part, depth + 1)
        case Not(of=part):
            check_filter(part, depth + 1)
        case Is(values=values) | Ids(ids=values) | Allowed(labels=values):
            _check_size(len(values))
            _check_numbers(getattr(where, "values", ()))
        case Between():
            _check_between(where)
        case Near():
            _check_near(where)
        case Matches():
            _check_words(where)
        case _:
            pass
    _check_field(getattr(where, "field", "x"))


def _parts(where: Filter | None) -> Iterator[Filter]:
    """A filter and all within it, as often as they are there."""
    if where is None:
        return
    yield where
    inner = where.of if isinstance(where, All | Any) else ()
    for each in (where.of,) if isinstance(where, Not) else inner:
        yield from _parts(each)


def _check_field(field: str) -> None:
    if not field or (field.startswith("$") and field not in {DOCUMENT, TEXT, LABELS}):
        raise BadRequestError(
            f"{field[:80]!r} is no field",
            advice=f"name a field of the metadata, or {DOCUMENT}, {TEXT}, {LABELS}",
            param="filter",
        )
    if len(field) > FILTER_FIELD_CHARS_MAX:
        raise BadRequestError(
            f"the field of a filter has over {FILTER_FIELD_CHARS_MAX} characters", param="filter"
        )


def _check_size(count: int) -> None:
    if count > FILTER_VALUES_MAX:
        raise BadRequestError(
            f"the filter has {count} values in one place",
            advice=f"at most {FILTER_VALUES_MAX} are taken",
            param="filter",
        )


def _check_words(where: Matches) -> None:
    if len(where.words) > QUESTION_CHARS_MAX:
        raise BadRequestError(
            f"{where.field[:80]} is to match over {QUESTION_CHARS_MAX} characters", param="filter"
        )
    if not words_of(where.words):
        raise BadRequestError(f"there is no word in what {where.field[:80]} is to match")


def _check_numbers(values: Iterable[object]) -> None:
    if not all(fits(value) for value in values if isinstance(value, int | float)):
        raise BadRequestError(
            "the filter has a number that is not finite, or has over 64 bits",
            advice="no record has such a number: leave it out",
            param="filter",
        )


def _check_between(where: Between) -> None:
    ends = [end for end in (where.gt, where.gte, where.lt, where.lte) if end is not None]
    _check_numbers(ends)
    if not ends:
        raise BadRequestError(f"the range of {where.field} has no end", param="filter")
    if len({isinstance(end, str) for end in ends}) > 1:
        raise BadRequestError(f"the range of {where.field} mixes numbers and times", param="filter")
    for end in ends:
        if isinstance(end, str) and moment(end) is None:
            raise BadRequestError(
                f"the range of {where.field} ends in {end[:40]!r}, which is no time",
                advice="write times as in 2026-11-26T12:00:00Z",
                param="filter",
            )


def _check_near(where: Near) -> None:
    numbers = where.latitude, where.longitude, where.radius_m
    if not all(map(isfinite, numbers)) or abs(where.latitude) > 90 or where.radius_m < 0:
        raise BadRequestError(f"{where.field} is to be near what is no place", param="filter")


def _found(value: object, path: str) -> Iterator[object]:
    if not path:
        yield from _flat(value)
    elif isinstance(value, Mapping):
        if path in value:
            yield from _flat(value[path])
            return
        parts = path.split(".")
        for end in range(len(parts) - 1, 0, -1):
            head = ".".join(parts[:end])
            if head in value:
                yield from _found(value[head], ".".join(parts[end:]))
                return
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _found(each, path)


def _flat(value: object) -> Iterator[object]:
    if isinstance(value, list | tuple):
        for each in value:
            yield from _flat(each)
    elif value is not None:
        yield value


def _holds(where: Is | Between | Has | Matches | Near, value: object) -> bool:
    """Whether one value of the field is as the filter wants it."""
    match where:
        case Is(values=wanted):
            return value in wanted and any(_same(value, each) for each in wanted)
        case Between():
            return _lies(value, where)
        case Has():
            return True
        case Matches(words=text):
            return isinstance(value, str) and words_of(text) <= words_of(value)
        case Near():
            return _is_near(value, where)
        case _:
            assert_never(where)


def _same(value: object, wanted: object) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    return value == wanted


def _lies(value: object, where: Between) -> bool:
    by_time = any(isinstance(end, str) for end in (where.gt, where.gte, where.lt, where.lte))
    if by_time:
        at = moment(value) if isinstance(value, str) else None
    else:
        at = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if at is None:
        return False
    gt, gte, lt, lte = map(_end, (where.gt, where.gte, where.lt, where.lte))
    return (
        (gt is None or at > gt)
        and (gte is None or at >= gte)
        and (lt is None or at < lt)
        and (lte is None or at <= lte)
    )


def _end(end: float | str | None) -> float | None:
    return moment(end) if isinstance(end, str) else end


def _is_near(value: object, where: Near) -> bool:
    if not isinstance(value, Mapping):
        return False
    latitude, longitude = value.get("lat"), value.get("lon")
    if not isinstance(latitude, int | float) or not isinstance(longitude, int | float):
        return False
    place = float(latitude), float(longitude)
    return distance_m(where.latitude, where.longitude, place) <= where.radius_m
