"""The pool: who may use which model when. Values in, values out; no loop and no engine."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.placement.pool import Pool
from littoral.placement.words import (
    Drain,
    Effect,
    Event,
    Gone,
    Grant,
    Know,
    PoolBounds,
    Refuse,
    Released,
    Reported,
    Resident,
    Start,
    Stop,
    Tick,
    Unload,
    Wanted,
)
from littoral.terms.errors import EngineStartError, LittoralError, UpstreamFailedError
from littoral.terms.ids import ModelName
from littoral.terms.values import (
    SECOND,
    Down,
    EngineInfo,
    EngineKind,
    Instant,
    Ready,
    Starting,
)

A, B, C = ModelName("a"), ModelName("b"), ModelName("c")
FAR = Instant(10**15)


def info(slots: int = 2, kv_tokens: int = 100) -> EngineInfo:
    return EngineInfo(EngineKind.ECHO, "test 1", "cpu", slots, 100, kv_tokens)


class Bench:
    """A pool with a hand on its clock."""

    def __init__(self, memory: int = 100, queue: int = 3, keep_alive_s: int = 60) -> None:
        self.pool = Pool(PoolBounds(memory, queue, keep_alive_s * SECOND))
        self.now = Instant(SECOND)
        self.ticket = 0

    def do(self, event: Event) -> list[Effect]:
        effects = list(self.pool.step(event, self.now))
        self.pool.check()
        return effects

    def know(self, *models: ModelName, size: int = 40, pinned: bool = False) -> None:
        for model in models:
            self.do(Know(Resident(model, size, pinned)))

    def want(
        self, model: ModelName, tokens: int = 10, wait_s: int = 60
    ) -> tuple[int, list[Effect]]:
        self.ticket += 1
        until = Instant(self.now + wait_s * SECOND)
        return self.ticket, self.do(Wanted(self.ticket, model, tokens, until))

    def load(self, model: ModelName, **engine: int) -> None:
        self.do(Know(Resident(model, 40), load=True))
        self.do(Reported(model, Ready(info(**engine))))


def grants(effects: Sequence[Effect]) -> list[int]:
    return [effect.ticket for effect in effects if isinstance(effect, Grant)]


def refusals(effects: Sequence[Effect]) -> dict[int, LittoralError]:
    return {effect.ticket: effect.error for effect in effects if isinstance(effect, Refuse)}


def starts(effects: Sequence[Effect]) -> list[ModelName]:
    return [effect.model for effect in effects if isinstance(effect, Start)]


def stops(effects: Sequence[Effect]) -> list[ModelName]:
    return [effect.model for effect in effects if isinstance(effect, Stop)]


def test_a_cold_model_is_started_when_wanted_and_granted_when_ready() -> None:
    bench = Bench()
    bench.know(A)
    ticket, effects = bench.want(A)
    assert starts(effects) == [A]
    assert grants(effects) == []
    assert grants(bench.do(Reported(A, Ready(info())))) == [ticket]


def test_a_model_nobody_knows_is_refused() -> None:
    ticket, effects = Bench().want(A)
    assert refusals(effects)[ticket].code == "model_not_found"


def test_slots_are_never_oversubscribed_and_the_next_goes_in_when_one_ends() -> None:
    bench = Bench()
    bench.load(A, slots=1)
    first, effects = bench.want(A)
    assert grants(effects) == [first]
    second, effects = bench.want(A)
    assert grants(effects) == []
    assert grants(bench.do(Released(first))) == [second]


def test_tokens_are_never_oversubscribed_and_nobody_overtakes() -> None:
    bench = Bench()
    bench.load(A, slots=8, kv_tokens=100)
    first, _ = bench.want(A, tokens=70)
    large, effects = bench.want(A, tokens=60)
    assert grants(effects) == []
    small, effects = bench.want(A, tokens=10)
    assert grants(effects) == [], "a small request must not overtake a large one for ever"
    assert grants(bench.do(Released(first))) == [large, small]


def test_a_request_larger_than_the_whole_cache_is_let_in_alone_for_the_engine_to_refuse() -> None:
    bench = Bench()
    bench.load(A, slots=8, kv_tokens=100)
    huge, effects = bench.want(A, tokens=900)
    assert grants(effects) == [huge]


def test_a_request_of_several_choices_takes_as_many_slots() -> None:
    bench = Bench()
    bench.load(A, slots=4)
    first = Wanted(90, A, 10, FAR, slots=3)
    assert grants(bench.do(first)) == [90]
    assert grants(bench.do(Wanted(91, A, 10, FAR, slots=2))) == []
    assert grants(bench.do(Released(90))) == [91]


def test_a_model_that_is_ready_again_forgets_that_it_failed() -> None:
    bench = Bench()
    bench.know(A)
    bench.want(A)
    bench.do(Reported(A, Down(EngineStartError("x"), retrying=False)))
    bench.do(Gone(A))
    bench.load(A)
    ticket, effects = bench.want(A)
    assert grants(effects) == [ticket]


def test_a_full_queue_refuses_with_the_machines_fault_and_a_time_to_retry() -> None:
    bench = Bench(queue=1)
    bench.load(A, slots=1)
    bench.want(A)
    bench.want(A)
    ticket, effects = bench.want(A)
    error = refusals(effects)[ticket]
    assert error.code == "machine_overloaded"
    assert error.status == 503
    assert error.retry_after_s
    assert "machine" in str(error)


def test_a_wait_for_loading_ends_with_progress_and_an_eta_when_it_can_be_known() -> None:
    bench = Bench()
    bench.know(A)
    ticket, _ = bench.want(A, wait_s=10)
    bench.do(Reported(A, Starting("reading weights", 0.25)))
    assert bench.pool.deadline() == Instant(11 * SECOND)
    bench.now = Instant(11 * SECOND)
    error = refusals(bench.do(Tick()))[ticket]
    assert error.code == "model_loading"
    assert error.details["loading"] == {
        "stage": "reading weights",
        "elapsed_s": 10.0,
        "fraction": 0.25,
        "eta_s": 30.0,
    }
    assert error.retry_after_s == 30.0


def test_without_a_fraction_or_an_earlier_load_no_eta_is_invented() -> None:
    bench = Bench()
    bench.know(A)
    ticket, _ = bench.want(A, wait_s=10)
    bench.now = Instant(11 * SECOND)
    loading = refusals(bench.do(Tick()))[ticket].details["loading"]
    assert isinstance(loading, dict)
    assert "eta_s" not in loading


def test_an_idle_model_is_stopped_after_keep_alive_and_a_pinned_one_is_not() -> None:
    bench = Bench(keep_alive_s=60)
    bench.do(Know(Resident(A, 40), load=True))
    bench.do(Know(Resident(B, 40, pinned=True), load=True))
    bench.do(Reported(A, Ready(info())))
    bench.do(Reported(B, Ready(info())))
    assert bench.pool.deadline() == Instant(61 * SECOND)
    bench.now = Instant(61 * SECOND)
    assert stops(bench.do(Tick())) == [A]
    assert bench.pool.deadline() is None


def test_the_least_recently_used_idle_model_makes_room_and_the_start_waits_for_it() -> None:
    bench = Bench(memory=100)
    bench.load(A)
    bench.now = Instant(5 * SECOND)
    bench.load(B)
    bench.know(C)
    ticket, effects = bench.want(C)
    assert stops(effects) == [A]
    assert starts(effects) == []
    assert starts(bench.do(Gone(A))) == [C]
    assert grants(bench.do(Reported(C, Ready(info())))) == [ticket]


def test_a_model_with_a_request_in_flight_is_never_evicted() -> None:
    bench = Bench(memory=80)
    bench.load(A)
    bench.load(B)
    busy, _ = bench.want(A)
    bench.know(C, size=80)
    waiting, effects = bench.want(C)
    assert stops(effects) == [], "stopping only B would not make enough room"
    effects = bench.do(Released(busy))
    assert sorted(stops(effects)) == [A, B]
    bench.do(Gone(A))
    assert starts(bench.do(Gone(B))) == [C]
    assert grants(bench.do(Reported(C, Ready(info())))) == [waiting]


def test_a_model_that_can_never_fit_is_refused_at_once_with_both_numbers() -> None:
    bench = Bench(memory=100)
    bench.know(A, size=101)
    ticket, effects = bench.want(A)
    error = refusals(effects)[ticket]
    assert error.code == "memory_short"
    assert error.details == {"needed_bytes": 101, "budget_bytes": 100}


def test_an_engine_that_gives_up_refuses_who_waits_and_is_tried_again_only_later() -> None:
    bench = Bench()
    bench.know(A)
    first, _ = bench.want(A)
    error = EngineStartError("it will not start", advice="read the log", details={"log": ["x"]})
    told = refusals(bench.do(Reported(A, Down(error, retrying=False))))[first]
    assert told.code == "engine_start_failed"
    assert "log" not in told.details, "an engine's log is not the caller's to read"
    bench.do(Gone(A))
    second, effects = bench.want(A)
    assert refusals(effects) == {second: told}
    bench.now = Instant(bench.now + 6 * SECOND)
    _, effects = bench.want(A)
    assert starts(effects) == [A]


def test_a_pinned_model_that_gave_up_is_tried_again_by_itself() -> None:
    bench = Bench()
    bench.do(Know(Resident(A, 40, pinned=True), load=True))
    bench.do(Reported(A, Down(EngineStartError("x"), retrying=False)))
    bench.do(Gone(A))
    assert bench.pool.deadline() == Instant(bench.now + 30 * SECOND)
    bench.now = Instant(bench.now + 30 * SECOND)
    assert starts(bench.do(Tick())) == [A]


def test_who_waits_for_an_upstream_that_can_not_be_reached_is_told_at_once() -> None:
    bench = Bench()
    bench.know(A)
    first, _ = bench.want(A)
    down = Reported(A, Down(UpstreamFailedError("connection refused"), retrying=True))
    assert refusals(bench.do(down))[first].code == "upstream_failed"
    second, effects = bench.want(A)
    assert refusals(effects)[second].code == "upstream_failed"
    bench.do(Reported(A, Ready(info())))
    third, effects = bench.want(A)
    assert grants(effects) == [third]


def test_requests_wait_through_a_restart_of_the_engine() -> None:
    bench = Bench()
    bench.load(A)
    bench.do(Reported(A, Down(EngineStartError("killed"), retrying=True)))
    ticket, effects = bench.want(A)
    assert grants(effects) == []
    assert grants(bench.do(Reported(A, Ready(info())))) == [ticket]


def test_a_forgotten_model_is_stopped_when_idle_and_wanted_no_more() -> None:
    bench = Bench()
    bench.load(A)
    busy, _ = bench.want(A)
    effects = bench.do(Unload(A, "removed", forget=True))
    assert stops(effects) == []
    ticket, effects = bench.want(A)
    assert refusals(effects)[ticket].code == "model_not_found"
    assert stops(bench.do(Released(busy))) == [A]
    bench.do(Gone(A))
    assert bench.pool.counts(A) == (0, 0)


def test_draining_refuses_who_waits_and_who_comes_and_ends_when_all_engines_are_gone() -> None:
    bench = Bench()
    bench.load(A, slots=1)
    running, _ = bench.want(A)
    waiting, _ = bench.want(A)
    effects = bench.do(Drain())
    assert refusals(effects)[waiting].code == "draining"
    assert stops(effects) == [], "the running request may end first"
    late, effects = bench.want(A)
    assert refusals(effects)[late].code == "draining"
    assert stops(bench.do(Released(running))) == [A]
    assert not bench.pool.done
    bench.do(Gone(A))
    assert bench.pool.done


MODELS = (A, B, C)
RESTARTING = Down(EngineStartError("x"), retrying=True)
GAVE_UP = Down(EngineStartError("x"), retrying=False)
STEPS = st.lists(
    st.tuples(st.sampled_from(range(9)), st.sampled_from(MODELS), st.integers(0, 60)),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_whatever_happens_every_ticket_gets_exactly_one_answer(
    steps: list[tuple[int, ModelName, int]],
) -> None:
    """A world of honest engines: what is started reports or dies, what is stopped goes."""
    bench = Bench(memory=100, queue=4)
    bench.know(*MODELS)
    running: set[ModelName] = set()
    open_tickets: dict[int, str] = {}

    def watch(effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Start(model):
                    assert model not in running
                    running.add(model)
                case Stop(model):
                    assert model in running
                case Grant(ticket, _) | Refuse(ticket, _):
                    assert open_tickets.pop(ticket) == "waiting"
                    if isinstance(effect, Grant):
                        open_tickets[ticket] = "granted"
                case _:
                    pass

    stopping: set[ModelName] = set()
    for action, model, amount in steps:
        bench.now = Instant(bench.now + amount * SECOND)
        event: Event
        match action:
            case 0 | 1 | 2:
                bench.ticket += 1
                open_tickets[bench.ticket] = "waiting"
                event = Wanted(bench.ticket, model, amount, Instant(bench.now + 20 * SECOND))
            case 3 | 4 if open_tickets:
                event = Released(open_tickets.popitem()[0])
            case 5 | 6 if model in running:
                event = Reported(model, Ready(info()))
            case 7 if model in running:
                event = Reported(model, RESTARTING if amount % 2 == 0 else GAVE_UP)
            case 8:
                event = Unload(model, "asked")
            case _:
                event = Tick()
        effects = bench.do(event)
        watch(effects)
        stopping.update(stops(effects))
        if event == Reported(model, GAVE_UP):
            stopping.add(model)
        if stopping and amount % 3 == 0:
            gone = min(stopping)
            stopping.discard(gone)
            running.discard(gone)
            watch(bench.do(Gone(gone)))
    while (moment := bench.pool.deadline()) is not None and "waiting" in open_tickets.values():
        bench.now = Instant(max(moment, bench.now))
        watch(bench.do(Tick()))
    assert "waiting" not in open_tickets.values()
