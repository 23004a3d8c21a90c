"""OpenAI's filters mean what they say, whoever sends what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.memory.filters import check_filter, matches
from littoral.terms.errors import BadRequestError
from littoral.terms.memory import Record
from littoral.web.stores.filters import filter_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-1, 1) | st.text("a$.", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner),
    max_leaves=4,
)
KINDS = st.sampled_from(
    ["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "and", "or", "not", None]
)


def means(said: object, **attributes: object) -> bool:
    where = filter_of(said)
    check_filter(where)
    return matches(where, Record(id="1", metadata=attributes))


def test_a_missing_attribute_is_none_of_the_values() -> None:
    assert not means({"type": "eq", "key": "a", "value": 1})
    assert not means({"type": "lt", "key": "a", "value": 1})
    assert means({"type": "ne", "key": "a", "value": 1})
    assert means({"type": "nin", "key": "a", "value": [1]})


def test_numbers_texts_and_booleans_are_different() -> None:
    assert means({"type": "eq", "key": "a", "value": 1}, a=1.0)
    assert not means({"type": "eq", "key": "a", "value": 1}, a=True)
    assert not means({"type": "eq", "key": "a", "value": "1"}, a=1)
    assert means({"type": "gte", "key": "a", "value": "2026-01-01"}, a="2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    "said",
    [
        [],
        "x",
        {},
        {"type": "eq"},
        {"type": "eq", "key": "", "value": 1},
        {"type": "eq", "key": "$text", "value": "secret"},
        {"type": "eq", "key": "a"},
        {"type": "eq", "key": "a", "value": [1]},
        {"type": "gt", "key": "a", "value": True},
        {"type": "gt", "key": "a", "value": "no time"},
        {"type": "in", "key": "a", "value": 1},
        {"type": "in", "key": "a", "value": [[1]]},
        {"type": "and", "filters": []},
        {"type": "and", "filters": {"type": "eq"}},
        {"type": "or", "filters": [{"type": "eq"}]},
        {"type": "not", "filters": []},
    ],
)
def test_what_means_nothing_is_refused(said: object) -> None:
    with pytest.raises(BadRequestError):
        means(said)


def test_filters_within_filters_have_a_bound() -> None:
    said: object = {"type": "eq", "key": "a", "value": 1}
    for _ in range(100):
        said = {"type": "and", "filters": [said]}
    with pytest.raises(BadRequestError, match="deep"):
        filter_of(said)


@given(
    st.fixed_dictionaries(
        {},
        optional={"type": KINDS, "key": JSON, "value": JSON, "filters": st.lists(JSON, max_size=2)},
    )
)
def test_any_filter_is_read_or_refused(said: object) -> None:
    try:
        means(said, a=1)
    except BadRequestError:
        return
