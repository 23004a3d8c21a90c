"""OpenAI chat: untouched where it can be, calls made proper where they must be."""

import json

import pytest

from littoral.terms.errors import (
    BadRequestError,
    EngineFailedError,
    EngineLostError,
    QueueFullError,
    UnsupportedError,
)
from littoral.terms.values import Kind
from littoral.web.dialects import chat
from tests.web.dialects.desk import (
    ADD,
    SAID_CALL,
    WEATHER,
    DeskDoor,
    Json,
    Told,
    chat_events,
    door_saying,
    events_in,
    recorded,
    tell,
    whole_chat,
)
from tests.web.fake_door import Script, sse

QUESTION: dict[str, object] = {
    "model": "small",
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}
STREAM: dict[str, object] = {**QUESTION, "stream": True}
TEXTLESS = "messages[0].content[0].text"
USAGE = {"stream_options": {"include_usage": True}}
TOOLS: dict[str, object] = {"tools": [WEATHER, ADD]}


def choices_of(told: Told) -> list[Json]:
    return [choice for event in told.events for choice in event["choices"]]


def deltas_of(told: Told) -> list[Json]:
    return [choice["delta"] for choice in choices_of(told)]


async def test_a_stream_passes_untouched_with_its_receipt_last() -> None:
    chunks = recorded("paris")
    door = door_saying(*chunks)
    told = await tell(chat.handle, {**STREAM, **USAGE}, door)
    (answer,) = door.answers
    assert told.writes[:-1] == chunks
    assert bytes(answer.body) == b"".join(chunks)
    assert answer.sealed
    assert told.raw.endswith(
        b"data: [DONE]\n\n: littoral-receipt " + json_receipt(answer.receipt_id, chunks) + b"\n\n"
    )
    assert told.status == 200
    assert told.headers["content-type"].startswith("text/event-stream")
    assert told.headers["littoral-receipt"] == answer.receipt_id


def json_receipt(receipt_id: str, chunks: list[bytes]) -> bytes:
    size = sum(map(len, chunks))
    return json.dumps({"receipt": receipt_id, "bytes": size}).encode()


async def test_the_usage_chunk_is_only_for_whoever_asked() -> None:
    chunks = recorded("paris")
    told = await tell(chat.handle, STREAM, door_saying(*chunks))
    assert told.writes[:-1] == [*chunks[:-2], chunks[-1]]
    joined = await tell(chat.handle, STREAM, door_saying(b"".join(chunks)))
    assert joined.writes[0] == told.raw[: len(joined.writes[0])]
    assert not any("usage" in event for event in joined.events)


async def test_a_first_chunk_without_choices_that_is_no_usage_is_kept() -> None:
    """Azure tells of its filters so."""
    first = sse({"choices": [], "prompt_filter_results": []})
    told = await tell(chat.handle, STREAM, door_saying(first, *chat_events("Hi")))
    assert told.writes[0] == first


async def test_a_whole_answer_passes_untouched() -> None:
    door = DeskDoor()
    told = await tell(chat.handle, QUESTION, door, {"littoral-nonce": "n-1"})
    (answer,) = door.answers
    assert told.headers["content-type"] == "application/json"
    assert told.raw == bytes(answer.body)
    assert answer.sealed
    (ask,) = door.asks
    assert (ask.api, ask.kind, ask.model, ask.stream, ask.nonce) == (
        "chat.completions",
        Kind.CHAT,
        "small",
        False,
        "n-1",
    )
    assert ask.raw == json.dumps(QUESTION).encode()
    assert ask.body == QUESTION


async def test_unknown_fields_are_passed_on_and_nulls_are_not() -> None:
    door = DeskDoor()
    await tell(chat.handle, {**QUESTION, "min_p": 0.1, "x": {"y": None}, "stop": None}, door)
    assert door.asks[0].body == {**QUESTION, "min_p": 0.1, "x": {"y": None}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": "Bad Name"}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "wizard", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, TEXTLESS),
        ({"stream": "yes"}, "stream"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"n": 0}, "n"),
        ({"n": 9}, "n"),
        ({"stop": [""]}, "stop[0]"),
        ({"stop": ["a"] * 17}, "stop"),
        ({"seed": 1.5}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"frequency_penalty": -3}, "frequency_penalty"),
        ({"logit_bias": {"5": 101}}, "logit_bias[...]"),
        ({"logprobs": 1}, "logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"top_logprobs": 1}, "top_logprobs"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
        (USAGE, "stream_options"),
    ],
)  # fmt: skip
async def test_what_is_wrong_with_a_request_is_named(fields: dict[str, object], param: str) -> None:
    with pytest.raises(BadRequestError) as raised:
        await tell(chat.handle, {**QUESTION, **fields})
    assert raised.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"functions": []}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"audio": {}}, "audio"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"web_search_options": {}}, "web_search_options"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0]",
        ),
    ],
)
async def test_what_local_models_do_not_do_is_refused(
    fields: dict[str, object], param: str
) -> None:
    with pytest.raises(UnsupportedError) as raised:
        await tell(chat.handle, {**QUESTION, **fields})
    assert raised.value.param == param
    door = DeskDoor()
    await tell(chat.handle, {**QUESTION, **fields, "model": "far"}, door)
    assert door.asks[0].body == {**QUESTION, **fields, "model": "far"}


