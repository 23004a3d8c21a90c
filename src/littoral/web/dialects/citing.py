"""Citations in OpenAI's chat answers: as annotations of the message, and as the member `littoral`.

An annotation is of the one kind that this API knows, `url_citation`; its address is the document's
name, as a collection has no addresses to give. In a stream they come in a chunk of their own before
the one that says why it ended.
"""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from littoral.memory.citing import marks_in, shown
from littoral.terms.errors import LittoralError
from littoral.terms.memory import Cited
from littoral.terms.sources import Sources
from littoral.web.dialects.chunks import DONE, events_of
from littoral.web.dialects.passages import Passage

__all__ = ["MEMBER", "CitedStream", "annotations_of", "with_citations"]

MEMBER: Final = "littoral"


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    message: _Message | None = None
    delta: _Message | None = None
    finish_reason: str | None = None


class _Chat(msgspec.Struct):
    id: str = ""
    created: int = 0
    model: str = ""
    choices: list[_Choice] = []


_READ: Final = msgspec.json.Decoder(_Chat).decode


def annotations_of(text: str, sources: Sources) -> list[dict[str, object]]:
    """The citations of one choice's text."""
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": mark.start,
                "end_index": mark.end,
                "title": _title(sources.passages[mark.passage]),
                "url": sources.passages[mark.passage].document,
            },
        }
        for mark in marks_in(text, len(sources.passages))
    ]


def with_citations(body: bytes, sources: Sources) -> bytes:
    """A whole answer with its citations."""
    answer = msgspec.json.decode(body, type=dict[str, object])
    texts = []
    choices = answer.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        message = choice.get("message")
        text = message.get("content") if isinstance(message, dict) else None
        if isinstance(text, str):
            texts.append(text)
            message["annotations"] = annotations_of(text, sources)
    answer[MEMBER] = shown(sources, texts)
    return msgspec.json.encode(answer)


class CitedStream:
    """A stream with its citations, whatever else is done to it."""

    def __init__(self, inner: Passage, sources: Callable[[], Sources]) -> None:
        """Read nothing yet.

        Args:
            inner: makes the stream, in this API's shape.
            sources: what the answer was made from, asked for when it is to be told.
        """
        self._inner = inner
        self._sources = sources
        self._texts: dict[int, list[str]] = {}
        self._told = False

    def feed(self, data: bytes) -> bytes:
        """What to write now."""
        return b"".join(self._with_citations(self._inner.feed(data)))

    def end(self) -> bytes:
        """What is left to write."""
        return b"".join(self._with_citations(self._inner.end()))

    def failed(self, error: LittoralError) -> bytes:
        """The event that ends the stream in an error."""
        return self._inner.failed(error)

    def _with_citations(self, data: bytes) -> Iterator[bytes]:
        for event, payload in events_of(data):
            if payload and payload != DONE and not self._told:
                yield from self._before(payload)
            yield event

    def _before(self, payload: bytes) -> Iterator[bytes]:
        try:
            chunk = _READ(payload)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return  # an upstream's own kind of event
        for choice in chunk.choices:
            if choice.delta is not None and choice.delta.content:
                self._texts.setdefault(choice.index, []).append(choice.delta.content)
        if any(choice.finish_reason is not None for choice in chunk.choices):
            self._told = True
            yield self._citations(chunk)

    def _citations(self, chunk: _Chat) -> bytes:
        sources = self._sources()
        texts = {index: "".join(pieces) for index, pieces in sorted(self._texts.items())}
        choices = [
            {"index": index, "delta": {"annotations": found}, "finish_reason": None}
            for index, text in texts.items()
            if (found := annotations_of(text, sources))
        ]
        first = chunk.choices[0].index
        said = {
            "id": chunk.id,
            "object": "chat.completion.chunk",
            "created": chunk.created,
            "model": chunk.model,
            "choices": choices or [{"index": first, "delta": {}, "finish_reason": None}],
            MEMBER: shown(sources, [*texts.values()]),
        }
        return b"data: %b\n\n" % msgspec.json.encode(said)


def _title(passage: Cited) -> str:
    return passage.header or passage.document
