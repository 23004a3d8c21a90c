"""What is dealt to zones and sites: all of it, once, and better after each change of places."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.placement.evenly import (
    Spot,
    deal_to_sites,
    dealt_to_zones,
    fitted,
    settle,
    unevenness,
)


@given(
    st.lists(st.lists(st.floats(0.01, 10), min_size=3, max_size=3), min_size=1, max_size=5),
    st.lists(st.floats(0.1, 10), min_size=5, max_size=5),
)
def test_a_fitted_table_has_the_sums_that_it_is_to_have(
    seed: list[list[float]], told: list[float]
) -> None:
    rows = told[: len(seed)]
    columns = [sum(rows) / 3] * 3
    table = fitted(seed, rows, columns)
    assert [sum(each) for each in zip(*table, strict=True)] == pytest.approx(columns)
    assert [sum(row) for row in table] == pytest.approx(rows, rel=0.05)


@given(st.lists(st.integers(0, 6), min_size=2, max_size=4), st.integers(1, 4))
def test_zones_get_as_many_as_they_have_room_for_and_all_that_is_there(
    counts: list[int], zones: int
) -> None:
    whole = sum(counts)
    room = [whole // zones + (zone < whole % zones) for zone in range(zones)]
    wanted = [[count / zones for count in counts] for _ in range(zones)]
    (dealt,) = dealt_to_zones([counts], [room], [[1.0] * len(counts)], wanted)
    assert [sum(row) for row in dealt] == room
    assert [sum(each) for each in zip(*dealt, strict=True)] == counts


def spots(count: int, each: int) -> list[Spot]:
    return [Spot({0: each}, [10.0, 20.0]) for _ in range(count)]


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 9)), min_size=1, max_size=6))
def test_machines_that_change_places_never_make_it_less_even(
    loads: list[tuple[float, float]],
) -> None:
    brings = [loads]
    found = spots(4, 5)
    for number in range(20):
        found[number // 5].take(0, number % len(loads), loads[number % len(loads)])
    had = Counter(model for spot in found for _, model in spot.has)
    before = unevenness(found)
    settle(found, brings)
    assert unevenness(found) <= before + 1e-9
    assert Counter(model for spot in found for _, model in spot.has) == had
    for spot in found:
        expected = [
            sum(loads[model][hour] for _, model in spot.has) / spot.mean[hour] for hour in (0, 1)
        ]
        assert spot.load == pytest.approx(expected, abs=1e-9)
        assert +Counter(spot.copies) == Counter(model for _, model in spot.has)


def test_what_is_heavy_is_dealt_to_sites_of_their_own() -> None:
    found = spots(4, 2)
    deal_to_sites(found, [[4, 4]], [[(9.0, 18.0), (1.0, 2.0)]])
    assert all(sorted(spot.has) == [(0, 0), (0, 1)] for spot in found)
    assert all(one.load == other.load for one, other in pairwise(found))
