"""One key's spending, as a row of words: what it used in this minute and day, and what it holds.

A row is ROW_WORDS integers at some place of a longer sequence, which several processes may share:
whoever calls these functions for a row holds the lock of that sequence.

Rules
- A process may be killed between any two writes. So what is true is written once (the counts of
  each second, what each worker holds); sums of it are kept beside it for speed, and a row that
  says `UNDER_WAY` to whoever comes next is mended: its sums are made anew.
- Writes are ordered so that a torn change counts too much rather than too little, and never for
  longer than a minute, or until the dead worker is forgotten.

A window is a ring of 61 counts, one for each second that still counts.
"""

from collections.abc import Iterator
from typing import Final, Protocol

from littoral.terms.limits import WORKERS_MAX
from littoral.terms.values import SECOND, Instant

__all__ = [
    "DAY",
    "DAY_TOKENS",
    "HELD",
    "HELD_BY",
    "REQUESTS",
    "ROW_WORDS",
    "TOKENS",
    "TOTAL",
    "UNDER_WAY",
    "Words",
    "add",
    "advance",
    "check",
    "clear",
    "idle",
    "mend",
    "spent",
    "today",
    "until_at_most",
]


class Words(Protocol):
    """A flat, mutable sequence of 64-bit integers: a list, an array, or shared memory."""

    def __len__(self) -> int: ...

    def __getitem__(self, at: int, /) -> int: ...

    def __setitem__(self, at: int, word: int, /) -> None: ...


_WINDOW: Final = 60
"""Seconds in a minute's window."""

_RING: Final = _WINDOW + 1
"""Seconds that count: the sixty before this one, and this one."""

TOTAL: Final = 1
"""Of a window: the sum of its ring. Word 0 is its newest second, the ring begins at word 2."""

_WINDOW_WORDS: Final = 2 + _RING

UNDER_WAY: Final = 0
"""Of a row: 1 while somebody changes it."""
DAY: Final = 1
DAY_TOKENS: Final = 2
HELD: Final = 3
"""The sum of what workers hold."""
REQUESTS: Final = 4
"""The window of requests."""
TOKENS: Final = REQUESTS + _WINDOW_WORDS
"""The window of tokens."""
HELD_BY: Final = TOKENS + _WINDOW_WORDS
"""What each worker holds, WORKERS_MAX words."""
ROW_WORDS: Final = HELD_BY + WORKERS_MAX


def advance(words: Words, window: int, second: int) -> None:
    """Let go of what no longer counts in this second."""
    newest = words[window]
    if second <= newest:
        return
    total = words[window + TOTAL]
    if total:
        for passed in range(max(newest, second - _RING) + 1, second + 1):
            at = window + 2 + passed % _RING
            total -= words[at]
            words[at] = 0
        words[window + TOTAL] = total
    words[window] = second


def add(words: Words, window: int, amount: int) -> None:
    """Spend in the newest second: `advance` first."""
    words[window + 2 + words[window] % _RING] += amount
    words[window + TOTAL] += amount


def spent(words: Words, window: int, second: int) -> int:
    """What counts in this second, told without a change."""
    newest, total = words[window], words[window + TOTAL]
    if second <= newest or not total:
        return total
    if second - newest >= _RING:
        return 0
    gone = range(newest - _WINDOW, second - _WINDOW)
    return total - sum(words[window + 2 + each % _RING] for each in gone)


def until_at_most(words: Words, window: int, room: int, now: Instant) -> float:
    """Seconds until no more than this is still counted; below 0 if that was so before."""
    newest, kept = words[window], 0
    for second in range(newest, newest - _RING, -1):
        kept += words[window + 2 + second % _RING]
        if kept > room:
            return ((second + _RING) * SECOND - now) / SECOND
    return 0.0


def today(words: Words, row: int, day: int) -> int:
    """Tokens settled in this day."""
    if day > words[row + DAY]:
        words[row + DAY_TOKENS] = 0
        words[row + DAY] = day
    return words[row + DAY_TOKENS]


def mend(words: Words, row: int) -> None:
    """Make the sums anew, after somebody was killed who changed this row."""
    for window in (row + REQUESTS, row + TOKENS):
        words[window + TOTAL] = sum(_ring(words, window))
    words[row + HELD] = sum(_held(words, row))


def idle(words: Words, row: int, second: int, day: int) -> bool:
    """Whether nothing in the row counts any more."""
    if words[row + DAY] >= day and words[row + DAY_TOKENS]:
        return False
    mend(words, row)
    words[row + UNDER_WAY] = 1
    for window in (row + REQUESTS, row + TOKENS):
        advance(words, window, second)
    words[row + UNDER_WAY] = 0
    return not (words[row + REQUESTS + TOTAL] or words[row + TOKENS + TOTAL] or words[row + HELD])


def clear(words: Words, row: int) -> None:
    """Make a new row of one that is idle, or was never used."""
    for at in range(row, row + ROW_WORDS):
        words[at] = 0


def check(words: Words, row: int) -> None:
    """Assert that every sum is the sum, and nothing is negative."""
    for window in (row + REQUESTS, row + TOKENS):
        assert words[window + TOTAL] == sum(_ring(words, window))
        assert min(_ring(words, window)) >= 0
    assert words[row + HELD] == sum(_held(words, row))
    assert min(_held(words, row)) >= 0
    assert words[row + DAY_TOKENS] >= 0


def _ring(words: Words, window: int) -> Iterator[int]:
    return (words[at] for at in range(window + 2, window + _WINDOW_WORDS))


def _held(words: Words, row: int) -> Iterator[int]:
    return (words[row + HELD_BY + worker] for worker in range(WORKERS_MAX))
