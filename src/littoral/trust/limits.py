"""Budgets of keys: room is reserved before the work and settled after it.

Three limits, each optional: requests per minute, tokens per minute, tokens per day.

Rules
- At every moment, what was settled in the window plus what is reserved is at most the limit,
  however many requests are under way. So a caller never over-spends, as long as each answer uses at
  most what was reserved for it; one that used more is counted in full, and the next must wait.
- A minute is any 60 seconds, not one by the clock: a sliding window, kept as at most 61 counts of
  one second each. A second counts until 60 s after its end, so the error is a second, on the safe
  side. (A token bucket would be smaller and would let through twice the limit in one minute.)
- A day is a day in UTC. Its count is restored from the store when a PoP starts; minutes begin anew.
- A request counts when it is admitted, and stays counted; tokens count as reserved from then, and
  as used when the answer ends. `release` frees the tokens of an answer that never was.

Time comes in as an argument: monotonic for minutes, Unix for days.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from littoral.terms.errors import BudgetExhaustedError, RateLimitedError
from littoral.terms.ids import KeyId
from littoral.terms.values import SECOND, Caller, Instant, KeyLimits

__all__ = ["DAY_S", "Budgets", "Refusal", "Reservation", "utc_day"]

DAY_S: Final = 86_400

_WINDOW: Final = 60
"""Seconds in a minute's window."""

_HELD_RETRY_S: Final = 1.0
"""When to try again if only answers under way stand in the way: nobody knows when they end."""


def utc_day(unix_s: int) -> int:
    """The number of this day since 1970."""
    return unix_s // DAY_S


@dataclass(frozen=True, slots=True)
class Reservation:
    """Room for one answer, held until it is settled or released, once."""

    key_id: KeyId
    number: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """There is no room, by which limit, and when there may be."""

    limit: str
    """The limit's name as in `KeyLimits`."""
    allowed: int
    asked: int
    retry_after_s: float | None
    """None when it never will: more is asked than the whole limit."""

    def error(self) -> RateLimitedError | BudgetExhaustedError:
        """The refusal as the caller sees it."""
        limit = self.limit.replace("_", " ")
        message = f"this key's limit of {self.allowed} {limit} leaves no room for {self.asked} more"
        if self.retry_after_s is None:
            message = f"this needs {self.asked} and this key's limit is {self.allowed} {limit}"
        advice = (
            "ask for fewer tokens (max_tokens), or for a key with a higher limit"
            if self.retry_after_s is None
            else "this is the key's own limit, not the machine's; wait as Retry-After says"
        )
        kind = BudgetExhaustedError if self.limit == "tokens_per_day" else RateLimitedError
        return kind(
            message,
            advice=advice,
            retry_after_s=self.retry_after_s,
            details={"limit": self.limit, "allowed": self.allowed},
        )


class _Window:
    """What was spent in the last minute, by the second."""

    __slots__ = ("_seconds", "_total")

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, int]] = deque()
        self._total = 0

    def add(self, amount: int, now: Instant) -> None:
        """Spend at this moment."""
        second = now // SECOND
        if self._seconds and self._seconds[-1][0] == second:
            amount_before = self._seconds.pop()[1]
            self._seconds.append((second, amount_before + amount))
        else:
            self._seconds.append((second, amount))
        self._total += amount

    def spent(self, now: Instant) -> int:
        """What still counts at this moment."""
        oldest = now // SECOND - _WINDOW
        while self._seconds and self._seconds[0][0] < oldest:
            self._total -= self._seconds.popleft()[1]
        return self._total

    def until_at_most(self, room: int, now: Instant) -> float:
        """Seconds until no more than this is still counted."""
        left = self.spent(now)
        for second, amount in self._seconds:
            if left <= room:
                break
            left -= amount
            free_at = (second + _WINDOW + 1) * SECOND
            if left <= room:
                return (free_at - now) / SECOND
        return 0.0

    def check(self) -> None:
        """Assert that the sum is the sum, and the bound holds."""
        assert self._total == sum(amount for _, amount in self._seconds)
        assert len(self._seconds) <= _WINDOW + 1


