"""Filters as SQL: which rows of `records` they mean, exactly as `memory/filters.py` says.

Rules
- What a declared field, `$document` or `$labels` holds is found in an index. What no index can tell
  is asked of the record itself, by the SQL function `keeps`, which calls `matches`: among those
  that an index leaves, if one can, and all others are right by themselves.
- Values go in as parameters, never as text.
"""

# ruff: noqa: S608 - names of tables and marks go in, values never

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import degrees, isfinite
from typing import Final

from littoral.adapters.memory.embedded.layout import LABEL, ODD, Layout, indexable
from littoral.adapters.memory.embedded.rows import record_of
from littoral.memory.filters import EARTH_M, matches, moment, words_of
from littoral.terms.filters import (
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
from littoral.terms.memory import FieldKind

__all__ = ["KEEPS_ARGUMENTS", "Condition", "condition_of", "keeps"]

KEEPS_ARGUMENTS: Final = 5

_PARTS_MAX: Final = 64
"""Of one All or Any; a longer one is asked of each record: SQL takes no deep expressions."""
_WORDS_MAX: Final = 8
"""Words that are looked up; the record itself is asked for all."""
_PARAMETERS_MAX: Final = 20_000
"""Of one statement: SQLite takes 32,766."""
_BIG: Final = 2.0**63
_ALL_ODD: Final = "SELECT row FROM terms WHERE field = ? AND value = x''"
_EVERY: Final = "SELECT row FROM terms WHERE field = ?"


@dataclass(slots=True)
class Condition:
    """What stands after WHERE."""

    sql: str
    parameters: list[object] = field(default_factory=list)
    checks: list[Filter] = field(default_factory=list)
    """What `keeps` is asked for, by number."""


def condition_of(where: Filter | None, layout: Layout) -> Condition:
    """The filter as SQL."""
    if where is None:
        return Condition("1")
    made = _Making(layout)
    sql = made.said(where)
    if len(made.parameters) > _PARAMETERS_MAX:
        made = _Making(layout)
        sql = made.asked(where)
    return Condition(sql, made.parameters, made.checks)


def keeps(checks: Sequence[Filter], number: int, *columns: object) -> bool:
    """Whether a record is as a check wants it; called by SQL."""
    record_id, document, text, rest = columns
    return matches(checks[number], record_of((0, record_id, 0, document, rest, "", text)))


class _Making:
    """One condition in the making."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.parameters: list[object] = []
        self.checks: list[Filter] = []

    def said(self, where: Filter) -> str:
        """A filter."""
        match where:
            case All(of=parts) | Any(of=parts):
                if len(parts) > _PARTS_MAX:
                    return self.asked(where)
                word, none = (" AND ", "1") if isinstance(where, All) else (" OR ", "0")
                return f"({word.join(self.said(part) for part in parts)})" if parts else none
            case Not(of=part):
                return f"NOT {self.said(part)}"
            case Ids(ids=ids):
                return f"id IN ({self._several(ids)})"
            case Allowed(labels=labels):
                return f"(labelled = 0 OR {self._has_one(LABEL, labels, where)})"
            case _:
                return self._field(where)

    def asked(self, where: Filter) -> str:
        """A filter that each record is asked for."""
        self.parameters.append(len(self.checks))
        self.checks.append(where)
        text = "records.text" if _reads_text(where) else "''"
        return f"keeps(?, id, document, {text}, rest)"

    def _field(self, where: Is | Between | Has | Matches | Near) -> str:
        match where.field:
            case "$document":
                return self._document(where)
            case "$text":
                return "records.text <> ''" if isinstance(where, Has) else self.asked(where)
            case "$labels":
                return self._labels(where)
            case name:
                index = self._layout.fields.get(name)
                return self.asked(where) if index is None else self._declared(where, index)

    def _document(self, where: Is | Between | Has | Matches | Near) -> str:
        match where:
            case Is(values=values):
                names = [each for each in values if isinstance(each, str) and each]
                return f"(document <> '' AND document IN ({self._several(names)}))"
            case Has():
                return "document <> ''"
            case _:
                return f"(document <> '' AND {self.asked(where)})"

    def _labels(self, where: Is | Between | Has | Matches | Near) -> str:
        match where:
            case Is(values=values):
                labels = [each for each in values if isinstance(each, str)]
                return self._has_one(LABEL, labels, where)
            case Has():
                return "labelled = 1"
            case _:
                return f"(labelled = 1 AND {self.asked(where)})"

    def _declared(self, where: Is | Between | Has | Matches | Near, index: int) -> str:
        kind = self._layout.spec.fields[where.field]
        match where:
            case Is(values=values) if kind is not FieldKind.TEXT:
                return self._has_one(index, values, where)
            case Has():
                return self._rows(_EVERY, index)
            case Between() if not _by_time(where):
                return self._in_range(where, index)
            case Between() if kind is FieldKind.TIME:
                return self._in_time(where, index)
            case Matches() if kind is FieldKind.TEXT:
                return self._with_words(where, index)
            case Near() if kind is FieldKind.GEO:
                return self._around(where, index)
            case _:
                return f"({self._rows(_EVERY, index)} AND {self.asked(where)})"

    def _has_one(self, index: int, values: Sequence[object], where: Filter) -> str:
        """One of these values; the odd ones are looked for in the records themselves."""
        if any(map(_is_big_whole, values)):
            return f"({self._rows(_EVERY, index)} AND {self.asked(where)})"
        plain = [each for each in map(indexable, values) if each != ODD]
        found = self._rows(
            f"SELECT row FROM terms WHERE field = ? AND value IN ({', '.join('?' * len(plain))})",
            index,
            *plain,
        )
        if all(indexable(each) != ODD and not _is_big(each) for each in values):
            return found
        return f"({found} OR ({self._rows(_ALL_ODD, index)} AND {self.asked(where)}))"

    def _in_range(self, where: Between, index: int) -> str:
        ends = _ends(where)
        if any(map(_is_big_whole, ends.values())):
            return f"({self._rows(_EVERY, index)} AND {self.asked(where)})"
        sql, parameters = _range(ends)
        found = self._rows(f"SELECT row FROM terms WHERE field = ? AND {sql}", index, *parameters)
        return f"({found} OR ({self._rows(_ALL_ODD, index)} AND {self.asked(where)}))"

    def _in_time(self, where: Between, index: int) -> str:
        ends = {
            sign: None if end is None else moment(str(end)) for sign, end in _ends(where).items()
        }
        sql, parameters = _range(ends)
        return self._rows(
            f"SELECT row FROM terms WHERE field = ? AND {sql}", index + 1, *parameters
        )

    def _with_words(self, where: Matches, index: int) -> str:
        words = [word for word in sorted(words_of(where.words)) if indexable(word) != ODD]
        found = [
            self._rows("SELECT row FROM terms WHERE field = ? AND value = ?", index + 1, word)
            for word in words[:_WORDS_MAX]
        ] or [self._rows(_EVERY, index)]
        return f"({' AND '.join(found)} AND {self.asked(where)})"

    def _around(self, where: Near, index: int) -> str:
        """Within so many degrees of latitude, then looked at."""
        apart = degrees(where.radius_m / EARTH_M) + 1e-6
        found = self._rows(
            "SELECT row FROM terms WHERE field = ? AND (value BETWEEN ? AND ? OR value = x'')",
            index + 1,
            where.latitude - apart,
            where.latitude + apart,
        )
        return f"({found} AND {self.asked(where)})"

    def _rows(self, select: str, *parameters: object) -> str:
        self.parameters += parameters
        return f"row IN ({select})"

    def _several(self, values: Sequence[object]) -> str:
        self.parameters += values
        return ", ".join("?" * len(values))


def _ends(where: Between) -> dict[str, float | str | None]:
    return {">": where.gt, ">=": where.gte, "<": where.lt, "<=": where.lte}


def _by_time(where: Between) -> bool:
    return any(isinstance(end, str) for end in _ends(where).values())


def _range(ends: Mapping[str, object]) -> tuple[str, list[object]]:
    """Numbers alone: texts and what lies as bytes are greater than any number."""
    said = {sign: end for sign, end in ends.items() if end is not None}
    sql = [f"value {sign} ?" for sign in said]
    sql += ["value <= 9e999"] if not said.keys() & {"<", "<="} else []
    return " AND ".join(sql), list(said.values())


def _is_big_whole(value: object) -> bool:
    return isinstance(value, int) and indexable(value) == ODD


def _is_big(value: object) -> bool:
    """A number that may be the same as a whole one beyond what SQL has."""
    return isinstance(value, float) and isfinite(value) and abs(value) >= _BIG


def _reads_text(where: Filter) -> bool:
    match where:
        case All(of=parts) | Any(of=parts):
            return any(map(_reads_text, parts))
        case Not(of=part):
            return _reads_text(part)
        case _:
            return getattr(where, "field", "") == TEXT
