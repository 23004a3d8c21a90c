"""assemble(stream) == body, and joining of several answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.adapters.engines.assemble import Assembly, Json
from littoral.adapters.engines.fan import Join, parts_of
from littoral.terms.errors import BadRequestError
from littoral.terms.values import Kind

IDENTITY: Json = {"id": "x", "created": 1, "model": "m"}
pieces = st.lists(st.text(max_size=5), max_size=5)
entries = st.lists(
    st.fixed_dictionaries({"token": st.text(max_size=3), "logprob": st.floats(-9, 0)}),
    min_size=1,
    max_size=3,
)
tools = st.lists(st.tuples(st.text(min_size=1, max_size=5), pieces), max_size=3)
choices = st.fixed_dictionaries(
    {
        "content": pieces,
        "reasoning": pieces,
        "tools": tools,
        "logprobs": st.none() | entries,
        "finish": st.sampled_from(["stop", "length", "tool_calls"]),
    }
)


def chat_stream(index: int, choice: Json) -> tuple[list[Json], Json]:
    """The chunks of one choice, and the choice as a body has it."""

    def chunk(delta: Json, **more: object) -> Json:
        one = {"index": index, "delta": delta, "finish_reason": None, **more}
        return {**IDENTITY, "object": "chat.completion.chunk", "choices": [one]}

    content, reasoning, calls = choice["content"], choice["reasoning"], choice["tools"]
    assert isinstance(content, list)
    assert isinstance(reasoning, list)
    assert isinstance(calls, list)
    chunks = [chunk({"role": "assistant", "content": None})]
    chunks += [chunk({"reasoning_content": piece}) for piece in reasoning]
    chunks += [chunk({"content": piece}) for piece in content]
    message: Json = {"role": "assistant", "content": "".join(content)}
    if reasoning:
        message["reasoning_content"] = "".join(reasoning)
    for number, (name, arguments) in enumerate(calls):
        head = {"name": name, "arguments": ""}
        call: Json = {"index": number, "id": f"c{number}", "type": "function", "function": head}
        chunks.append(chunk({"tool_calls": [call]}))
        for piece in arguments:
            more: Json = {"index": number, "function": {"arguments": piece}}
            chunks.append(chunk({"tool_calls": [more]}))
    if calls:
        message["content"] = "".join(content) or None
        message["tool_calls"] = [
            {
                "id": f"c{number}",
                "type": "function",
                "function": {"name": name, "arguments": "".join(arguments)},
            }
            for number, (name, arguments) in enumerate(calls)
        ]
    whole: Json = {"index": index, "message": message, "finish_reason": choice["finish"]}
    logprobs = choice["logprobs"]
    if isinstance(logprobs, list):
        chunks += [chunk({}, logprobs={"content": [entry]}) for entry in logprobs]
        whole["logprobs"] = {"content": logprobs}
    chunks.append(chunk({}, finish_reason=choice["finish"]))
    return chunks, whole


@given(st.lists(choices, min_size=1, max_size=3), st.randoms())
def test_the_assembled_stream_is_the_body(
    wanted: list[Json],
    random: "st.random_module.random.Random",  # type: ignore[name-defined]  # hypothesis' own
) -> None:
    streams = [chat_stream(index, choice) for index, choice in enumerate(wanted)]
    usage: Json = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assembly = Assembly(chat=True)
    waiting = [list(chunks) for chunks, _ in streams]
    while any(waiting):  # any interleaving of the choices
        assembly.add(random.choice([chunks for chunks in waiting if chunks]).pop(0))
    assembly.add({**IDENTITY, "choices": [], "usage": usage})
    assert assembly.body() == {
        **IDENTITY,
        "object": "chat.completion",
        "choices": [whole for _, whole in streams],
        "usage": usage,
    }


@given(pieces, entries)
def test_a_legacy_completion_is_assembled_with_its_logprobs(
    texts: list[str], found: list[Json]
) -> None:
    (part,) = parts_of(Kind.COMPLETE, {"prompt": "p", "logprobs": 0})
    join, assembly = Join([part]), Assembly(chat=False)
    events: list[Json] = [
        {"choices": [{"text": text, "index": 0, "finish_reason": None, "logprobs": None}]}
        for text in texts
    ]
    for entry in found:
        choice = {"text": "", "index": 0, "logprobs": {"content": [entry]}}
        events.append({"choices": [choice]})
    events.append({"choices": [{"text": "", "index": 0, "finish_reason": "stop"}]})
    for event in events:
        shown = join.take(part, event)
        assert shown is not None
        assembly.add(shown)
    assembly.add(join.last())
    body = assembly.body()
    assert isinstance(body["choices"], list)
    (whole,) = body["choices"]
    assert whole["text"] == "".join(texts)
    assert whole["finish_reason"] == "stop"
    assert whole["logprobs"]["tokens"] == [entry["token"] for entry in found]
    assert whole["logprobs"]["top_logprobs"] is None, "none were asked for"


def test_each_choice_gets_a_seed_of_its_own() -> None:
    parts = parts_of(Kind.CHAT, {"messages": [], "n": 3, "seed": 5})
    assert [part.body["seed"] for part in parts] == [5, 6, 7]
    assert all("n" not in part.body for part in parts)


def test_a_prompt_counts_once_however_many_choices_it_has() -> None:
    parts = parts_of(Kind.COMPLETE, {"prompt": ["a", "b"], "n": 2})
    join = Join(parts)
    for part in parts:
        usage: Json = {"prompt_tokens": 10 + part.prompt_index, "completion_tokens": 1}
        assert join.take(part, {"id": "x", "choices": [], "usage": usage}) is None
    total = join.last()["usage"]
    assert isinstance(total, dict)
    assert (total["prompt_tokens"], total["completion_tokens"]) == (21, 4)


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "x", "n": 0},
        {"prompt": "x", "n": True},
        {"prompt": "x", "n": "2"},
        {"prompt": ["x"] * 5, "n": 2},
        {"prompt": []},
        {"prompt": [["a"]]},
        {"prompt": [1, "a"]},
        {"prompt": [-1]},
        {"prompt": [2**31]},
        {"prompt": "x", "logprobs": 21},
        {"prompt": "x", "top_logprobs": -1},
        {"prompt": "x", "top_logprobs": "many"},
        {"prompt": 5},
        {},
    ],
)
def test_a_request_without_sense_is_refused(body: Json) -> None:
    with pytest.raises(BadRequestError):
        parts_of(Kind.COMPLETE, body)
