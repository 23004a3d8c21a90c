"""A batch of texts to embed: taken apart, put together, and nothing lost or exchanged."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.cache.embeddings import batch_of, composed, parted, shares
from littoral.terms.limits import EMBED_TEXTS_MAX

texts = st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=9)


def answer_to(numbers: list[float], **others: Any) -> bytes:
    data = [
        {"object": "embedding", "index": index, "embedding": [number, 0.5]}
        for index, number in enumerate(numbers)
    ]
    usage = {"prompt_tokens": len(numbers), "total_tokens": len(numbers)}
    return json.dumps({"object": "list", "data": data, "usage": usage, **others}).encode()


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("one", ("one",)),
        (["one", "two"], ("one", "two")),
        ([1, 2], ([1, 2],)),
        ([[1, 2], [3]], ([1, 2], [3])),
        (["one", [3]], ("one", [3])),
    ],
)
def test_every_form_of_input_is_read(given: object, found: tuple[object, ...]) -> None:
    batch = batch_of({"model": "m", "input": given})
    assert batch is not None
    assert batch.texts == found


@pytest.mark.parametrize(
    "given",
    [
        *(None, "", 7, {"a": 1}),
        *([], [""], ["one", ""], ["one", None], [[]], [True], [[1.0]]),
        ["x"] * (EMBED_TEXTS_MAX + 1),
    ],
)
def test_what_is_odd_is_no_batch(given: object) -> None:
    assert batch_of({"model": "m", "input": given}) is None


def test_all_else_that_may_decide_a_vector_is_compared() -> None:
    def rest(**more: object) -> bytes:
        batch = batch_of({"model": "m", "input": "one", **more})
        assert batch is not None
        return batch.rest

    same = [rest(), rest(encoding_format="float"), rest(stream=True), rest(user=None)]
    assert len(set(same)) == 1
    others = [
        rest(encoding_format="base64"),
        rest(dimensions=2),
        rest(user="u"),
        rest(truncate=True),
        rest(input_type="query"),
    ]
    assert len({*same, *others}) == 1 + len(others)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.randoms())
def test_an_answer_is_put_together_as_it_was_taken_apart(numbers: list[float], luck: Any) -> None:
    said = json.loads(answer_to(numbers))
    luck.shuffle(said["data"])  # a place is what `index` says
    answer = parted(json.dumps(said).encode(), len(numbers))
    assert answer is not None
    again = json.loads(composed(answer.model, answer.vectors, tokens=answer.tokens))
    assert [each["embedding"][0] for each in again["data"]] == numbers
    assert [each["index"] for each in again["data"]] == list(range(len(numbers)))
    assert again["usage"]["prompt_tokens"] == again["usage"]["total_tokens"] == len(numbers)
    assert parted(json.dumps(again).encode(), len(numbers)) == answer


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        answer_to([0.5]),
        answer_to([0.5, 0.5, 0.5]),
        answer_to([0.5, 0.5]).replace(b'"index": 1', b'"index": 0'),
        answer_to([0.5, 0.5]).replace(b'"index": 1', b'"index": 2'),
        answer_to([0.5, 0.5]).replace(b"[0.5, 0.5]", b"null", 1),
        answer_to([0.5, 0.5]).replace(b"[0.5, 0.5]", b'{"a": 1}', 1),
        answer_to([0.5, 0.5])[:-1],
        answer_to([0.5, 0.5], usage={"prompt_tokens": -1}),
    ],
)
def test_an_answer_that_is_not_all_there_is_not_taken_apart(body: bytes) -> None:
    assert parted(body, 2) is None


def test_a_server_may_say_nothing_of_usage() -> None:
    answer = parted(answer_to([0.5], usage=None), 1)
    assert answer is not None
    assert answer.tokens == 0


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_none(body: bytes) -> None:
    assert parted(body, 1) is None


@given(st.integers(0, 10**6), texts)
def test_the_shares_of_a_batch_are_all_of_it(tokens: int, batch: list[str]) -> None:
    given = shares(tokens, batch)
    assert sum(given) == tokens
    assert all(share >= 0 for share in given)
    assert shares(tokens, batch[:1]) == [tokens]
