"""What goes is worth least, is nobody's, and is no more than must."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.delivery.eviction import Candidate, victims, worth
from littoral.terms.errors import DiskShortError
from littoral.terms.ids import ArtifactId


def candidate(name: str, priority: float, *, kept: bool = False, **files: int) -> Candidate:
    return Candidate(ArtifactId(name), files, priority, kept)


def test_nothing_goes_when_there_is_room() -> None:
    assert victims([candidate("a", 1.0, f=10)], 0) == ((), 0.0)


def test_what_is_worth_least_goes_first_and_moves_the_clock() -> None:
    here = [candidate("a", 3.0, x=10), candidate("b", 1.0, y=10), candidate("c", 2.0, z=10)]
    assert victims(here, 15) == (("b", "c"), 2.0)


def test_what_is_kept_never_goes() -> None:
    here = [candidate("a", 1.0, x=10, kept=True), candidate("b", 2.0, y=10)]
    assert victims(here, 10)[0] == ("b",)
    with pytest.raises(DiskShortError) as raised:
        victims(here, 11)
    assert raised.value.details == {"needed_bytes": 11, "can_be_freed_bytes": 10}


def test_a_shared_file_is_freed_with_the_last_that_has_it() -> None:
    here = [candidate("a", 1.0, s=10, x=1), candidate("b", 2.0, s=10), candidate("c", 3.0, z=5)]
    assert victims(here, 1)[0] == ("a",)
    assert victims(here, 11)[0] == ("a", "b")
    assert victims(here, 10)[0] == ("a", "b")


def test_a_small_one_stays_when_a_large_one_has_to_go_anyway() -> None:
    here = [candidate("small", 1.0, x=1), candidate("large", 2.0, y=100)]
    assert victims(here, 50)[0] == ("large",)


def test_worth_grows_with_use_and_with_the_time_to_fetch_again() -> None:
    assert worth(2, 10.0, 10**9) == 2 * worth(1, 10.0, 10**9)
    assert worth(1, 20.0, 10**9) > worth(1, 10.0, 10**9) > worth(1, 10.0, 2 * 10**9)
    assert worth(1, None, 10**9) == pytest.approx(worth(1, 40.0, 10**9))
    assert worth(1, 0.5, 0) == worth(1, 0.5, 10**6)


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from("abcdef"), st.just(7), max_size=4),
            st.floats(0, 10),
            st.booleans(),
        ),
        max_size=7,
    ),
    st.integers(-1, 60),
)
def test_enough_is_freed_and_nothing_that_is_kept_goes(
    rows: list[tuple[dict[str, int], float, bool]], needed: int
) -> None:
    here = [candidate(f"{at}", p, kept=kept, **files) for at, (files, p, kept) in enumerate(rows)]
    kept = {file for it in here if it.kept for file in it.files}
    free = 7 * len({file for it in here for file in it.files} - kept)
    try:
        gone, _ = victims(here, needed)
    except DiskShortError:
        assert free < needed
        return
    stay = {file for it in here if it.artifact not in gone for file in it.files}
    freed = 7 * len({file for it in here if it.artifact in gone for file in it.files} - stay)
    assert freed >= needed
    assert not {it.artifact for it in here if it.kept} & set(gone)
