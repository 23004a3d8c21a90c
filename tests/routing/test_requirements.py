"""What a request must have: read strictly, compared failing closed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.routing.fleet import Tier
from littoral.routing.requirements import Requirement, requirement_of
from littoral.terms.errors import BadRequestError
from littoral.terms.ids import Digest, OwnerId, ZoneName

EU, CH, US = ZoneName("eu"), ZoneName("ch"), ZoneName("us")
OWN, OTHER = OwnerId("own-00000000000000aa"), OwnerId("own-00000000000000bb")
WEIGHTS = Digest("sha256:" + "a" * 64)


def test_all_parts_are_read_whatever_blanks_are_between_them() -> None:
    said = f"zone=eu,zone=ch ,  owner={OWN}, tier=attested, digest={WEIGHTS},"
    assert requirement_of(said) == Requirement(
        frozenset({EU, CH}), frozenset({OWN}), Tier.ATTESTED, WEIGHTS
    )


def test_of_several_tiers_the_highest_is_meant() -> None:
    assert requirement_of("tier=audited, tier=signed").tier is Tier.AUDITED


def test_nothing_is_required_of_nothing() -> None:
    assert requirement_of("") == Requirement()
    assert requirement_of(" , ").unmet(US, None, Tier.SIGNED, None) == ""


@pytest.mark.parametrize(
    "said",
    [
        "zone",
        "zone=",
        "zone=EU",
        "zone=eu zone=ch",
        "zone=../etc",
        "owner=me",
        "tier=high",
        "tier=SIGNED",
        "digest=abc",
        f"digest={WEIGHTS}, digest=sha256:{'b' * 64}",
        "country=eu",
        "zone=eu;tier=signed",
        "zone=eu\r\nx: y",
        "zone=e" + "u" * 2_000,
    ],
)
def test_anything_else_is_refused_and_never_passed_over(said: str) -> None:
    with pytest.raises(BadRequestError):
        requirement_of(said)


@given(st.text())
def test_whatever_is_said_is_read_or_refused(said: str) -> None:
    try:
        read = requirement_of(said)
    except BadRequestError:
        return
    assert isinstance(read, Requirement)


@pytest.mark.parametrize(
    ("said", "lacks"),
    [
        ("zone=eu", ""),
        ("zone=eu, zone=us", ""),
        ("zone=us", "zone us"),
        (f"owner={OWN}", ""),
        (f"owner={OTHER}", "owner"),
        ("tier=signed", ""),
        ("tier=audited", "tier audited"),
        (f"digest={WEIGHTS}", ""),
        (f"digest=sha256:{'b' * 64}", "weights"),
        (f"zone=eu, owner={OTHER}", "owner"),
    ],
)
def test_a_pop_is_told_what_it_lacks(said: str, lacks: str) -> None:
    told = requirement_of(said).unmet(EU, OWN, Tier.SIGNED, WEIGHTS)
    assert told.startswith(lacks) if lacks else told == ""


def test_what_is_not_known_of_a_pop_it_does_not_have() -> None:
    assert requirement_of(f"owner={OWN}").unmet(EU, None, Tier.SIGNED, WEIGHTS)
    assert requirement_of(f"digest={WEIGHTS}").unmet(EU, OWN, Tier.SIGNED, None)
