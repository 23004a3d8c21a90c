"""Legacy completions pass through; what is asked is checked."""

import pytest

from littoral.terms.errors import BadRequestError
from littoral.terms.values import Kind
from littoral.web.dialects import completions
from tests.web.dialects.desk import DeskDoor, tell
from tests.web.fake_door import completion_body, completion_stream

QUESTION: dict[str, object] = {"model": "small", "prompt": "The capital of France is"}


async def test_answers_pass_untouched() -> None:
    door = DeskDoor()
    streamed = await tell(completions.handle, {**QUESTION, "stream": True}, door)
    whole = await tell(completions.handle, QUESTION, door)
    assert streamed.writes[:-1] == completion_stream()
    assert streamed.writes[-1].startswith(b": littoral-receipt ")
    assert whole.writes == completion_body()
    assert [answer.sealed for answer in door.answers] == [True, True]
    assert [(ask.kind, ask.api) for ask in door.asks] == [(Kind.COMPLETE, "completions")] * 2


@pytest.mark.parametrize(
    "prompt", ["a", ["a", "b"], [1, 2, 3], [[1, 2], [3]], "", ["a"] * 8, list(range(50))]
)
async def test_prompts_are_texts_or_token_numbers(prompt: object) -> None:
    door = DeskDoor()
    body = {**QUESTION, "prompt": prompt, "echo": True, "suffix": "x", "best_of": 2}
    await tell(completions.handle, body, door)
    assert door.asks[0].body == body


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": ["a"] * 9}, "prompt"),
        ({"prompt": ["a"] * 3, "n": 3}, "prompt"),
        ({"n": 9}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"logprobs": 21}, "logprobs"),
        ({"echo": "yes"}, "echo"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
async def test_what_is_wrong_with_a_request_is_named(fields: dict[str, object], param: str) -> None:
    with pytest.raises(BadRequestError) as raised:
        await tell(completions.handle, {**QUESTION, **fields})
    assert raised.value.param == param
