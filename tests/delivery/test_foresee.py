"""What is foreseen of a pull."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.foresee import Offer, foresee
from littoral.delivery.sizes import Sizes
from littoral.delivery.words import ORIGIN
from littoral.terms.ids import PopId

MB = 1_000_000
HUNDRED = Sizes([MB] * 100)
ALL = ChunkSet.of_runs([(0, 100)])
A, B, C = (PopId(f"pop-{number:016x}") for number in range(3))


def test_alone_all_comes_from_the_origin() -> None:
    seen = foresee(HUNDRED, ChunkSet.of_runs([(0, 20)]), [], origin_rate=8 * MB, downlink=20 * MB)
    assert [(part.source, part.bytes) for part in seen.parts] == [(ORIGIN, 80 * MB)]
    assert seen.held_bytes == 20 * MB
    assert seen.seconds == pytest.approx(10)


def test_what_neighbours_have_is_not_read_at_the_origin_and_comes_as_they_are_quick() -> None:
    seen = foresee(HUNDRED, ChunkSet(), [Offer(A, ALL, 30 * MB), Offer(B, ALL, 10 * MB)])
    assert {part.source: part.bytes for part in seen.parts} == {A: 75 * MB, B: 25 * MB}
    assert seen.seconds == pytest.approx(2.5)


def test_those_that_pull_too_bring_in_their_part() -> None:
    others = [Offer(A, ChunkSet(), pulls=True), Offer(B, ChunkSet(), pulls=True)]
    seen = foresee(HUNDRED, ChunkSet(), others, origin_rate=10 * MB)
    assert seen.parts[0].source == ORIGIN
    assert [part.bytes for part in seen.parts] == pytest.approx([33 * MB] * 3, abs=MB)
    assert seen.seconds == pytest.approx(10)


def test_what_only_one_has_comes_from_there_however_slow() -> None:
    only = ChunkSet.of_runs([(0, 50)])
    seen = foresee(HUNDRED, ChunkSet(), [Offer(A, only, MB), Offer(B, ALL - only, 50 * MB)])
    assert {part.source: part.bytes for part in seen.parts} == {A: 50 * MB, B: 50 * MB}
    assert seen.seconds == pytest.approx(50)


def test_nothing_is_said_of_time_where_nothing_is_known() -> None:
    assert foresee(HUNDRED, ChunkSet(), [Offer(A, ALL)]).seconds is None
    assert foresee(HUNDRED, ALL, []).seconds == 0.0


SETS = st.sets(st.integers(0, 99)).map(ChunkSet.of)


@given(SETS, st.tuples(SETS, SETS, SETS), st.tuples(*[st.floats(0, 1e9)] * 3), st.booleans())
def test_every_chunk_comes_from_one_source(
    has: ChunkSet, sets: tuple[ChunkSet, ...], rates: tuple[float, ...], pulls: bool
) -> None:
    offers = [
        Offer(pop, each, rate, pulls)
        for pop, each, rate in zip((A, B, C), sets, rates, strict=True)
    ]
    seen = foresee(HUNDRED, has, offers)
    assert sum(part.bytes for part in seen.parts) + seen.held_bytes == 100 * MB
    assert sum(part.chunks for part in seen.parts) + len(has) == 100
    somewhere = has | sets[0] | sets[1] | sets[2]
    origin = [part.chunks for part in seen.parts if part.source == ORIGIN]
    assert sum(origin) <= len(ALL - somewhere)
