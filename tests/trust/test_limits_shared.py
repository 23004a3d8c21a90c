"""Budgets of several workers in the same words: one limit for all, whoever dies, and when."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from littoral.terms.errors import QueueFullError
from littoral.terms.ids import KeyId
from littoral.terms.values import SECOND, Caller, Instant, KeyLimits
from littoral.trust.accounts import words_for
from littoral.trust.limits import DAY_S, Budgets, Refusal, Reservation, utc_day

MIDNIGHT = 20_000 * DAY_S
START = Instant(0)


class Killed(BaseException):
    """The process is gone."""


class MortalWords(list[int]):
    """Shared words; after `writes_left` writes the process that writes them is killed."""

    writes_left: int | None = None

    def __setitem__(self, at, word):  # type: ignore[no-untyped-def]
        if self.writes_left is not None:
            if not self.writes_left:
                raise Killed
            self.writes_left -= 1
        super().__setitem__(at, word)


def caller(name: str = "kone", **limits: int) -> Caller:
    return Caller(KeyId(name), "one", limits=KeyLimits(**limits))


def held(outcome: Reservation | Refusal) -> Reservation:
    assert isinstance(outcome, Reservation)
    return outcome


def refused(outcome: Reservation | Refusal) -> Refusal:
    assert isinstance(outcome, Refusal)
    return outcome


def test_what_one_worker_holds_and_spends_counts_for_every_other() -> None:
    words = [0] * words_for(4)
    one, other = Budgets(words, 0), Budgets(words, 1)
    some = caller(requests_per_minute=3, tokens_per_minute=100)
    first = held(one.reserve(some, 60, START, MIDNIGHT))
    assert refused(other.reserve(some, 50, START, MIDNIGHT)).limit == "tokens_per_minute"
    second = held(other.reserve(some, 40, START, MIDNIGHT))
    one.settle(first, 50, START, MIDNIGHT)
    other.settle(second, 40, START, MIDNIGHT)
    held(other.reserve(some, 10, START, MIDNIGHT))
    assert refused(one.reserve(some, 0, START, MIDNIGHT)).limit == "requests_per_minute"
    assert one.headers(some, START, MIDNIGHT)["x-ratelimit-remaining-tokens"] == "0"
    one.check()
    other.check()


def test_what_a_dead_worker_held_is_free_and_what_it_spent_stays_spent() -> None:
    words = [0] * words_for(4)
    dead, alive = Budgets(words, 0), Budgets(words, 1)
    some = caller(tokens_per_day=100)
    dead.settle(held(dead.reserve(some, 30, START, MIDNIGHT)), 30, START, MIDNIGHT)
    held(dead.reserve(some, 50, START, MIDNIGHT))
    held(alive.reserve(some, 20, START, MIDNIGHT))
    refused(alive.reserve(some, 1, START, MIDNIGHT))
    alive.forget_worker(0)
    held(alive.reserve(some, 50, START, MIDNIGHT))
    refused(alive.reserve(some, 1, START, MIDNIGHT))
    alive.check()


def test_a_worker_forgotten_by_mistake_frees_nothing_twice() -> None:
    words = [0] * words_for(4)
    one, other = Budgets(words, 0), Budgets(words, 1)
    some = caller(tokens_per_minute=100)
    reservation = held(one.reserve(some, 60, START, MIDNIGHT))
    other.forget_worker(0)
    held(other.reserve(some, 90, START, MIDNIGHT))
    one.settle(reservation, 5, START, MIDNIGHT)
    other.check()
    refused(other.reserve(some, 6, START, MIDNIGHT))


def test_a_key_without_limits_takes_no_place() -> None:
    words = [0] * words_for(1)
    budgets = Budgets(words)
    for number in range(5):
        budgets.settle(held(budgets.reserve(caller(f"k{number}"), 9, START, 0)), 9, START, MIDNIGHT)
    assert not any(words)


def test_a_key_whose_spending_counts_no_more_makes_room_for_another() -> None:
    budgets = Budgets([0] * words_for(2))
    one, two, three = (caller(f"k{n}", tokens_per_minute=9) for n in range(3))
    open_one = held(budgets.reserve(one, 1, START, MIDNIGHT))
    budgets.settle(held(budgets.reserve(two, 1, START, MIDNIGHT)), 1, START, MIDNIGHT)
    tomorrow, later = MIDNIGHT + DAY_S, Instant(DAY_S * SECOND)
    with pytest.raises(QueueFullError, match="2 keys"):
        budgets.reserve(three, 1, later, MIDNIGHT)
    held(budgets.reserve(three, 1, later, tomorrow))
    with pytest.raises(QueueFullError):
        budgets.reserve(two, 1, later, tomorrow)
    budgets.settle(open_one, 9, later, tomorrow)
    refused(budgets.reserve(one, 1, later, tomorrow))
    budgets.check()


@given(st.sets(st.text(min_size=1, max_size=20), min_size=1, max_size=12))
def test_every_key_has_its_own_account_however_full_the_table(names: set[str]) -> None:
    words = [0] * words_for(len(names))
    one, other = Budgets(words, 0), Budgets(words, 1)
    for name in names:
        held(one.reserve(caller(name, tokens_per_minute=5), 5, START, MIDNIGHT))
    for name in names:
        refused(other.reserve(caller(name, tokens_per_minute=5), 1, START, MIDNIGHT))
    one.check()


@dataclass
class Worker:
    budgets: Budgets
    open: list[Reservation] = field(default_factory=list)


class SharedSpending(RuleBasedStateMachine):
    """Two workers spend of one key, and each may be killed between any two writes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.words = MortalWords([0] * words_for(2))
        self.caller = caller(requests_per_minute=6, tokens_per_minute=100, tokens_per_day=130)
        self.workers = [Worker(Budgets(self.words, number)) for number in range(2)]
        self.requests: list[int] = []
        self.spent: list[tuple[int, int, int]] = []

    @property
    def unix_s(self) -> int:
        return MIDNIGHT - 120 + self.now // SECOND

    def killed(self, number: int) -> None:
        """The other worker forgets this one, which begins anew."""
        self.words.writes_left = None
        self.workers[1 - number].budgets.forget_worker(number)
        self.workers[number] = Worker(Budgets(self.words, number))

    def reserve(self, worker: Worker, tokens: int) -> None:
        outcome = worker.budgets.reserve(self.caller, tokens, Instant(self.now), self.unix_s)
        if isinstance(outcome, Reservation):
            worker.open.append(outcome)
            self.requests.append(self.now)

    def settle(self, worker: Worker, used: int) -> None:
        reservation = worker.open.pop()
        used = min(used, reservation.tokens)
        worker.budgets.settle(reservation, used, Instant(self.now), self.unix_s)
        self.spent.append((self.now, utc_day(self.unix_s), used))

    @rule(nanoseconds=st.integers(0, 40 * SECOND))
    def time_passes(self, nanoseconds: int) -> None:
        self.now += nanoseconds

    @rule(number=st.integers(0, 1), tokens=st.integers(0, 60))
    def a_request_comes(self, number: int, tokens: int) -> None:
        self.reserve(self.workers[number], tokens)

    @precondition(lambda self: any(worker.open for worker in self.workers))
    @rule(number=st.integers(0, 1), used=st.integers(0, 60))
    def an_answer_ends(self, number: int, used: int) -> None:
        worker = self.workers[number if self.workers[number].open else 1 - number]
        self.settle(worker, used)

    @rule(
        number=st.integers(0, 1),
        writes=st.integers(0, 70),
        what=st.sampled_from(["reserve", "settle", "release", "forget"]),
        tokens=st.integers(0, 60),
    )
    def a_worker_is_killed_within_a_change(
        self, number: int, writes: int, what: str, tokens: int
    ) -> None:
        worker = self.workers[number]
        self.words.writes_left = writes
        try:
            if what == "reserve":
                self.reserve(worker, tokens)
            elif what == "settle" and worker.open:
                self.settle(worker, tokens)
            elif what == "release" and worker.open:
                worker.budgets.release(worker.open.pop())
            else:
                worker.budgets.forget_worker(number)
        except Killed:
            pass
        self.killed(number)

    @invariant()
    def no_limit_is_passed(self) -> None:
        under_way = sum(each.tokens for worker in self.workers for each in worker.open)
        spent = [tokens for then, _, tokens in self.spent if self.now - then < 60 * SECOND]
        today = [tokens for _, day, tokens in self.spent if day == utc_day(self.unix_s)]
        assert sum(1 for then in self.requests if self.now - then < 60 * SECOND) <= 6
        assert sum(spent) + under_way <= 100
        assert sum(today) + under_way <= 130
        for worker in self.workers:
            worker.budgets.check()

    @invariant()
    def nothing_stays_counted_for_longer_than_it_should(self) -> None:
        later, tomorrow = Instant(self.now + 62 * SECOND), self.unix_s + DAY_S
        under_way = sum(each.tokens for worker in self.workers for each in worker.open)
        copy = Budgets(list(self.words), 1)
        held(copy.reserve(self.caller, 100 - under_way, later, tomorrow))


TestSharedSpending = SharedSpending.TestCase
TestSharedSpending.settings = settings(max_examples=80, stateful_step_count=40)
