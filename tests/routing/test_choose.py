"""The choice: who is out, who is first, and how requests are shared."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from littoral.routing.board import BreakerState, TargetBoard
from littoral.routing.choose import NOBODY, Candidates, choose, explain
from littoral.routing.failures import Cause, Failure, failure_of_status
from littoral.terms import limits
from littoral.terms.values import SECOND, Instant
from tests.routing.test_board import answered, at, boards, opened, words_of

MS = 1_000_000


def of(*weights: int) -> Candidates:
    return Candidates(tuple(range(len(weights))), weights)


def spins(seed: int = 7) -> "random.Random":
    return random.Random(seed)


def shares(
    board: TargetBoard, candidates: Candidates, *, choices: int = 4_000, now: Instant | None = None
) -> dict[int, float]:
    """How an idle fleet is shared."""
    source = spins()
    moment = at(0) if now is None else now
    counted = Counter(
        choose(board, candidates, moment, source.getrandbits(64))[0] for _ in range(choices)
    )
    return {row: counted[row] / choices for row in candidates.rows}


def known(board: TargetBoard, *milliseconds: int) -> None:
    for row, each in enumerate(milliseconds):
        answered(board, row, each * MS, at(0))


def test_an_idle_fleet_is_shared_by_weight() -> None:
    (board,) = boards(rows=3)
    known(board, 50, 50, 50)
    share = shares(board, of(1, 2, 5))
    assert share[0] == pytest.approx(1 / 8, abs=0.03)
    assert share[1] == pytest.approx(2 / 8, abs=0.03)
    assert share[2] == pytest.approx(5 / 8, abs=0.03)


def test_more_targets_than_the_random_number_has_bytes_are_shared_alike() -> None:
    (board,) = boards(rows=20)
    known(board, *([50] * 20))
    share = shares(board, of(*([1] * 20)), choices=20_000)
    assert min(share.values()) > 0.03
    assert max(share.values()) < 0.07


def test_a_slow_target_gets_less_and_something() -> None:
    (board,) = boards(rows=2)
    known(board, 10, 90)
    share = shares(board, of(1, 1))
    assert 0.03 < share[1] < 0.2


def test_a_busy_target_gets_less() -> None:
    (board,) = boards(rows=2)
    known(board, 10, 10)
    for _ in range(20):
        board.sent(0, at(0))
    assert shares(board, of(1, 1))[0] < 0.02


def test_what_other_workers_sent_counts() -> None:
    one, two, three = boards(workers=3, rows=2)
    known(one, 10, 10)
    for _ in range(10):
        two.sent(0, at(0))
        three.sent(0, at(0))
    assert shares(one, of(1, 1))[0] < 0.02


def test_a_cold_target_is_tried_and_not_with_everything_at_once() -> None:
    (board,) = boards(rows=2)
    answered(board, 0, 5_000 * MS, at(0))
    source, sent = spins(), Counter[int]()
    for _ in range(100):
        row, _ = choose(board, of(1, 1), at(0), source.getrandbits(64))
        board.sent(row, at(0))
        sent[row] += 1
    assert 40 < sent[1] < 75


def test_a_fleet_of_which_nothing_is_known_is_shared() -> None:
    (board,) = boards(rows=3)
    assert min(shares(board, of(1, 1, 1)).values()) > 0.28


def test_a_target_that_was_slow_once_is_tried_again() -> None:
    (board,) = boards(rows=2)
    known(board, 10, 60_000)
    later = at(13 * limits.UPSTREAM_STALE_S)
    answered(board, 0, 10 * MS, later)
    assert shares(board, of(1, 1))[1] < 0.01
    assert shares(board, of(1, 1), now=later)[1] > 0.3


def test_a_target_that_answers_errors_quickly_is_not_attractive() -> None:
    (board,) = boards(rows=2)
    known(board, 100, 100)
    source, sent = spins(), Counter[int]()
    for number in range(2_000):
        row, _ = choose(board, of(1, 1), at(number / 1_000), source.getrandbits(64))
        sent[row] += 1
        if row == 1:
            board.sent(1, at(number / 1_000))
            board.failed(1, failure_of_status(404), at(number / 1_000))
        else:
            answered(board, 0, 100 * MS, at(number / 1_000))
    assert sent[1] < 60


def test_a_target_that_fails_half_the_time_gets_little() -> None:
    (board,) = boards(rows=2)
    known(board, 100, 100)
    source, sent = spins(), Counter[int]()
    for number in range(2_000):
        now = at(number / 100)
        row, _ = choose(board, of(1, 1), now, source.getrandbits(64))
        sent[row] += 1
        if row == 1 and sent[1] % 2:
            board.sent(1, now)
            board.failed(1, failure_of_status(500), now)
        else:
            answered(board, row, 100 * MS, now)
    assert 0 < sent[1] < 200


def test_a_dead_target_gets_no_more_than_three_requests_a_second() -> None:
    (board,) = boards(rows=3)
    source, sent = spins(), Counter[int]()
    for number in range(900):
        now = at(number / 1_000)
        row, _ = choose(board, of(1, 1, 1), now, source.getrandbits(64))
        sent[row] += 1
        if row == 2:
            board.sent(2, now)
            board.failed(2, Failure(Cause.CONNECT), now)
        else:
            answered(board, row, 10 * MS, now)
    assert sent[2] == 3


def test_a_half_open_target_gets_exactly_one_request() -> None:
    one, two = boards(workers=2, rows=2)
    known(one, 10, 10)
    opened(one, at(0), row=1)
    assert choose(one, of(1, 1), at(2), 5) == (1, False)
    assert one.sent(1, at(2)) is BreakerState.HALF_OPEN
    source = spins()
    for board in (one, two):
        for _ in range(100):
            assert choose(board, of(1, 1), at(2.1), source.getrandbits(64)) == (0, False)
    silent = at(2.1 + limits.BREAKER_TRIAL_S)
    assert choose(two, of(1, 1), silent, 5) == (1, False), "who tries it may have died"


@pytest.mark.parametrize("count", [1, 2])
def test_drained_targets_get_nothing_even_as_a_last_resort(count: int) -> None:
    (board,) = boards(rows=count)
    assert choose(board, of(*([0] * count)), at(0), 5) == (NOBODY, False)
    for row in range(count):
        board.drain(row)
    assert choose(board, of(*([1] * count)), at(0), 5) == (NOBODY, False)


@pytest.mark.parametrize("count", [1, 2])
def test_full_targets_get_nothing(count: int) -> None:
    (board,) = boards(rows=count)
    for row in range(count):
        for _ in range(limits.UPSTREAM_IN_FLIGHT_MAX):
            board.sent(row, at(0))
    assert choose(board, of(*([1] * count)), at(0), 5) == (NOBODY, False)
    board.ended(count - 1)
    assert choose(board, of(*([1] * count)), at(0), 5) == (count - 1, False)


def test_when_all_are_out_the_one_that_is_free_soonest_is_a_last_resort() -> None:
    (board,) = boards(rows=2)
    opened(board, at(0), row=0)
    board.sent(1, at(0))
    board.failed(1, failure_of_status(429, 30), at(0))
    assert choose(board, of(1, 1), at(0.5), 5) == (0, True)
    board.sent(1, at(0))
    assert choose(board, of(1, 1), at(0.5), 5, without=[0]) == (1, True)


def test_one_that_was_tried_is_left_out() -> None:
    (board,) = boards(rows=2)
    known(board, 1, 100)
    assert {choose(board, of(1, 1), at(0), spin, without=[0])[0] for spin in range(256)} == {1}
    assert choose(board, of(1), at(0), 5, without=[0]) == (NOBODY, False)


def test_the_reasons_are_said_in_words() -> None:
    (board,) = boards(rows=6)
    known(board, 10, 20)
    board.sent(0, at(0))
    opened(board, at(0), row=2)
    board.sent(3, at(0))
    board.failed(3, failure_of_status(429, 30), at(0))
    lines = [
        each.words(name)
        for each, name in zip(
            explain(board, Candidates(tuple(range(6)), (1, 3, 1, 1, 0, 1)), at(0)),
            "abcdef",
            strict=True,
        )
    ]
    assert lines == [
        "a: 1 in flight, first byte in 0.01 s",
        "b: 0 in flight, first byte in 0.02 s, weight 3",
        "c: failing, left alone for 1.0 s",
        "d: asked to be left alone for 30.0 s",
        "e: drained",
        "f: 0 in flight, cold",
    ]
    opened(board, at(2), row=5)
    board.sent(2, at(2))
    assert explain(board, of(1, 1, 1), at(2))[2].out == "being tried by another request"


@given(st.data())
def test_who_is_chosen_is_a_candidate_in_the_race_and_depends_on_the_arguments_only(
    data: st.DataObject,
) -> None:
    workers = data.draw(st.integers(1, 3))
    count = data.draw(st.integers(1, 5))
    board = boards(workers=workers, rows=count)[0]
    cell = st.sampled_from([0, 0, 0, 1, 5, SECOND, 3 * SECOND, 40 * SECOND])
    for index in range(len(board.words)):
        board.words[index] = data.draw(cell)
    candidates = Candidates(
        tuple(range(count)), tuple(data.draw(st.integers(0, 3)) for _ in range(count))
    )
    now, spin = Instant(2 * SECOND), data.draw(st.integers(0, (1 << 64) - 1))
    without = data.draw(st.sets(st.sampled_from(candidates.rows)))
    before = words_of(board)
    row, last_resort = choose(board, candidates, now, spin, without)
    assert (row, last_resort) == choose(board, candidates, now, spin, without)
    assert words_of(board) == before
    outs = {each.row: each.out for each in explain(board, candidates, now)}
    racing = {each for each, out in outs.items() if not out and each not in without}
    if row == NOBODY or last_resort:
        assert not racing
    else:
        assert row in racing
    if last_resort:
        assert row not in without
        assert outs[row] not in {"drained", "full"}


# --- an order ---


def in_order(candidates: Candidates, *order: int) -> Candidates:
    return replace(candidates, order=order)


def test_the_first_of_an_order_wins_whatever_its_times() -> None:
    (board,) = boards(rows=3)
    known(board, 10, 900, 50)
    assert shares(board, in_order(of(1, 1, 1), 1, 0))[1] == 1.0
    assert shares(board, in_order(of(1, 1, 1), 2))[2] == 1.0, "a cold one, too"


def test_an_order_goes_past_what_is_out_of_the_race() -> None:
    (board,) = boards(rows=4)
    known(board, 10, 10, 10, 10)
    opened(board, at(0), 1)
    board.drain(2)
    candidates = in_order(of(1, 1, 1, 1), 1, 2, 3, 0)
    assert choose(board, candidates, at(0), 7) == (3, False)
    assert choose(board, candidates, at(0), 7, without=[3]) == (0, False)


def test_what_an_order_leaves_out_is_chosen_as_ever_once_all_of_it_is_out() -> None:
    (board,) = boards(rows=3)
    known(board, 10, 10, 10)
    opened(board, at(0), 0)
    share = shares(board, in_order(of(1, 1, 1), 0))
    assert share[0] == 0
    assert share[1] == pytest.approx(0.5, abs=0.05)


def test_candidates_without_some_keep_weights_and_order() -> None:
    some = in_order(of(1, 2, 3), 2, 0, 1).without({0})
    assert some == Candidates((1, 2), (2, 3), (2, 1))
