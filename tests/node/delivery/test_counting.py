"""Bytes are counted by where they came from, and their rate is that of late."""

from littoral.delivery.words import ORIGIN
from littoral.node.delivery.counting import Counted
from littoral.node.delivery.rates import Rates
from littoral.terms.values import SECOND, Instant
from tests.node.delivery.made import pop


def at(seconds: float) -> Instant:
    return Instant(int(seconds * SECOND))


def test_bytes_are_counted_by_source_and_those_with_most_come_first() -> None:
    counted = Counted(Rates())
    counted.came(ORIGIN, 100, at(0))
    counted.came(pop(1), 300, at(0.5))
    counted.came(pop(2), 200, at(1))
    assert (counted.origin_bytes, counted.neighbour_bytes) == (100, 500)
    rows = [(row.source, row.fetched_bytes) for row in counted.rows(at(1))]
    assert rows == [(pop(1), 300), (pop(2), 200), ("origin", 100)]


def test_the_rate_is_that_of_the_last_seconds_and_fades_to_none() -> None:
    counted = Counted(Rates())
    assert counted.bytes_per_s(at(0)) == 0
    for step in range(20):
        counted.came(ORIGIN, 1_000, at(step / 10))
    assert 9_000 <= counted.bytes_per_s(at(2)) <= 11_000
    assert counted.bytes_per_s(at(9)) == 0
    assert counted.origin_bytes == 20_000
