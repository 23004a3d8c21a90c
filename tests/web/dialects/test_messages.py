"""Anthropic's messages: the request in OpenAI's words, the answer in Anthropic's."""

import json

import pytest

from littoral.terms.errors import BadRequestError, EngineLostError, UnsupportedError
from littoral.web.dialects import messages
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
from tests.web.fake_door import Script, sse

SERIAL = "0" * 31 + "1"
QUESTION: dict[str, object] = {
    "model": "small",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}
STREAM: dict[str, object] = {**QUESTION, "stream": True}


def _offered(tool: dict[str, object]) -> dict[str, object]:
    function = tool["function"]
    assert isinstance(function, dict)
    return {
        "name": function["name"],
        "description": function["description"],
        "input_schema": function["parameters"],
    }


TOOLS: dict[str, object] = {"tools": [_offered(WEATHER), _offered(ADD)]}


def kinds_of(told: Told) -> list[object]:
    return [event["type"] for event in told.events]


def usage(computed: int, cached: int, output: int) -> dict[str, int]:
    return {
        "input_tokens": computed,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": output,
    }


async def test_a_streamed_answer_has_exactly_anthropics_events() -> None:
    door = door_saying(*chat_events("Par", "is."))
    told = await tell(messages.handle, STREAM, door)
    start: dict[str, object] = {
        "id": f"msg_{SERIAL}",
        "type": "message",
        "role": "assistant",
        "model": "small",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage(7, 0, 0),
    }
    text = {"type": "text", "text": ""}
    assert told.events == [
        {"type": "message_start", "message": start},
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": text},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": said},
            }
            for said in ("Par", "is.")
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": usage(9, 0, 5),
        },
        {"type": "message_stop"},
    ]
    names = [line[7:] for line in told.raw.decode().split("\n") if line.startswith("event: ")]
    assert names == kinds_of(told)
    assert told.raw.split(b"\n\n")[-2].startswith(b": littoral-receipt {")
    assert bytes(door.answers[0].body) == b"".join(told.writes[:-1])
    assert door.asks[0].count_first, "the first event says how long the prompt is"


async def test_a_whole_answer_is_what_the_events_add_up_to() -> None:
    told = await tell(messages.handle, QUESTION, door_saying(*recorded("paris")))
    assert told.headers["content-type"] == "application/json"
    assert told.json == {
        "id": f"msg_{SERIAL}",
        "type": "message",
        "role": "assistant",
        "model": "small",
        "content": [{"type": "text", "text": "The capital of France is Paris."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": usage(18, 9, 8),
    }


async def test_the_receipt_covers_the_request_as_it_was_sent() -> None:
    door = door_saying(*chat_events("Hi"))
    await tell(messages.handle, QUESTION, door, {"littoral-nonce": "abc"})
    (ask,) = door.asks
    assert (ask.api, ask.raw, ask.nonce) == ("messages", json.dumps(QUESTION).encode(), "abc")
    assert bytes(door.answers[0].body)


@pytest.mark.parametrize(
    ("name", "stop", "sequence", "text"),
    [
        ("stopped", "stop_sequence", " is Par", "The capital of France"),
        ("cut", "max_tokens", None, "The capital of"),
    ],
)
async def test_the_reason_to_stop_is_told(
    name: str, stop: str, sequence: str | None, text: str
) -> None:
    door = door_saying(*recorded(name))
    body = (await tell(messages.handle, {**QUESTION, "stop_sequences": [" is Par"]}, door)).json
    assert (body["stop_reason"], body["stop_sequence"]) == (stop, sequence)
    assert body["content"] == [{"type": "text", "text": text}]
    assert door.asks[0].body["stop"] == [" is Par"]
    assert door.asks[0].body["verbose"] is True


@pytest.mark.parametrize("field", ["stop_reason", "matched_stop"])
async def test_the_stop_text_is_learned_from_upstreams_too(field: str) -> None:
    choice = {"index": 0, "delta": {"content": "A"}, "finish_reason": "stop", field: "END"}
    door = door_saying(sse({"choices": [choice]}))
    body = {**QUESTION, "model": "far", "stop_sequences": ["END"]}
    answer = (await tell(messages.handle, body, door)).json
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "END")
    assert "verbose" not in door.asks[0].body


async def test_a_request_is_translated_whole() -> None:
    door = door_saying(*chat_events("Hi"))
    body = {
        **QUESTION,
        "model": "native",
        "system": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "2", "is_error": True},
                    {
                        "type": "tool_result",
                        "tool_use_id": "t2",
                        "content": [{"type": "text", "text": "3"}],
                    },
                    {"type": "text", "text": "And now?"},
                ],
            },
        ],
        **TOOLS,
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "stop_sequences": ["END"],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "metadata": {"user_id": "u"},
    }
    await tell(messages.handle, body, door)
    call = {"name": "add", "arguments": '{"a":1}'}
    assert door.asks[0].stream
    assert door.asks[0].body == {
        "model": "native",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": "I look.",
                "tool_calls": [{"id": "t1", "type": "function", "function": call}],
            },
            {"role": "tool", "tool_call_id": "t1", "content": "Error: 2"},
            {"role": "tool", "tool_call_id": "t2", "content": "3"},
            {"role": "user", "content": "And now?"},
        ],
        "tools": [WEATHER, ADD],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "max_tokens": 50,
        "stop": ["END"],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "verbose": True,
    }


