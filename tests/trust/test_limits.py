"""Budgets: nobody over-spends, however many requests are under way."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from littoral.terms.errors import BudgetExhaustedError, RateLimitedError
from littoral.terms.ids import KeyId
from littoral.terms.values import SECOND, Caller, Instant, KeyLimits
from littoral.trust.accounts import words_for
from littoral.trust.limits import (
    DAY_S,
    Budgets,
    Refusal,
    Reservation,
    utc_day,
)

MIDNIGHT = 20_000 * DAY_S


def caller(
    requests: int | None = None, minute: int | None = None, day: int | None = None
) -> Caller:
    return Caller(KeyId("kone"), "one", limits=KeyLimits(requests, minute, day))


def fresh() -> Budgets:
    """Budgets that nothing was spent of yet, of one worker alone."""
    return Budgets([0] * words_for(4))


def at(seconds: float) -> Instant:
    return Instant(round(seconds * SECOND))


def held(outcome: Reservation | Refusal) -> Reservation:
    assert isinstance(outcome, Reservation)
    return outcome


def refused(outcome: Reservation | Refusal) -> Refusal:
    assert isinstance(outcome, Refusal)
    return outcome


def test_without_limits_everything_is_admitted() -> None:
    budgets, anyone = fresh(), caller()
    for _ in range(1000):
        held(budgets.reserve(anyone, 10**9, at(0), MIDNIGHT))
    assert budgets.headers(anyone, at(0), MIDNIGHT) == {}


def test_requests_in_any_sixty_seconds_stay_within_the_limit() -> None:
    budgets, two = fresh(), caller(requests=2)
    held(budgets.reserve(two, 0, at(0), MIDNIGHT))
    held(budgets.reserve(two, 0, at(30), MIDNIGHT))
    refusal = refused(budgets.reserve(two, 0, at(50), MIDNIGHT))
    assert (refusal.limit, refusal.retry_after_s) == ("requests_per_minute", 11.0)
    refused(budgets.reserve(two, 0, at(60.9), MIDNIGHT))
    held(budgets.reserve(two, 0, at(61), MIDNIGHT))


def test_tokens_under_way_count_as_spent_until_they_are_settled() -> None:
    budgets, some = fresh(), caller(minute=100)
    first = held(budgets.reserve(some, 80, at(0), MIDNIGHT))
    refusal = refused(budgets.reserve(some, 30, at(0), MIDNIGHT))
    assert (refusal.limit, refusal.retry_after_s) == ("tokens_per_minute", 1.0)
    budgets.settle(first, 10, at(1), MIDNIGHT)
    held(budgets.reserve(some, 90, at(1), MIDNIGHT))


def test_settled_tokens_leave_the_window_a_minute_later() -> None:
    budgets, some = fresh(), caller(minute=100)
    budgets.settle(held(budgets.reserve(some, 60, at(0), MIDNIGHT)), 60, at(2), MIDNIGHT)
    budgets.settle(held(budgets.reserve(some, 40, at(0), MIDNIGHT)), 40, at(9), MIDNIGHT)
    assert refused(budgets.reserve(some, 50, at(10), MIDNIGHT)).retry_after_s == 53.0
    assert refused(budgets.reserve(some, 61, at(10), MIDNIGHT)).retry_after_s == 60.0
    held(budgets.reserve(some, 60, at(63), MIDNIGHT))


def test_a_released_reservation_gives_its_tokens_back_but_not_its_request() -> None:
    budgets, some = fresh(), caller(requests=1, minute=100)
    budgets.release(held(budgets.reserve(some, 100, at(0), MIDNIGHT)))
    assert refused(budgets.reserve(some, 100, at(1), MIDNIGHT)).limit == "requests_per_minute"
    held(budgets.reserve(caller(minute=100), 100, at(1), MIDNIGHT))


def test_the_tokens_of_a_day_are_there_again_at_midnight_utc() -> None:
    budgets, daily = fresh(), caller(day=100)
    budgets.settle(held(budgets.reserve(daily, 100, at(0), MIDNIGHT)), 90, at(0), MIDNIGHT)
    refusal = refused(budgets.reserve(daily, 20, at(100), MIDNIGHT + 600))
    assert (refusal.limit, refusal.retry_after_s) == ("tokens_per_day", float(DAY_S - 600))
    held(budgets.reserve(daily, 20, at(100), MIDNIGHT + DAY_S))


def test_what_was_used_before_a_restart_still_counts_that_day() -> None:
    budgets, daily = fresh(), caller(day=100)
    budgets.restore(utc_day(MIDNIGHT), {daily.key_id: 95})
    assert refused(budgets.reserve(daily, 6, at(0), MIDNIGHT)).limit == "tokens_per_day"
    held(budgets.reserve(daily, 5, at(0), MIDNIGHT))


def test_a_request_larger_than_the_limit_is_told_that_waiting_is_in_vain() -> None:
    for some in (caller(minute=100), caller(day=100), caller(requests=0)):
        refusal = refused(fresh().reserve(some, 101, at(0), MIDNIGHT))
        assert refusal.retry_after_s is None
        assert refusal.error().retry_after_s is None


def test_an_answer_that_used_more_than_reserved_is_counted_in_full() -> None:
    budgets, some = fresh(), caller(minute=100, day=1000)
    budgets.settle(held(budgets.reserve(some, 10, at(0), MIDNIGHT)), 150, at(0), MIDNIGHT)
    refused(budgets.reserve(some, 1, at(30), MIDNIGHT))
    assert budgets.headers(some, at(0), MIDNIGHT)["x-ratelimit-remaining-tokens"] == "0"


def test_a_refused_request_takes_nothing() -> None:
    budgets, some = fresh(), caller(requests=5, minute=100)
    for _ in range(20):
        refused(budgets.reserve(some, 101, at(0), MIDNIGHT))
    assert budgets.headers(some, at(0), MIDNIGHT)["x-ratelimit-remaining-requests"] == "5"


def test_one_callers_spending_is_not_anothers() -> None:
    budgets, one = fresh(), caller(minute=100)
    other = Caller(KeyId("kother"), "other", limits=one.limits)
    held(budgets.reserve(one, 100, at(0), MIDNIGHT))
    held(budgets.reserve(other, 100, at(0), MIDNIGHT))


def test_a_reservation_is_settled_once() -> None:
    budgets, some = fresh(), caller(minute=1)
    reservation = held(budgets.reserve(some, 1, at(0), MIDNIGHT))
    budgets.release(reservation)
    with pytest.raises(AssertionError, match="once"):
        budgets.settle(reservation, 1, at(0), MIDNIGHT)


def test_a_refusal_becomes_the_error_of_its_limit() -> None:
    minute = Refusal("tokens_per_minute", 100, 50, 2.5).error()
    day = Refusal("tokens_per_day", 100, 50, 60.0).error()
    assert isinstance(minute, RateLimitedError)
    assert isinstance(day, BudgetExhaustedError)
    assert minute.retry_after_s == 2.5
    assert minute.details == {"limit": "tokens_per_minute", "allowed": 100}
    assert "100 tokens per minute" in str(minute)


def test_the_headers_are_those_that_openai_clients_read() -> None:
    budgets, some = fresh(), caller(requests=60, minute=1000, day=5000)
    budgets.settle(held(budgets.reserve(some, 100, at(0), MIDNIGHT)), 40, at(0.5), MIDNIGHT)
    held(budgets.reserve(some, 60, at(1), MIDNIGHT))
    assert budgets.headers(some, at(1.25), MIDNIGHT) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "58",
        "x-ratelimit-reset-requests": "1m0.75s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "900",
        "x-ratelimit-reset-tokens": "59.75s",
    }


def test_a_daily_limit_alone_is_shown_as_the_tokens_left_today() -> None:
    headers = fresh().headers(caller(day=5000), at(0), MIDNIGHT + 3661)
    assert headers["x-ratelimit-remaining-tokens"] == "5000"
    assert headers["x-ratelimit-reset-tokens"] == "22h58m59s"


@dataclass
class Ledger:
    """The plainest account of what was spent, to judge the budgets by."""

    requests: list[int] = field(default_factory=list)
    spent: list[tuple[int, int, int]] = field(default_factory=list)

    def requests_in_minute(self, now: int) -> int:
        return sum(1 for then in self.requests if now - then < 60 * SECOND)

    def tokens_in_minute(self, now: int) -> int:
        return sum(tokens for then, _, tokens in self.spent if now - then < 60 * SECOND)

    def tokens_in_day(self, unix_s: int) -> int:
        return sum(tokens for _, day, tokens in self.spent if day == utc_day(unix_s))


class Spending(RuleBasedStateMachine):
    """Requests come, end and fail at any time; the plain account must stay within every limit."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.budgets = fresh()
        self.caller = caller(requests=6, minute=100, day=130)
        self.ledger = Ledger()
        self.open: list[Reservation] = []

    @property
    def unix_s(self) -> int:
        return MIDNIGHT - 120 + self.now // SECOND

    @rule(nanoseconds=st.integers(0, 40 * SECOND))
    def time_passes(self, nanoseconds: int) -> None:
        self.now += nanoseconds

    @rule(tokens=st.integers(0, 110))
    def a_request_comes(self, tokens: int) -> None:
        now = Instant(self.now)
        outcome = self.budgets.reserve(self.caller, tokens, now, self.unix_s)
        if isinstance(outcome, Reservation):
            self.open.append(outcome)
            self.ledger.requests.append(self.now)
        elif outcome.retry_after_s is not None:
            assert outcome.retry_after_s > 0

    @rule(tokens=st.integers(0, 110))
    def a_refused_request_that_waits_as_told_meets_no_spent_room(self, tokens: int) -> None:
        outcome = self.budgets.reserve(self.caller, tokens, Instant(self.now), self.unix_s)
        if isinstance(outcome, Reservation):
            self.budgets.release(outcome)
            self.ledger.requests.append(self.now)
        elif outcome.retry_after_s is not None and not self.open:
            self.now += round(outcome.retry_after_s * SECOND)
            again = self.budgets.reserve(self.caller, tokens, Instant(self.now), self.unix_s)
            if isinstance(again, Reservation):
                self.open.append(again)
                self.ledger.requests.append(self.now)
            else:
                assert again.limit != outcome.limit

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def an_answer_ends(self, data: st.DataObject) -> None:
        reservation = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        used = data.draw(st.integers(0, reservation.tokens))
        self.budgets.settle(reservation, used, Instant(self.now), self.unix_s)
        self.ledger.spent.append((self.now, utc_day(self.unix_s), used))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def an_answer_never_was(self, data: st.DataObject) -> None:
        self.budgets.release(self.open.pop(data.draw(st.integers(0, len(self.open) - 1))))

    @invariant()
    def no_limit_is_passed(self) -> None:
        under_way = sum(reservation.tokens for reservation in self.open)
        assert self.ledger.requests_in_minute(self.now) <= 6
        assert self.ledger.tokens_in_minute(self.now) + under_way <= 100
        assert self.ledger.tokens_in_day(self.unix_s) + under_way <= 130
        self.budgets.check()


TestSpending = Spending.TestCase
TestSpending.settings = settings(max_examples=60, stateful_step_count=40)


@given(st.lists(st.tuples(st.integers(0, 90 * SECOND), st.integers(1, 5)), max_size=60))
def test_a_key_that_is_used_for_long_keeps_no_more_than_a_minute(
    steps: list[tuple[int, int]],
) -> None:
    budgets, some, now = fresh(), caller(minute=10**6), 0
    for wait, tokens in steps:
        now += wait
        reservation = held(budgets.reserve(some, tokens, Instant(now), MIDNIGHT))
        budgets.settle(reservation, tokens, Instant(now), MIDNIGHT)
        budgets.check()
