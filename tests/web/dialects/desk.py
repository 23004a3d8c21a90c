"""A dialect at work without a server: requests made, answers read, recorded engine streams."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from littoral.terms.ids import ModelName
from littoral.terms.ports import Door
from littoral.terms.values import (
    Ask,
    Caller,
    EngineKind,
    Finish,
    Kind,
    ModelDefaults,
    ModelEntry,
    ModelStatus,
    ToolSupport,
    Usage,
)
from littoral.web.http import Request, Responder
from tests.web.fake_door import CALLERS, KEY, FakeDoor, Script, sse

RECORDED = Path(__file__).parent / "recorded"

Json = dict[str, Any]
"""What a client reads; tests look into it."""

Handle = Callable[[Request, Responder, Door, Caller], Awaitable[None]]

WEATHER: dict[str, object] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
ADD: dict[str, object] = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
        },
    },
}
SAID_CALL = '{"name": "get_weather", "arguments": {"city": "Oslo"}}'


def entry(
    name: str, engine: EngineKind = EngineKind.LLAMA, tools: ToolSupport = ToolSupport.PROMPTED
) -> ModelEntry:
    return ModelEntry(
        name=ModelName(name),
        engine=engine,
        kinds=(Kind.CHAT, Kind.COMPLETE, Kind.EMBED),
        context_tokens=2048,
        tools=tools,
        defaults=ModelDefaults(system="You are terse."),
    )


ENTRIES = {
    each.name: each
    for each in (
        entry("small"),
        entry("native", tools=ToolSupport.NATIVE),
        entry("plain", tools=ToolSupport.NONE),
        entry("echo", EngineKind.ECHO, ToolSupport.NONE),
        entry("far", EngineKind.UPSTREAM, ToolSupport.NONE),
    )
}


class DeskDoor(FakeDoor):
    """The fake door with a model of every kind."""

    def models(self, caller: Caller) -> Sequence[ModelStatus]:
        return [ModelStatus(each, None) for each in ENTRIES.values()]

    def _check(self, ask: Ask, caller: Caller) -> None:
        if self.script.refuse is not None:
            raise self.script.refuse


@dataclass
class Told:
    """An answer as the client sees it. It is a Responder too."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    writes: list[bytes] = field(default_factory=list)
    ended: bool = False

    @property
    def started(self) -> bool:
        return self.status != 0

    def outcome(self, usage: Usage, finish: Finish) -> None:
        assert not self.ended, "what was used is noted before the end"

    def hold_on(self) -> None:
        assert not self.started

    async def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        await self.start(status, headers)
        await self.write(body)
        await self.end()

    async def start(
        self, status: int, headers: Mapping[str, str], body_bytes: int | None = None
    ) -> None:
        assert not self.started
        self.status, self.headers = status, dict(headers)

    async def write(self, data: bytes) -> None:
        assert self.started
        assert not self.ended
        self.writes.append(data)

    async def end(self) -> None:
        assert not self.ended
        self.ended = True

    @property
    def raw(self) -> bytes:
        return b"".join(self.writes)

    @property
    def json(self) -> Json:
        read: Json = json.loads(self.raw)
        return read

    @property
    def events(self) -> list[Json]:
        """The JSON of every event but the receipt, which must be the last."""
        return events_in(self.raw)


def events_in(raw: bytes) -> list[Json]:
    lines = [line for line in raw.decode().split("\n") if line.startswith("data: {")]
    return [json.loads(line[6:]) for line in lines]


def request(body: object, headers: Mapping[str, str] | None = None) -> Request:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request("POST", "/", "", headers or {}, raw, "127.0.0.1:1")


async def tell(
    handle: Handle,
    body: object,
    door: FakeDoor | None = None,
    headers: Mapping[str, str] | None = None,
) -> Told:
    """What the dialect answers. Errors it raises come out of here."""
    told = Told()
    await handle(request(body, headers), told, door or DeskDoor(), CALLERS[KEY])
    assert told.ended
    return told


def recorded(name: str) -> list[bytes]:
    """What llama.cpp wrote with SmolLM2-135M, one event at a time."""
    raw = (RECORDED / f"{name}.sse").read_bytes()
    return [event + b"\n\n" for event in raw.split(b"\n\n") if event.strip()]


def door_saying(*chunks: bytes) -> DeskDoor:
    return DeskDoor(Script(chunks=chunks))


def chat_events(*texts: str, finish: str = "stop") -> list[bytes]:
    """A chat stream of these pieces of text."""
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "small"}
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}

    def choice(delta: object, reason: str | None = None) -> bytes:
        return sse({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})

    return [
        choice({"role": "assistant", "content": None}),
        *(choice({"content": text}) for text in texts),
        choice({}, finish),
        sse({**base, "choices": [], "usage": usage}),
        b"data: [DONE]\n\n",
    ]


def whole_chat(text: str, finish: str = "stop") -> bytes:
    """A whole chat answer."""
    message = {"role": "assistant", "content": text}
    choices = [{"index": 0, "message": message, "finish_reason": finish}]
    return json.dumps({"id": "chatcmpl-1", "created": 7, "choices": choices}).encode()
