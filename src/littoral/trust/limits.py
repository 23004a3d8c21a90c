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
- All of this holds for every worker of a PoP together: the counts lie in words that are given as an
  argument and may be shared (trust/accounts.py and trust/spending.py say what is where). What a
  worker held that died is free once it is forgotten.
- A key without limits is not counted here at all.

Time comes in as an argument: monotonic for minutes, Unix for days.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from littoral.terms.errors import BudgetExhaustedError, RateLimitedError
from littoral.terms.ids import KeyId
from littoral.terms.limits import WORKERS_MAX
from littoral.terms.values import SECOND, Caller, Instant, KeyLimits
from littoral.trust.accounts import Accounts
from littoral.trust.spending import (
    DAY,
    DAY_TOKENS,
    HELD,
    HELD_BY,
    REQUESTS,
    TOKENS,
    TOTAL,
    UNDER_WAY,
    Words,
    add,
    advance,
    check,
    mend,
    spent,
    today,
    until_at_most,
)

__all__ = [
    "DAY_S",
    "UNMETERED",
    "Budgets",
    "Refusal",
    "Reservation",
    "utc_day",
]

DAY_S: Final = 86_400

_HELD_RETRY_S: Final = 1.0
"""When to try again if only answers under way stand in the way: nobody knows when they end."""


def utc_day(unix_s: int) -> int:
    """The number of this day since 1970."""
    return unix_s // DAY_S


# A Struct, as every metered request makes one.
class Reservation(msgspec.Struct, frozen=True):
    """Room for one answer, held until it is settled or released, once."""

    key_id: KeyId
    number: int
    tokens: int
    by_minute: bool
    """Tokens are counted by the minute: the key has a limit of them."""


UNMETERED: Final = Reservation(KeyId(""), 0, 0, by_minute=False)
"""What a key without limits is given: nothing is held, and nothing counted."""


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


