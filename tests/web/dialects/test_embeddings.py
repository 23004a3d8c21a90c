"""Embeddings pass through; what is asked is checked."""

import pytest

from littoral.terms import limits
from littoral.terms.errors import BadRequestError
from littoral.terms.values import Kind
from littoral.web.dialects import embeddings
from tests.web.dialects.desk import DeskDoor, tell
from tests.web.fake_door import embedding_body


@pytest.mark.parametrize("given", ["a", ["a", "b"], [1, 2], [[1, 2], [3]]])
async def test_answers_pass_untouched(given: object) -> None:
    door = DeskDoor()
    body = {"model": "small", "input": given, "encoding_format": "base64", "dimensions": 2}
    told = await tell(embeddings.handle, body, door)
    assert told.raw == embedding_body(len(given) if isinstance(given, list) else 1)[0]
    (ask,) = door.asks
    assert (ask.kind, ask.api, ask.stream, ask.body) == (Kind.EMBED, "embeddings", False, body)
    assert door.answers[0].sealed


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": {}}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": ["a", None]}, "input[1]"),
        ({"input": [[]]}, "input[0]"),
        ({"input": [1, "a"]}, "input[0]"),
        ({"input": [[1, -1]]}, "input[0]"),
        ({"input": ["a"] * (limits.EMBED_TEXTS_MAX + 1)}, "input"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
    ],
)
async def test_what_is_wrong_with_a_request_is_named(fields: dict[str, object], param: str) -> None:
    with pytest.raises(BadRequestError) as raised:
        await tell(embeddings.handle, {"model": "small", "input": "a", **fields})
    assert raised.value.param == param
