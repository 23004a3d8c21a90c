"""Which key has which row of the words that budgets are kept in (trust/spending.py has the rows).

Rules
- A key's row is found from its id alone, so every process finds the same: rows are tried one after
  another from a place that the id gives. A row once taken by a key stays taken by some key, so the
  search may stop at the first that never was.
- A row in which nothing counts any more makes room for another key. When there is none, a new key
  is refused, rather than an old one forgotten.
- A row that is entered is marked as being changed, and mended if whoever entered it last died.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

from littoral.terms.errors import QueueFullError
from littoral.terms.ids import KeyId
from littoral.terms.limits import KEYS_MAX
from littoral.trust.spending import ROW_WORDS, UNDER_WAY, Words, clear, idle, mend

__all__ = ["Accounts", "words_for"]

_NAME_WORDS: Final = 2
"""Words that name the key of a row. All names stand together, before the rows."""

_Place = tuple[int, int, int, int]
"""Where a key's name stands, where its row begins, and its name."""


def words_for(keys: int) -> int:
    """How many words it takes to count for so many keys."""
    return keys * (_NAME_WORDS + ROW_WORDS)


class Accounts:
    """The rows of one PoP's keys. A row is told by where it begins."""

    __slots__ = ("_places", "_rows", "_words")

    def __init__(self, words: Words) -> None:
        """Find rows in these words, as many as `words_for` says."""
        self._words = words
        self._rows = len(words) // (_NAME_WORDS + ROW_WORDS)
        self._places: dict[KeyId, _Place] = {}

    def enter(self, key_id: KeyId, second: int, day: int) -> int:
        """The key's row, made if need be, and under way from now on.

        Raises:
            QueueFullError: there is no row for one more key.
        """
        row = self.known(key_id)
        if row is None:
            row = self._make(key_id, second, day)
        words = self._words
        if words[row + UNDER_WAY]:
            mend(words, row)
        words[row + UNDER_WAY] = 1
        return row

    def known(self, key_id: KeyId) -> int | None:
        """The key's row, if it has one."""
        words, place = self._words, self._places.get(key_id)
        if place is not None:
            at, row, first, rest = place
            if words[at] == first and words[at + 1] == rest:
                return row
        return self._found(key_id)

    def taken(self) -> Iterator[int]:
        """Every row that some key has."""
        for number in range(self._rows):
            if self._words[number * _NAME_WORDS]:
                yield self._row(number)

    def _found(self, key_id: KeyId) -> int | None:
        words, (first, rest) = self._words, _name(key_id)
        for number in self._numbers(first):
            at = number * _NAME_WORDS
            if not words[at]:
                return None
            if words[at] == first and words[at + 1] == rest:
                row = self._row(number)
                if len(self._places) >= KEYS_MAX:
                    self._places.clear()
                self._places[key_id] = (at, row, first, rest)
                return row
        return None

    def _make(self, key_id: KeyId, second: int, day: int) -> int:
        words, (first, rest) = self._words, _name(key_id)
        for number in self._numbers(first):
            at, row = number * _NAME_WORDS, self._row(number)
            if not words[at] or idle(words, row, second, day):
                words[at] = first
                words[at + 1] = rest
                clear(words, row)
                return row
        raise QueueFullError(
            f"{self._rows} keys have spent of their limits, the most that are counted at a time",
            advice="send the request again in a minute; an operator may revoke unused keys",
            retry_after_s=60.0,
        )

    def _numbers(self, first: int) -> Iterator[int]:
        """Every row's number, from the one where a key of this name would be."""
        start = first % self._rows
        yield from range(start, self._rows)
        yield from range(start)

    def _row(self, number: int) -> int:
        return self._rows * _NAME_WORDS + number * ROW_WORDS


def _name(key_id: KeyId) -> tuple[int, int]:
    """A key's id in two words, the first of which is never 0."""
    digest = hashlib.blake2b(key_id.encode(), digest_size=16).digest()
    first, rest = (int.from_bytes(part, "little", signed=True) for part in (digest[:8], digest[8:]))
    return first | 1, rest
