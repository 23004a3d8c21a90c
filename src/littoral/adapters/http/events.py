"""Cutting a stream of bytes into whole server-sent events, without reading them.

An event ends at an empty line. What has arrived whole is handed on at once and unchanged; what
has not stays here, up to a bound. Only `each` looks inside, for those who must.
"""

from collections.abc import Iterator
from typing import Final

__all__ = [
    "DONE",
    "EVENT_BYTES_MAX",
    "EventCutter",
    "EventTooLongError",
    "data_of",
    "each",
    "error_in",
]

DONE: Final = b"data: [DONE]\n\n"
"""The last event of a stream in OpenAI's shape."""

EVENT_BYTES_MAX: Final = 4 * 1024 * 1024
"""One event; the longest seen in the field carry a tool call's arguments of some 100 KB."""


class EventTooLongError(Exception):
    """An event is over the bound."""


class EventCutter:
    """Takes bytes as they come and gives back those that are whole events."""

    def __init__(self, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        """Hold nothing yet; `event_bytes_max` bounds what may be held."""
        self._held = b""
        self._event_bytes_max = event_bytes_max

    def feed(self, data: bytes) -> bytes:
        """The events that are whole now; empty while the first is not.

        Raises:
            EventTooLongError: an event does not end within the bound.
        """
        if not self._held and data.endswith(b"\n\n"):
            return data
        seen = max(0, len(self._held) - 2)
        held = self._held + data
        # An empty line is "\n" after "\n" or after "\n\r"; a bare "\r" is not used by any server.
        end = max(held.rfind(b"\n\n", seen) + 2, held.rfind(b"\n\r\n", seen) + 3)
        whole = held[:end] if end > 2 else b""
        self._held = held[len(whole) :]
        if len(self._held) > self._event_bytes_max:
            raise EventTooLongError(f"an event of over {self._event_bytes_max} bytes")
        return whole

    def rest(self) -> bytes:
        """What came after the last whole event."""
        return self._held


def each(events: bytes) -> Iterator[bytes]:
    """The whole events in these bytes, one by one, each with its empty line."""
    start = 0
    returns = b"\r" in events
    while start < len(events):
        ends = [events.find(b"\n\n", start) + 2]
        if returns:
            ends.append(events.find(b"\n\r\n", start) + 3)
        end = min((end for end in ends if end > start + 1), default=len(events))
        yield events[start:end]
        start = end


def data_of(event: bytes) -> bytes:
    """The `data` of one event, its lines joined; empty for comments."""
    lines = [
        line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"data:")
    ]
    return lines[0] if len(lines) == 1 else b"\n".join(lines)


_ERROR_STARTS: Final = (b'data: {"error"', b'data:{"error"', b"error:")


def error_in(events: bytes) -> bytes | None:
    """The JSON of an error that a server put into its stream, or None.

    A quotation mark inside JSON text is escaped, so these marks can't be part of an answer's text
    at the start of an event.
    """
    # One of these words is in each mark; bytes are searched several times as fast from their end.
    if events.rfind(b'"error"') < 0 and events.rfind(b"error:") < 0:
        return None
    for event in each(events):
        if event.startswith(_ERROR_STARTS):
            return data_of(event) or event.partition(b":")[2].strip()
    return None
