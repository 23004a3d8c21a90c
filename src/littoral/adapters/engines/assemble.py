"""From a stream of OpenAI's chunks to the whole JSON body: pure, one event at a time.

`assemble(stream) == body`: feeding every chunk of an answer gives what the same server would have
answered without streaming. Chat and legacy completions differ only in the shape of a choice.

Not here: bytes, sockets, and whose choice has which index (fan.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

__all__ = ["Assembly", "Json"]

Json = dict[str, object]


@dataclass(slots=True)
class _Choice:
    """One choice as far as it has come."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    """Pieces of `content`, `reasoning_content`, `refusal` or `text`."""
    tools: dict[int, Json] = field(default_factory=dict)
    logprobs: Json | None = None
    finish: object = None
    role: str = "assistant"

    def add(self, choice: Mapping[str, object]) -> None:
        """Take one chunk's part of this choice."""
        delta = choice.get("delta", choice)
        assert isinstance(delta, Mapping)
        for name in ("content", "reasoning_content", "refusal", "text"):
            piece = delta.get(name)
            if isinstance(piece, str):
                self.texts.setdefault(name, []).append(piece)
        role = delta.get("role")
        if isinstance(role, str):
            self.role = role
        for call in cast("list[Json]", delta.get("tool_calls") or []):
            self._add_tool(call)
        logprobs = choice.get("logprobs")
        if isinstance(logprobs, Mapping):
            self._add_logprobs(logprobs)
        self.finish = choice.get("finish_reason") or self.finish

    def _add_tool(self, call: Json) -> None:
        """A tool call comes as a head, and then pieces of its arguments."""
        index = cast("int", call.get("index", 0))
        whole = self.tools.setdefault(index, {"function": {"name": "", "arguments": ""}})
        whole.update({name: call[name] for name in ("id", "type") if name in call})
        function = cast("dict[str, str]", whole["function"])
        for name, piece in cast("Mapping[str, str | None]", call.get("function") or {}).items():
            function[name] = function.get(name, "") + (piece or "")

    def _add_logprobs(self, logprobs: Mapping[str, object]) -> None:
        if self.logprobs is None:
            self.logprobs = {}
        for name, entries in logprobs.items():
            before = self.logprobs.get(name)
            if isinstance(before, list) and isinstance(entries, list):
                before.extend(entries)
            elif before is None:
                self.logprobs[name] = list(entries) if isinstance(entries, list) else entries

    def _text(self, name: str) -> str | None:
        pieces = self.texts.get(name)
        return "".join(pieces) if pieces is not None else None

    def chat(self, index: int) -> Json:
        """This choice of a chat completion."""
        content = self._text("content")
        message: Json = {"role": self.role, "content": content if content or self.tools else ""}
        for name in ("reasoning_content", "refusal"):
            if name in self.texts:
                message[name] = self._text(name)
        if self.tools:
            message["content"] = content or None
            message["tool_calls"] = [self.tools[number] for number in sorted(self.tools)]
        body: Json = {"index": index, "message": message, "finish_reason": self.finish}
        return body | ({"logprobs": self.logprobs} if self.logprobs is not None else {})

    def completion(self, index: int) -> Json:
        """This choice of a legacy completion."""
        return {
            "index": index,
            "text": self._text("text") or "",
            "logprobs": self.logprobs,
            "finish_reason": self.finish,
        }


class Assembly:
    """Takes the events of one streamed answer and gives its body."""

    def __init__(self, *, chat: bool) -> None:
        """An empty answer; `chat` chooses between the two shapes."""
        self._chat = chat
        self._choices: dict[int, _Choice] = {}
        self._rest: Json = {}

    def add(self, event: Mapping[str, object]) -> None:
        """Take the next event."""
        for choice in cast("list[Json]", event.get("choices") or []):
            index = cast("int", choice.get("index", 0))
            self._choices.setdefault(index, _Choice()).add(choice)
        for name, value in event.items():
            if name != "choices" and value is not None:
                self._rest[name] = value

    def body(self) -> Json:
        """The answer as it would have come without streaming."""
        choices = [
            choice.chat(index) if self._chat else choice.completion(index)
            for index, choice in sorted(self._choices.items())
        ]
        shape = "chat.completion" if self._chat else "text_completion"
        return {**self._rest, "object": shape, "choices": choices}
