"""The hot path's door in this room: requests that are answered by calls, without a task.

The listener asks `HotPath.take` about each POST. What it takes is answered through its `Reply`, now
or later, by whoever the bytes come from; what it does not take goes to the handler as before.

Rules
- A reply is given once: `give`, or `begin`, any number of `push`, `close`; `fail` at any time.
- Nothing here waits. A client that is slow, or has left, is told to the `Underway` object, which
  stops or cancels what feeds the reply.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from littoral.terms.errors import LittoralError
from littoral.web.errors import Shape, defect, error_answer, error_event, shape_of
from littoral.web.head import Head
from littoral.web.response import Response, Wire

__all__ = ["Carrier", "OVER", "HotPath", "Reply", "Underway", "offered"]

_SWITCHING: Final = "HTTP/1.1 101 Switching Protocols\r\n"


class Underway(Protocol):
    """An answer that has begun and is not over."""

    def pause(self) -> None:
        """The client is slow: send no more for now."""

    def resume(self) -> None:
        """The client has caught up."""

    def gone(self) -> None:
        """The client has left: nothing can be sent any more."""


class Carrier(Wire, Protocol):
    """The connection that a reply goes out on."""

    def replied(self, *, complete: bool) -> None:
        """The answer is over; an incomplete one ends the connection."""

    def let_go(self) -> asyncio.Transport:
        """Leave the connection to another protocol."""


class Reply(Response):
    """The one answer to one request, as the hot path gives it."""

    __slots__ = ("_asked", "_carrier", "over")

    def __init__(self, carrier: Carrier, request_id: str, head: Head) -> None:
        """Prepare an answer to the request of this head."""
        super().__init__(
            carrier, request_id, body_wanted=True, chunks_understood=head.chunks_understood
        )
        self._carrier = carrier
        self._asked = head
        self.over = False
        """The answer was given, or given up."""

    def give(self, status: int, fields: str, body: bytes) -> None:
        """Give the whole answer, with its length.

        Args:
            status: of HTTP.
            fields: header fields as `response.written` gives them.
            body: all of it.
        """
        self._end(partial(self.put_written, status, fields, body))

    def begin(self, fields: str) -> None:
        """Begin an answer of unknown length, with these header fields."""
        self.start_written(200, fields)

    def close(self, last: bytes = b"") -> None:
        """Say that the answer is complete, after a last piece."""
        self._end(partial(self.finish, last))

    def fail(self, error: LittoralError) -> None:
        """Tell of an error: as the answer, or as the last event of one that has begun."""
        if not self.started:
            self._end(partial(self.put, *error_answer(error, self._shape(), self.id)))
        elif self.chunked:
            self._end(partial(self.finish, error_event(error, self._shape(), self.id)))
        else:
            self.cut()

    def cut(self) -> None:
        """End an answer that has begun, and not as if it were complete."""
        self.over = True
        self._carrier.replied(complete=False)

    def hand_over(self, protocol: str) -> asyncio.Transport:
        """Change to the protocol that was asked for (RFC 9110, 7.8): the connection is its."""
        head = f"{_SWITCHING}connection: upgrade\r\nupgrade: {protocol}\r\n\r\n"
        self._carrier.put(head.encode("latin-1"))
        self.started = self.ended = self.over = True
        return self._carrier.let_go()

    def _end(self, say: Callable[[], None]) -> None:
        """The last word; a client that has left in this moment, and is not known to, misses it."""
        complete = True
        try:
            say()
        except ConnectionResetError:
            complete = False
        self.over = True
        self._carrier.replied(complete=complete)

    def _shape(self) -> Shape:
        """Whose words errors are said in."""
        return shape_of(self._asked.path, self._asked.headers)


class HotPath(Protocol):
    """Answers requests without a task."""

    def take(self, head: Head, body: bytes, reply: Reply) -> Underway | None:
        """Answer this request, now or later; None leaves it to the handler.

        An answer that was given before this returns needs no looking after: `OVER` says so.

        Raises:
            LittoralError: what to tell the client instead.
        """


class _Over:
    """An answer that has been given."""

    def pause(self) -> None:
        """Nothing more is sent anyway."""

    def resume(self) -> None:
        """Nothing more is sent anyway."""

    def gone(self) -> None:
        """Nothing works on it."""


OVER: Final[Underway] = _Over()


def offered(
    take: Callable[[Head, bytes, Reply], Underway | None],
    head: Head,
    body: bytes,
    reply: Reply,
    on_defect: Callable[[BaseException], None],
) -> Underway | None:
    """What `HotPath.take` makes of a request; whatever it raises is told to the client."""
    try:
        return take(head, body, reply)
    except LittoralError as error:
        reply.fail(error)
    except Exception as error:
        on_defect(error)
        reply.fail(defect())
    return OVER
