"""The health and load of every upstream target of a PoP, in one flat row of words.

The words are a list, or memory that the PoP's worker processes share: there is no lock, so each
cell is of one of two sorts.

Rules
- Requests in flight are counted by each worker in a cell that only it writes; what a dead worker
  held is zeroed by `forget_worker`.
- All else is shared, and the last writer wins. A lost update costs time (a failure or a sample not
  counted, one request more on a target that is tried), never safety.
- What a client brings about itself never counts against a target. A target that says when to come
  again is left alone so long, and is not broken for that.
- A breaker opens after failures in a row, for a time that doubles up to a bound; then it is half
  open, and one request tries the target. A first byte closes it, on probation: only a whole answer
  clears what was held against the target. A probe that passes lets a request try it, no more: a
  server whose list of models works may fail at all else.
- Smoothed time to first byte learns from answers only: errors are quick, and must not look good.

Instants must come from one clock for all workers (the monotonic one of the machine), and words
from before a restart of the machine must not be used again.

Not here: which target a request takes (`choose`), which target has which row.
"""

import enum
from collections.abc import Iterable
from typing import Final, Protocol, overload

from littoral.routing.failures import Cause, Failure, breakage
from littoral.terms import limits
from littoral.terms.values import SECOND, Instant

__all__ = [
    "ASIDE_UNTIL",
    "DRAINED",
    "IN_FLIGHT",
    "LATENCY",
    "NEWS_AT",
    "OPEN_UNTIL",
    "SETBACKS",
    "TRIAL_UNTIL",
    "BreakerState",
    "TargetBoard",
    "Words",
]

# Cells of a row, shared by all workers; then follows one of each worker. `choose` reads them.
OPEN_UNTIL: Final = 0
"""Instant at which an open breaker is half open; 0 while it is closed."""
ASIDE_UNTIL: Final = 1
"""Instant until which the target asked to be left alone."""
DRAINED: Final = 2
LATENCY: Final = 3
"""Smoothed nanoseconds to the first byte; 0 while none is known (the target is cold)."""
SETBACKS: Final = 4
"""Grows by four with each request that got no answer, and shrinks by one with each answer."""
NEWS_AT: Final = 5
"""Instant of the last answer or failure."""
TRIAL_UNTIL: Final = 6
"""While half open: instant until which the request that tries the target has it to itself."""
_FAILURES: Final = 7
"""In a row, by their `breakage`."""
_OPENINGS: Final = 8
"""In a row, without a whole answer in between."""
IN_FLIGHT: Final = 9
"""The first worker's."""

_SMOOTHING: Final = 8
"""One sample moves the smoothed time by an eighth of the way."""
_SETBACK: Final = 4
_SETBACKS_MAX: Final = 64
_OPEN: Final = int(limits.BREAKER_OPEN_S * SECOND)
_OPEN_MAX: Final = int(limits.BREAKER_OPEN_S_MAX * SECOND)
_TRIAL: Final = int(limits.BREAKER_TRIAL_S * SECOND)
_DOUBLINGS_MAX: Final = 16


class Words(Protocol):
    """Signed 64-bit words: a list of numbers, or `memoryview(memory).cast("q")`."""

    @overload
    def __getitem__(self, place: int, /) -> int: ...

    @overload
    def __getitem__(self, place: slice, /) -> Iterable[int]: ...

    def __setitem__(self, place: int, word: int, /) -> None: ...

    def __len__(self) -> int: ...


