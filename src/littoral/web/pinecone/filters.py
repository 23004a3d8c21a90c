"""Pinecone's metadata filters as those of collections.

`$ne`, `$nin` and `$exists: false` hold for vectors that do not have the field at all.
"""

from collections.abc import Mapping
from typing import Final

from littoral.terms.errors import BadRequestError
from littoral.terms.filters import All, Any, Between, Filter, Has, Is, Not
from littoral.web.pinecone.namespaces import FIELD

__all__ = ["filter_of"]

_RANGES: Final = {"$gt": "gt", "$gte": "gte", "$lt": "lt", "$lte": "lte"}


def filter_of(said: Mapping[str, object] | None) -> Filter | None:
    """The filter that is meant; None is everything.

    Raises:
        BadRequestError: it is malformed.
    """
    if not said:
        return None
    return _joined([_entry(name, value) for name, value in said.items()])


def _entry(name: str, value: object) -> Filter:
    if name in {"$and", "$or"}:
        if not isinstance(value, list) or not value:
            raise _malformed(f"{name} takes a list of filters")
        parts = tuple(_part(each) for each in value)
        return All(parts) if name == "$and" else Any(parts)
    if name.startswith("$") or name == FIELD or not name:
        raise _malformed(f"{name[:80]!r} is no field and no operator that is known")
    if not isinstance(value, Mapping):
        return Is(name, (_scalar(value),))
    if not value:
        raise _malformed(f"the condition on {name[:80]!r} is empty")
    return _joined([_condition(name, operator, operand) for operator, operand in value.items()])


def _part(value: object) -> Filter:
    if not isinstance(value, Mapping) or not value:
        raise _malformed("each part of $and and $or is a filter of its own")
    return _joined([_entry(name, inner) for name, inner in value.items()])


def _condition(name: str, operator: str, operand: object) -> Filter:
    match operator:
        case "$eq":
            return Is(name, (_scalar(operand),))
        case "$ne":
            return Not(Is(name, (_scalar(operand),)))
        case "$in":
            return Is(name, _scalars(operand))
        case "$nin":
            return Not(Is(name, _scalars(operand)))
        case "$exists":
            if not isinstance(operand, bool):
                raise _malformed("$exists takes true or false")
            return Has(name) if operand else Not(Has(name))
        case "$gt" | "$gte" | "$lt" | "$lte":
            if isinstance(operand, bool) or not isinstance(operand, int | float):
                raise _malformed(f"{operator} takes a number")
            return Between(name, **{_RANGES[operator]: operand})
        case _:
            raise _malformed(f"{operator[:40]!r} is no operator that is known")


def _joined(parts: list[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def _scalar(value: object) -> str | bool | int | float:
    if isinstance(value, str | bool | int | float):
        return value
    raise _malformed("values are strings, numbers, true and false")


def _scalars(value: object) -> tuple[str | bool | int | float, ...]:
    if not isinstance(value, list):
        raise _malformed("$in and $nin take lists")
    return tuple(_scalar(each) for each in value)


def _malformed(what: str) -> BadRequestError:
    return BadRequestError(f"the filter is malformed: {what}", param="filter")
