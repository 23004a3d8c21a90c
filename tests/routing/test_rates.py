"""Rates are learned from answers, robustly, and forgotten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.routing.rates import Answered, Measured, Rates
from littoral.terms.values import SECOND, Instant


def at(seconds: float) -> Instant:
    return Instant(int(seconds * SECOND))


def answer(
    prefill: float = 1_000.0, decode: float = 50.0, tokens: int = 101, at_work: int = 1
) -> Answered:
    first = 500 / prefill
    return Answered(first, first + (tokens - 1) / decode, 500, tokens, at_work)


def test_nothing_is_known_of_what_never_answered() -> None:
    assert Rates().measured(at(0)) == Measured()


def test_rates_are_those_of_the_answers() -> None:
    rates = Rates()
    rates.answered(answer(), at(0))
    rates.loaded(4.0)
    measured = rates.measured(at(1))
    assert measured.prefill_tps == pytest.approx(1_000)
    assert measured.decode_tps == pytest.approx(50)
    assert measured.answer_tokens == pytest.approx(101)
    assert measured.load_s == 4.0


def test_an_odd_answer_changes_little() -> None:
    rates = Rates()
    for second in range(9):
        rates.answered(answer(prefill=1_000 + second), at(second))
    rates.answered(answer(prefill=3), at(9))
    assert rates.measured(at(10)).prefill_tps == pytest.approx(1_004, abs=2)


def test_what_was_long_ago_fades() -> None:
    rates = Rates()
    for second in range(20):
        rates.answered(answer(decode=100), at(second))
    for second in range(1_000, 1_005):
        rates.answered(answer(decode=20), at(second))
    assert rates.measured(at(1_010)).decode_tps == pytest.approx(20)


def test_the_last_that_was_known_stays_known_however_old() -> None:
    rates = Rates()
    rates.answered(answer(), at(0))
    assert rates.measured(at(1_000_000)).prefill_tps == pytest.approx(1_000)


def test_requests_that_share_the_engine_do_not_make_it_look_slow() -> None:
    rates = Rates()
    rates.answered(answer(prefill=1_000), at(0))
    for second in range(20):
        rates.answered(answer(prefill=100, at_work=8), at(second))
    assert rates.measured(at(20)).prefill_tps == pytest.approx(1_000)


def test_where_none_runs_alone_the_quickest_tell() -> None:
    rates = Rates()
    for rate in range(100, 1_100, 100):
        rates.answered(answer(prefill=rate, at_work=4), at(0))
    assert rates.measured(at(0)).prefill_tps == pytest.approx(900)


def test_an_old_measure_gives_way_to_a_faster_shared_one() -> None:
    rates = Rates()
    rates.answered(answer(prefill=100), at(0))
    for second in range(600, 605):
        rates.answered(answer(prefill=900, at_work=3), at(second))
    assert rates.measured(at(605)).prefill_tps == pytest.approx(900)


def test_short_prompts_and_answers_say_nothing_of_a_rate() -> None:
    rates = Rates()
    rates.answered(Answered(0.5, 0.6, read_tokens=3, answer_tokens=2), at(0))
    assert rates.measured(at(0)) == Measured(answer_tokens=2.0)


def test_one_slow_load_does_not_decide() -> None:
    rates = Rates()
    for seconds in (4.0, 90.0, 5.0):
        rates.loaded(seconds)
    assert rates.measured(at(0)).load_s == 5.0


answers = st.builds(
    Answered,
    st.floats(0, 100),
    st.floats(0, 1_000),
    st.integers(0, 100_000),
    st.integers(0, 10_000),
    st.integers(1, 64),
)


@given(st.lists(st.tuples(answers, st.integers(0, 10_000)), max_size=80))
def test_rates_are_never_negative_nor_infinite(seen: list[tuple[Answered, int]]) -> None:
    rates = Rates()
    for each, second in seen:
        rates.answered(each, at(second))
    measured = rates.measured(at(10_000))
    assert all(0 <= value < 1e12 for value in (measured.prefill_tps, measured.decode_tps))
    assert 0 <= measured.answer_tokens <= 10_000