class BreakerState(enum.Enum):
    """Whether a target takes requests as usual, none, or one that tries it."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class TargetBoard:
    """See the module docstring. A row is one target; methods that move a breaker say where to."""

    __slots__ = ("_own", "row_words", "rows", "words", "workers")

    def __init__(self, words: Words, *, worker: int, workers: int) -> None:
        """Look at words that others may be using already; they are zero where nobody has been.

        Args:
            words: `words_of_row(workers)` signed 64-bit words for each target.
            worker: which of the workers this is, from 0.
            workers: how many there are.
        """
        assert 0 <= worker < workers
        self.words = words
        self.workers = workers
        self.row_words = self.words_of_row(workers)
        self.rows = len(words) // self.row_words
        self._own = IN_FLIGHT + worker

    @staticmethod
    def words_of_row(workers: int) -> int:
        """How many words one target takes."""
        return IN_FLIGHT + workers

    # --- one request ---------------------------------------------------------------------------

    def sent(self, row: int, now: Instant) -> BreakerState | None:
        """A request goes to the target. On a half-open one, it is the request that tries it."""
        words, base = self.words, row * self.row_words
        words[base + self._own] += 1
        if words[base] and now >= words[base]:
            words[base + TRIAL_UNTIL] = now + _TRIAL
            return BreakerState.HALF_OPEN
        return None

    def first_byte(self, row: int, elapsed: int, now: Instant) -> BreakerState | None:
        """The answer began, `elapsed` nanoseconds after the request was sent."""
        words, base = self.words, row * self.row_words
        known = words[base + LATENCY]
        words[base + LATENCY] = max(
            1, known + (elapsed - known) // _SMOOTHING if known else elapsed
        )
        words[base + NEWS_AT] = now
        if words[base + SETBACKS]:
            words[base + SETBACKS] -= 1
        if words[base + _FAILURES]:
            words[base + _FAILURES] -= 1
        return self._close(base) if words[base] else None

    def ended(self, row: int) -> None:
        """The whole answer came: nothing is held against the target any more."""
        words, base = self.words, row * self.row_words
        self._leave(base)
        if words[base + _FAILURES] and not words[base]:
            words[base + _FAILURES] = 0
        if words[base + _OPENINGS] and not words[base]:
            words[base + _OPENINGS] = 0

    def failed(
        self, row: int, failure: Failure, now: Instant, *, begun: bool = False
    ) -> BreakerState | None:
        """The target failed at a request; with `begun`, in the middle of its answer."""
        self._leave(row * self.row_words)
        return self._blame(row, failure, now, begun=begun)

    def caller_fault(self, row: int, now: Instant) -> BreakerState | None:
        """The request was at fault. The target answered, so that one being tried is well."""
        base = row * self.row_words
        self._leave(base)
        return self._close(base) if 0 < self.words[base] <= now else None

    def abandoned(self, row: int) -> None:
        """The client left: that says nothing of the target."""
        base = row * self.row_words
        self._leave(base)
        self.words[base + TRIAL_UNTIL] = 0

    def outpaced(self, row: int, elapsed: int, now: Instant) -> None:
        """Another target answered first: this one takes at least `elapsed` nanoseconds."""
        words, base = self.words, row * self.row_words
        self.abandoned(row)
        known = words[base + LATENCY]
        if elapsed > known:
            words[base + LATENCY] = known + (elapsed - known) // _SMOOTHING if known else elapsed
            words[base + NEWS_AT] = now

    # --- beside the requests -------------------------------------------------------------------

    def probe_ok(self, row: int, now: Instant) -> BreakerState | None:
        """A probe passed: an open target may be tried now."""
        words, base = self.words, row * self.row_words
        if words[base] <= now:
            return None
        words[base] = now
        words[base + TRIAL_UNTIL] = 0
        return BreakerState.HALF_OPEN

    def probe_failed(self, row: int, failure: Failure, now: Instant) -> BreakerState | None:
        """A probe failed; it counts as a request does."""
        return self._blame(row, failure, now, begun=False)

    def drain(self, row: int) -> None:
        """Send nothing more; what is under way goes on."""
        self.words[row * self.row_words + DRAINED] = 1

    def undrain(self, row: int) -> None:
        """Send again."""
        self.words[row * self.row_words + DRAINED] = 0

    def forget(self, rows: Iterable[int]) -> None:
        """Zero rows that are given to other targets."""
        for row in rows:
            base = row * self.row_words
            for cell in range(base, base + self.row_words):
                self.words[cell] = 0

    def forget_worker(self, worker: int) -> None:
        """Zero what a dead worker held."""
        for row in range(self.rows):
            self.words[row * self.row_words + IN_FLIGHT + worker] = 0

    # --- what is known -------------------------------------------------------------------------

    def state(self, row: int, now: Instant) -> BreakerState:
        """The target's breaker."""
        until = self.words[row * self.row_words]
        if until == 0:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < until else BreakerState.HALF_OPEN

    def in_flight(self, row: int) -> int:
        """Requests at the target now, of all workers."""
        first = row * self.row_words + IN_FLIGHT
        if self.workers == 1:
            return self.words[first]
        return sum(self.words[first : first + self.workers])

    def aside_until(self, row: int) -> Instant:
        """Until when the target asked to be left alone; past, or 0, when it does not."""
        return Instant(self.words[row * self.row_words + ASIDE_UNTIL])

    def drained(self, row: int) -> bool:
        """Whether it is to get nothing more."""
        return bool(self.words[row * self.row_words + DRAINED])

    def check(self) -> None:
        """Assert what must hold of words that one worker at a time has written."""
        for row in range(self.rows):
            cells = list(self.words[row * self.row_words : (row + 1) * self.row_words])
            assert min(cells) >= 0, (row, cells)
            assert cells[SETBACKS] <= _SETBACKS_MAX
            assert cells[DRAINED] in {0, 1}

    # --- the breaker ---------------------------------------------------------------------------

    def _leave(self, base: int) -> None:
        own = base + self._own
        # Zeroed while requests were under way (their target's row was given to another).
        if self.words[own] > 0:
            self.words[own] -= 1

    def _close(self, base: int) -> BreakerState:
        self.words[base] = 0
        self.words[base + TRIAL_UNTIL] = 0
        # On probation: one failure that counts twice, or two, open it again.
        self.words[base + _FAILURES] = limits.BREAKER_FAILURES - 2
        return BreakerState.CLOSED

    def _blame(
        self, row: int, failure: Failure, now: Instant, *, begun: bool
    ) -> BreakerState | None:
        words, base = self.words, row * self.row_words
        if failure.cause is Cause.LIMITED:
            self._leave_alone(base, failure, now)
            return None
        words[base + SETBACKS] = min(words[base + SETBACKS] + _SETBACK, _SETBACKS_MAX)
        words[base + NEWS_AT] = now
        counts = breakage(failure)
        if now < words[base]:  # requests sent before it opened do not prolong it
            return None
        if counts == 0:  # it answered, so that one being tried is well
            return self._close(base) if words[base] else None
        words[base + _FAILURES] += 2 if begun else counts
        if words[base + _FAILURES] < limits.BREAKER_FAILURES and not words[base]:
            return None
        return self._open(base, now)

    def _open(self, base: int, now: Instant) -> BreakerState:
        words = self.words
        doublings = min(words[base + _OPENINGS], _DOUBLINGS_MAX)
        words[base + _OPENINGS] = doublings + 1
        words[base + _FAILURES] = 0
        words[base + TRIAL_UNTIL] = 0
        words[base] = now + min(_OPEN << doublings, _OPEN_MAX)
        return BreakerState.OPEN

    def _leave_alone(self, base: int, failure: Failure, now: Instant) -> None:
        said = failure.retry_after_s
        wait_s = limits.UPSTREAM_ASIDE_S if said is None else said
        until = now + int(min(max(wait_s, 0.0), limits.UPSTREAM_ASIDE_S_MAX) * SECOND)
        self.words[base + ASIDE_UNTIL] = max(self.words[base + ASIDE_UNTIL], until)
        self.words[base + TRIAL_UNTIL] = 0
