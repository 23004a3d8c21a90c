"""How an engine's stream becomes the client's, and the two simplest ways.

Most streams are in the client's shape already: their bytes are looked at and not parsed.
"""

from typing import Protocol

from littoral.terms.errors import LittoralError
from littoral.web.dialects.chunks import events_of, is_usage_alone, read_chunk
from littoral.web.errors import Shape, error_event

__all__ = ["Passage", "Untouched", "WithoutUsage"]


class Passage(Protocol):
    """Turns an engine's stream into the client's, one call for each of the engine's pieces."""

    def feed(self, data: bytes) -> bytes:
        """What to write now; may be nothing."""

    def end(self) -> bytes:
        """What is left to write once the engine has ended."""

    def failed(self, error: LittoralError) -> bytes:
        """The event that ends the stream in an error."""


class Untouched:
    """The passage of a stream that is in the client's shape already."""

    def feed(self, data: bytes) -> bytes:
        """The same bytes."""
        return data

    def end(self) -> bytes:
        """Nothing."""
        return b""

    def failed(self, error: LittoralError) -> bytes:
        """An error as OpenAI's clients look for it."""
        return error_event(error, Shape.OPENAI)


class WithoutUsage(Untouched):
    """The same without the chunk that holds the usage alone, for whoever did not ask for it."""

    def feed(self, data: bytes) -> bytes:
        """The bytes without that chunk. No quote within a string can look like the one here."""
        if b'"choices":[]' not in data and b'"choices": []' not in data:
            return data
        return b"".join(event for event, payload in events_of(data) if not _is_usage(payload))


def _is_usage(payload: bytes) -> bool:
    return payload.startswith(b"{") and is_usage_alone(read_chunk(payload))