class Budgets:
    """Every metered key's spending on one PoP, in words that all of its workers share.

    Its methods are called by one worker at a time, for keys that have a limit: whoever shares the
    words with other processes holds a lock meanwhile.
    """

    __slots__ = ("_accounts", "_next", "_open", "_words", "_worker")

    def __init__(self, words: Words, worker: int = 0) -> None:
        """Count in these words.

        Args:
            words: as many as `words_for` says; all 0 when the PoP starts.
            worker: which worker this is, below limits.WORKERS_MAX.
        """
        assert 0 <= worker < WORKERS_MAX
        self._words = words
        self._accounts = Accounts(words)
        self._worker = worker
        self._open: dict[int, int] = {}
        self._next = 0

    def restore(self, day: int, tokens_by_key: Mapping[KeyId, int]) -> None:
        """Take over what keys used in this day before this PoP started."""
        for key_id, tokens in tokens_by_key.items():
            row = self._accounts.enter(key_id, 0, day)
            self._words[row + DAY_TOKENS] = tokens
            self._words[row + DAY] = day
            self._words[row + UNDER_WAY] = 0

    def reserve(
        self, caller: Caller, tokens: int, now: Instant, unix_s: int
    ) -> Reservation | Refusal:
        """Count a request and hold room for the most tokens that it may use.

        Raises:
            QueueFullError: as many keys as are counted at a time have spent something already.
        """
        if not caller.limits.any:
            return UNMETERED
        words, second = self._words, now // SECOND
        row = self._accounts.enter(caller.spends, second, unix_s // DAY_S)
        refusal = self._refusal(row, caller.limits, tokens, now, unix_s)
        if refusal is None:
            if caller.limits.requests_per_minute is not None:
                add(words, row + REQUESTS, 1)
            words[row + HELD_BY + self._worker] += tokens
            words[row + HELD] += tokens
        words[row + UNDER_WAY] = 0
        if refusal is not None:
            return refusal
        self._next += 1
        self._open[self._next] = tokens
        by_minute = caller.limits.tokens_per_minute is not None
        return Reservation(caller.spends, self._next, tokens, by_minute)

    def settle(self, reservation: Reservation, tokens: int, now: Instant, unix_s: int) -> None:
        """The answer is over and used so many tokens; the rest of its room is free again."""
        if reservation is UNMETERED:
            return
        words, day, second = self._words, unix_s // DAY_S, now // SECOND
        held = self._close(reservation)
        row = self._accounts.enter(reservation.key_id, second, day)
        if tokens:
            words[row + DAY_TOKENS] = today(words, row, day) + tokens
            if reservation.by_minute:
                advance(words, row + TOKENS, second)
                add(words, row + TOKENS, tokens)
        self._free(row, held)
        words[row + UNDER_WAY] = 0

    def release(self, reservation: Reservation) -> None:
        """There was no answer: the tokens are free again, the request stays counted."""
        if reservation is UNMETERED:
            return
        held = self._close(reservation)
        row = self._accounts.known(reservation.key_id)
        if row is not None:
            row = self._accounts.enter(reservation.key_id, 0, 0)
            self._free(row, held)
            self._words[row + UNDER_WAY] = 0

    def forget_worker(self, worker: int) -> None:
        """That worker is no more: what it held is free again. Its own answers never end."""
        words = self._words
        for row in self._accounts.taken():
            if words[row + UNDER_WAY] or words[row + HELD]:
                words[row + UNDER_WAY] = 1
                words[row + HELD_BY + worker] = 0
                mend(words, row)
                words[row + UNDER_WAY] = 0

    def headers(self, caller: Caller, now: Instant, unix_s: int) -> dict[str, str]:
        """What is left, in the headers that OpenAI's clients know. Only for limits that are set.

        Changes nothing, so it may be called while others change: it may then be a request off.
        """
        limits, words, shown = caller.limits, self._words, dict[str, str]()
        row = self._accounts.known(caller.spends) if limits.any else None
        second, held = now // SECOND, 0 if row is None else words[row + HELD]
        if (allowed := limits.requests_per_minute) is not None:
            used, reset_s = self._minute(row, REQUESTS, second, now)
            shown["x-ratelimit-limit-requests"] = str(allowed)
            shown["x-ratelimit-remaining-requests"] = str(max(0, allowed - used))
            shown["x-ratelimit-reset-requests"] = _duration(reset_s)
        allowed = limits.tokens_per_minute
        if allowed is not None:
            used, reset_s = self._minute(row, TOKENS, second, now)
        else:
            allowed, reset_s = limits.tokens_per_day, float(DAY_S - unix_s % DAY_S)
            same = row is not None and words[row + DAY] >= unix_s // DAY_S
            used = words[row + DAY_TOKENS] if row is not None and same else 0
        if allowed is not None:
            shown["x-ratelimit-limit-tokens"] = str(allowed)
            shown["x-ratelimit-remaining-tokens"] = str(max(0, allowed - used - held))
            shown["x-ratelimit-reset-tokens"] = _duration(reset_s)
        return shown

    def _minute(self, row: int | None, window: int, second: int, now: Instant) -> tuple[int, float]:
        """What counts in a window, and in how many seconds none of it will."""
        if row is None:
            return 0, 0.0
        words, at = self._words, row + window
        used = spent(words, at, second)
        return used, until_at_most(words, at, 0, now) if used > 0 else 0.0

    def check(self) -> None:
        """Assert what always holds while nobody is within a change."""
        words, mine = self._words, 0
        for row in self._accounts.taken():
            if not words[row + UNDER_WAY]:
                check(words, row)
                mine += words[row + HELD_BY + self._worker]
        assert mine == sum(self._open.values())

    def _refusal(
        self, row: int, limits: KeyLimits, tokens: int, now: Instant, unix_s: int
    ) -> Refusal | None:
        """Why there is no room for a request with so many tokens, if there is none."""
        words, second = self._words, now // SECOND
        wanted = words[row + HELD] + tokens
        if (allowed := limits.requests_per_minute) is not None:
            advance(words, row + REQUESTS, second)
            if words[row + REQUESTS + TOTAL] >= allowed:
                return self._by_requests(row, allowed, now)
        if (allowed := limits.tokens_per_minute) is not None:
            advance(words, row + TOKENS, second)
            if words[row + TOKENS + TOTAL] + wanted > allowed:
                return self._by_minute(row, allowed, tokens, now)
        allowed = limits.tokens_per_day
        if allowed is not None and today(words, row, unix_s // DAY_S) + wanted > allowed:
            return self._by_day(row, allowed, tokens, unix_s)
        return None

    def _by_requests(self, row: int, allowed: int, now: Instant) -> Refusal:
        window = row + REQUESTS
        wait_s = until_at_most(self._words, window, allowed - 1, now) if allowed else None
        return Refusal("requests_per_minute", allowed, 1, wait_s)

    def _by_minute(self, row: int, allowed: int, tokens: int, now: Instant) -> Refusal:
        wait_s, room = None, allowed - tokens - self._words[row + HELD]
        if tokens <= allowed:
            waited = until_at_most(self._words, row + TOKENS, max(0, room), now)
            wait_s = waited if room >= 0 else _HELD_RETRY_S
        return Refusal("tokens_per_minute", allowed, tokens, wait_s)

    def _by_day(self, row: int, allowed: int, tokens: int, unix_s: int) -> Refusal:
        wait_s = None
        if tokens <= allowed:
            spent = self._words[row + DAY_TOKENS] + tokens > allowed
            wait_s = float(DAY_S - unix_s % DAY_S) if spent else _HELD_RETRY_S
        return Refusal("tokens_per_day", allowed, tokens, wait_s)

    def _free(self, row: int, tokens: int) -> None:
        """Hold so much less: what was forgotten already is not freed twice."""
        words, mine = self._words, row + HELD_BY + self._worker
        tokens = min(tokens, words[mine])
        words[mine] -= tokens
        words[row + HELD] -= tokens

    def _close(self, reservation: Reservation) -> int:
        assert reservation.number in self._open, "a reservation is settled or released once"
        return self._open.pop(reservation.number)


def _duration(seconds: float) -> str:
    """A duration as Go writes it: `6m0s`, `1.5s`, `80ms`."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:g}s"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1000:g}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text
