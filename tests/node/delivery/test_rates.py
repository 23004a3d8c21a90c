"""The rate of a link is the best that came over it lately."""

import pytest

from littoral.delivery.words import ORIGIN
from littoral.node.delivery.rates import Rates
from littoral.terms.values import SECOND, Instant
from tests.node.delivery.made import pop

HOUR = 3_600.0


def at(seconds: float) -> Instant:
    return Instant(int(seconds * SECOND))


def come(rates: Rates, since: float, seconds: float, rate: int) -> None:
    """Bytes come evenly for so long."""
    for step in range(int(seconds * 20) + 1):
        rates.came(pop(1), rate // 20, at(since + step / 20))


def test_nothing_is_known_before_something_came_for_long_enough() -> None:
    rates = Rates()
    assert rates.known() == {}
    rates.came(pop(1), 2**20, at(5))
    rates.came(pop(1), 2**20, at(5.01))
    assert rates.known() == {}


def test_what_came_within_less_than_a_second_counts_by_the_time_it_took() -> None:
    rates = Rates()
    come(rates, 5, 0.4, 1_000_000)
    assert rates.known()[pop(1)] == pytest.approx(1_000_000, rel=0.01)


def test_the_best_counts_and_a_pause_does_not() -> None:
    rates = Rates()
    come(rates, 5, 3, 4_000_000)
    come(rates, 20, 3, 1_000_000)
    rates.came(pop(1), 1, at(100))
    assert rates.known()[pop(1)] == pytest.approx(4_000_000, rel=0.01)


def test_after_an_hour_of_less_it_is_less_and_without_any_it_stays() -> None:
    rates = Rates()
    come(rates, 5, 2, 4_000_000)
    come(rates, 2 * HOUR, 2, 1_000_000)
    assert rates.known()[pop(1)] == pytest.approx(4_000_000, rel=0.01)
    come(rates, 4 * HOUR, 2, 1_000_000)
    assert rates.known()[pop(1)] == pytest.approx(1_000_000, rel=0.01)


def test_nothing_is_kept_of_who_is_gone() -> None:
    rates = Rates()
    come(rates, 5, 1, 1_000_000)
    rates.came(ORIGIN, 1, at(5))
    rates.keep([pop(2)])
    assert rates.known() == {}
