"""What HTTP says about giving an answer again, both ways."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.cache.freshness import (
    NO_DIRECTIVES,
    Directives,
    Forward,
    age_s,
    cache_control,
    directives_of,
    forwarded,
    hit,
    is_fresh,
    lifetime_s,
    may_look_up,
    may_store,
    ttl_s,
)
from littoral.terms.limits import CACHE_CONTROL_CHARS_MAX
from littoral.terms.values import SECOND, Finish

STORED = 1_764_000_000 * SECOND
EXPIRES = STORED + 100 * SECOND
ANY_STALE = 2**31


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (None, NO_DIRECTIVES),
        ("", NO_DIRECTIVES),
        ("no-store", Directives(no_store=True)),
        ("No-Cache", Directives(no_cache=True)),
        ("max-age=60", Directives(max_age_s=60)),
        (' max-age = "60" , MIN-FRESH=5', Directives(max_age_s=60, min_fresh_s=5)),
        ("max-stale", Directives(max_stale_s=ANY_STALE)),
        ("max-stale=9", Directives(max_stale_s=9)),
        ("only-if-cached", Directives(only_if_cached=True)),
        ("private, s-maxage=3", Directives(private=True, shared_max_age_s=3)),
        ("stale-if-error=5, x", NO_DIRECTIVES),
        (",,", NO_DIRECTIVES),
        ("max-age=99999999999999999999", Directives(max_age_s=2**31)),
    ],
)
def test_a_field_is_read_as_rfc_9111_says(field: str | None, expected: Directives) -> None:
    assert directives_of(field) == expected


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("max-age=soon", Directives(max_age_s=0)),
        ("max-age", Directives(max_age_s=0)),
        ("max-age=-1", Directives(max_age_s=0)),
        ("max-age=\N{SUPERSCRIPT TWO}", Directives(max_age_s=0)),
        ("max-age=60, max-age=5", Directives(max_age_s=5)),
        ("max-stale=much", NO_DIRECTIVES),
        ("max-stale, max-stale=4", Directives(max_stale_s=4)),
        ("min-fresh=x", Directives(min_fresh_s=2**31)),
        ('private="set-cookie, no-store"', Directives(private=True)),
    ],
)
def test_what_can_not_be_read_is_read_with_care(field: str, expected: Directives) -> None:
    assert directives_of(field) == expected


def test_a_field_that_is_too_long_keeps_everything_out() -> None:
    long = directives_of("a" * (CACHE_CONTROL_CHARS_MAX + 1))
    assert may_look_up(long, reproducible=True) is Forward.REQUEST
    assert not may_store(long, reproducible=True, status=200, finish=Finish.STOP)


@given(st.text(string.printable, max_size=60))
def test_no_field_is_too_odd_to_be_read(field: str) -> None:
    read = directives_of(field)
    assert read.min_fresh_s >= 0
    assert read.max_stale_s >= 0


@pytest.mark.parametrize(
    ("field", "reproducible", "expected"),
    [
        ("", True, None),
        ("", False, Forward.BYPASS),
        ("max-age=60", False, None),
        ("max-stale", False, None),
        ("only-if-cached", False, None),
        ("max-age=0", True, Forward.REQUEST),
        ("max-age=0", False, Forward.REQUEST),
        ("no-cache", True, Forward.REQUEST),
        ("no-store, max-age=60", True, Forward.REQUEST),
    ],
)
def test_what_is_looked_up(field: str, reproducible: bool, expected: Forward | None) -> None:
    assert may_look_up(directives_of(field), reproducible=reproducible) is expected


@pytest.mark.parametrize(
    ("field", "reproducible", "expected"),
    [
        ("", True, True),
        ("", False, False),
        ("no-cache", True, True),
        ("no-store", True, False),
        ("max-age=60", False, True),
        ("max-age=60, no-store", False, False),
        ("max-age=0", False, False),
    ],
)
def test_what_is_stored(field: str, reproducible: bool, expected: bool) -> None:
    stored = may_store(
        directives_of(field), reproducible=reproducible, status=200, finish=Finish.STOP
    )
    assert stored is expected


@pytest.mark.parametrize("finish", [Finish.CLIENT_GONE, Finish.FAILED])
def test_an_answer_that_broke_off_is_not_stored(finish: Finish) -> None:
    assert not may_store(NO_DIRECTIVES, reproducible=True, status=200, finish=finish)


@pytest.mark.parametrize("status", [201, 206, 400, 429, 500])
def test_an_error_is_not_stored(status: int) -> None:
    assert not may_store(NO_DIRECTIVES, reproducible=True, status=status, finish=Finish.STOP)


@pytest.mark.parametrize(
    ("upstream", "expected"),
    [
        ("", True),
        ("max-age=5", True),
        ("no-store", False),
        ("private", False),
        ("no-cache", False),
        ("max-age=0", False),
        ("max-age=60, s-maxage=0", False),
    ],
)
def test_an_upstream_decides_for_its_answers(upstream: str, expected: bool) -> None:
    stored = may_store(
        directives_of("max-stale"),
        reproducible=True,
        status=200,
        finish=Finish.STOP,
        upstream=directives_of(upstream),
    )
    assert stored is expected


def test_a_life_is_the_setting_or_less() -> None:
    assert lifetime_s(100) == 100
    assert lifetime_s(100, directives_of("max-age=60")) == 60
    assert lifetime_s(100, directives_of("max-age=600")) == 100
    assert lifetime_s(100, directives_of("max-age=60, s-maxage=80")) == 80


@pytest.mark.parametrize(
    ("after_s", "field", "expected"),
    [
        (0, "", True),
        (100, "", True),
        (101, "", False),
        (10, "max-age=10", True),
        (11, "max-age=10", False),
        (50, "min-fresh=50", True),
        (51, "min-fresh=50", False),
        (101, "max-stale", True),
        (105, "max-stale=5", True),
        (106, "max-stale=5", False),
        (105, "max-stale=5, max-age=104", False),
        (101, "max-stale, min-fresh=1", False),
        (-59, "", True),
        (-61, "", False),
        (-61, "max-stale", False),
    ],
)
def test_what_is_fresh_enough_for_a_request(after_s: int, field: str, expected: bool) -> None:
    now = STORED + after_s * SECOND
    assert is_fresh(STORED, EXPIRES, now, directives_of(field)) is expected


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 50))
def test_time_never_makes_an_entry_fresh_again(first: int, later: int, stale: int) -> None:
    request = Directives(max_stale_s=stale)
    now = STORED + first * SECOND
    if is_fresh(STORED, EXPIRES, now + later * SECOND, request):
        assert is_fresh(STORED, EXPIRES, now, request)


def test_ages_and_lives_are_whole_seconds() -> None:
    assert age_s(STORED, STORED + 1_999_999_999) == 1
    assert age_s(STORED, STORED - 5) == 0
    assert ttl_s(EXPIRES, STORED) == 100
    assert ttl_s(EXPIRES, EXPIRES + 3 * SECOND) == -3


def test_the_status_says_what_the_cache_did() -> None:
    assert hit(99) == "littoral; hit; ttl=99"
    assert hit(-3, "semantic") == "littoral; hit; ttl=-3; detail=semantic"
    assert forwarded(Forward.MISS) == "littoral; fwd=miss"
    assert forwarded(Forward.MISS, collapsed=True) == "littoral; fwd=miss; collapsed"
    assert forwarded(Forward.BYPASS) == "littoral; fwd=bypass"
    assert forwarded(Forward.STALE) == "littoral; fwd=stale"
    assert forwarded(Forward.REQUEST) == "littoral; fwd=request"


def test_the_response_says_how_long_it_may_be_kept_and_that_it_is_the_callers_own() -> None:
    assert cache_control(60) == "private, max-age=60"
    assert cache_control(-3) == "private, max-age=0"
