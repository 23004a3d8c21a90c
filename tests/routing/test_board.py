"""The board: what counts against a target, and how it comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.routing.board import BreakerState, TargetBoard
from littoral.routing.choose import Candidates, choose
from littoral.routing.failures import Cause, Failure, failure_of_status
from littoral.terms import limits
from littoral.terms.values import SECOND, Instant

OPEN, HALF_OPEN, CLOSED = BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED
BROKEN, REFUSED = Failure(Cause.BROKEN), Failure(Cause.CONNECT)


def at(seconds: float) -> Instant:
    return Instant(SECOND + int(seconds * SECOND))


def boards(workers: int = 1, rows: int = 1) -> list[TargetBoard]:
    """One board for each worker, over the same words."""
    words = memoryview(bytearray(8 * TargetBoard.words_of_row(workers) * rows)).cast("q")
    return [TargetBoard(words, worker=worker, workers=workers) for worker in range(workers)]


def words_of(board: TargetBoard) -> list[int]:
    return list(board.words[:])


def opened(board: TargetBoard, now: Instant, row: int = 0) -> None:
    while board.state(row, now) is not OPEN:
        board.sent(row, now)
        board.failed(row, BROKEN, now)


def answered(board: TargetBoard, row: int, elapsed: int, now: Instant) -> BreakerState | None:
    board.sent(row, now)
    moved = board.first_byte(row, elapsed, now)
    board.ended(row)
    return moved


def test_failures_in_a_row_open_it_and_an_answer_between_them_does_not() -> None:
    (board,) = boards()
    for _ in range(limits.BREAKER_FAILURES - 1):
        board.sent(0, at(0))
        assert board.failed(0, BROKEN, at(0)) is None
    answered(board, 0, 5, at(0))
    for _ in range(limits.BREAKER_FAILURES - 1):
        board.sent(0, at(0))
        assert board.failed(0, BROKEN, at(0)) is None
    board.sent(0, at(0))
    assert board.failed(0, BROKEN, at(0)) is OPEN
    assert board.state(0, at(0)) is OPEN


def test_a_refused_connection_counts_twice() -> None:
    (board,) = boards()
    moves = []
    for _ in range(3):
        board.sent(0, at(0))
        moves.append(board.failed(0, REFUSED, at(0)))
    assert moves == [None, None, OPEN]


def test_answers_that_always_break_off_open_it_although_they_all_begin() -> None:
    (board,) = boards()
    for _ in range(2 * limits.BREAKER_FAILURES):
        board.sent(0, at(0))
        board.first_byte(0, 5, at(0))
        if board.failed(0, BROKEN, at(0), begun=True) is OPEN:
            return
    raise AssertionError("it never opened")


@pytest.mark.parametrize("status", [400, 401 + 1, 403, 404, 413, 422, 429])
def test_a_client_that_causes_4xx_never_opens_the_breaker(status: int) -> None:
    (board,) = boards()
    for _ in range(1_000):
        board.sent(0, at(0))
        failure = failure_of_status(status)
        if failure.cause is Cause.CALLER:
            assert board.caller_fault(0, at(0)) is None
        else:
            assert board.failed(0, failure, at(0)) is None
        assert board.state(0, at(0)) is CLOSED
    assert board.in_flight(0) == 0


def test_a_client_that_leaves_counts_neither_way() -> None:
    (board,) = boards()
    before = words_of(board)
    board.sent(0, at(0))
    board.abandoned(0)
    assert words_of(board) == before


def test_a_client_that_leaves_while_a_target_is_tried_lets_another_try_it() -> None:
    (board,) = boards()
    opened(board, at(0))
    for _ in range(2):
        assert choose(board, Candidates((0,), (1,)), at(2), 5) == (0, False)
        assert board.sent(0, at(2)) is HALF_OPEN
        assert choose(board, Candidates((0,), (1,)), at(2), 5) == (0, True)
        board.abandoned(0)


def test_it_stays_open_for_longer_each_time_and_never_longer_than_the_bound() -> None:
    (board,) = boards()
    now, lengths = at(0), []
    opened(board, now)
    for _ in range(12):
        until = board.words[0]
        lengths.append(until - now)
        assert board.state(0, Instant(until - 1)) is OPEN
        now = Instant(until)
        assert board.sent(0, now) is HALF_OPEN
        assert board.failed(0, BROKEN, now) is OPEN
    assert lengths[:3] == [SECOND, 2 * SECOND, 4 * SECOND]
    assert lengths[-1] == limits.BREAKER_OPEN_S_MAX * SECOND


def test_requests_sent_before_it_opened_do_not_prolong_it() -> None:
    (board,) = boards()
    for _ in range(100):
        board.sent(0, at(0))
    moves = [board.failed(0, REFUSED, at(0.001 * number)) for number in range(100)]
    assert moves.count(OPEN) == 1
    assert board.state(0, at(1.1)) is HALF_OPEN


def test_a_first_byte_closes_it_and_one_more_break_opens_it_for_longer() -> None:
    (board,) = boards()
    opened(board, at(0))
    board.sent(0, at(2))
    assert board.first_byte(0, 5, at(2)) is CLOSED
    assert board.failed(0, BROKEN, at(3), begun=True) is OPEN
    assert board.state(0, at(4.9)) is OPEN, "two seconds, as it is the second time in a row"
    assert board.state(0, at(5)) is HALF_OPEN


def test_a_whole_answer_clears_what_was_held_against_it() -> None:
    (board,) = boards()
    opened(board, at(0))
    assert answered(board, 0, 5, at(2)) is CLOSED
    answered(board, 0, 5, at(2))
    opened(board, at(3))
    assert board.state(0, at(4)) is HALF_OPEN, "one second, as the first time"


def test_a_target_that_says_when_is_left_alone_so_long_and_is_not_broken() -> None:
    (board,) = boards()
    for status in (429, 503):
        board.sent(0, at(0))
        assert board.failed(0, failure_of_status(status, 30), at(0)) is None
    assert board.aside_until(0) == at(30)
    assert board.state(0, at(0)) is CLOSED


def test_of_two_words_on_when_to_come_again_the_later_holds() -> None:
    (board,) = boards()
    for after in (30, 1):
        board.sent(0, at(0))
        board.failed(0, failure_of_status(429, after), at(0))
    assert board.aside_until(0) == at(30)


def test_no_target_is_left_alone_for_ever_on_its_word() -> None:
    (board,) = boards()
    board.sent(0, at(0))
    board.failed(0, failure_of_status(429, 1e300), at(0))
    assert board.aside_until(0) == at(limits.UPSTREAM_ASIDE_S_MAX)


def test_probes_that_fail_open_it_and_one_that_passes_lets_it_be_tried() -> None:
    (board,) = boards()
    moves = [board.probe_failed(0, REFUSED, at(0)) for _ in range(3)]
    assert moves == [None, None, OPEN]
    assert board.probe_ok(0, at(0.1)) is HALF_OPEN
    assert board.probe_ok(0, at(0.2)) is None
    assert board.state(0, at(0.2)) is HALF_OPEN, "a passed probe alone does not close it"


def test_probes_that_pass_hide_no_failing_requests() -> None:
    (board,) = boards()
    for _ in range(limits.BREAKER_FAILURES - 1):
        board.sent(0, at(0))
        board.failed(0, BROKEN, at(0))
        board.probe_ok(0, at(0))
    board.sent(0, at(0))
    assert board.failed(0, BROKEN, at(0)) is OPEN


def test_an_answer_of_any_kind_shows_that_a_target_being_tried_is_well() -> None:
    (board,) = boards()
    opened(board, at(0))
    board.sent(0, at(2))
    assert board.caller_fault(0, at(2)) is CLOSED
    opened(board, at(3))
    board.sent(0, at(8))
    assert board.failed(0, failure_of_status(404), at(8)) is CLOSED


def test_quick_errors_do_not_make_a_target_look_quick() -> None:
    (board,) = boards()
    answered(board, 0, 50_000, at(0))
    before = words_of(board)
    board.sent(0, at(0))
    board.failed(0, failure_of_status(500), at(0))
    assert board.words[3] == before[3]
    assert board.words[4] > before[4]


def test_a_target_that_lost_a_race_is_known_to_be_slow() -> None:
    (board,) = boards()
    board.sent(0, at(0))
    board.outpaced(0, 7_000, at(0))
    assert board.words[3] == 7_000
    board.sent(0, at(0))
    board.outpaced(0, 1_000, at(0))
    assert board.words[3] == 7_000, "at least so long is no news here"


def test_workers_see_each_others_requests_and_failures() -> None:
    one, two = boards(workers=2)
    one.sent(0, at(0))
    two.sent(0, at(0))
    assert one.in_flight(0) == two.in_flight(0) == 2
    one.failed(0, REFUSED, at(0))
    two.failed(0, REFUSED, at(0))
    one.sent(0, at(0))
    assert one.failed(0, REFUSED, at(0)) is OPEN
    assert two.state(0, at(0)) is OPEN


def test_what_a_dead_worker_held_is_forgotten_and_nothing_else() -> None:
    one, two = boards(workers=2, rows=3)
    for row in range(3):
        one.sent(row, at(0))
        two.sent(row, at(0))
    answered(one, 1, 99, at(0))
    one.forget_worker(1)
    assert [one.in_flight(row) for row in range(3)] == [1, 1, 1]
    assert one.words[one.row_words + 3] == 99


def test_a_row_given_to_another_target_begins_afresh_and_stays_right() -> None:
    (board,) = boards(rows=2)
    board.sent(0, at(0))
    board.sent(1, at(0))
    board.forget([0])
    board.ended(0)
    assert board.in_flight(0) == 0
    assert board.in_flight(1) == 1


def test_draining_is_kept_until_it_is_taken_back() -> None:
    (board,) = boards()
    board.drain(0)
    assert board.drained(0)
    answered(board, 0, 5, at(0))
    assert board.drained(0)
    board.undrain(0)
    assert not board.drained(0)


def end(board: TargetBoard, row: int, how: int, failure: Failure, now: Instant) -> None:
    match how:
        case 0 | 1:
            board.ended(row)
        case 2 | 3:
            board.failed(row, failure, now, begun=how == 3)
        case 4:
            board.caller_fault(row, now)
        case 5:
            board.abandoned(row)
        case _:
            board.outpaced(row, 5, now)


FAILURES = st.builds(
    Failure,
    st.sampled_from([cause for cause in Cause if cause is not Cause.CALLER]),
    st.sampled_from([0, 401, 403, 500]),
    st.one_of(st.none(), st.floats(0, 1e6)),
)


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 7), FAILURES), max_size=80
    )
)
def test_whatever_happens_in_flight_is_what_was_sent_and_not_over(
    steps: list[tuple[int, int, int, Failure]],
) -> None:
    both = boards(workers=2, rows=2)
    under_way: dict[tuple[int, int], int] = {}
    now = at(0)
    for worker, row, what, failure in steps:
        board, now = both[worker], Instant(now + SECOND // 3)
        key = (worker, row)
        if what == 7:
            board.sent(row, now)
            board.first_byte(row, 5 * SECOND, now)
            under_way[key] = under_way.get(key, 0) + 1
        elif under_way.get(key, 0):
            end(board, row, what, failure, now)
            under_way[key] -= 1
        else:
            board.probe_failed(row, failure, now)
        board.check()
        for each in range(2):
            expected = sum(under_way.get((who, each), 0) for who in range(2))
            assert board.in_flight(each) == expected
