"""OpenAI's Responses: the request as a chat, the answer as items and numbered events."""

import json

import pytest

from littoral.terms.errors import BadRequestError, EngineLostError, UnsupportedError
from littoral.web.dialects import responses
from tests.web.dialects.desk import (
    ADD,
    SAID_CALL,
    WEATHER,
    DeskDoor,
    Told,
    chat_events,
    door_saying,
    recorded,
    tell,
)
from tests.web.fake_door import Script

SERIAL = "0" * 31 + "1"
ITEM = f"msg_{SERIAL[:24]}00"
QUESTION: dict[str, object] = {"model": "small", "input": "What is the capital of France?"}
STREAM: dict[str, object] = {**QUESTION, "stream": True}


def _offered(tool: dict[str, object]) -> dict[str, object]:
    function = tool["function"]
    assert isinstance(function, dict)
    return {"type": "function", "strict": True, **function}


TOOLS: dict[str, object] = {"tools": [_offered(WEATHER), _offered(ADD)]}


def kinds_of(told: Told) -> list[object]:
    return [event["type"] for event in told.events]


def part(text: str) -> dict[str, object]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def words(text: str, status: str = "completed") -> dict[str, object]:
    return {
        "id": ITEM,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [part(text)] if text else [],
    }


async def test_a_streamed_answer_has_exactly_the_events_of_the_api() -> None:
    door = door_saying(*chat_events("Par", "is."))
    told = await tell(responses.handle, STREAM, door)
    events = told.events
    assert [event.pop("sequence_number") for event in events] == list(range(len(events)))
    last = events.pop()
    begun: dict[str, object] = {
        "id": f"resp_{SERIAL}",
        "status": "in_progress",
        "output": [],
        "usage": None,
    }
    for event, kind in zip(events[:2], ("response.created", "response.in_progress"), strict=True):
        response = event["response"]
        assert isinstance(response, dict)
        assert event["type"] == kind
        assert begun.items() <= response.items()
    at = {"item_id": ITEM, "output_index": 0}
    place = {**at, "content_index": 0}
    delta = {**place, "type": "response.output_text.delta", "logprobs": []}
    assert events[2:] == [
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": words("", "in_progress"),
        },
        {"type": "response.content_part.added", **place, "part": part("")},
        {**delta, "delta": "Par"},
        {**delta, "delta": "is."},
        {"type": "response.output_text.done", **place, "text": "Paris.", "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part("Paris.")},
        {"type": "response.output_item.done", "output_index": 0, "item": words("Paris.")},
    ]
    assert last["type"] == "response.completed"
    assert told.raw.split(b"\n\n")[-2].startswith(b": littoral-receipt {")
    assert bytes(door.answers[0].body) == b"".join(told.writes[:-1])


async def test_a_whole_answer_is_the_response_of_the_last_event() -> None:
    streamed = await tell(responses.handle, STREAM, door_saying(*recorded("paris")))
    whole = await tell(responses.handle, QUESTION, door_saying(*recorded("paris")))
    assert whole.json == streamed.events[-1]["response"]
    response = whole.json
    assert response["output"] == [words("The capital of France is Paris.")]
    assert response["usage"] == {
        "input_tokens": 27,
        "input_tokens_details": {"cached_tokens": 9, "cache_write_tokens": 0},
        "output_tokens": 8,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 35,
    }
    assert isinstance(response["created_at"], int)
    assert response["created_at"] > 1_700_000_000


async def test_a_response_repeats_what_was_asked_and_that_nothing_is_stored() -> None:
    asked = {
        **QUESTION,
        **TOOLS,
        "store": True,
        "instructions": "Be kind.",
        "max_output_tokens": 20,
        "temperature": 0.5,
        "top_p": 0.9,
        "metadata": {"a": "b"},
        "tool_choice": "none",
        "parallel_tool_calls": False,
        "text": {"format": {"type": "text"}, "verbosity": "low"},
    }
    response = (await tell(responses.handle, asked, door_saying(*chat_events("Hi")))).json
    repeated = {name: value for name, value in asked.items() if name not in {"input", "store"}}
    assert repeated.items() <= response.items()
    assert response["store"] is False
    assert response["object"] == "response"


