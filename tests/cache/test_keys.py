"""Keys of answers: the same for what means the same, and for nothing else."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from littoral.cache.keys import (
    KEY_BYTES,
    answer_key,
    canonical,
    embedding_keys,
    model_identity,
    reproducible,
)
from littoral.terms.ids import Digest, ModelName
from littoral.terms.values import (
    EngineKind,
    Kind,
    ModelDefaults,
    ModelEntry,
    ModelFile,
    RelayPolicy,
    UpstreamTarget,
)

PLAIN = ModelDefaults()
UPSTREAM = UpstreamTarget("http://one/v1", "big")
ENTRY = ModelEntry(
    ModelName("tiny"),
    EngineKind.UPSTREAM,
    (Kind.CHAT,),
    2048,
    digest=Digest("sha256:a"),
    files=(ModelFile("weights.gguf", 10, Digest("sha256:a")),),
    upstreams=(UPSTREAM,),
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(st.text(max_size=8), json_values, max_size=5)
parts = st.tuples(
    st.text(max_size=6),
    st.binary(max_size=6),
    st.text(max_size=6),
    st.integers(0, 300),
    st.binary(max_size=6),
)


def shuffled(value: Any) -> Any:
    """The same JSON with the members of every object in another order."""
    match value:
        case dict():
            return {name: shuffled(value[name]) for name in reversed(list(value))}
        case list():
            return [shuffled(item) for item in value]
        case _:
            return value


@given(bodies)
def test_the_order_of_members_and_blanks_make_no_difference(body: dict[str, Any]) -> None:
    other = json.loads(json.dumps(shuffled(body), indent=3))
    assert canonical(other) == canonical(json.loads(json.dumps(body)))


@given(bodies, bodies)
def test_any_other_request_has_another_form(one: dict[str, Any], two: dict[str, Any]) -> None:
    def meaning(body: dict[str, Any]) -> str:
        given = {name: value for name, value in body.items() if value is not None}
        return json.dumps(given, sort_keys=True)

    assert (canonical(one) == canonical(two)) == (meaning(one) == meaning(two))


def test_a_member_that_is_null_is_as_one_that_is_not_there_and_only_at_the_top() -> None:
    assert canonical({"seed": None, "n": 1}) == canonical({"n": 1})
    assert canonical({"x": {"a": None}}) != canonical({"x": {}})


@pytest.mark.parametrize("name", ["user", "stream", "unheard_of"])
def test_no_member_is_left_out(name: str) -> None:
    body = {"model": "tiny", "messages": []}
    assert canonical(body) != canonical({**body, name: False})
    assert canonical({**body, name: 1}) != canonical({**body, name: True})


@given(parts, parts)
def test_two_sets_of_parts_share_no_key(
    one: tuple[str, bytes, str, int, bytes], two: tuple[str, bytes, str, int, bytes]
) -> None:
    assume(one != two)
    assert answer_key(*one) != answer_key(*two)


@given(st.text(max_size=4), st.text(max_size=4), st.text(max_size=4))
def test_bytes_moved_from_one_part_to_the_next_make_another_key(a: str, b: str, c: str) -> None:
    assume(b)
    assert answer_key(a + b, c.encode(), "x", 1, b"") != answer_key(
        a, (b + c).encode(), "x", 1, b""
    )
    assert answer_key("s", b"m", a + b, 1, c.encode()) != answer_key(
        "s", b"m", a, 1, (b + c).encode()
    )


def test_a_key_is_of_its_stated_length() -> None:
    assert len(answer_key("key:a", b"m", "messages", 1, b"{}")) == KEY_BYTES


def keys_of(*texts: str | list[int], **others: Any) -> list[bytes]:
    given: dict[str, Any] = {
        "scope": "key:a",
        "model": b"m",
        "policy_epoch": 1,
        "rest": b"{}",
        **others,
    }
    return embedding_keys(texts=texts, **given)


def test_each_text_has_a_key_of_its_own_wherever_it_stands() -> None:
    one, two = keys_of("one", "two")
    assert keys_of("two", "three", "one") == [two, keys_of("three")[0], one]


@pytest.mark.parametrize(
    "other",
    [
        {"scope": "key:b"},
        {"model": b"n"},
        {"policy_epoch": 2},
        {"rest": b'{"dimensions":128}'},
    ],
)
def test_whatever_decides_a_vector_is_in_its_key(other: dict[str, Any]) -> None:
    assert keys_of("one", **other) != keys_of("one")


def test_tokens_are_not_the_text_that_spells_them() -> None:
    assert keys_of([1, 2]) != keys_of("[1,2]")


def test_a_vector_never_has_the_key_of_an_answer() -> None:
    assert keys_of("")[0] != answer_key("key:a", b"m", "{}", 1, b"")


@pytest.mark.parametrize(
    "other",
    [
        {"name": ModelName("tiny2")},
        {"engine": EngineKind.LLAMA},
        {"kinds": (Kind.EMBED,)},
        {"context_tokens": 4096},
        {"digest": Digest("sha256:b")},
        {"tokenizer_digest": Digest("sha256:b")},
        {"template_digest": Digest("sha256:b")},
        {"files": (ModelFile("weights.gguf", 10, Digest("sha256:b")),)},
        {"defaults": ModelDefaults(system="Be brief.")},
        {"defaults": ModelDefaults(temperature=0.0)},
        {"upstreams": (UpstreamTarget("http://two/v1", "big"),)},
        {"upstreams": (UpstreamTarget("http://one/v1", "small"),)},
        {"upstreams": (replace(UPSTREAM, apis=("messages",)),)},
        {"fallbacks": (ModelName("other"),)},
    ],
)
def test_what_decides_the_answers_of_a_model_is_in_its_identity(other: dict[str, Any]) -> None:
    assert model_identity(replace(ENTRY, **other)) != model_identity(ENTRY)


def test_how_a_model_is_reached_and_described_is_not() -> None:
    other = replace(
        ENTRY,
        description="a small one",
        origin="elsewhere",
        upstreams=(replace(UPSTREAM, weight=3, key_env="KEY"),),
        relay=RelayPolicy(attempts=9),
    )
    assert model_identity(other) == model_identity(ENTRY)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"temperature": 0}, True),
        ({"temperature": 0.0, "n": 4}, True),
        ({"temperature": 0.7}, False),
        ({"temperature": 0.7, "seed": 7}, True),
        ({"seed": 0}, True),
        ({"seed": None}, False),
        ({"temperature": False}, False),
        ({"seed": True}, False),
        ({"seed": "7"}, False),
        ({}, False),
        ({"temperature": 0, "tools": [{"type": "function", "function": {"name": "add"}}]}, True),
        ({"temperature": 0, "tools": [{"name": "add", "input_schema": {}}]}, True),
        ({"temperature": 0, "tools": [{"type": "web_search"}]}, False),
        ({"temperature": 0, "tools": [{"type": ["function"]}]}, False),
        ({"temperature": 0, "web_search_options": {}}, False),
    ],
)
def test_temperature_0_or_a_seed_make_an_answer_reproducible(
    body: dict[str, Any], expected: bool
) -> None:
    assert reproducible("chat.completions", body, PLAIN) is expected


def test_a_models_default_temperature_counts_where_the_request_says_none() -> None:
    cold = ModelDefaults(temperature=0.0)
    assert reproducible("messages", {}, cold)
    assert reproducible("messages", {"temperature": None}, cold)
    assert not reproducible("messages", {"temperature": 1}, cold)


def test_embeddings_are_reproducible() -> None:
    assert reproducible("embeddings", {"input": "text"}, PLAIN)
