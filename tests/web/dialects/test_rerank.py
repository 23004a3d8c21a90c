"""Requests to sort passages: what is asked is checked, and answers pass."""

import pytest

from littoral.terms import limits
from littoral.terms.errors import BadRequestError, CallerError, UnsupportedError
from littoral.terms.values import Kind
from littoral.web.dialects import rerank
from tests.web.dialects.desk import DeskDoor, tell

ASKED: dict[str, object] = {"model": "small", "query": "When?", "documents": ["six", "seven"]}


async def test_documents_are_texts_however_they_are_written() -> None:
    door = DeskDoor()
    body = {**ASKED, "documents": ["six", {"text": "seven", "id": 7}], "top_n": 1, "user": None}
    await tell(rerank.handle, body, door)
    (ask,) = door.asks
    assert (ask.kind, ask.api, ask.stream) == (Kind.RERANK, "rerank", False)
    assert ask.body == {**ASKED, "top_n": 1}
    assert door.answers[0].sealed


@pytest.mark.parametrize(
    ("fields", "param", "error"),
    [
        ({"query": None}, "query", BadRequestError),
        ({"query": " "}, "query", BadRequestError),
        ({"documents": None}, "documents", BadRequestError),
        ({"documents": []}, "documents", BadRequestError),
        ({"documents": ["a", 1]}, "documents[1]", BadRequestError),
        ({"documents": [{"title": "a"}]}, "documents[0].text", BadRequestError),
        ({"documents": ["a"] * (limits.RERANK_TEXTS_MAX + 1)}, "documents", BadRequestError),
        ({"top_n": 0}, "top_n", BadRequestError),
        ({"return_documents": 1}, "return_documents", BadRequestError),
        ({"rank_fields": ["title"]}, "rank_fields", UnsupportedError),
    ],
)
async def test_what_is_wrong_with_a_request_is_named(
    fields: dict[str, object], param: str, error: type[CallerError]
) -> None:
    with pytest.raises(error) as raised:
        await tell(rerank.handle, {**ASKED, **fields})
    assert raised.value.param == param
