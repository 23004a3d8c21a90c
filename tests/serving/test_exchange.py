"""The exchange: one request, whatever happens to it. Values in, values out."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from littoral.serving.exchange import (
    Arrived,
    Bounds,
    ClientGone,
    Count,
    Counted,
    Dispatch,
    Effect,
    Ended,
    Event,
    Exchange,
    Fail,
    Lease,
    Leased,
    Lost,
    Record,
    Refund,
    Refused,
    Release,
    Reserve,
    Reserved,
    Sealed,
    Settle,
    Started,
)
from littoral.serving.plan import Plan
from littoral.terms.errors import EngineLostError, RateLimitedError
from littoral.terms.ids import ModelName
from littoral.terms.values import (
    EngineCall,
    EngineInfo,
    EngineKind,
    Finish,
    Instant,
    Kind,
    Usage,
)

INFO = EngineInfo(EngineKind.ECHO, "test 1", "cpu", 2, 100, 100)
NOW = Instant(0)
USED = Usage(10, 5)


def exchange(
    *, bound: int = 50, completion: int = 20, share: int = 0, exact: bool = False
) -> Exchange:
    call = EngineCall(Kind.CHAT, {"max_tokens": completion}, stream=True, model=ModelName("m"))
    plan = Plan(call, bound, completion)
    return Exchange(plan, Bounds(100, share_tokens=share, cache_tokens=200, exact=exact))


def run(machine: Exchange, *events: Event) -> list[Effect]:
    effects: list[Effect] = []
    for event in events:
        effects += machine.step(event, NOW)
        machine.check()
    return effects


HAPPY: Sequence[Event] = (
    Arrived(),
    Reserved(),
    Leased(INFO),
    Started(),
    Ended(USED, Finish.STOP),
    Sealed(),
)


def test_a_good_exchange_reserves_leases_dispatches_releases_settles_and_records_once() -> None:
    machine = exchange()
    assert run(machine, *HAPPY) == [
        Reserve(70),
        Lease(70, 1),
        Dispatch(machine.plan),
        Release(),
        Settle(15),
        Record(USED, Finish.STOP),
    ]
    assert machine.done


def test_the_slot_is_free_before_the_last_byte_is_written() -> None:
    machine = exchange()
    assert run(machine, *HAPPY[:5])[-1] == Release()
    assert not machine.done


def test_a_prompt_that_may_exceed_its_share_of_the_cache_is_counted_first() -> None:
    machine = exchange(bound=50, completion=20, share=60)
    assert run(machine, Arrived()) == [Count()]
    assert run(machine, Counted(12)) == [Reserve(32)]


def test_a_metered_caller_is_counted_exactly() -> None:
    assert run(exchange(exact=True), Arrived()) == [Count()]


def test_an_engine_that_cannot_count_leaves_the_bound() -> None:
    assert run(exchange(exact=True), Arrived(), Counted(None))[-1] == Reserve(70)


def test_generation_is_bounded_by_the_room_that_the_prompt_leaves() -> None:
    machine = exchange(bound=400, completion=50, share=60)
    assert run(machine, Arrived(), Counted(80))[-1] == Reserve(100)
    assert machine.plan.call.body["max_tokens"] == 20


def test_a_counted_prompt_that_can_not_fit_is_refused_before_anything_is_taken() -> None:
    machine = exchange(bound=400, share=60)
    (failure,) = run(machine, Arrived(), Counted(100))[1:]
    assert isinstance(failure, Fail)
    assert failure.error.code == "context_length_exceeded"
    assert failure.error.details == {"prompt_tokens": 100, "context_tokens": 100}
    assert machine.done


def test_a_refused_budget_ends_it_with_nothing_owed() -> None:
    error = RateLimitedError("too many")
    assert run(exchange(), Arrived(), Refused(error))[1:] == [Fail(error)]


def test_a_refused_lease_gives_the_budget_back() -> None:
    error = RateLimitedError("too many")
    effects = run(exchange(), Arrived(), Reserved(), Refused(error))
    assert effects[-2:] == [Refund(), Fail(error)]


def test_a_lost_engine_is_settled_recorded_as_failed_and_told_to_the_client() -> None:
    error = EngineLostError("died")
    effects = run(exchange(), *HAPPY[:4], Lost(error, USED))
    assert effects[-4:] == [Release(), Settle(15), Record(USED, Finish.FAILED), Fail(error)]


def test_an_answer_that_ended_and_is_none_is_recorded_as_failed() -> None:
    error = EngineLostError("broke off")
    effects = run(exchange(), *HAPPY[:5], Lost(error, USED))
    assert effects[-4:] == [Release(), Settle(15), Record(USED, Finish.FAILED), Fail(error)]


def test_a_client_that_leaves_while_it_waits_owes_nothing() -> None:
    assert run(exchange(), Arrived(), Reserved(), ClientGone(Usage()))[-1] == Refund()


def test_a_client_that_leaves_mid_answer_pays_for_what_was_made_and_frees_the_slot() -> None:
    effects = run(exchange(), *HAPPY[:4], ClientGone(USED))
    assert effects[-3:] == [Release(), Settle(15), Record(USED, Finish.CLIENT_GONE)]


@given(st.integers(0, len(HAPPY)), st.sampled_from(["gone", "lost", "refused"]))
def test_wherever_it_breaks_off_everything_taken_is_given_back_exactly_once(
    steps: int, how: str
) -> None:
    machine = exchange()
    effects = run(machine, *HAPPY[:steps])
    before_dispatch = not any(isinstance(effect, Dispatch) for effect in effects)
    sealed = any(isinstance(event, Sealed) for event in HAPPY[:steps])
    end: Event = ClientGone(USED)
    if how == "lost" and not before_dispatch and not sealed:
        end = Lost(EngineLostError("x"), USED)
    if how == "refused" and before_dispatch and steps:
        end = Refused(RateLimitedError("x"))
    effects += run(machine, end, ClientGone(USED))
    assert machine.done
    counts = {kind: sum(isinstance(e, kind) for e in effects) for kind in _COUNTED}
    reserved = steps > 1
    leased = steps > 2
    assert counts[Release] == leased
    assert counts[Settle] + counts[Refund] == reserved
    assert counts[Record] == counts[Settle] == (not before_dispatch)


_COUNTED: tuple[type[Effect], ...] = (Release, Settle, Refund, Record)