async def test_a_request_is_translated_whole() -> None:
    door = door_saying(*chat_events("Hi"))
    body = {
        **TOOLS,
        "model": "native",
        "instructions": "Be kind.",
        "input": [
            {"role": "developer", "content": "Short."},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "1"}]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {
                "type": "message",
                "role": "assistant",
                "id": "msg_1",
                "status": "completed",
                "content": [{"type": "output_text", "text": "2", "annotations": []}],
            },
            {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"},
            {"type": "function_call", "call_id": "c2", "name": "add", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "3"},
            {
                "type": "function_call_output",
                "call_id": "c2",
                "output": [{"type": "input_text", "text": "4"}],
            },
        ],
        "max_output_tokens": 20,
        "temperature": 1.5,
        "top_p": 0.5,
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}},
        "reasoning": {"effort": "low"},
        "include": ["reasoning.encrypted_content"],
    }
    await tell(responses.handle, body, door)

    def call(call_id: str) -> dict[str, object]:
        function = {"name": "add", "arguments": "{}"}
        return {"id": call_id, "type": "function", "function": function}

    assert door.asks[0].body == {
        "model": "native",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "system", "content": "Short."},
            {"role": "user", "content": "1"},
            {"role": "assistant", "content": "2"},
            {"role": "assistant", "content": "", "tool_calls": [call("c1"), call("c2")]},
            {"role": "tool", "tool_call_id": "c1", "content": "3"},
            {"role": "tool", "tool_call_id": "c2", "content": "4"},
        ],
        "max_tokens": 20,
        "temperature": 1.5,
        "top_p": 0.5,
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        "tools": [WEATHER, ADD],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning_effort": "low",
    }


async def test_a_call_is_an_item_with_events_of_its_own() -> None:
    door = door_saying(*chat_events("<tool_call>", SAID_CALL, "</tool_call>"))
    told = await tell(responses.handle, {**STREAM, **TOOLS}, door)
    item = {
        "id": f"fc_{SERIAL[:24]}00",
        "type": "function_call",
        "status": "in_progress",
        "call_id": f"call_{SERIAL[:24]}0000",
        "name": "get_weather",
        "arguments": "",
    }
    done = {**item, "status": "completed", "arguments": '{"city": "Oslo"}'}
    at = {"item_id": item["id"], "output_index": 0}
    events = [
        {name: value for name, value in event.items() if name != "sequence_number"}
        for event in told.events
    ]
    assert events[2:-1] == [
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {
            "type": "response.function_call_arguments.delta",
            **at,
            "delta": '{"city": "Oslo"}',
        },
        {
            "type": "response.function_call_arguments.done",
            **at,
            "name": "get_weather",
            "arguments": '{"city": "Oslo"}',
        },
        {"type": "response.output_item.done", "output_index": 0, "item": done},
    ]
    response = events[-1]["response"]
    assert isinstance(response, dict)
    assert response["output"] == [done]


async def test_a_named_function_is_forced() -> None:
    door = door_saying(*recorded("forced"))
    choice = {"type": "function", "name": "get_weather"}
    told = await tell(responses.handle, {**QUESTION, **TOOLS, "tool_choice": choice}, door)
    (item,) = told.json["output"]
    assert (item["name"], json.loads(item["arguments"])) == ("get_weather", {"city": "Oslo"})
    assert told.json["tool_choice"] == choice


async def test_an_answer_that_was_cut_off_is_incomplete() -> None:
    told = await tell(responses.handle, STREAM, door_saying(*recorded("cut")))
    assert told.events[-1]["type"] == "response.incomplete"
    response = told.events[-1]["response"]
    assert isinstance(response, dict)
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["output"] == [words("The capital of", "incomplete")]


async def test_an_error_within_a_stream_fails_the_response() -> None:
    script = Script(fail_after=3, error=EngineLostError("died"))
    told = await tell(responses.handle, STREAM, DeskDoor(script))
    assert kinds_of(told)[-1] == "response.failed"
    response = told.events[-1]["response"]
    assert isinstance(response, dict)
    assert response["status"] == "failed"
    assert response["error"]["code"] == "server_error"
    assert response["error"]["reason"] == "engine_lost"
    assert b"littoral-receipt" not in told.raw
    with pytest.raises(EngineLostError):
        await tell(responses.handle, QUESTION, DeskDoor(script))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"truncation": "auto"}, "truncation"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
        ({"input": [{"type": "computer_call"}]}, "input[0].type"),
        ({"tool_choice": {"type": "file_search"}, **TOOLS}, "tool_choice.type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "input[0].content[0]",
        ),
    ],
)
async def test_what_is_not_done_here_is_refused(fields: dict[str, object], param: str) -> None:
    with pytest.raises(UnsupportedError) as raised:
        await tell(responses.handle, {**QUESTION, **fields})
    assert raised.value.param == param


@pytest.mark.parametrize("fields", [{"background": False}, {"store": False}, {"store": None}])
async def test_what_asks_for_nothing_more_is_accepted(fields: dict[str, object]) -> None:
    told = await tell(responses.handle, {**QUESTION, **fields}, door_saying(*chat_events("Hi")))
    assert told.json["status"] == "completed"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": ["x"]}, "input[0]"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "input[0].role"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "call_id"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"metadata": {"a": 1}}, "metadata[...]"),
    ],
)
async def test_what_is_wrong_with_a_request_is_named(fields: dict[str, object], param: str) -> None:
    with pytest.raises(BadRequestError) as raised:
        await tell(responses.handle, {**QUESTION, **fields})
    assert raised.value.param == param
