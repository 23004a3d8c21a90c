"""The journey of one request: retries, hedges, fallbacks, and the end."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.routing.board import BreakerState, TargetBoard
from littoral.routing.choose import Candidates, explain
from littoral.routing.failures import Cause, Failure, failure_of_status
from littoral.routing.journey import Journey
from littoral.routing.words import (
    Begin,
    Broke,
    Cancel,
    Effect,
    Ended,
    Event,
    Fail,
    FirstByte,
    Gone,
    Moved,
    Refused,
    Send,
    Stage,
    Tick,
    stage_of,
)
from littoral.terms.values import SECOND, Instant, RelayPolicy
from tests.routing.test_board import answered, at, boards, opened, words_of

BROKEN = Failure(Cause.BROKEN)
BAD_REQUEST = failure_of_status(400)
SERVER_ERROR = failure_of_status(500)
POLICY = RelayPolicy(attempts=3, first_byte_s=20, total_s=60)


def stage(*rows: int, policy: RelayPolicy = POLICY) -> Stage:
    return stage_of(Candidates(rows, (1,) * len(rows)), policy)


def journey(
    *stages: Stage, board: TargetBoard | None = None, spin: int = 0x1234_5678_9ABC_DEF0
) -> tuple[Journey, TargetBoard]:
    board = board or boards(rows=6)[0]
    return Journey(board, stages, spin), board


def sent(effects: object) -> Send:
    """The one Send among effects."""
    assert isinstance(effects, list | tuple)
    (send,) = (effect for effect in effects if isinstance(effect, Send))
    return send


def limited(seconds: float) -> Failure:
    return failure_of_status(429, seconds)


def test_an_ordinary_request_is_sent_answered_and_over() -> None:
    one, board = journey(stage(0))
    assert one.step(Begin(), at(0)) == (Send(0, 0, 0),)
    assert board.in_flight(0) == 1
    assert one.deadline() == at(20)
    assert one.step(FirstByte(0), at(1)) == ()
    assert one.deadline() == at(60)
    assert one.step(Ended(0), at(2)) == ()
    assert one.done
    assert one.deadline() is None
    assert board.in_flight(0) == 0
    assert one.story("abc".__getitem__) == ["a: answered"]
    one.check()


def test_a_failure_before_the_first_byte_goes_to_another_target_at_once() -> None:
    one, board = journey(stage(0, 1, 2))
    first = sent(one.begin(at(0))).row
    second = sent(one.refused(0, BROKEN, at(0))).row
    third = sent(one.refused(1, SERVER_ERROR, at(0))).row
    assert {first, second, third} == {0, 1, 2}
    assert one.refused(2, BROKEN, at(0)) == [Fail(BROKEN)]
    assert one.done
    assert sum(map(board.in_flight, range(3))) == 0
    one.check()


def test_the_same_target_is_asked_again_after_pauses_that_double() -> None:
    one, _ = journey(stage(0, policy=RelayPolicy(attempts=4)))
    one.begin(at(0))
    pauses = []
    for attempt in range(3):
        assert one.refused(attempt, SERVER_ERROR, at(attempt)) == []
        moment = one.deadline()
        assert moment is not None
        pauses.append(moment - at(attempt))
        assert one.tick(Instant(moment - 1)) == []
        assert sent(one.tick(moment)).attempt == attempt + 1
        one.check()
    for number, pause in enumerate(pauses):
        assert 0.05 * 2**number <= pause / SECOND <= 0.1 * 2**number
    assert one.refused(3, SERVER_ERROR, at(4))[-1] == Fail(SERVER_ERROR)


def test_the_callers_own_fault_ends_it_and_goes_nowhere_else() -> None:
    one, board = journey(stage(0, 1), stage(2))
    row = sent(one.begin(at(0))).row
    assert one.refused(0, BAD_REQUEST, at(0)) == [Fail(BAD_REQUEST)]
    assert one.done
    assert board.state(row, at(0)) is BreakerState.CLOSED


def test_after_the_first_byte_a_failure_is_honest() -> None:
    one, _ = journey(stage(0, 1), stage(2))
    one.begin(at(0))
    one.first_byte(0, at(0))
    assert one.step(Broke(0, BROKEN), at(1)) == [Fail(BROKEN)]
    assert one.done


def test_a_target_that_would_say_the_same_again_is_not_asked_again() -> None:
    for status in (401, 403, 404):
        one, _ = journey(stage(0))
        one.begin(at(0))
        failure = failure_of_status(status)
        assert one.refused(0, failure, at(0)) == [Fail(failure)]


def test_a_short_retry_after_is_waited_out() -> None:
    one, _ = journey(stage(0))
    one.begin(at(0))
    assert one.refused(0, limited(1), at(0)) == []
    moment = one.deadline()
    assert moment is not None
    assert at(1) <= moment <= at(2)
    assert sent(one.tick(moment)).row == 0


def test_a_long_retry_after_is_told_to_the_client() -> None:
    one, _ = journey(stage(0))
    one.begin(at(0))
    assert one.refused(0, limited(30), at(0)) == [Fail(limited(30))]


def test_a_limited_target_is_left_for_another_and_by_the_next_request_too() -> None:
    one, board = journey(stage(0, 1))
    first = sent(one.begin(at(0))).row
    second = sent(one.refused(0, limited(30), at(0))).row
    assert second != first
    for spin in range(50):
        other, _ = journey(stage(0, 1), board=board, spin=spin)
        assert sent(other.begin(at(1))).row == second


def test_a_request_for_a_limited_target_waits_or_is_told_when() -> None:
    (board,) = boards(rows=6)
    board.sent(0, at(0))
    board.failed(0, limited(10), at(0))
    one, _ = journey(stage(0), board=board)
    (fail,) = one.begin(at(4))
    assert fail == Fail(Failure(Cause.LIMITED, retry_after_s=6.0))
    two, _ = journey(stage(0), board=board)
    assert two.begin(at(9)) == []
    moment = two.deadline()
    assert moment is not None
    assert sent(two.tick(moment)).row == 0


def test_a_stage_that_can_not_answer_is_followed_by_the_next() -> None:
    one, _ = journey(stage(0, policy=RelayPolicy(attempts=1)), stage(1), stage(2))
    assert sent(one.begin(at(0))).stage == 0
    send = sent(one.refused(0, SERVER_ERROR, at(0)))
    assert (send.stage, send.row) == (1, 1)
    one.first_byte(1, at(1))
    one.ended(1, at(2))
    assert one.done
    assert one.story("abc".__getitem__) == ["a: answered 500", "b: answered"]


def test_the_next_model_is_asked_rather_than_an_open_target() -> None:
    (board,) = boards(rows=6)
    opened(board, at(0))
    one, _ = journey(stage(0), stage(1), board=board)
    assert sent(one.begin(at(0.5))).stage == 1


def test_when_everything_is_open_one_attempt_is_made_as_a_last_resort() -> None:
    (board,) = boards(rows=6)
    opened(board, at(0), row=0)
    opened(board, at(0), row=1)
    one, _ = journey(stage(0), stage(1), board=board)
    assert one.begin(at(0.5)) == [Send(0, 0, 0, last_resort=True)]
    assert one.refused(0, BROKEN, at(0.5)) == [Fail(BROKEN)]


def test_when_all_are_drained_that_is_said() -> None:
    (board,) = boards(rows=6)
    board.drain(0)
    one, _ = journey(stage(0), board=board)
    assert one.begin(at(0)) == [Fail(Failure(Cause.NONE_FREE))]
    assert one.done


def test_a_target_drained_under_way_keeps_its_answer() -> None:
    one, board = journey(stage(0))
    one.begin(at(0))
    one.first_byte(0, at(0))
    board.drain(0)
    assert one.ended(0, at(9)) == ()
    assert one.done


HEDGED = RelayPolicy(attempts=3, hedge_after_s=2, first_byte_s=20, total_s=60)


def test_a_silent_target_is_hedged_and_the_first_to_answer_wins() -> None:
    for winner in (0, 1):
        one, board = journey(stage(0, 1, policy=HEDGED))
        first = sent(one.begin(at(0)))
        assert one.deadline() == at(2)
        hedge = sent(one.tick(at(2)))
        assert hedge.hedged
        assert hedge.row != first.row
        assert one.first_byte(winner, at(3)) == [Cancel(1 - winner)]
        assert one.first_byte(1 - winner, at(3)) == (), "too late"
        one.ended(winner, at(4))
        assert one.done
        assert board.in_flight(0) == board.in_flight(1) == 0
        one.check()


def test_a_hedge_is_one_and_counts_as_an_attempt() -> None:
    one, _ = journey(stage(0, 1, 2, policy=RelayPolicy(attempts=2, hedge_after_s=1)))
    one.begin(at(0))
    sent(one.tick(at(1)))
    assert one.tick(at(5)) == []
    assert one.refused(0, BROKEN, at(5)) == [], "the hedge goes on"
    assert one.refused(1, BROKEN, at(5)) == [Fail(BROKEN)]


def test_there_is_no_hedge_without_another_target() -> None:
    one, _ = journey(stage(0, policy=HEDGED))
    one.begin(at(0))
    assert one.tick(at(2)) == []
    assert one.deadline() == at(20)


def test_a_callers_fault_said_by_a_hedge_ends_both() -> None:
    one, board = journey(stage(0, 1, policy=HEDGED))
    one.begin(at(0))
    one.tick(at(2))
    assert one.refused(1, BAD_REQUEST, at(2)) == [Cancel(0), Fail(BAD_REQUEST)]
    assert board.in_flight(0) == board.in_flight(1) == 0


def test_a_target_silent_too_long_is_cancelled_and_another_asked() -> None:
    one, _ = journey(stage(0, 1))
    first = sent(one.begin(at(0)))
    effects = one.tick(at(20))
    assert effects[0] == Cancel(0)
    assert sent(effects).row != first.row


def test_the_deadline_of_the_whole_ends_it_wherever_it_is() -> None:
    policy = RelayPolicy(attempts=9, first_byte_s=50, total_s=60, hedge_after_s=1)
    late = Fail(Failure(Cause.TOTAL_TIMEOUT))
    for answering in (False, True):
        one, board = journey(stage(0, 1, policy=policy))
        one.begin(at(0))
        one.tick(at(1))
        if answering:
            one.first_byte(1, at(2))
        effects = one.tick(at(60))
        assert effects[-1] == late
        assert one.done
        assert board.in_flight(0) == board.in_flight(1) == 0


def test_the_deadline_blames_a_target_that_was_silent_for_most_of_it_only() -> None:
    policy = RelayPolicy(attempts=2, first_byte_s=50, total_s=10, hedge_after_s=8)
    one, board = journey(stage(0, 1, policy=policy))
    first = sent(one.begin(at(0)))
    hedge = sent(one.tick(at(8)))
    one.tick(at(10))
    setbacks = {each.row: each.setbacks for each in explain(board, stage(0, 1).candidates, at(10))}
    assert setbacks[first.row] > 0
    assert setbacks[hedge.row] == 0


def test_a_target_that_a_hedge_outpaced_is_known_to_be_slow() -> None:
    one, board = journey(stage(0, 1, policy=HEDGED))
    slow = sent(one.begin(at(0))).row
    one.tick(at(2))
    one.first_byte(1, at(2.1))
    (standing,) = explain(board, stage(slow).candidates, at(2.1))
    assert standing.first_byte_s == pytest.approx(2.1)


def test_no_pause_is_longer_than_the_request_may_take() -> None:
    one, _ = journey(stage(0, policy=RelayPolicy(attempts=3, total_s=1)))
    one.begin(at(0))
    assert one.refused(0, SERVER_ERROR, at(0.99)) == [Fail(SERVER_ERROR)]


def test_a_client_that_leaves_cancels_what_runs_and_blames_nobody() -> None:
    one, board = journey(stage(0, 1, policy=HEDGED))
    before = words_of(board)
    one.begin(at(0))
    one.tick(at(2))
    assert one.step(Gone(), at(3)) == [Cancel(0), Cancel(1)]
    assert one.done
    assert words_of(board) == before
    assert one.gone(at(3)) == []
    assert one.story("abc".__getitem__)[1].endswith("given up (hedge)")


def test_moves_of_a_breaker_are_told() -> None:
    (board,) = boards(rows=6)
    opened(board, at(0))
    one, _ = journey(stage(0), board=board)
    begun = one.begin(at(2))
    assert begun == [Moved(0, 0, BreakerState.HALF_OPEN), Send(0, 0, 0)]
    assert one.first_byte(0, at(2)) == [Moved(0, 0, BreakerState.CLOSED)]


def test_many_requests_leave_a_dead_target_and_come_back_when_it_does() -> None:
    (board,) = boards(rows=2)
    at_dead, failed = [0, 0], 0
    for number in range(4_000):
        now, dead = at(number / 200), number < 2_000
        one, _ = journey(stage(0, 1), board=board, spin=number * 0x9E37_79B9_7F4A_7C15)
        send = sent(one.begin(now))
        while not one.done:
            if send.row == 1:
                at_dead[not dead] += 1
            if send.row == 1 and dead:
                effects = one.refused(send.attempt, Failure(Cause.CONNECT), now)
                failed += any(isinstance(effect, Fail) for effect in effects)
                send = sent(effects)
            else:
                one.first_byte(send.attempt, Instant(now + 10_000_000))
                one.ended(send.attempt, now)
        one.check()
    assert failed == 0
    assert at_dead[0] <= 3 + 4, "three, then one each time that it is half open"
    assert at_dead[1] > 300


def follow(effects: object, under_way: set[int], begun: set[int]) -> None:
    """Keep what a driver would have under way, and assert what it may rely on."""
    assert isinstance(effects, list | tuple)
    for effect in effects:
        match effect:
            case Send(attempt):
                assert not begun, "never a Send after the first byte"
                under_way.add(attempt)
            case Cancel(attempt):
                assert attempt in under_way
                under_way.discard(attempt)
            case _:
                pass


FAILURES = st.sampled_from(
    [BROKEN, SERVER_ERROR, Failure(Cause.CONNECT), limited(1), limited(90), BAD_REQUEST]
    + [failure_of_status(status) for status in (401, 403, 404, 503)]
)


@settings(max_examples=300)
@given(st.data())
def test_whatever_happens_a_journey_ends_once_and_leaves_nothing_in_flight(
    data: st.DataObject,
) -> None:
    (board,) = boards(rows=6)
    for row in data.draw(st.sets(st.integers(0, 5))):
        answered(board, row, data.draw(st.integers(1, SECOND)), at(0))
    for row in data.draw(st.sets(st.integers(0, 5), max_size=3)):
        opened(board, at(0), row=row)
    policies = st.builds(
        RelayPolicy,
        attempts=st.integers(1, 4),
        first_byte_s=st.integers(1, 9),
        total_s=st.integers(5, 20),
        hedge_after_s=st.one_of(st.none(), st.integers(1, 4)),
    )
    stages = [
        stage(*data.draw(st.sets(st.integers(0, 5), min_size=1)), policy=data.draw(policies))
        for _ in range(data.draw(st.integers(1, 3)))
    ]
    one, _ = journey(*stages, board=board, spin=data.draw(st.integers(0, (1 << 64) - 1)))
    under_way: set[int] = set()
    begun: set[int] = set()
    fails = ended = gone = 0
    now = at(0)
    event: Event | None = Begin()
    while event is not None:
        effects: list[Effect] = list(one.step(event, now))
        follow(effects, under_way, begun)
        fails += sum(isinstance(effect, Fail) for effect in effects)
        one.check()
        board.check()
        assert sum(map(board.in_flight, range(6))) == len(under_way)
        if one.done:
            break
        event, now = _next(data, one, under_way, begun, now)
        match event:
            case FirstByte(attempt):
                begun.add(attempt)
            case Refused(attempt) | Broke(attempt):
                under_way.discard(attempt)
            case Ended(attempt):
                under_way.discard(attempt)
                ended += 1
            case Gone():
                gone += 1
            case _:
                pass
    assert one.done
    assert not under_way
    assert fails + ended + gone == 1
    assert one.step(Tick(), at(10_000)) == ()
    for attempt in range(len(one.attempts)):
        assert one.step(Refused(attempt, BROKEN), now) == ()
        assert one.step(FirstByte(attempt), now) == ()


def _next(
    data: st.DataObject, one: Journey, under_way: set[int], begun: set[int], now: Instant
) -> tuple[Event, Instant]:
    """Something that may happen next, and when."""
    deadline = one.deadline()
    assert deadline is not None, "it always ends by itself"
    if not under_way or data.draw(st.integers(0, 3)) == 0:
        return Tick(), max(now, deadline)
    if data.draw(st.integers(0, 20)) == 0:
        return Gone(), now
    now = Instant(min(now + data.draw(st.integers(0, SECOND)), max(now, deadline)))
    attempt = data.draw(st.sampled_from(sorted(under_way)))
    if attempt in begun:
        broke: list[Event] = [Ended(attempt), Broke(attempt, BROKEN)]
        return data.draw(st.sampled_from(broke)), now
    if data.draw(st.booleans()):
        return FirstByte(attempt), now
    return Refused(attempt, data.draw(FAILURES)), now


def test_a_request_with_an_order_goes_along_it() -> None:
    one, _ = journey(stage(0, 1, 2).for_one(order=(2, 7, 0)))
    assert sent(one.begin(at(0))).row == 2
    assert sent(one.refused(0, SERVER_ERROR, at(1))).row == 0
    assert sent(one.refused(1, SERVER_ERROR, at(2))).row == 1


def test_a_request_never_goes_where_it_may_not() -> None:
    one, _ = journey(stage(0, 1).for_one(without={0}, order=(0, 1)))
    assert sent(one.begin(at(0))).row == 1
    one.refused(0, SERVER_ERROR, at(1))
    while not one.done:
        moment = one.deadline()
        assert moment is not None
        effects = one.tick(moment)
        assert all(effect.row == 1 for effect in effects if isinstance(effect, Send))
        for number, attempt in enumerate(one.attempts):
            if attempt.live:
                one.refused(number, SERVER_ERROR, moment)
    nowhere, _ = journey(stage(0).for_one(without={0}))
    (failed,) = nowhere.begin(at(0))
    assert isinstance(failed, Fail)


def test_a_request_that_has_less_time_ends_earlier() -> None:
    one, _ = journey(stage(0, 1).for_one(within=3 * SECOND))
    one.begin(at(0))
    assert (one.total_at, one.deadline()) == (at(3), at(3))
    failed = one.tick(at(3))[-1]
    assert failed == Fail(Failure(Cause.TOTAL_TIMEOUT))
