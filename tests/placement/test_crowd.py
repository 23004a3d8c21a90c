"""How requests share out over machines: quick ones first, and no more than are sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.placement.crowd import FULL, Alike, at_work

SLOW, QUICK = Alike(4.0, 8.0, 8, 0.05), Alike(1.0, 4.0, 32, 0.03)


def test_what_nobody_asks_for_loads_nobody() -> None:
    assert at_work(0.0, [(QUICK, 0), (SLOW, 0)]) == (0.0, 0.0)


def test_a_slow_machine_helps_once_a_quick_one_has_a_queue() -> None:
    assert at_work(0.1, [(QUICK, 1), (SLOW, 1)])[1] == 0.0
    assert at_work(1.1, [(QUICK, 1), (SLOW, 1)])[1] > 0.3


def test_many_machines_are_fuller_before_a_slow_one_helps() -> None:
    few, _ = at_work(0.9, [(QUICK, 1), (SLOW, 1)])
    many, _ = at_work(0.9 * 25, [(QUICK, 25), (SLOW, 25)])
    assert many > few


def test_a_lone_kind_has_the_slots_at_work_that_little_s_law_says() -> None:
    (found,) = at_work(1.0, [(Alike(0.5, 3.0, 32, 0.0), 4)])
    assert found == pytest.approx(1.0 / 4 * 3.5, rel=1e-6)


@given(
    st.floats(0, 1e4),
    st.lists(
        st.tuples(
            st.builds(
                Alike,
                st.floats(1e-4, 1e4),
                st.floats(1e-4, 1e4),
                st.integers(1, 64),
                st.floats(0, 2),
            ),
            st.integers(1, 200),
        ),
        min_size=1,
        max_size=6,
    ),
)
def test_no_machine_has_more_at_work_than_its_slots_and_more_requests_are_no_less_work(
    rate: float, have: list[tuple[Alike, int]]
) -> None:
    found = at_work(rate, have)
    assert all(0 <= each <= alike.slots for each, (alike, _) in zip(found, have, strict=True))
    twice = at_work(2 * rate, have)
    assert all(more >= less * (1 - 1e-6) for less, more in zip(found, twice, strict=True))
    assert FULL < 1
