"""An engine's chat stream as typed values, for whoever must understand it.

`ChunkReader` gives each piece of content, each call and, exactly once, how it all ended. It reads
the fields that somebody here needs and no others.

Nothing here changes bytes; the common path of OpenAI's APIs never comes here.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from littoral.terms.errors import EngineFailedError
from littoral.terms.values import Usage
from littoral.web.dialects.calls import CallArguments, CallReader, CallStart, Piece
from littoral.web.dialects.tools import ToolPlan

__all__ = [
    "DONE",
    "Chunk",
    "ChunkChoice",
    "ChunkReader",
    "Delta",
    "Ended",
    "events_of",
    "is_usage_alone",
    "read_chunk",
]


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer is over. `finish` is OpenAI's word, `stop` the stop text that was met."""

    finish: str
    usage: Usage
    stop: str | None = None


Delta = Piece | Ended


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    index: int = 0
    id: str | None = None
    function: _Function | None = None


class _Content(msgspec.Struct):
    content: str | None = None
    tool_calls: list[_ToolCall] | None = None


class ChunkChoice(msgspec.Struct):
    """One choice's part of a chunk. The stop text is llama.cpp's, vLLM's or SGLang's to say."""

    index: int = 0
    delta: _Content = msgspec.field(default_factory=_Content)
    finish_reason: str | None = None
    stop_reason: str | int | None = None
    matched_stop: str | int | None = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _PromptDetails | None = None


class _Verbose(msgspec.Struct):
    stopping_word: str = ""


class Chunk(msgspec.Struct):
    """One event of a chat stream."""

    id: str = ""
    created: int = 0
    model: str = ""
    choices: list[ChunkChoice] = []
    usage: _Usage | None = None
    verbose: _Verbose | None = msgspec.field(name="__verbose", default=None)
    error: msgspec.Raw | None = None


_DECODER: Final = msgspec.json.Decoder(Chunk)
_BETWEEN_EVENTS: Final = re.compile(rb"(?<=\n\n)|(?<=\r\n\r\n)")
DONE: Final = b"[DONE]"


def events_of(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each whole event in the bytes with its payload, which is empty in a comment."""
    for event in _BETWEEN_EVENTS.split(data):
        if event:
            lines = (line[5:].strip() for line in event.splitlines() if line.startswith(b"data:"))
            yield event, b"\n".join(lines)


def read_chunk(payload: bytes) -> Chunk:
    """The chunk that an event's payload is.

    Raises:
        EngineFailedError: it is none, or tells of an error.
    """
    try:
        chunk = _DECODER.decode(payload)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise EngineFailedError("the engine sent an event that is not a chat chunk") from None
    if chunk.error is not None:
        raise EngineFailedError("the engine broke its answer off with an error")
    return chunk


def is_usage_alone(chunk: Chunk) -> bool:
    """Whether this is the extra chunk that `stream_options.include_usage` asks for."""
    return not chunk.choices and chunk.usage is not None


class ChunkReader:
    """Reads a chat stream of one choice."""

    def __init__(self, plan: ToolPlan) -> None:
        self.created = 0
        """When the engine began, in Unix seconds; known after the first chunk."""
        self._reader: CallReader = plan.reader()
        self._begun: set[int] = set()
        self._finish: str | None = None
        self._stop: str | None = None
        self._usage = Usage()
        self._over = False

    def feed(self, data: bytes) -> list[Delta]:
        """What these whole events say."""
        deltas: list[Delta] = []
        for _, payload in events_of(data):
            if not payload or payload == DONE or self._over:
                continue
            deltas += self._read(read_chunk(payload))
        return deltas

    def end(self) -> list[Delta]:
        """How it ended; the same question again gets no answer.

        Raises:
            EngineFailedError: the stream broke off.
        """
        if self._over:
            return []
        self._over = True
        if self._finish is None:
            raise EngineFailedError("the engine's answer broke off")
        return [Ended(self._finish, self._usage, self._stop)]

    def _read(self, chunk: Chunk) -> Iterator[Delta]:
        self.created = self.created or chunk.created
        if chunk.usage is not None:
            self._usage = _usage_of(chunk.usage)
        if chunk.verbose is not None and chunk.verbose.stopping_word:
            self._stop = chunk.verbose.stopping_word
        for choice in chunk.choices[:1]:
            yield from self._read_choice(choice)

    def _read_choice(self, choice: ChunkChoice) -> Iterator[Delta]:
        if self._finish is not None:
            return
        calls = list(self._calls(choice.delta.tool_calls or []))
        if calls:
            yield from self._reader.end(cut=True)  # what was held back came before the calls
        yield from calls
        yield from self._note(self._reader.feed(choice.delta.content or ""))
        if choice.finish_reason is not None:
            yield from self._note(self._reader.end(cut=choice.finish_reason == "length"))
            called = bool(self._begun) and choice.finish_reason == "stop"
            self._finish = "tool_calls" if called else choice.finish_reason
            for stop in (choice.stop_reason, choice.matched_stop):
                self._stop = stop if isinstance(stop, str) and stop else self._stop

    def _note(self, pieces: list[Piece]) -> list[Piece]:
        self._begun |= {each.index for each in pieces if isinstance(each, CallStart)}
        return pieces

    def _calls(self, calls: Sequence[_ToolCall]) -> Iterator[Piece]:
        """Calls that the engine found itself: some repeat the name with every piece."""
        for call in calls:
            function = call.function or _Function()
            if call.index not in self._begun and function.name:
                self._begun.add(call.index)
                yield CallStart(call.index, function.name, call.id)
            if function.arguments and call.index in self._begun:
                yield CallArguments(call.index, function.arguments)


def _usage_of(usage: _Usage) -> Usage:
    details = usage.prompt_tokens_details
    cached = details.cached_tokens if details is not None else None
    return Usage(usage.prompt_tokens, usage.completion_tokens, cached or 0)
