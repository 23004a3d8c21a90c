"""Which of a model's upstream targets takes a request. Pure functions.

The score of a target is (requests in flight + chance) x smoothed time to first byte x (1 +
setbacks) / weight, and the lowest wins. Chance is drawn for each target from an exponential
distribution of mean 1: an idle fleet is then shared in proportion to weight / time, a busy one by
what is in flight, workers that choose at the same moment do not all choose the same, and every
target is asked now and then, so that none stays slow or cold for ever.

Rules
- Out of the race: drained (weight 0 is, too), open, left alone as it asked, full.
- A half-open target that nobody tries yet comes first: it is asked once, and all know more.
- Where there is an order, the first of it that is in the race wins; there is none among the rest
  before all of them are out.
- A cold target counts as a little quicker than the quickest known one: it is tried soon, and not
  with everything at once.
- If no target is in the race, the one that will be soonest is said, as a last resort. Drained and
  full ones never are.
- The hot path makes no words: `explain` does, for whoever asks.
"""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import msgspec

from littoral.routing.board import (
    ASIDE_UNTIL,
    DRAINED,
    IN_FLIGHT,
    LATENCY,
    NEWS_AT,
    OPEN_UNTIL,
    SETBACKS,
    TRIAL_UNTIL,
    TargetBoard,
)
from littoral.terms import limits
from littoral.terms.values import SECOND, Instant

__all__ = ["NOBODY", "Candidates", "Standing", "choose", "explain", "next_spin"]

NOBODY: Final = -1
"""In place of a row: no target may be asked."""

_STALE: Final = int(limits.UPSTREAM_STALE_S * SECOND)
_HALVINGS_MAX: Final = 62
_FULL: Final = limits.UPSTREAM_IN_FLIGHT_MAX
_CHANCES: Final = tuple(-math.log1p(-(step + 0.5) / 256) for step in range(256))
"""Equally likely values of an exponential distribution of mean 1."""
_SPIN_STEP: Final = 0x5851F42D4C957F2D
_SPIN_MASK: Final = (1 << 64) - 1
_UNKNOWN: Final = 0
_LEAST: Final = 1
"""For a cold target where times decide nothing."""
_NONE: Final = (NOBODY, False)


# A Struct, as every request that may go elsewhere makes one.
class Candidates(msgspec.Struct, frozen=True, gc=False):
    """The targets of one model: their rows on the board, and a weight for each."""

    rows: tuple[int, ...]
    weights: tuple[int, ...]
    order: tuple[int, ...] = ()
    """Rows that are to be asked first, the best first, whatever the board says of their times."""

    def __post_init__(self) -> None:
        assert len(self.rows) == len(self.weights)
        assert all(weight >= 0 for weight in self.weights)
        assert set(self.order) <= set(self.rows)

    def without(self, rows: Collection[int]) -> "Candidates":
        """The others, in the same order."""
        kept = [each for each in zip(self.rows, self.weights, strict=True) if each[0] not in rows]
        order = tuple(row for row in self.order if row not in rows)
        return Candidates(tuple(row for row, _ in kept), tuple(of for _, of in kept), order)


def next_spin(spin: int) -> int:
    """The random number of 64 bits that follows this one; its high bits are its best."""
    return (spin * _SPIN_STEP + 1) & _SPIN_MASK


