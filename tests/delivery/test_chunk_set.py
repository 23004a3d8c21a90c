"""Sets of chunks behave as sets of numbers do."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from littoral.delivery.chunk_set import ChunkSet

NUMBERS = st.sets(st.integers(0, 300))


@given(NUMBERS, NUMBERS)
def test_operations_are_those_of_sets(some: set[int], others: set[int]) -> None:
    one, other = ChunkSet.of(some), ChunkSet.of(others)
    assert set(one | other) == some | others
    assert set(one & other) == some & others
    assert set(one - other) == some - others
    assert len(one) == len(some)
    assert bool(one) == bool(some)
    assert all(number in one for number in some)
    assert not any(number in one for number in others - some)
    assert (one == other) == (some == others)


@given(NUMBERS)
def test_runs_are_in_order_and_do_not_touch(numbers: set[int]) -> None:
    whole = ChunkSet.of(numbers)
    runs = list(whole.runs())
    assert all(first < end for first, end in runs)
    assert all(end < first for (_, end), (first, _) in pairwise(runs))
    assert ChunkSet.of_runs(runs) == whole
    assert list(whole) == sorted(numbers)


@given(NUMBERS)
def test_a_set_survives_its_encoding(numbers: set[int]) -> None:
    whole = ChunkSet.of(numbers)
    assert ChunkSet.of_bytes(whole.encoded()) == whole
    assert not whole.encoded().endswith(b"\0")