async def test_parts_are_joined_and_developers_speak_as_the_system() -> None:
    door = DeskDoor()
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    messages = [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": parts}]
    await tell(chat.handle, {**QUESTION, "messages": messages}, door)
    assert door.asks[0].body["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "one\ntwo"},
    ]


HISTORY: list[dict[str, object]] = [
    {"role": "user", "content": "Weather in Oslo?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "4 degrees"},
]


async def test_calls_and_results_of_the_past_are_told_as_text_to_a_model_without_tools() -> None:
    door = DeskDoor()
    await tell(chat.handle, {**QUESTION, "messages": HISTORY}, door)
    assert door.asks[0].body["messages"] == [
        HISTORY[0],
        {"role": "assistant", "content": SAID_CALL},
        {"role": "user", "content": "Result of get_weather: 4 degrees\nNow answer in words."},
    ]
    thanks = {"role": "user", "content": "Thanks."}
    await tell(chat.handle, {**QUESTION, "messages": [*HISTORY, thanks]}, door)
    told = door.asks.pop().body["messages"]
    assert isinstance(told, list)
    assert told[-2:] == [{"role": "user", "content": "Result of get_weather: 4 degrees"}, thanks]
    await tell(chat.handle, {**QUESTION, "messages": HISTORY, "model": "native"}, door)
    assert door.asks[1].body["messages"] == [HISTORY[0], {**HISTORY[1], "content": ""}, HISTORY[2]]
    await tell(chat.handle, {**QUESTION, "messages": HISTORY, "model": "far"}, door)
    assert door.asks[2].body["messages"] == HISTORY


CALL = {
    "id": "call_000000000000000000000000" + "0000",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
}


async def test_a_whole_answer_that_is_a_call_in_text_becomes_a_call() -> None:
    door = door_saying(whole_chat(f"```json\n{SAID_CALL}\n```"))
    told = await tell(chat.handle, {**QUESTION, **TOOLS}, door)
    (choice,) = told.json["choices"]
    assert choice == {
        "index": 0,
        "message": {"role": "assistant", "content": None, "tool_calls": [CALL]},
        "finish_reason": "tool_calls",
    }
    assert door.answers[0].sealed


async def test_a_whole_answer_in_words_stays_the_same_bytes() -> None:
    body = whole_chat("No tool is needed.")
    told = await tell(chat.handle, {**QUESTION, **TOOLS}, door_saying(body))
    assert told.raw == body


async def test_a_streamed_call_in_text_becomes_a_call_with_one_finish() -> None:
    pieces = [SAID_CALL[:9], SAID_CALL[9:30], SAID_CALL[30:]]
    door = door_saying(*chat_events(*pieces))
    told = await tell(chat.handle, {**STREAM, **TOOLS, **USAGE}, door)
    start = {**CALL, "index": 0, "function": {"name": "get_weather", "arguments": ""}}
    assert deltas_of(told) == [
        {"role": "assistant", "content": None},
        {"tool_calls": [start]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city": "Oslo"}'}}]},
        {},
    ]
    assert [each["finish_reason"] for each in choices_of(told)] == [None] * 3 + ["tool_calls"]
    assert told.events[-1]["usage"]
    assert b"data: [DONE]\n\n: littoral-receipt" in told.raw
    assert bytes(door.answers[0].body) == b"".join(told.writes[:-1])


async def test_streamed_words_pass_as_the_same_bytes_at_once_though_tools_are_offered() -> None:
    chunks = recorded("logprobs")
    told = await tell(chat.handle, {**STREAM, **TOOLS, **USAGE}, door_saying(*chunks))
    assert told.writes[:-1] == chunks


async def test_held_words_that_are_no_call_are_let_go_as_the_same_bytes() -> None:
    for chunks in (recorded("fence"), chat_events("```json\n", SAID_CALL, "\n```", " Done.")):
        told = await tell(chat.handle, {**STREAM, **TOOLS, **USAGE}, door_saying(*chunks))
        assert b"".join(told.writes[:-1]) == b"".join(chunks)
    chunks = chat_events("[", SAID_CALL, finish="length")
    told = await tell(chat.handle, {**STREAM, **TOOLS, **USAGE}, door_saying(*chunks))
    assert b"".join(told.writes[:-1]) == b"".join(chunks)


async def test_a_demanded_call_is_forced_and_streams_its_arguments() -> None:
    door = door_saying(*recorded("forced"))
    told = await tell(chat.handle, {**STREAM, **TOOLS, "tool_choice": "required"}, door)
    assert "response_format" in door.asks[0].body
    calls = [call for delta in deltas_of(told) for call in delta.get("tool_calls", [])]
    assert calls[0]["function"]["name"] == "get_weather"
    arguments = "".join(call["function"]["arguments"] for call in calls)
    assert json.loads(arguments) == {"city": "Oslo"}
    assert len(calls) > 5
    assert not any(delta.get("content") for delta in deltas_of(told))
    assert choices_of(told)[-1]["finish_reason"] == "tool_calls"


async def test_a_forced_call_that_hits_its_bound_says_so() -> None:
    pieces = ('{"name": "add", "arguments": {"a"', ": 1")
    door = door_saying(*chat_events(*pieces, finish="length"))
    told = await tell(chat.handle, {**STREAM, **TOOLS, "tool_choice": "required"}, door)
    assert choices_of(told)[-1] == {"index": 0, "delta": {}, "finish_reason": "length"}
    body = whole_chat("".join(pieces), finish="length")
    whole = await tell(
        chat.handle, {**QUESTION, **TOOLS, "tool_choice": "required"}, door_saying(body)
    )
    (choice,) = whole.json["choices"]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"a": 1'


async def test_choices_are_told_apart_even_within_one_event() -> None:
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "small"}

    def event(*choices: tuple[int, object, str | None]) -> bytes:
        made = [{"index": i, "delta": d, "finish_reason": f} for i, d, f in choices]
        return sse({**base, "choices": made})

    chunks = [
        event((0, {"role": "assistant", "content": SAID_CALL}, None), (1, {"content": "Hi"}, None)),
        event((1, {}, "stop"), (0, {}, "stop")),
        b"data: [DONE]\n\n",
    ]
    told = await tell(chat.handle, {**STREAM, **TOOLS, "n": 2}, door_saying(*chunks))
    by_choice = {
        index: [each for each in choices_of(told) if each["index"] == index] for index in (0, 1)
    }
    assert [each["delta"] for each in by_choice[1]] == [{"content": "Hi"}, {}]
    assert by_choice[1][-1]["finish_reason"] == "stop"
    first = by_choice[0][0]["delta"]
    assert isinstance(first, dict)
    assert (first["role"], first["content"]) == ("assistant", None)
    assert first["tool_calls"][0]["function"]["name"] == "get_weather"
    assert by_choice[0][-1]["finish_reason"] == "tool_calls"


async def test_calls_that_the_engine_found_itself_pass_untouched() -> None:
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "native"}
    call = {"index": 0, "id": "x", "type": "function", "function": {"name": "add", "arguments": ""}}

    def event(delta: object, finish: str | None = None) -> bytes:
        return sse({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    chunks = [
        event({"role": "assistant", "content": None}),
        event({"content": "\n"}),
        event({"tool_calls": [call]}),
        event({"content": "{"}),
        event({}, "tool_calls"),
        b": a comment\n\n",
        b"data: [DONE]\n\n",
    ]
    told = await tell(chat.handle, {**STREAM, **TOOLS, "model": "native"}, door_saying(*chunks))
    assert b"".join(told.writes[:-1]) == b"".join(chunks)


async def test_an_engine_that_stops_short_loses_no_words() -> None:
    chunks = chat_events("{", '"name"')[:3]
    told = await tell(chat.handle, {**STREAM, **TOOLS}, door_saying(*chunks))
    assert b"".join(told.writes[:-1]) == b"".join(chunks)


async def test_an_error_before_the_first_byte_is_the_callers_to_answer() -> None:
    for body in (STREAM, QUESTION):
        with pytest.raises(QueueFullError):
            await tell(chat.handle, body, DeskDoor(Script(refuse=QueueFullError("full"))))
        lost = Script(fail_after=0, error=EngineLostError("died"))
        with pytest.raises(EngineLostError):
            await tell(chat.handle, body, DeskDoor(lost))


async def test_an_error_within_a_stream_ends_it_as_an_event_and_without_receipt() -> None:
    script = Script(fail_after=3, error=EngineLostError("the worker died"))
    door = DeskDoor(script)
    told = await tell(chat.handle, STREAM, door)
    assert door.answers[0].abandoned.is_set()
    assert not door.answers[0].sealed
    assert b"littoral-receipt" not in told.raw
    assert told.events[-1]["error"]["code"] == "engine_lost"


async def test_an_engine_that_talks_nonsense_is_to_blame() -> None:
    deep = b'data: {"choices": ' + b"[" * 100_000 + b"\n\n"
    for chunk in (b"data: nonsense\n\n", b'data: {"error": {"message": "secret"}}\n\n', deep):
        with pytest.raises(EngineFailedError):
            await tell(chat.handle, {**STREAM, **TOOLS}, door_saying(chunk))
    with pytest.raises(EngineFailedError):
        await tell(chat.handle, {**QUESTION, **TOOLS}, door_saying(b"[]"))


def test_events_are_cut_at_their_own_ends_only() -> None:
    whole = b"".join(recorded("paris"))
    assert len(events_in(whole)) == len(recorded("paris")) - 1
