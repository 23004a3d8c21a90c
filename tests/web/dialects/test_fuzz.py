"""No body brings a dialect down: it is answered, or refused with an error that says why."""

import contextlib
import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.terms.errors import CallerError
from littoral.web.dialects import chat, completions, embeddings, messages, responses
from tests.web.dialects.desk import ADD, WEATHER, Handle, door_saying, recorded, tell

FORCED = {"tools": [WEATHER, ADD], "tool_choice": "required"}
USER = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
BODIES: dict[str, tuple[Handle, dict[str, object]]] = {
    "chat": (
        chat.handle,
        {
            "model": "small",
            "messages": [USER, {"role": "assistant", "content": "Hi", "tool_calls": []}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "response_format": {"type": "json_schema", "json_schema": {"schema": {}}},
            "logprobs": True,
            "top_logprobs": 1,
            **FORCED,
        },
    ),
    "completions": (
        completions.handle,
        {"model": "small", "prompt": ["a"], "n": 2, "stream": True},
    ),
    "embeddings": (embeddings.handle, {"model": "small", "input": ["a", [1]], "user": "u"}),
    "responses": (
        responses.handle,
        {
            "model": "small",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
                {"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "o"},
            ],
            "stream": True,
            "tools": [{"type": "function", "name": "n", "parameters": {}}],
            "tool_choice": {"type": "function", "name": "n"},
            "text": {"format": {"type": "text"}},
            "reasoning": {"effort": "low"},
        },
    ),
    "messages": (
        messages.handle,
        {
            "model": "small",
            "max_tokens": 5,
            "system": [{"type": "text", "text": "s"}],
            "messages": [
                USER,
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "t", "name": "n", "input": {}}],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "t", "content": [USER]}],
                },
            ],
            "tools": [{"name": "n", "input_schema": {}}],
            "tool_choice": {"type": "tool", "name": "n"},
            "thinking": {"type": "disabled"},
        },
    ),
}

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


def places_in(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path, *(place for key, each in inner for place in places_in(each, (*path, key)))]


@pytest.mark.parametrize("name", BODIES)
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_any_field_may_hold_anything(name: str, data: st.DataObject) -> None:
    handle, body = BODIES[name]
    changed: Any = copy.deepcopy(body)
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(places_in(changed)[1:]))
        parent = changed
        for key in place[:-1]:
            parent = parent[key]
        parent[place[-1]] = data.draw(ANYTHING)
    exchange = tell(handle, json.dumps(changed).encode(), door_saying(*recorded("forced")))
    with contextlib.suppress(CallerError, StopIteration):
        exchange.send(None)  # nothing in it waits