class _Budget:
    """One key's spending."""

    __slots__ = ("day", "day_tokens", "held", "open", "requests", "tokens")

    def __init__(self) -> None:
        self.requests = _Window()
        self.tokens = _Window()
        self.day = 0
        self.day_tokens = 0
        self.held = 0
        self.open: dict[int, int] = {}

    def today(self, unix_s: int) -> int:
        """Tokens settled in this day."""
        day = utc_day(unix_s)
        if day > self.day:
            self.day, self.day_tokens = day, 0
        return self.day_tokens

    def refusal(self, limits: KeyLimits, tokens: int, now: Instant, unix_s: int) -> Refusal | None:
        """Why there is no room for a request with so many tokens, if there is none."""
        return (
            self._refusal_by_requests(limits.requests_per_minute, now)
            or self._refusal_by_minute(limits.tokens_per_minute, tokens, now)
            or self._refusal_by_day(limits.tokens_per_day, tokens, unix_s)
        )

    def _refusal_by_requests(self, allowed: int | None, now: Instant) -> Refusal | None:
        if allowed is None or self.requests.spent(now) < allowed:
            return None
        wait_s = self.requests.until_at_most(allowed - 1, now) if allowed else None
        return Refusal("requests_per_minute", allowed, 1, wait_s)

    def _refusal_by_minute(self, allowed: int | None, tokens: int, now: Instant) -> Refusal | None:
        if allowed is None or self.tokens.spent(now) + self.held + tokens <= allowed:
            return None
        wait_s = None
        if tokens <= allowed:
            room = allowed - tokens - self.held
            wait_s = self.tokens.until_at_most(room, now) if room >= 0 else _HELD_RETRY_S
        return Refusal("tokens_per_minute", allowed, tokens, wait_s)

    def _refusal_by_day(self, allowed: int | None, tokens: int, unix_s: int) -> Refusal | None:
        if allowed is None or self.today(unix_s) + self.held + tokens <= allowed:
            return None
        wait_s = None
        if tokens <= allowed:
            spent = self.day_tokens + tokens > allowed
            wait_s = float(DAY_S - unix_s % DAY_S) if spent else _HELD_RETRY_S
        return Refusal("tokens_per_day", allowed, tokens, wait_s)


class Budgets:
    """Every key's spending on one PoP. One entry per key that was used (limits.KEYS_MAX)."""

    __slots__ = ("_by_key", "_next")

    def __init__(self) -> None:
        self._by_key: dict[KeyId, _Budget] = {}
        self._next = 0

    def restore(self, day: int, tokens_by_key: Mapping[KeyId, int]) -> None:
        """Take over what keys used in this day before this PoP started."""
        for key_id, tokens in tokens_by_key.items():
            budget = self._of(key_id)
            budget.day, budget.day_tokens = day, tokens

    def reserve(
        self, caller: Caller, tokens: int, now: Instant, unix_s: int
    ) -> Reservation | Refusal:
        """Count a request and hold room for the most tokens that it may use."""
        budget = self._of(caller.key_id)
        refusal = budget.refusal(caller.limits, tokens, now, unix_s)
        if refusal is not None:
            return refusal
        if caller.limits.requests_per_minute is not None:
            budget.requests.add(1, now)
        self._next += 1
        budget.open[self._next] = tokens
        budget.held += tokens
        return Reservation(caller.key_id, self._next, tokens)

    def settle(self, reservation: Reservation, tokens: int, now: Instant, unix_s: int) -> None:
        """The answer is over and used so many tokens; the rest of its room is free again."""
        budget = self._close(reservation)
        budget.today(unix_s)
        budget.day_tokens += tokens
        if tokens:
            budget.tokens.add(tokens, now)
            budget.tokens.spent(now)

    def release(self, reservation: Reservation) -> None:
        """There was no answer: the tokens are free again, the request stays counted."""
        self._close(reservation)

    def headers(self, caller: Caller, now: Instant, unix_s: int) -> dict[str, str]:
        """What is left, in the headers that OpenAI's clients know. Only for limits that are set."""
        budget, limits = self._of(caller.key_id), caller.limits
        shown: dict[str, str] = {}
        if (allowed := limits.requests_per_minute) is not None:
            spent = budget.requests.spent(now)
            shown |= _shown("requests", allowed, spent, budget.requests.until_at_most(0, now))
        if (allowed := limits.tokens_per_minute) is not None:
            spent = budget.tokens.spent(now) + budget.held
            shown |= _shown("tokens", allowed, spent, budget.tokens.until_at_most(0, now))
        elif (allowed := limits.tokens_per_day) is not None:
            spent = budget.today(unix_s) + budget.held
            shown |= _shown("tokens", allowed, spent, float(DAY_S - unix_s % DAY_S))
        return shown

    def check(self) -> None:
        """Assert what always holds."""
        for budget in self._by_key.values():
            assert budget.held == sum(budget.open.values())
            assert budget.held >= 0
            assert budget.day_tokens >= 0
            budget.requests.check()
            budget.tokens.check()

    def _of(self, key_id: KeyId) -> _Budget:
        budget = self._by_key.get(key_id)
        if budget is None:
            budget = self._by_key[key_id] = _Budget()
        return budget

    def _close(self, reservation: Reservation) -> _Budget:
        budget = self._by_key[reservation.key_id]
        assert reservation.number in budget.open, "a reservation is settled or released once"
        budget.held -= budget.open.pop(reservation.number)
        return budget


def _shown(what: str, allowed: int, spent: int, reset_s: float) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{what}": str(allowed),
        f"x-ratelimit-remaining-{what}": str(max(0, allowed - spent)),
        f"x-ratelimit-reset-{what}": _duration(reset_s),
    }


def _duration(seconds: float) -> str:
    """A duration as Go writes it: `6m0s`, `1.5s`, `80ms`."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1000:g}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text
