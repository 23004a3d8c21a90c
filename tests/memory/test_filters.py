"""What each filter means, one record at a time."""

from typing import Any as AnyValue

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.memory.filters import both, check_filter, distance_m, matches, moment
from littoral.terms.errors import BadRequestError
from littoral.terms.filters import (
    All,
    Allowed,
    Any,
    Between,
    Filter,
    Has,
    Ids,
    Is,
    Matches,
    Near,
    Not,
)
from littoral.terms.limits import (
    FILTER_DEPTH_MAX,
    FILTER_FIELD_CHARS_MAX,
    FILTER_VALUES_MAX,
    QUESTION_CHARS_MAX,
)
from littoral.terms.memory import Record

RECORD = Record(
    id="r1",
    text="The harbour office closes at eight",
    document="guide.md",
    labels=("staff",),
    metadata={
        "year": 2026,
        "share": 0.5,
        "open": True,
        "tags": ["sea", "boats", None],
        "author": {"name": "Ada", "papers": [{"year": 1843}, {"year": 1844}]},
        "author.name": "written out",
        "place": {"lat": 54.3, "lon": 10.1},
        "at": "2026-11-26T12:00:00+01:00",
        "nothing": None,
        "empty": [],
    },
)


@pytest.mark.parametrize(
    "where",
    [
        All(()),
        Is("year", (2026,)),
        Is("year", (1, 2026.0)),
        Is("open", (True,)),
        Is("tags", ("boats",)),
        Is("author.name", ("written out",)),
        Is("author.papers.year", (1844,)),
        Is("$document", ("guide.md",)),
        Is("$labels", ("staff",)),
        Between("year", gte=2026, lt=2027),
        Between("share", gt=0.4),
        Between("at", gte="2026-11-26T11:00:00Z", lte="2026-11-26T11:00:00Z"),
        Between("author.papers.year", lt=1844),
        Has("tags"),
        Has("$text"),
        Not(Has("nothing")),
        Not(Has("empty")),
        Not(Has("absent")),
        Matches("$text", "EIGHT harbour"),
        Near("place", 54.3, 10.2, 7_000.0),
        Ids(("r0", "r1")),
        Allowed(("staff", "board")),
        Any((Ids(()), Has("year"))),
    ],
    ids=repr,
)
def test_a_record_is_among_those_that_are_meant(where: Filter) -> None:
    check_filter(where)
    assert matches(where, RECORD)
    assert not matches(Not(where), RECORD)


@pytest.mark.parametrize(
    "where",
    [
        Any(()),
        Is("year", (2025,)),
        Is("year", ("2026",)),
        Is("year", ()),
        Is("open", (1,)),
        Is("tags", ("sea boats",)),
        Is("author.name", ("Ada",)),
        Is("nothing", ("",)),
        Between("year", gt=2026),
        Between("open", gte=0),
        Between("at", lt="2026-11-26"),
        Between("tags", gte=0),
        Matches("$text", "harbour nine"),
        Matches("year", "2026"),
        Near("place", 54.3, 10.2, 6_000.0),
        Near("tags", 0.0, 0.0, 1e9),
        Ids(("r",)),
        Allowed(()),
        Allowed(("board",)),
        All((Has("year"), Has("absent"))),
    ],
    ids=repr,
)
def test_a_record_is_not_among_those_that_are_meant(where: Filter) -> None:
    check_filter(where)
    assert not matches(where, RECORD)
    assert matches(Not(where), RECORD)


def test_what_has_no_labels_is_for_everybody() -> None:
    assert matches(Allowed(()), Record(id="r2"))


@pytest.mark.parametrize(
    "where",
    [
        Is("", ("x",)),
        Is("$secret", ("x",)),
        Between("year"),
        Between("year", gt=1, lt="2026-01-01"),
        Between("year", gt="not a time"),
        Is("year", (2**64,)),
        Is("year", (1, -(2**63) - 1)),
        Is("year", (float("inf"),)),
        Between("year", gt=2**64),
        Between("year", lte=float("nan")),
        Near("place", 91.0, 0.0, 1.0),
        Near("place", 0.0, float("nan"), 1.0),
        Near("place", 0.0, 0.0, -1.0),
        Is("." * (FILTER_FIELD_CHARS_MAX + 1), (1,)),
        Matches("$text", "!?"),
        Matches("$text", "word " * QUESTION_CHARS_MAX),
        Ids(tuple(map(str, range(FILTER_VALUES_MAX + 1)))),
        All((Any((Not(Is("", ())),)),)),
    ],
    ids=lambda where: repr(where)[:60],
)
def test_a_filter_without_a_meaning_is_refused(where: Filter) -> None:
    with pytest.raises(BadRequestError):
        check_filter(where)


def test_a_filter_that_is_too_deep_is_refused() -> None:
    where: Filter = Has("x")
    for _ in range(FILTER_DEPTH_MAX):
        where = Not(where)
    check_filter(where)
    with pytest.raises(BadRequestError, match="deep"):
        check_filter(Not(where))


def test_a_filter_of_too_many_parts_is_refused_without_looking_at_all_of_them() -> None:
    where: Filter = Any((Has("x"),) * 1_000)
    check_filter(where)
    for _ in range(5):
        where = All((where,) * 1_000)
    with pytest.raises(BadRequestError, match="parts"):
        check_filter(where)


def test_nothing_and_a_filter_is_the_filter() -> None:
    one, other = Has("x"), Has("y")
    assert both(None, None) is None
    assert both(one, None) is one
    assert both(None, other) is other
    assert both(one, other) == All((one, other))


def test_times_are_moments_whatever_their_zone() -> None:
    assert moment("1970-01-01T01:00:00+01:00") == 0.0
    assert moment("1970-01-02") == 86_400.0
    assert moment("tomorrow") is None


def test_a_degree_of_a_meridian_is_111_kilometres() -> None:
    assert distance_m(0.0, 0.0, (1.0, 0.0)) == pytest.approx(111_195, abs=1)
    assert distance_m(0.0, 0.0, (0.0, 180.0)) == pytest.approx(20_015_115, abs=1)


JSON: st.SearchStrategy[AnyValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text("ab.", min_size=1, max_size=3), JSON, max_size=3),
    st.text("ab.", min_size=1, max_size=4),
)
def test_whatever_the_metadata_a_field_is_looked_up_without_a_failure(
    metadata: dict[str, object], field: str
) -> None:
    record = Record(id="x", metadata=metadata)
    filters: tuple[Filter, ...] = (
        Is(field, (True, 1, "a")),
        Between(field, gt=0),
        Between(field, gt="2026-01-01"),
        Has(field),
        Matches(field, "a"),
        Near(field, 0.0, 0.0, 1.0),
    )
    for where in filters:
        assert matches(where, record) is not matches(Not(where), record)
