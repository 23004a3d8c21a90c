"""Qdrant's filters as those of collections.

Rules
- What can't be said here is refused, never left out: a filter that lets more through than was meant
  shows people what they should not see.
- A condition on a list holds for any of its elements; `a[].b` and `a.b` are the same.

The meaning of what comes out is in `memory/filters.py`.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Final

import msgspec

from littoral.memory.filters import words_of
from littoral.terms.errors import BadRequestError, UnsupportedError
from littoral.terms.filters import All, Any, Between, Filter, Has, Ids, Is, Matches, Near, Not
from littoral.web.dialects.reading import checked
from littoral.web.qdrant.bodies import Conditions, MinShould, PointId
from littoral.web.qdrant.ids import record_id

__all__ = ["filter_of", "key_of_path"]

_CHOICES_MAX: Final = 10
"""Conditions of which some must hold: they are written out to at most 252 ways."""


class _Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    value: bool | int | str | None = None
    any: list[bool | int | str] | None = None
    except_: list[bool | int | str] | None = msgspec.field(default=None, name="except")
    text: str | None = None
    text_any: str | None = None


class _Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    gt: float | str | None = None
    gte: float | str | None = None
    lt: float | str | None = None
    lte: float | str | None = None


class _Place(msgspec.Struct, frozen=True):
    lat: float
    lon: float


class _Radius(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    center: _Place
    radius: float


class _OfField(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    match: dict[str, object] | None = None
    range: _Range | None = None
    geo_radius: _Radius | None = None
    is_empty: bool | None = None
    geo_bounding_box: object = None
    geo_polygon: object = None
    values_count: object = None
    is_null: object = None


class _Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str


class _IsEmpty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    is_empty: _Key


class _HasId(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    has_id: list[PointId]


def filter_of(conditions: Conditions | None) -> Filter | None:
    """The filter that is meant; None is everything.

    Raises:
        BadRequestError: it is malformed.
        UnsupportedError: it can't be said here.
    """
    if conditions is None:
        return None
    parts = [_one(each) for each in _listed(conditions.must)]
    if should := _listed(conditions.should):
        parts.append(Any(tuple(_one(each) for each in should)))
    parts += [Not(_one(each)) for each in _listed(conditions.must_not)]
    if conditions.min_should is not None:
        parts.append(_some(conditions.min_should))
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def key_of_path(path: str) -> str:
    """The name of a field, as filters here say it."""
    plain = path.replace("[]", "").replace('"', "")
    if not plain or "[" in plain:
        raise UnsupportedError(
            f"{path[:80]!r} names one element of a list", advice="name the list: any element counts"
        )
    return plain


def _listed(
    conditions: Sequence[Mapping[str, object]] | Mapping[str, object] | None,
) -> Sequence[Mapping[str, object]]:
    if conditions is None:
        return ()
    return (conditions,) if isinstance(conditions, Mapping) else conditions


def _some(wanted: MinShould) -> Filter:
    """At least so many of these: one of all the ways in which so many hold."""
    parts, least = tuple(_one(each) for each in wanted.conditions), wanted.min_count
    if least == 1 or least > len(parts):
        return Any(parts if least == 1 else ())
    if least == len(parts):
        return All(parts)
    if len(parts) > _CHOICES_MAX:
        raise UnsupportedError(
            f"min_should has over {_CHOICES_MAX} conditions to choose from",
            advice="ask for 1 or for all",
            param="filter",
        )
    return Any(tuple(All(way) for way in combinations(parts, least)))


def _one(condition: Mapping[str, object]) -> Filter:
    if "key" in condition:
        return _of_field(checked(condition, _OfField))
    if "has_id" in condition:
        ids = checked(condition, _HasId).has_id
        return Ids(tuple(record_id(each) for each in ids))
    if "is_empty" in condition:
        return Not(Has(key_of_path(checked(condition, _IsEmpty).is_empty.key)))
    if condition.keys() & {"must", "should", "must_not", "min_should"} or not condition:
        inner = filter_of(checked(condition, Conditions))
        assert inner is not None
        return inner
    if "is_null" in condition:
        raise _no_null()
    for name in ("nested", "has_vector", "slice"):
        if name in condition:
            raise _cannot(name)
    raise BadRequestError("a condition of the filter is none that is known", param="filter")


def _of_field(condition: _OfField) -> Filter:
    field = key_of_path(condition.key)
    if condition.is_null is not None:
        raise _no_null()
    for name in ("geo_bounding_box", "geo_polygon", "values_count"):
        if getattr(condition, name) is not None:
            raise _cannot(name)
    parts: list[Filter] = []
    if condition.match is not None:
        parts.append(_matching(field, condition.match))
    if (range_ := condition.range) is not None:
        parts.append(Between(field, gt=range_.gt, gte=range_.gte, lt=range_.lt, lte=range_.lte))
    if (radius := condition.geo_radius) is not None:
        parts.append(Near(field, radius.center.lat, radius.center.lon, radius.radius))
    if condition.is_empty is not None:
        parts.append(Not(Has(field)) if condition.is_empty else Has(field))
    if len(parts) != 1:
        raise BadRequestError(
            f"the condition on {field[:80]!r} says {len(parts) or 'nothing'} at once",
            advice="write one condition for each thing that is to hold",
            param="filter",
        )
    return parts[0]


def _matching(field: str, said: Mapping[str, object]) -> Filter:
    for name in ("phrase", "prefix", "substring"):
        if name in said:
            raise _cannot(f"match.{name}", advice="match.text looks for words")
    match = checked(said, _Match)
    if match.value is not None:
        return Is(field, (match.value,))
    if match.any is not None:
        return Is(field, tuple(match.any))
    if match.except_ is not None:
        return All((Has(field), Not(Is(field, tuple(match.except_)))))
    if match.text is not None:
        return Matches(field, match.text)
    if match.text_any is not None:
        return Any(tuple(Matches(field, word) for word in words_of(match.text_any)))
    raise BadRequestError(f"the match of {field[:80]!r} says nothing", param="filter")


def _cannot(what: str, advice: str = "") -> UnsupportedError:
    return UnsupportedError(
        f"filters by {what} are not supported here", advice=advice, param="filter"
    )


def _no_null() -> UnsupportedError:
    return UnsupportedError(
        "a field that is null is not told from one that is not there",
        advice="ask with is_empty, which means both",
        param="filter",
    )
