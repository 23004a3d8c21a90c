"""A bench of several parts: what each gives, and one that can't be measured here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.stand.report import Promise

__all__ = ["Cell", "Part"]

Cell = str | float | None


@dataclass(frozen=True, slots=True)
class Part:
    """What was measured of one thing."""

    promises: Sequence[Promise]
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Cell]] = ()
    """A table for people; its first column names what was measured."""
    figures: Mapping[str, object] = field(default_factory=dict)
