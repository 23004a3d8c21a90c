"""Bodies are read strictly, and what is wrong with one is named."""

import contextlib
import json
import time
from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.terms import limits
from littoral.terms.errors import BadRequestError
from littoral.web.dialects.reading import checked, json_object, nonce_of, without_nulls


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b"{} {}",
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b'{"\\uD800": 1}',
        b"\xef\xbb\xbf{}",
        b'{"a":' * 100_000,
        b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}",
    ],
)
def test_what_is_not_one_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequestError):
        json_object(raw)


def test_nesting_is_bounded_and_breadth_is_not() -> None:
    within = b'{"a":' * 63 + b"[]" + b"}" * 63
    assert json_object(within)
    with pytest.raises(BadRequestError, match="64 levels"):
        json_object(b'{"a":' + within + b"}")
    wide: dict[str, object] = {"a": [{"b": []}] * 500}
    assert json_object(json.dumps(wide).encode()) == wide


BODY = limits.BODY_BYTES_MAX


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"a":[' + b"[]," * (BODY // 3) + b"1]}", "objects and arrays"),
        (b'{"a":[' + b"{}," * (BODY // 3) + b"1]}", "objects and arrays"),
        (b'{"a":' + b"[" * BODY, "objects and arrays"),
        (b'{"a":"\\\\",' + b'"b\\"":[],' * (BODY // 9), "values"),
        (b"{" + b'"name":1,' * 300_000 + b'"a":1}', "names"),
        (b'{"a":[' + b"1," * (BODY // 2) + b"1]}", "values"),
        (b'{"a":[' + b'"",' * (BODY // 3) + b'""]}', "values"),
        (b'{"a":[' + b"1e308," * 1_000_000 + b"1]}", "exponent"),
        (b'{"a":[' + b"5E-324," * 200_000 + b"1]}", "exponent"),
        (b'{"a":[' + b"9" * 4000 + (b"," + b"9" * 4000) * 8000 + b"]}", "digits"),
        (b'{"a":[' + b"[]," * 60_000 + b"[" * 65 + b"]" * 65 + b"]}", "64 levels"),
    ],
    ids=[
        *("arrays", "objects", "deep", "escapes", "names", "numbers", "strings"),
        *("large exponents", "small exponents", "digits", "wide and deep"),
    ],
)
def test_a_body_that_is_costly_to_read_is_refused_before_it_costs(raw: bytes, words: str) -> None:
    began = time.process_time()
    with pytest.raises(BadRequestError, match=words):
        json_object(raw)
    assert time.process_time() - began < 1, "decoding it would take several seconds"


def test_a_million_tokens_in_lists_are_read() -> None:
    lists = b",".join([b"[" + b",".join([b"50256"] * 512) + b"]"] * 2048)
    body = json_object(b'{"model":"m","input":[' + lists + b"]}")
    assert isinstance(body["input"], list)
    assert len(body["input"]) == 2048


def test_numbers_in_strings_may_have_any_form_and_others_what_they_need() -> None:
    text = "1e308, " * 30_000 + "9" * 100_000
    numbers = [0.1, 1e-05, 1.5e300, 2**63 - 1, 1234567890123456789] * 3000
    body: dict[str, object] = {"a": text, "b": numbers, text: 1}
    assert json_object(json.dumps(body).encode()) == body


def test_what_is_in_strings_does_not_count() -> None:
    text = '[{,\\"' * 1_200_000 + "\\"
    body: dict[str, object] = {"a": text, "b": [{text[:99]: []}]}
    assert json_object(json.dumps(body).encode()) == body


def _levels(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_levels, value.values()), default=0)
    return 1 + max(map(_levels, value), default=0) if isinstance(value, list) else 0


_tricky = st.text('a[]{},"\\')


@given(
    st.dictionaries(
        _tricky,
        st.recursive(
            _tricky, lambda part: st.lists(part) | st.dictionaries(_tricky, part), max_leaves=30
        ),
    ),
    st.integers(1, 6),
)
def test_depth_is_what_it_is_whatever_the_strings_hold(body: dict[str, object], most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "JSON_DEPTH_MAX", most)
        try:
            read = json_object(json.dumps(body).encode())
        except BadRequestError:
            assert _levels(body) > most
        else:
            assert read == body
            assert _levels(body) <= most


@given(st.dictionaries(st.text(), st.recursive(st.none() | st.text(), st.lists, max_leaves=9)))
def test_every_other_object_is_read_as_it_is(body: dict[str, object]) -> None:
    assert json_object(json.dumps(body).encode("utf-8", "surrogatepass")) == body


@given(st.binary())
def test_no_bytes_do_anything_else_than_be_refused(raw: bytes) -> None:
    with contextlib.suppress(BadRequestError):
        json_object(raw)


class _Part(msgspec.Struct):
    kind: str


class _Fields(msgspec.Struct):
    model: str
    warmth: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    stop: str | list[str] | None = None
    parts: list[_Part] = []


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({}, "model", "missing"),
        ({"model": 3}, "model", "a string, got an integer"),
        ({"model": "m", "warmth": "hot"}, "warmth", "a number, got a string"),
        ({"model": "m", "warmth": 3}, "warmth", "<= 2.0"),
        ({"model": "m", "warmth": True}, "warmth", "a boolean"),
        ({"model": "m", "stop": {}}, "stop", "a string or an array, got an object"),
        ({"model": "m", "parts": [{"kind": "a"}, {}]}, "parts[1].kind", "missing"),
        ({"model": "m", "parts": ["secret"]}, "parts[0]", "an object, got a string"),
    ],
)
def test_the_field_at_fault_is_named(body: dict[str, object], param: str, words: str) -> None:
    with pytest.raises(BadRequestError, match=param.replace("[", r"\[")) as raised:
        checked(body, _Fields)
    assert raised.value.param == param
    assert words in raised.value.message
    assert "secret" not in str(raised.value)


def test_whole_numbers_are_numbers_and_unknown_fields_are_left_alone() -> None:
    body = {"model": "m", "warmth": 1, "unknown": [1]}
    assert checked(body, _Fields).warmth == 1.0
    assert without_nulls({**body, "stop": None}) == body


def test_a_nonce_is_short_visible_ascii_or_absent() -> None:
    assert nonce_of({}) == ""
    assert nonce_of({"littoral-nonce": "a~!" * 40}) == "a~!" * 40
    for bad in ("a b", "é", "x" * (limits.NONCE_CHARS_MAX + 1), "a\x7f"):
        with pytest.raises(BadRequestError):
            nonce_of({"littoral-nonce": bad})


@given(
    st.integers(65_500, 65_560), st.lists(st.sampled_from(["[", "{", "]", '"', "\\"]), max_size=90)
)
def test_strings_are_told_from_the_rest_wherever_they_lie(before: int, text: list[str]) -> None:
    """Brackets are counted block by block; where a block ends makes no difference."""
    marks = "".join(text) + "[" * 70
    body = {"a": "x" * before, marks: marks, "b": [marks] * 3}
    assert json_object(json.dumps(body).encode()) == body
    deep = json.dumps(body)[:-1] + ', "c": ' + "[" * 65 + "]" * 65 + "}"
    with pytest.raises(BadRequestError, match="levels deep"):
        json_object(deep.encode())
