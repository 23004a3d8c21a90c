"""Up to what weight others have filled the queues, and who is asked then."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.routing.fleet import Fleet
from littoral.routing.predict import Wanted, choose
from littoral.routing.sends import Sends
from littoral.routing.table import Row, Table
from littoral.routing.tide import NEAR, NEAR_S, NEAR_S_PER_S, NEWS_S, Tide, Weighed, drawn, level_s
from littoral.terms.ids import PopId
from littoral.terms.values import SECOND, Instant
from tests.routing.pops import MODEL, NEEDS, NOW, member, model, name, pop, table

HEARD = Instant(NOW - SECOND)
"""When all was heard of: a second ago."""
PROMPT = 1_000
ADDS_S = PROMPT / 1_000 + NEAR_S
"""What a request adds where there are free slots."""


def row(number: int, *, in_flight: int = 0, prefill_tps: float = 1_000.0) -> Row:
    said = model(in_flight=in_flight, prefill_tps=prefill_tps)
    made = table(pop(number, said, heard_at=HEARD), links={name(number): 1e-9})
    return made.view(NEEDS).rows[0]


ROWS = [row(number) for number in range(1, 10)]


def weighed(*weights: float) -> list[Weighed]:
    return [(weight, ROWS[place], 0) for place, weight in enumerate(sorted(weights))]


def tide(begins_per_s: float) -> Tide:
    return Tide(begins_per_s, PROMPT, 0.0, NOW)


def near_s(best: float) -> float:
    return NEAR * best + NEAR_S + NEAR_S_PER_S


def shares(found: list[Weighed], come: Tide) -> dict[int, float]:
    """How often each place is drawn."""
    spins = range(0, 1 << 64, 1 << 53)
    counted = Counter(drawn(found, come, spin) for spin in spins)
    return {place: count / len(spins) for place, count in sorted(counted.items())}


weights = st.lists(st.floats(0.01, 60), min_size=1, max_size=9)


@given(weights, st.floats(0, 50))
def test_what_came_fills_the_shortest_queues_up_to_one_level(
    each: list[float], begins_per_s: float
) -> None:
    found = weighed(*each)
    level = level_s(found, tide(begins_per_s))
    filled = sum(max(0.0, level - weight) for weight in each) / ADDS_S
    assert level >= min(each) + near_s(min(each))
    if level > min(each) + near_s(min(each)):
        assert filled == pytest.approx(begins_per_s * NEWS_S)
    else:
        assert filled >= begins_per_s * NEWS_S - 1e-9


@given(weights, st.floats(0, 50), st.integers(0, (1 << 64) - 1))
def test_who_is_above_the_level_is_not_asked(
    each: list[float], begins_per_s: float, spin: int
) -> None:
    found = weighed(*each)
    assert found[drawn(found, tide(begins_per_s), spin)][0] < level_s(found, tide(begins_per_s))


def test_each_is_asked_as_often_as_others_are_expected_to_have_come_to_it() -> None:
    found = weighed(1.0, 2.0, 9.0)
    come = tide(3 / ADDS_S)  # a level of 3: two parts of three go to the first
    assert level_s(found, come) == pytest.approx(3.0)
    assert shares(found, come) == pytest.approx({0: 2 / 3, 1: 1 / 3}, abs=0.001)


def test_a_quick_pop_is_asked_more_often_for_the_same_time() -> None:
    found = [(1.0, row(1, prefill_tps=3_000.0), 0), (1.0, row(2), 0)]
    assert shares(found, tide(4.0)) == pytest.approx({0: 3 / 4, 1: 1 / 4}, abs=0.002)


def test_who_has_no_free_slot_takes_a_turn_more_for_each() -> None:
    found = [(1.0, row(1), 0), (1.0, row(2, in_flight=3), 0)]  # the next one has the last slot
    assert shares(found, tide(4.0)) == pytest.approx({0: 1.5 / 2.5, 1: 1 / 2.5}, abs=0.002)


def test_a_record_that_was_just_heard_leaves_little_to_guess() -> None:
    found = weighed(1.0, 2.0)
    fresh = tide(3.0)._replace(now=HEARD)
    assert level_s(found, fresh) == pytest.approx(1.0 + NEAR + NEAR_S)
    long_ago = tide(3.0)._replace(now=Instant(HEARD + 9 * SECOND))
    assert level_s(found, long_ago) < level_s(found, tide(3.0)) + 8 * NEAR_S_PER_S


@pytest.mark.parametrize("level", [1.5, 4.0])
def test_a_past_of_ones_own_counts_from_where_others_fill_to(level: float) -> None:
    found = weighed(1.0, 1.0, 1.0)
    found[2] = (0.6, found[2][1], 400)  # without its past it is like the others
    found.sort()
    assert shares(found, tide(3 * (level - 1.0) / ADDS_S)) == {0: 1.0}
    late = weighed(1.0, 1.0)  # its queue is longer than the level: it is asked for a gain only
    for own, alone in ((level - 0.4, True), (level + 0.4, False)):
        both = sorted([(own, ROWS[5], 4_000), *late])
        keeps = both.index((own, ROWS[5], 4_000))
        asked = shares(both, tide(2 * (level - 1.0) / ADDS_S))
        assert (asked == {keeps: 1.0}) == alone
        assert (keeps in asked) == alone


def test_what_most_keep_draws_nobody_anywhere() -> None:
    found = [(0.9, ROWS[place], 100) for place in range(4)] + [(1.0, ROWS[4], 0)]
    asked = shares(found, tide(5.0))
    assert set(asked) == set(range(5))
    assert max(asked.values()) - min(asked.values()) < 0.05


def test_gateways_with_one_view_fill_queues_to_one_level_and_do_not_all_go_to_the_shortest() -> (
    None
):
    """100 requests in the second after a record, one of each gateway: none knows of the others."""
    queues_s = [0, 0, 2, 4, 6, 8, 10, 10, 10, 30]
    said = [model(queued_tokens=1_000 * each, in_flight=4, slots=64) for each in queues_s]
    pops = [pop(number, each, heard_at=NOW) for number, each in enumerate(said, 1)]
    source, counted = random.Random(7), Counter[PopId]()
    for gateway in range(100, 120):
        made = Table(MODEL, member(gateway))
        made.update(Fleet({known.state.pop: known for known in pops}), {})
        now = Instant(NOW + SECOND)
        chosen = choose(made, Wanted(NEEDS, 1_000), Sends(), now, source.getrandbits(64))[0]
        counted[chosen] += 1
    ends = [queue + counted[name(number)] for number, queue in enumerate(queues_s, 1)]
    assert counted[name(10)] == 0
    assert max(ends[:9]) <= 14  # the shortest alone would have had 20
    assert counted[name(1)] > counted[name(4)] >= counted[name(9)]
