"""Filters: which records of a collection are meant.

A filter looks at metadata by paths (`author.name`). Of a list, any value will do. What is not there
matches nothing, and so does null; `Not` is the complement of what it holds. What each means, for
one record, is in `memory/filters.py`.
"""

from typing import Final

import msgspec

__all__ = [
    "DOCUMENT",
    "LABELS",
    "TEXT",
    "All",
    "Allowed",
    "Any",
    "Between",
    "Filter",
    "Has",
    "Ids",
    "Is",
    "Matches",
    "Near",
    "Not",
]

DOCUMENT: Final = "$document"
"""As a field of a filter: `Record.document`."""
TEXT: Final = "$text"
"""As a field of a filter: `Record.text`."""
LABELS: Final = "$labels"
"""As a field of a filter: `Record.labels`."""


class All(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="all"):
    """Each of these holds; true of none."""

    of: "tuple[Filter, ...]"


class Any(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="any"):
    """One of these holds; false of none."""

    of: "tuple[Filter, ...]"


class Not(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="not"):
    """This does not hold."""

    of: "Filter"


class Is(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="is"):
    """The field has one of these values. 1 and 1.0 are the same, true is neither."""

    field: str
    values: tuple[str | bool | int | float, ...]


class Between(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="between"):
    """The field has a value in a range: numbers, or times as RFC 3339 texts."""

    field: str
    gt: float | str | None = None
    gte: float | str | None = None
    lt: float | str | None = None
    lte: float | str | None = None


class Has(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="has"):
    """The field has a value that is neither null nor an empty list."""

    field: str


class Matches(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="matches"):
    """The field's text has all of these words, in any order; case does not matter."""

    field: str
    words: str


class Near(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="near"):
    """The field's place lies within so many metres of this one, on a sphere of 6,371,008.8 m."""

    field: str
    latitude: float
    longitude: float
    radius_m: float


class Ids(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="ids"):
    """The record has one of these ids."""

    ids: tuple[str, ...]


class Allowed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="allowed"):
    """The record has no labels, or one of these."""

    labels: tuple[str, ...]


Filter = All | Any | Not | Is | Between | Has | Matches | Near | Ids | Allowed
