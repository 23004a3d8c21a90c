"""Wishes choose the same PoPs on every PoP, spread them, and move nothing once they are true."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.delivery.wishes import Candidate, Wish, chosen, decoded, encoded, later, made
from littoral.terms.errors import BadRequestError, RecordRejectedError
from littoral.terms.ids import PopId, SiteName

SITES = tuple(SiteName(name) for name in ("ber", "fra", "lon", "par"))


@st.composite
def fleets(draw: st.DrawFn) -> list[Candidate]:
    count = draw(st.integers(0, 12))
    return [
        Candidate(
            PopId(f"pop-{number:016x}"),
            draw(st.sampled_from(SITES)),
            draw(st.booleans()),
            draw(st.booleans()),
        )
        for number in range(count)
    ]


WISHES = st.builds(
    Wish,
    reference=st.sampled_from(["hf:a/b", "hf:c/d@main"]),
    sites=st.lists(st.sampled_from(SITES), unique=True).map(tuple),
    pops=st.sets(st.integers(0, 12), max_size=3).map(
        lambda numbers: tuple(PopId(f"pop-{number:016x}") for number in sorted(numbers))
    ),
    replicas=st.integers(0, 6),
    size_bytes=st.integers(0, 10**12),
    made_unix_ms=st.integers(0, 5),
    withdrawn=st.booleans(),
)


@given(fleets().flatmap(lambda fleet: st.tuples(st.just(fleet), st.permutations(fleet))), WISHES)
def test_the_order_of_candidates_decides_nothing(
    fleets: tuple[list[Candidate], list[Candidate]], wish: Wish
) -> None:
    one, other = fleets
    assert chosen(wish, one) == chosen(wish, other)


@given(fleets(), WISHES)
def test_enough_are_chosen_of_those_who_can(fleet: list[Candidate], wish: Wish) -> None:
    found = chosen(wish, fleet)
    able = {each.pop: each for each in fleet if each.has_it or each.has_room}
    assert found <= able.keys()
    if wish.withdrawn:
        assert not found
        return
    assert found >= set(wish.pops) & able.keys()
    for site in wish.sites:
        if any(each.site == site for each in able.values()):
            assert any(able[pop].site == site for pop in found)
    eligible = [each for each in able.values() if not wish.sites or each.site in wish.sites]
    assert len(found) >= min(wish.replicas, len(eligible))


@given(fleets(), WISHES)
def test_what_is_fulfilled_moves_nothing(fleet: list[Candidate], wish: Wish) -> None:
    found = chosen(wish, fleet)
    fulfilled = [replace(each, has_it=each.has_it or each.pop in found) for each in fleet]
    assert chosen(wish, fulfilled) == found


def test_copies_are_spread_over_sites() -> None:
    fleet = [
        Candidate(PopId(f"pop-{number:016x}"), SITES[number % 4], has_it=False, has_room=True)
        for number in range(16)
    ]
    found = chosen(made("hf:a/b", replicas=4, size_bytes=1, unix_ms=1), fleet)
    assert {each.site for each in fleet if each.pop in found} == set(SITES)


def test_one_that_dies_is_replaced_by_one_other() -> None:
    fleet = [
        Candidate(PopId(f"pop-{number:016x}"), SITES[0], has_it=False, has_room=True)
        for number in range(8)
    ]
    wish = made("hf:a/b", replicas=3, size_bytes=1, unix_ms=1)
    before = chosen(wish, fleet)
    left = [each for each in fleet if each.pop != min(before)]
    assert len(chosen(wish, left) - before) == 1


@given(WISHES, WISHES, WISHES)
def test_the_later_wish_is_the_same_for_everybody(one: Wish, two: Wish, three: Wish) -> None:
    assert later(one, two) == later(two, one)
    assert later(later(one, two), three) == later(one, later(two, three))
    assert later(one, one) == one


@given(WISHES)
def test_a_wish_survives_its_encoding(wish: Wish) -> None:
    assert decoded(encoded(wish)) == wish


@given(st.binary(max_size=200))
def test_any_bytes_are_a_wish_or_refused(data: bytes) -> None:
    with suppress(RecordRejectedError):
        decoded(data)


def test_a_wish_that_says_nothing_is_refused() -> None:
    with pytest.raises(BadRequestError, match="neither where nor how many"):
        made("hf:a/b", size_bytes=1, unix_ms=1)
    with pytest.raises(BadRequestError, match="can't be used"):
        made("hf:a/b", ("NOT A SITE",), size_bytes=1, unix_ms=1)
