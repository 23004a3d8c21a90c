"""Anthropic's events and bodies, written from an engine's deltas.

One writer does both: the body of a whole answer is what the events of a streamed one add up to.

Tokens as this API counts them: `input_tokens` are those that were computed, and
`cache_read_input_tokens` those that the engine had already; the prompt is both together.
"""

from collections.abc import Callable, Iterator
from typing import Final, assert_never

import msgspec

from littoral.memory.citing import cited_in, quote_of, shown
from littoral.terms.errors import EngineFailedError, LittoralError
from littoral.terms.memory import Cited
from littoral.terms.sources import Sources
from littoral.terms.values import Usage
from littoral.web.dialects.calls import CallArguments, CallStart, Text
from littoral.web.dialects.chunks import ChunkReader, Delta, Ended
from littoral.web.dialects.citing import MEMBER
from littoral.web.errors import Shape, error_event

__all__ = ["MessageWriter"]

_STOP_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


class _Block:
    """One content block: text, or a call when it has a name."""

    def __init__(self, name: str = "", block_id: str = "") -> None:
        self.name = name
        self.id = block_id
        self.pieces: list[str] = []
        self.citations: list[dict[str, object]] = []

    def opened(self) -> dict[str, object]:
        """As its first event shows it."""
        if self.name:
            return {"type": "tool_use", "id": self.id, "name": self.name, "input": {}}
        return {"type": "text", "text": ""}

    def delta(self, piece: str) -> dict[str, object]:
        """One more piece of it."""
        if self.name:
            return {"type": "input_json_delta", "partial_json": piece}
        return {"type": "text_delta", "text": piece}

    def whole(self) -> dict[str, object]:
        """As a whole answer shows it."""
        said = "".join(self.pieces)
        if self.name:
            return {**self.opened(), "input": _input_of(said)}
        block: dict[str, object] = {"type": "text", "text": said}
        return {**block, "citations": self.citations} if self.citations else block


def _input_of(arguments: str) -> object:
    """The arguments as an object; none if the model was cut off within them."""
    try:
        return msgspec.json.decode(arguments, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}


class MessageWriter:
    """Writes one message."""

    def __init__(
        self,
        reader: ChunkReader,
        *,
        model: str,
        serial: str,
        input_tokens: int,
        sources: Callable[[], Sources | None] = lambda: None,
    ) -> None:
        """Write nothing yet; `sources` says what the answer was made from, if from anything."""
        self._sources = sources
        self._reader = reader
        self._model = model
        self._serial = serial
        self._usage = Usage(prompt_tokens=input_tokens)
        self._blocks: list[_Block] = []
        self._call: int | None = None
        """Which of the engine's calls the last block is."""
        self._stop_reason: str | None = None
        self._stop_sequence: str | None = None
        self._begun = False

    def feed(self, data: bytes) -> bytes:
        """The events of what these engine events say."""
        return b"".join(self._write(self._reader.feed(data)))

    def end(self) -> bytes:
        """The events that close the message."""
        return b"".join(self._write(self._reader.end()))

    def failed(self, error: LittoralError) -> bytes:
        """The event that says the message will not be finished."""
        return error_event(error, Shape.ANTHROPIC)

    def body(self) -> bytes:
        """The whole message."""
        return msgspec.json.encode(self._message([block.whole() for block in self._blocks]))

    def _write(self, deltas: list[Delta]) -> Iterator[bytes]:
        if not self._begun:
            self._begun = True
            yield _event("message_start", message=self._message([]))
            yield _event("ping")
        for delta in deltas:
            match delta:
                case Text():
                    yield from self._say(delta.text)
                case CallStart():
                    yield from self._open_call(delta)
                case CallArguments():
                    yield self._add(self._block_of(delta.index), delta.text)
                case Ended():
                    yield from self._finish(delta)
                case _:
                    assert_never(delta)

    def _say(self, text: str) -> Iterator[bytes]:
        if not self._blocks or self._blocks[-1].name:
            yield from self._open(_Block())
        yield self._add(self._blocks[-1], text)

    def _open_call(self, start: CallStart) -> Iterator[bytes]:
        block_id = start.id or f"toolu_{self._serial[:24]}{start.index:02x}"
        yield from self._open(_Block(start.name, block_id))
        self._call = start.index

    def _block_of(self, call: int) -> _Block:
        if call != self._call or not self._blocks[-1].name:
            raise EngineFailedError("the engine went back to a call that it had left")
        return self._blocks[-1]

    def _open(self, block: _Block) -> Iterator[bytes]:
        yield from self._close()
        self._blocks.append(block)
        index = len(self._blocks) - 1
        yield _event("content_block_start", index=index, content_block=block.opened())

    def _close(self) -> Iterator[bytes]:
        if self._blocks:
            index = len(self._blocks) - 1
            yield from self._cite(self._blocks[-1], index)
            yield _event("content_block_stop", index=index)

    def _cite(self, block: _Block, index: int) -> Iterator[bytes]:
        """What a text cites, once it is whole: each passage once."""
        sources = self._sources()
        if sources is None or block.name:
            return
        for place in sorted(cited_in("".join(block.pieces), len(sources.passages))):
            citation = _citation(sources.passages[place], place)
            block.citations.append(citation)
            delta = {"type": "citations_delta", "citation": citation}
            yield _event("content_block_delta", index=index, delta=delta)

    def _add(self, block: _Block, piece: str) -> bytes:
        block.pieces.append(piece)
        index = len(self._blocks) - 1
        return _event("content_block_delta", index=index, delta=block.delta(piece))

    def _finish(self, ended: Ended) -> Iterator[bytes]:
        yield from self._close()
        self._usage = ended.usage
        self._stop_reason = _STOP_REASONS.get(ended.finish, "end_turn")
        if ended.finish == "stop" and ended.stop is not None:
            self._stop_reason, self._stop_sequence = "stop_sequence", ended.stop
        stop = {"stop_reason": self._stop_reason, "stop_sequence": self._stop_sequence}
        yield _event("message_delta", delta=stop, usage=self._tokens(), **self._member())
        yield _event("message_stop")

    def _message(self, content: list[dict[str, object]]) -> dict[str, object]:
        return {
            "id": f"msg_{self._serial}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": content,
            "stop_reason": self._stop_reason,
            "stop_sequence": self._stop_sequence,
            "usage": self._tokens(),
            **self._member(),
        }

    def _member(self) -> dict[str, object]:
        sources = self._sources()
        if sources is None:
            return {}
        texts = ["".join(block.pieces) for block in self._blocks if not block.name]
        return {MEMBER: shown(sources, texts)}

    def _tokens(self) -> dict[str, int]:
        usage = self._usage
        return {
            "input_tokens": usage.prompt_tokens - usage.cached_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": usage.cached_tokens,
            "output_tokens": usage.completion_tokens,
        }


def _citation(passage: Cited, place: int) -> dict[str, object]:
    """A passage as this API cites what a search has found."""
    return {
        "type": "search_result_location",
        "cited_text": quote_of(passage),
        "search_result_index": place,
        "source": passage.document,
        "title": passage.header or None,
        "start_block_index": 0,
        "end_block_index": 1,
    }


def _event(event: str, **fields: object) -> bytes:
    body = msgspec.json.encode({"type": event, **fields})
    return b"event: %b\ndata: %b\n\n" % (event.encode(), body)
