"""The hot path's door in this room: requests that are answered by calls, without a task.

The listener asks `HotPath.take` about each POST. What it takes is answered through its `Reply`, now
or later, by whoever the bytes come from; what it does not take goes to the handler as before.

Rules
- A reply is given once: `whole`, or `start`, any number of `write`, `finish`; `fail` at any time.
- Nothing here waits. A client that is slow, or has left, is told to the `Underway` object, which
  stops or cancels what feeds the reply.
"""

from collections.abc import Callable
from typing import Final, Protocol

from littoral.terms.errors import LittoralError
from littoral.web.errors import Shape, defect, error_answer, error_event
from littoral.web.head import Head
from littoral.web.response import Response

__all__ = ["Carrier", "OVER", "HotPath", "Reply", "Underway", "offered"]


class Underway(Protocol):
    """An answer that has begun and is not over."""

    def pause(self) -> None:
        """The client is slow: send no more for now."""

    def resume(self) -> None:
        """The client has caught up."""

    def gone(self) -> None:
        """The client has left: nothing can be sent any more."""


class Carrier(Protocol):
    """The connection that a reply goes out on."""

    def replied(self, *, complete: bool) -> None:
        """The answer is over; an incomplete one ends the connection."""


class Reply:
    """The one answer to one hot request."""

    __slots__ = ("_carrier", "_over", "_response", "request_id", "shape")

    def __init__(self, carrier: Carrier, response: Response, request_id: str, shape: Shape) -> None:
        self._carrier = carrier
        self._response = response
        self._over = False
        self.request_id = request_id
        self.shape = shape
        """Whose words errors are said in."""

    @property
    def over(self) -> bool:
        """Whether the answer was given, or given up."""
        return self._over

    @property
    def started(self) -> bool:
        """Whether the status line has left: from then on no other answer can be given."""
        return self._response.started

    def whole(self, status: int, fields: str, body: bytes) -> None:
        """Give the whole answer, with its length.

        Args:
            status: of HTTP.
            fields: header fields as `response.written` gives them.
            body: all of it.
        """
        self._response.put_written(status, fields, body)
        self._end(complete=True)

    def start(self, fields: str) -> None:
        """Begin an answer of unknown length, with these header fields."""
        self._response.start_written(200, fields)

    def write(self, data: bytes) -> None:
        """Send one piece."""
        self._response.push(data)

    def finish(self, last: bytes = b"") -> None:
        """Say that the answer is complete, after a last piece."""
        self._response.finish(last)
        self._end(complete=True)

    def fail(self, error: LittoralError) -> None:
        """Tell of an error: as the answer, or as the last event of one that has begun."""
        if not self._response.started:
            self._response.put(*error_answer(error, self.shape, self.request_id))
            self._end(complete=True)
        elif self._response.chunked:
            self._response.finish(error_event(error, self.shape, self.request_id))
            self._end(complete=True)
        else:
            self._end(complete=False)

    def _end(self, *, complete: bool) -> None:
        self._over = True
        self._carrier.replied(complete=complete)


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
    hot: HotPath,
    head: Head,
    body: bytes,
    reply: Reply,
    on_defect: Callable[[BaseException], None],
) -> Underway | None:
    """What the hot path makes of a request; whatever it raises is told to the client."""
    try:
        return hot.take(head, body, reply)
    except LittoralError as error:
        reply.fail(error)
    except Exception as error:
        on_defect(error)
        reply.fail(defect())
    return OVER
