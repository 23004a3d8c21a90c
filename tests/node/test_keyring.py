"""The keyring: limits that several workers of a PoP keep together."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from littoral.adapters.clock import SystemClock
from littoral.adapters.shared import Board
from littoral.adapters.store import Store, open_store
from littoral.node.keyring import Keyring, authenticated, budget_board
from littoral.terms.errors import BudgetExhaustedError, KeyRejectedError, RateLimitedError
from littoral.terms.facts import Fact, RequestRefused
from littoral.terms.ids import KeyId
from littoral.terms.values import SECOND, Caller, KeyLimits
from littoral.trust.keys import KEY_RANDOM_BYTES, Grant, make_key
from littoral.trust.limits import UNMETERED, utc_day

CLOCK = SystemClock()


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def store(tmp_path: Path, opened: ExitStack) -> Store:
    return opened.enter_context(open_store(tmp_path))


@pytest.fixture
def boards(tmp_path: Path, opened: ExitStack) -> tuple[Board, Board]:
    """One board as two workers open it."""
    first, second = (opened.enter_context(budget_board(tmp_path)) for _ in range(2))
    return first, second


def key(store: Store, limits: KeyLimits | None = None) -> str:
    record, token = make_key(
        CLOCK.random_bytes(KEY_RANDOM_BYTES),
        name="laptop",
        unix_s=1,
        grant=Grant(limits=limits or KeyLimits()),
    )
    store.keys.add(record)
    return token


def test_workers_keep_one_limit_together(store: Store, boards: tuple[Board, Board]) -> None:
    one, two = (Keyring(store, CLOCK, board, worker=n) for n, board in enumerate(boards))
    caller = one.authenticate(key(store, KeyLimits(tokens_per_minute=100)))
    reservation = one.reserve(caller, 60)
    with pytest.raises(RateLimitedError):
        two.reserve(caller, 50)
    one.settle(reservation, 10)
    two.release(two.reserve(caller, 90))
    with boards[1].lock:
        assert one.headers(caller)["x-ratelimit-remaining-tokens"] == "90"


def test_what_uses_no_tokens_counts_as_a_request_alone(
    store: Store, boards: tuple[Board, Board]
) -> None:
    one, two = (Keyring(store, CLOCK, board, worker=n) for n, board in enumerate(boards))
    limits = KeyLimits(requests_per_minute=3, tokens_per_minute=10)
    caller = one.authenticate(key(store, limits))
    one.settle(one.reserve(caller, 10), 99)
    with pytest.raises(RateLimitedError, match="tokens"):
        one.reserve(caller, 1)
    one.count(caller)
    two.count(caller)
    with pytest.raises(RateLimitedError, match="requests") as refused:
        one.count(caller)
    assert refused.value.retry_after_s is not None
    assert 0 < refused.value.retry_after_s <= 61
    one.count(Caller(KeyId("kone"), "one", limits=KeyLimits(tokens_per_minute=0)))


def test_a_worker_that_starts_anew_holds_nothing(store: Store, boards: tuple[Board, Board]) -> None:
    caller = Caller(KeyId("kone"), "one", limits=KeyLimits(tokens_per_minute=100))
    Keyring(store, CLOCK, boards[0], worker=3).reserve(caller, 100)
    other = Keyring(store, CLOCK, boards[1], worker=4)
    with pytest.raises(RateLimitedError):
        other.reserve(caller, 1)
    Keyring(store, CLOCK, boards[0], worker=3)
    other.reserve(caller, 100)


def test_a_key_without_limits_waits_for_nobody(store: Store, boards: tuple[Board, Board]) -> None:
    keyring = Keyring(store, CLOCK, boards[0])
    caller = keyring.authenticate(key(store))
    with boards[1].lock:
        reservation = keyring.reserve(caller, 10**9)
        assert reservation is UNMETERED
        keyring.settle(reservation, 10**9)
        keyring.release(reservation)
        assert keyring.headers(caller) == {}


def test_todays_usage_is_restored_for_keys_that_have_limits(
    store: Store, boards: tuple[Board, Board], monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = key(store, KeyLimits(tokens_per_day=100))
    day = utc_day(CLOCK.unix_ns() // SECOND)
    used = {record.key_id: 95 for record in store.keys.list()} | {KeyId("kunmetered"): 7}
    monkeypatch.setattr(store.receipts, "tokens_of_day", lambda asked: used if asked == day else {})
    keyring = Keyring(store, CLOCK, boards[0])
    keyring.restore_day()
    caller = keyring.authenticate(limited)
    with pytest.raises(BudgetExhaustedError):
        keyring.reserve(caller, 6)
    keyring.reserve(caller, 5)


def test_the_local_key_of_one_worker_is_good_at_every_other(
    store: Store, boards: tuple[Board, Board], tmp_path: Path
) -> None:
    first = Keyring(store, CLOCK, boards[0])
    with open_store(tmp_path) as others:
        second = Keyring(others, CLOCK, boards[1], worker=1, local=first.local)
        assert second.authenticate(first.local_key).operator


def test_a_refused_key_is_observed_and_a_good_one_is_not(
    store: Store, boards: tuple[Board, Board]
) -> None:
    keyring, heard = Keyring(store, CLOCK, boards[0]), list[Fact]()
    assert authenticated(keyring, heard.append, key(store)).name == "laptop"
    assert not heard
    with pytest.raises(KeyRejectedError) as refused:
        authenticated(keyring, heard.append, "nobody's")
    assert heard == [RequestRefused("authenticate", refused.value.code, 401)]
