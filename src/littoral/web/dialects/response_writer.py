"""The events and bodies of OpenAI's Responses API, written from an engine's deltas.

One writer does both: the body of a whole answer is the response that the last event of a streamed
one carries. Events are numbered from 0 without a gap.
"""

from collections.abc import Iterator, Mapping
from typing import Final, assert_never

import msgspec

from littoral.terms.errors import EngineFailedError, LittoralError
from littoral.terms.values import Usage
from littoral.web.dialects.calls import CallArguments, CallStart, Text, call_id
from littoral.web.dialects.chunks import ChunkReader, Delta, Ended
from littoral.web.dialects.citing import MEMBER
from littoral.web.dialects.response_searches import FileSearch
from littoral.web.errors import Shape, error_object

__all__ = ["ResponseWriter"]

_INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}


class _Words:
    """An output item that is a message."""

    def __init__(self, item_id: str) -> None:
        self.id = item_id
        self.pieces: list[str] = []
        self.annotations: list[dict[str, object]] = []
        self.status = "in_progress"

    @property
    def said(self) -> str:
        """All of its text so far."""
        return "".join(self.pieces)

    def part(self) -> dict[str, object]:
        """Its one content part."""
        cited = self.annotations
        return {"type": "output_text", "text": self.said, "annotations": cited, "logprobs": []}

    def item(self) -> dict[str, object]:
        """The item as it is now; its content part is added by an event of its own."""
        return {
            "id": self.id,
            "type": "message",
            "status": self.status,
            "role": "assistant",
            "content": [] if self.status == "in_progress" else [self.part()],
        }


class _Call:
    """An output item that is a call."""

    def __init__(self, item_id: str, call: str, start: CallStart) -> None:
        self.id = item_id
        self.call_id = call
        self.name = start.name
        self.index = start.index
        self.pieces: list[str] = []
        self.status = "in_progress"

    @property
    def said(self) -> str:
        """All of its arguments so far."""
        return "".join(self.pieces)

    def item(self) -> dict[str, object]:
        """The item as it is now."""
        return {
            "id": self.id,
            "type": "function_call",
            "status": self.status,
            "call_id": self.call_id,
            "name": self.name,
            "arguments": self.said,
        }


