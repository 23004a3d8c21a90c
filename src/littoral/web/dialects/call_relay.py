"""OpenAI chat answers whose tool calls came as text, with the calls made proper.

A stream's events pass as they came, byte for byte, until a reader of `calls` has found a call;
only the events of that call are made here. The same readers do whole bodies.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from littoral.terms.errors import EngineFailedError, LittoralError
from littoral.web.dialects.calls import (
    CallArguments,
    CallReader,
    CallStart,
    Piece,
    Text,
    call_id,
)
from littoral.web.dialects.chunks import (
    DONE,
    Chunk,
    ChunkChoice,
    events_of,
    is_usage_alone,
    read_chunk,
)
from littoral.web.dialects.tools import ToolPlan
from littoral.web.errors import Shape, error_event

__all__ = ["CallRelay", "body_with_calls"]


@dataclass(slots=True)
class _Choice:
    """What is known of one choice. `held` are events whose meaning is not yet certain."""

    reader: CallReader
    held: list[bytes] = field(default_factory=list)
    passed: bool = False
    """Some event of it has been written, so its role is known."""
    called: bool = False
    settled: bool = False
    """The engine found the calls itself; all events pass."""

    def release(self) -> bytes:
        held = b"".join(self.held)
        self.held.clear()
        self.passed = self.passed or bool(held)
        return held


class CallRelay:
    """The passage of a chat stream in which calls may come as text."""

    def __init__(self, plan: ToolPlan, serial: str, *, keep_usage: bool) -> None:
        self._plan = plan
        self._serial = serial
        self._keep_usage = keep_usage
        self._choices: dict[int, _Choice] = {}

    def feed(self, data: bytes) -> bytes:
        """The events that are certain now."""
        return b"".join(self._pass(event, payload) for event, payload in events_of(data))

    def end(self) -> bytes:
        """What an engine that stopped short left undecided."""
        return b"".join(choice.release() for choice in self._choices.values())

    def failed(self, error: LittoralError) -> bytes:
        """An error as OpenAI's clients look for it."""
        return error_event(error, Shape.OPENAI)

    def _pass(self, event: bytes, payload: bytes) -> bytes:
        if not payload:
            return event
        if payload == DONE:
            return self.end() + event
        chunk = read_chunk(payload)
        if len(chunk.choices) > 1:
            return b"".join(self._pass(*each) for each in _one_by_one(payload))
        if not chunk.choices:
            dropped = is_usage_alone(chunk) and not self._keep_usage
            return b"" if dropped else event
        return self._pass_choice(event, payload, chunk, chunk.choices[0])

    def _pass_choice(
        self, event: bytes, payload: bytes, chunk: Chunk, choice: ChunkChoice
    ) -> bytes:
        state = self._choices.get(choice.index)
        if state is None:
            state = self._choices[choice.index] = _Choice(self._plan.reader())
        if state.settled or choice.delta.tool_calls:
            state.settled = True
            return state.release() + event
        content = choice.delta.content or ""
        pieces = state.reader.feed(content)
        state.held.append(event)
        if choice.finish_reason is not None:
            cut = choice.finish_reason == "length"
            written = self._write(state, chunk, choice, pieces + state.reader.end(cut=cut))
            return written + (_finish(payload, cut=cut) if state.called else b"")
        if not pieces and (content or len(state.held) > 1):
            return b""
        return self._write(state, chunk, choice, pieces)

    def _write(
        self, state: _Choice, chunk: Chunk, choice: ChunkChoice, pieces: list[Piece]
    ) -> bytes:
        calls = [each for each in pieces if not isinstance(each, Text)]
        if not calls and not state.called:
            return state.release()
        state.called = True
        state.held.clear()
        deltas = [_delta(each, self._serial, choice.index) for each in calls]
        if deltas and not state.passed:
            deltas[0] = {"role": "assistant", "content": None, **deltas[0]}
            state.passed = True
        return b"".join(_event(chunk, choice.index, delta) for delta in deltas)


def _one_by_one(payload: bytes) -> Iterator[tuple[bytes, bytes]]:
    """A chunk of several choices as chunks of one."""
    whole = msgspec.json.decode(payload)
    for choice in whole["choices"]:
        alone = msgspec.json.encode({**whole, "choices": [choice]})
        yield b"data: %b\n\n" % alone, alone


def _delta(piece: CallStart | CallArguments, serial: str, choice: int) -> dict[str, object]:
    match piece:
        case CallStart():
            call: dict[str, object] = {
                "index": piece.index,
                "id": piece.id or call_id(serial, choice, piece.index),
                "type": "function",
                "function": {"name": piece.name, "arguments": ""},
            }
        case CallArguments():
            call = {"index": piece.index, "function": {"arguments": piece.text}}
    return {"tool_calls": [call]}


def _event(chunk: Chunk, index: int, delta: dict[str, object]) -> bytes:
    made = {
        "id": chunk.id,
        "object": "chat.completion.chunk",
        "created": chunk.created,
        "model": chunk.model,
        "choices": [{"index": index, "delta": delta, "finish_reason": None}],
    }
    return b"data: %b\n\n" % msgspec.json.encode(made)


def _finish(payload: bytes, *, cut: bool) -> bytes:
    """The engine's last event of a choice, saying that calls ended it."""
    last = msgspec.json.decode(payload)
    last["choices"][0]["delta"] = {}
    if not cut:
        last["choices"][0]["finish_reason"] = "tool_calls"
    return b"data: %b\n\n" % msgspec.json.encode(last)


def body_with_calls(body: bytes, plan: ToolPlan, serial: str) -> bytes:
    """A whole chat answer; the same bytes unless a choice turns out to be calls."""
    try:
        whole = msgspec.json.decode(body)
        changed = [_change(choice, plan, serial) for choice in whole["choices"]]
    except (msgspec.DecodeError, UnicodeError, RecursionError, KeyError, TypeError):
        raise EngineFailedError("the engine sent a body that is not a chat answer") from None
    return msgspec.json.encode(whole) if any(changed) else body


def _change(choice: dict[str, object], plan: ToolPlan, serial: str) -> bool:
    message = choice["message"]
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(content, str) or message.get("tool_calls"):
        return False
    cut = choice.get("finish_reason") == "length"
    reader = plan.reader()
    pieces = reader.feed(content) + reader.end(cut=cut)
    index = choice.get("index")
    calls = _whole_calls(pieces, serial, index if isinstance(index, int) else 0)
    if not calls:
        return False
    message["content"] = None
    message["tool_calls"] = calls
    if not cut:
        choice["finish_reason"] = "tool_calls"
    return True


def _whole_calls(pieces: list[Piece], serial: str, choice: int) -> list[dict[str, object]]:
    starts = [each for each in pieces if isinstance(each, CallStart)]
    more = [each for each in pieces if isinstance(each, CallArguments)]
    return [
        {
            "id": start.id or call_id(serial, choice, start.index),
            "type": "function",
            "function": {
                "name": start.name,
                "arguments": "".join(each.text for each in more if each.index == start.index),
            },
        }
        for start in starts
    ]