@pytest.mark.parametrize(
    ("choice", "forced"),
    [({"type": "any"}, {"get_weather", "add"}), ({"type": "tool", "name": "add"}, {"add"})],
)
async def test_a_demanded_call_is_forced(choice: object, forced: set[str]) -> None:
    door = door_saying(*recorded("forced"))
    await tell(messages.handle, {**QUESTION, **TOOLS, "tool_choice": choice}, door)
    schema = door.asks[0].body["response_format"]
    assert isinstance(schema, dict)
    assert set(schema["json_schema"]["schema"]["$defs"]) == forced


async def test_no_tools_are_told_where_none_may_be_called() -> None:
    door = door_saying(*chat_events("Hi"))
    await tell(messages.handle, {**QUESTION, **TOOLS, "tool_choice": {"type": "none"}}, door)
    assert door.asks[0].body["messages"] == QUESTION["messages"]


async def test_an_answer_may_be_held_to_a_schema() -> None:
    door = door_saying(*chat_events("{}"))
    shape = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    await tell(messages.handle, {**QUESTION, "output_config": shape}, door)
    assert door.asks[0].body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}},
    }


async def test_a_call_is_streamed_as_a_tool_use_block() -> None:
    door = door_saying(*chat_events("```json\n", SAID_CALL, "\n```"))
    told = await tell(messages.handle, {**STREAM, **TOOLS}, door)
    block = {
        "type": "tool_use",
        "id": f"toolu_{SERIAL[:24]}00",
        "name": "get_weather",
        "input": {},
    }
    delta = {"type": "input_json_delta", "partial_json": '{"city": "Oslo"}'}
    assert told.events[2:] == [
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": usage(9, 0, 5),
        },
        {"type": "message_stop"},
    ]


async def test_calls_that_an_engine_found_itself_become_blocks_of_their_own() -> None:
    def event(delta: object, finish: str | None = None) -> bytes:
        return sse({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    def call(index: int, arguments: str, **more: object) -> dict[str, object]:
        function = {"arguments": arguments, **more}
        return {"tool_calls": [{"index": index, "id": f"c{index}", "function": function}]}

    chunks = [
        event({"content": "I look."}),
        event(call(0, "", name="get_weather")),
        event(call(0, '{"city":')),
        event(call(0, '"Oslo"}', name="get_weather")),
        event(call(1, '{"a":1}', name="add")),
        event({}, "tool_calls"),
        event({"content": "never"}, "stop"),
    ]
    body = {**QUESTION, **TOOLS, "model": "native"}
    answer = (await tell(messages.handle, body, door_saying(*chunks))).json
    assert answer["content"] == [
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "c0", "name": "get_weather", "input": {"city": "Oslo"}},
        {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}},
    ]
    assert answer["stop_reason"] == "tool_use"


async def test_tokens_are_counted_without_asking_for_an_answer() -> None:
    door = DeskDoor(Script(counted=42))
    body = {name: value for name, value in QUESTION.items() if name != "max_tokens"}
    told = await tell(messages.handle_count, {**body, "system": "Be kind."}, door)
    assert told.json == {"input_tokens": 42}
    assert door.asks == []
    counted = door.counted[0].body["messages"]
    assert isinstance(counted, list)
    assert counted[0] == {"role": "system", "content": "Be kind."}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"model": 1}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"system": 5}, "system"),
        ({"temperature": 1.5}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"stop_sequences": [""]}, "stop_sequences[0]"),
        ({"stream": 1}, "stream"),
        ({"tools": [{"name": "a b"}]}, "tools[0].name"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice"),
        ({"tool_choice": {"type": "maybe"}}, "tool_choice"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
    ],
)
async def test_what_is_wrong_with_a_request_is_named(fields: dict[str, object], param: str) -> None:
    with pytest.raises(BadRequestError) as raised:
        await tell(messages.handle, {**QUESTION, **fields})
    assert raised.value.param == param


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}}


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": [IMAGE]}]},
        {"messages": [{"role": "user", "content": [{"type": "document", "source": {}}]}]},
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "t", "content": [IMAGE]}],
                }
            ]
        },
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"mcp_servers": [{"type": "url"}]},
        {"container": "c"},
    ],
)
async def test_what_is_not_done_here_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(UnsupportedError):
        await tell(messages.handle, {**QUESTION, **fields})


async def test_an_error_within_a_stream_is_said_as_anthropic_says_it() -> None:
    told = await tell(
        messages.handle, STREAM, DeskDoor(Script(fail_after=3, error=EngineLostError("died")))
    )
    assert told.events[-1]["type"] == "error"
    assert b"event: error\n" in told.raw
    assert b"littoral-receipt" not in told.raw
    assert "message_stop" not in kinds_of(told)


async def test_an_engine_that_breaks_off_makes_no_finished_message() -> None:
    told = await tell(messages.handle, STREAM, door_saying(*chat_events("Par")[:2]))
    assert kinds_of(told)[-1] == "error"