class ResponseWriter:
    """Writes one response. `echo` are the fields that repeat what the request said."""

    def __init__(
        self,
        reader: ChunkReader,
        *,
        echo: Mapping[str, object],
        serial: str,
        search: FileSearch | None = None,
    ) -> None:
        self._reader = reader
        self._echo = dict(echo)
        self._serial = serial
        self._items: list[_Words | _Call | FileSearch] = []
        self._search = search
        self._usage: Usage | None = None
        self._status = "in_progress"
        self._incomplete: str | None = None
        self._error: dict[str, object] | None = None
        self._number = 0

    def feed(self, data: bytes) -> bytes:
        """The events of what these engine events say."""
        return b"".join(self._write(self._reader.feed(data)))

    def end(self) -> bytes:
        """The events that close the response."""
        return b"".join(self._write(self._reader.end()))

    def failed(self, error: LittoralError) -> bytes:
        """The event that says the response will not be finished."""
        told = error_object(error, Shape.OPENAI)
        self._status = "failed"
        self._error = {**told, "code": "server_error", "reason": error.code}
        for item in self._items:
            if item.status == "in_progress":
                item.status = "incomplete"
        return self._event("response.failed", response=self._response())

    def body(self) -> bytes:
        """The whole response."""
        return msgspec.json.encode(self._response())

    def _write(self, deltas: list[Delta]) -> Iterator[bytes]:
        if self._number == 0:
            yield self._event("response.created", response=self._response())
            yield self._event("response.in_progress", response=self._response())
            if self._search is not None and self._search.told:
                yield from self._searched(self._search)
        for delta in deltas:
            match delta:
                case Text():
                    yield from self._say(delta.text)
                case CallStart():
                    yield from self._open_call(delta)
                case CallArguments():
                    yield self._argue(delta)
                case Ended():
                    yield from self._finish(delta)
                case _:
                    assert_never(delta)

    def _searched(self, search: FileSearch) -> Iterator[bytes]:
        """The item that says what was looked for: it was done before the model was asked."""
        search.id = self._item_id("fs")
        yield from self._open(search)
        for stage in search.STAGES:
            yield self._event(f"response.file_search_call.{stage}", **self._where(search))
        yield from self._close("completed")

    def _say(self, text: str) -> Iterator[bytes]:
        item = self._items[-1] if self._items else None
        if not isinstance(item, _Words):
            item = _Words(self._item_id("msg"))
            yield from self._open(item)
            yield self._event(
                "response.content_part.added",
                **self._where(item),
                content_index=0,
                part=item.part(),
            )
        item.pieces.append(text)
        yield self._event(
            "response.output_text.delta",
            **self._where(item),
            content_index=0,
            delta=text,
            logprobs=[],
        )

    def _open_call(self, start: CallStart) -> Iterator[bytes]:
        call = start.id or call_id(self._serial, 0, start.index)
        yield from self._open(_Call(self._item_id("fc"), call, start))

    def _argue(self, arguments: CallArguments) -> bytes:
        item = self._items[-1]
        if not isinstance(item, _Call) or item.index != arguments.index:
            raise EngineFailedError("the engine went back to a call that it had left")
        item.pieces.append(arguments.text)
        return self._event(
            "response.function_call_arguments.delta", **self._where(item), delta=arguments.text
        )

    def _item_id(self, kind: str) -> str:
        return f"{kind}_{self._serial[:24]}{len(self._items):02x}"

    def _where(self, item: _Words | _Call | FileSearch) -> dict[str, object]:
        return {"item_id": item.id, "output_index": len(self._items) - 1}

    def _open(self, item: _Words | _Call | FileSearch) -> Iterator[bytes]:
        yield from self._close("completed")
        self._items.append(item)
        index = len(self._items) - 1
        yield self._event("response.output_item.added", output_index=index, item=item.item())

    def _close(self, status: str) -> Iterator[bytes]:
        if not self._items or self._items[-1].status == "completed":
            return
        item = self._items[-1]
        item.status = status
        where = self._where(item)
        match item:
            case FileSearch():
                pass
            case _Words():
                yield from self._cite(item, where)
                part = item.part()
                yield self._event(
                    "response.output_text.done",
                    **where,
                    content_index=0,
                    text=item.said,
                    logprobs=[],
                )
                yield self._event("response.content_part.done", **where, content_index=0, part=part)
            case _Call():
                yield self._event(
                    "response.function_call_arguments.done",
                    **where,
                    name=item.name,
                    arguments=item.said,
                )
        index = where["output_index"]
        yield self._event("response.output_item.done", output_index=index, item=item.item())

    def _cite(self, item: _Words, where: Mapping[str, object]) -> Iterator[bytes]:
        if self._search is None:
            return
        item.annotations = self._search.annotations_of(item.said)
        for place, annotation in enumerate(item.annotations):
            yield self._event(
                "response.output_text.annotation.added",
                **where,
                content_index=0,
                annotation_index=place,
                annotation=annotation,
            )

    def _finish(self, ended: Ended) -> Iterator[bytes]:
        self._incomplete = _INCOMPLETE.get(ended.finish)
        self._usage = ended.usage
        status = "completed" if self._incomplete is None else "incomplete"
        yield from self._close(status)
        self._status = status
        yield self._event(f"response.{status}", response=self._response())

    def _response(self) -> dict[str, object]:
        incomplete = None if self._incomplete is None else {"reason": self._incomplete}
        return {
            "id": f"resp_{self._serial}",
            "object": "response",
            "created_at": self._reader.created,
            "status": self._status,
            "error": self._error,
            "incomplete_details": incomplete,
            "output": [item.item() for item in self._items],
            "usage": None if self._usage is None else _tokens(self._usage),
            **self._echo,
            **self._member(),
        }

    def _member(self) -> dict[str, object]:
        if self._search is None or self._usage is None:
            return {}
        texts = [item.said for item in self._items if isinstance(item, _Words)]
        return {MEMBER: self._search.shown(texts)}

    def _event(self, event: str, **fields: object) -> bytes:
        said = {"type": event, "sequence_number": self._number, **fields}
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (event.encode(), msgspec.json.encode(said))


def _tokens(usage: Usage) -> dict[str, object]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.total_tokens,
    }
