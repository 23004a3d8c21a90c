"""The echo engine's own promises: it says what it is, and it is the same every time."""

import asyncio
import json
from pathlib import Path

import pytest

from littoral.adapters.engines.echo_words import minimal
from littoral.terms.errors import BadRequestError
from littoral.terms.ids import ModelName
from littoral.terms.values import EngineKind, Kind, ModelEntry
from tests.adapters.engines.running import running, text_of

ECHO = ModelEntry(
    name=ModelName("echo"),
    engine=EngineKind.ECHO,
    kinds=(Kind.CHAT, Kind.COMPLETE, Kind.EMBED),
    context_tokens=100,
)
ASKED: dict[str, object] = {"messages": [{"role": "user", "content": "one two"}]}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


async def test_it_says_that_it_is_an_echo_everywhere(tmp_path: Path) -> None:
    async with running(ECHO, tmp_path) as subject:
        body = await subject.body(ASKED)
        assert "echo" in body["choices"][0]["message"]["content"]
        assert "one two" in body["choices"][0]["message"]["content"]
        assert body["model"] == "echo"
        assert body["system_fingerprint"] == "echo-1"
        assert subject.readies[0].info.build == "echo 1 (deterministic test engine)"


async def test_made_up_words_are_counted_and_depend_on_the_seed(tmp_path: Path) -> None:
    async with running(ECHO, tmp_path) as subject:
        asked = {**ASKED, "echo": {"tokens": 20}, "seed": 1}
        body = await subject.body(asked)
        other = await subject.body({**asked, "seed": 2})
        assert body["usage"]["completion_tokens"] == 20
        said, unsaid = (one["choices"][0]["message"]["content"] for one in (body, other))
        assert len(said.split()) == 20
        assert said != unsaid


async def test_paced_words_come_one_by_one(tmp_path: Path) -> None:
    async with running(ECHO, tmp_path) as subject:
        asked = {**ASKED, "echo": {"tokens": 5, "interval_ms": 10}}
        loop = asyncio.get_running_loop()
        begun = loop.time()
        call = subject.call(asked, Kind.CHAT, stream=True)
        async with subject.engine.open(call) as chunks:
            pieces = [chunk async for chunk in chunks]
        assert len(pieces) >= 6
        assert loop.time() - begun >= 0.05


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "weather"}}]
)
async def test_a_tool_that_must_be_called_is_called(tmp_path: Path, choice: object) -> None:
    async with running(ECHO, tmp_path) as subject:
        body = await subject.body({**ASKED, "tools": [TOOL], "tool_choice": choice})
        (called,) = body["choices"][0]["message"]["tool_calls"]
        assert body["choices"][0]["finish_reason"] == "tool_calls"
        assert called["function"]["name"] == "weather"
        assert json.loads(called["function"]["arguments"]) == {"city": ""}
        unknown = {"type": "function", "function": {"name": "other"}}
        with pytest.raises(BadRequestError):
            await subject.body({**ASKED, "tools": [TOOL], "tool_choice": unknown})
        auto = await subject.events({**ASKED, "tools": [TOOL], "tool_choice": "auto"})
        assert "one two" in text_of(auto)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "object"}, {}),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": 5}, 5),
        ({"type": ["string", "null"], "minLength": 2}, "xx"),
        ({"anyOf": [{"type": "number", "minimum": 1.5}]}, 1.5),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"type": "boolean"}}}, False),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}, None),
    ],
)
def test_a_minimal_value_fits_its_schema(schema: dict[str, object], value: object) -> None:
    assert minimal(schema) == value
