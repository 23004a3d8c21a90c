"""OpenAI's filters over attributes of files, as filters of collections.

`ne` and `nin` also mean files that have no such attribute, as "is not" does everywhere here.
"""

from collections.abc import Mapping
from typing import Final

from littoral.terms.errors import BadRequestError
from littoral.terms.filters import All, Any, Between, Filter, Is, Not
from littoral.terms.limits import FILTER_DEPTH_MAX

__all__ = ["filter_of"]

_Value = str | bool | int | float

_RANGES: Final = frozenset({"gt", "gte", "lt", "lte"})
_KINDS: Final = "eq, ne, gt, gte, lt, lte, in, nin, and, or"


def filter_of(said: object, depth: int = 0) -> Filter:
    """The filter that a search's `filters` means.

    Raises:
        BadRequestError: it means none.
    """
    if depth > FILTER_DEPTH_MAX:
        raise _wrong(f"it is more than {FILTER_DEPTH_MAX} deep")
    if not isinstance(said, Mapping):
        raise _wrong("each filter is an object")
    kind = said.get("type")
    match kind:
        case "and" | "or":
            parts = said.get("filters")
            if not isinstance(parts, list) or not parts:
                raise _wrong(f"`{kind}` needs a list of `filters`")
            read = tuple(filter_of(part, depth + 1) for part in parts)
            return All(read) if kind == "and" else Any(read)
        case "eq" | "ne" | "gt" | "gte" | "lt" | "lte" | "in" | "nin":
            return _compared(kind, said)
        case _:
            raise _wrong(f"`type` is none of {_KINDS}")


def _compared(kind: str, said: Mapping[str, object]) -> Filter:
    key, value = said.get("key"), said.get("value")
    if not isinstance(key, str) or not key or key.startswith("$"):
        raise _wrong(f"`{kind}` needs the `key` of an attribute")
    if kind in {"in", "nin"}:
        if not isinstance(value, list):
            raise _wrong(f"the `value` of `{kind}` is a list")
        among = Is(key, tuple(_scalar(each, kind) for each in value))
        return among if kind == "in" else Not(among)
    one = _scalar(value, kind)
    if kind in _RANGES:
        if isinstance(one, bool):
            raise _wrong(f"the `value` of `{kind}` is a number, or a time as text")
        return Between(key, **{kind: one})
    return Is(key, (one,)) if kind == "eq" else Not(Is(key, (one,)))


def _scalar(value: object, kind: str) -> _Value:
    if isinstance(value, _Value):
        return value
    raise _wrong(f"the `value` of `{kind}` is a text, a number or a boolean")


def _wrong(what: str) -> BadRequestError:
    return BadRequestError(f"the filter can't be read: {what}", param="filters")