def choose(
    board: TargetBoard,
    candidates: Candidates,
    now: Instant,
    spin: int,
    without: Collection[int] = (),
) -> tuple[int, bool]:
    """The row that takes the request (or NOBODY), and whether only as a last resort.

    Args:
        board: health and load.
        candidates: the model's targets.
        now: the moment.
        spin: a random number of 64 bits or more, another one each time.
        without: rows that are out of the question.
    """
    rows = candidates.rows
    if len(rows) == 1 and not without:
        words, base = board.words, rows[0] * board.row_words
        if (
            words[base] == 0
            and now >= words[base + ASIDE_UNTIL]
            and not words[base + DRAINED]
            and candidates.weights[0]
            and board.in_flight(rows[0]) < _FULL
        ):
            return rows[0], False
        return _last_resort(board, candidates, now, without)
    for row in candidates.order:
        if row not in without:
            weight = candidates.weights[candidates.rows.index(row)]
            alone = Candidates((row,), (weight,))
            if _race(board, alone, now, spin, (), _LEAST)[0] >= 0:
                return row, False
    row, cold = _race(board, candidates, now, spin, without)
    if cold:
        quickest = min(filter(None, (_latency(board, row, now) for row in rows)), default=4)
        row, _ = _race(board, candidates, now, spin, without, max(1, quickest * 3 // 4))
    if row >= 0:
        return row, False
    return _last_resort(board, candidates, now, without)


def _race(  # noqa: C901, PLR0912  # one pass on the hot path
    board: TargetBoard,
    candidates: Candidates,
    now: Instant,
    spin: int,
    without: Collection[int],
    when_cold: int = _UNKNOWN,
) -> tuple[int, bool]:
    """The winner, or NOBODY; and whether a cold target stopped the race."""
    words, row_words, workers = board.words, board.row_words, board.workers
    best, best_score, seed = NOBODY, math.inf, spin
    for row, weight in zip(candidates.rows, candidates.weights, strict=True):
        chance = _CHANCES[spin & 255]
        spin >>= 8
        if not spin:  # used up
            spin = seed = next_spin(seed)
        base = row * row_words
        if not weight or now < words[base + ASIDE_UNTIL] or words[base + DRAINED]:
            continue
        if without and row in without:
            continue
        load = words[base + IN_FLIGHT]
        if workers == 2:
            load += words[base + IN_FLIGHT + 1]
        elif workers > 2:
            load = sum(words[base + IN_FLIGHT : base + row_words])
        if load >= _FULL:
            continue
        if words[base + OPEN_UNTIL]:
            if now < words[base + OPEN_UNTIL] or now < words[base + TRIAL_UNTIL]:
                continue
            return row, False
        latency, setbacks = words[base + LATENCY], words[base + SETBACKS]
        age = now - words[base + NEWS_AT]
        if age > _STALE:
            halvings = min(age // _STALE, _HALVINGS_MAX)
            latency, setbacks = latency >> halvings, setbacks >> halvings
        if latency == 0:
            if when_cold == _UNKNOWN:
                return NOBODY, True
            latency = when_cold
        score = (load + chance) * latency * (1 + setbacks) / weight
        if score < best_score:
            best, best_score = row, score
    return best, False


def _last_resort(
    board: TargetBoard, candidates: Candidates, now: Instant, without: Collection[int]
) -> tuple[int, bool]:
    """Of the targets that are open or left alone, the one that will be free soonest."""
    words, soonest, chosen = board.words, 0, NOBODY
    for row, weight in zip(candidates.rows, candidates.weights, strict=True):
        base = row * board.row_words
        if not weight or words[base + DRAINED] or row in without or board.in_flight(row) >= _FULL:
            continue
        free_at = max(words[base + OPEN_UNTIL], words[base + ASIDE_UNTIL])
        if words[base + OPEN_UNTIL] and now >= free_at:
            free_at = words[base + TRIAL_UNTIL]
        if free_at <= now:  # half open, and nobody tries it
            return row, False
        if chosen == NOBODY or free_at < soonest:
            soonest, chosen = free_at, row
    return (chosen, True) if chosen != NOBODY else _NONE


def _latency(board: TargetBoard, row: int, now: Instant) -> int:
    """Smoothed nanoseconds to the first byte, halved by its age; 0 when the target is cold."""
    base = row * board.row_words
    age = max(0, now - board.words[base + NEWS_AT])
    return board.words[base + LATENCY] >> min(age // _STALE, _HALVINGS_MAX)


# --- in words -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standing:
    """How one target stood, for a header or a log. `out` says why it was not in the race."""

    row: int
    out: str
    in_flight: int
    first_byte_s: float | None
    setbacks: int
    weight: int

    def words(self, name: str) -> str:
        """One line: the target's name, and what spoke for or against it."""
        if self.out:
            return f"{name}: {self.out}"
        time = "cold" if self.first_byte_s is None else f"first byte in {self.first_byte_s:.3g} s"
        parts = [f"{self.in_flight} in flight", time]
        if self.weight != 1:
            parts.append(f"weight {self.weight}")
        if self.setbacks:
            parts.append(f"{self.setbacks} setbacks")
        return f"{name}: {', '.join(parts)}"


def explain(board: TargetBoard, candidates: Candidates, now: Instant) -> list[Standing]:
    """How each target stands now, in the order of the candidates."""
    standings = []
    for row, weight in zip(candidates.rows, candidates.weights, strict=True):
        latency = _latency(board, row, now)
        base = row * board.row_words
        standings.append(
            Standing(
                row=row,
                out=_out(board, row, weight, now),
                in_flight=board.in_flight(row),
                first_byte_s=latency / SECOND if latency else None,
                setbacks=board.words[base + SETBACKS],
                weight=weight,
            )
        )
    return standings


def _out(board: TargetBoard, row: int, weight: int, now: Instant) -> str:
    """Why a target is not in the race; nothing when it is."""
    base = row * board.row_words
    open_until, aside = board.words[base + OPEN_UNTIL], board.aside_until(row)
    reasons: list[tuple[bool, Callable[[], str]]] = [
        (not weight or board.drained(row), lambda: "drained"),
        (now < aside, lambda: f"asked to be left alone for {_seconds(aside - now)}"),
        (now < open_until, lambda: f"failing, left alone for {_seconds(open_until - now)}"),
        (
            open_until > 0 and now < board.words[base + TRIAL_UNTIL],
            lambda: "being tried by another request",
        ),
        (board.in_flight(row) >= _FULL, lambda: "full"),
    ]
    return next((said() for holds, said in reasons if holds), "")


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / SECOND:.1f} s"
