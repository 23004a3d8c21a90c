"""Threads: never more than granted, fewer when rates collapse, more again after a calm time."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from littoral.placement.threads import (
    CALM_NS,
    COLLAPSE_RATIO,
    COLLAPSES_MIN,
    ThreadGovernor,
    threads_for,
)
from littoral.terms.values import Instant


@given(st.floats(0.1, 512), st.integers(0, 600))
def test_there_is_at_least_one_thread_and_never_more_than_granted(
    granted: float, wanted: int
) -> None:
    threads = threads_for(granted, wanted)
    assert 1 <= threads <= max(1, granted)
    if wanted:
        assert threads == min(wanted, max(1, int(granted)))


def test_one_core_is_left_free() -> None:
    assert [threads_for(cores, 0) for cores in (0.5, 1, 1.9, 2, 3.5, 8)] == [1, 1, 1, 1, 2, 7]


def told(governor: ThreadGovernor, rates: Sequence[float], length: int = 100, now: int = 0) -> int:
    for rate in rates:
        governor.observe(rate, length, Instant(now))
        governor.check()
    return governor.threads


def test_a_collapse_steps_down() -> None:
    assert told(ThreadGovernor(8), [88, *[4] * COLLAPSES_MIN]) == 4


def test_a_chance_collapse_does_nothing() -> None:
    rates = [88, *[4] * (COLLAPSES_MIN - 1), 80, 4, 80]
    assert told(ThreadGovernor(8), rates) == 8


def test_a_long_context_is_slow_and_no_collapse() -> None:
    governor = ThreadGovernor(8)
    told(governor, [88])
    assert told(governor, [20] * 9, length=8000) == 8
    assert told(governor, [88 * COLLAPSE_RATIO + 1] * 9) == 8


def test_one_thread_is_the_least() -> None:
    assert told(ThreadGovernor(1), [88, *[1] * 50]) == 1


def test_after_a_calm_time_more_are_tried_and_a_failed_try_waits_longer() -> None:
    governor = ThreadGovernor(4)
    told(governor, [88, *[4] * COLLAPSES_MIN])
    assert told(governor, [60] * 5, now=CALM_NS - 1) == 2
    assert told(governor, [60], now=CALM_NS) == 4
    assert told(governor, [4] * COLLAPSES_MIN, now=CALM_NS) == 2, "the best is remembered"
    assert told(governor, [60], now=2 * CALM_NS) == 2, "twice as long as before"
    assert told(governor, [60], now=3 * CALM_NS) == 4


@given(
    st.integers(1, 64),
    st.lists(st.tuples(st.floats(0, 1e4), st.integers(1, 8192), st.integers(0, CALM_NS))),
)
def test_whatever_it_sees_it_stays_within_bounds(
    most: int, seen: list[tuple[float, int, int]]
) -> None:
    governor = ThreadGovernor(most)
    now = 0
    for rate, length, passed in seen:
        now += passed
        before = governor.threads
        after = governor.observe(rate, length, Instant(now))
        governor.check()
        assert after <= 2 * before
        assert 2 * after + 1 >= before
