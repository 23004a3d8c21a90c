"""The answer to one request, written to one connection: the server's side of `Responder`.

The server alone frames: it adds `date`, the request's id (as OpenAI's and as Anthropic's clients
look for it), the length or the chunks, and `connection`. A handler that tries to, or that puts a
line end into a header, has a defect, and nothing of its answer leaves.
"""

from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Final, Protocol

from littoral.terms.values import Finish, Usage

__all__ = ["Response", "Wire", "written"]

_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
}
_FRAMING: Final = frozenset({"connection", "content-length", "date", "transfer-encoding"})
_BODILESS: Final = frozenset({204, 304})
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_JOIN_BYTES_MAX: Final = 16 * 1024
"""Up to this size a body is copied behind its head, to leave in one system call."""


class Wire(Protocol):
    """What an answer needs of its connection."""

    def put(self, data: bytes) -> None:
        """Send at once. Raises ConnectionResetError when the client has left."""

    async def settled(self) -> None:
        """Return when the client has taken most of what was put."""

    def last_answer(self) -> bool:
        """Whether the connection closes after this answer."""

    def date(self) -> str:
        """The time, as HTTP writes it."""


class Response:
    """Either `send`, or `start`, `write` and `end`; see `Responder`."""

    __slots__ = (
        *("_body_wanted", "_chunked", "_missing", "_wire"),
        *("ended", "id", "started"),
    )

    def __init__(
        self, wire: Wire, request_id: str, *, body_wanted: bool, chunks_understood: bool
    ) -> None:
        """Prepare an answer.

        Args:
            wire: the connection it goes to.
            request_id: what `x-request-id` says.
            body_wanted: False for HEAD, which gets the head of the answer alone.
            chunks_understood: False for HTTP/1.0, where the end of the connection ends the body.
        """
        self._wire = wire
        self.id = request_id
        self._body_wanted = body_wanted
        self._chunked = chunks_understood
        self._missing: int | None = None
        """Bytes of a body of known length that were not written yet."""
        self.started = False
        """The status line has left."""
        self.ended = False
        """The answer is complete."""

    def outcome(self, usage: Usage, finish: Finish) -> None:
        """Nobody keeps an answer that goes to one client."""

    def hold_on(self) -> None:
        """Tell the client that its answer will come, if it knows interim answers."""
        if self._chunked and not self.started:
            with suppress(ConnectionResetError):
                self._wire.put(_CONTINUE)

    async def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Give the whole answer, with its length."""
        self.put(status, headers, body)
        await self._wire.settled()

    def put(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """As `send`, for callers that do not wait."""
        self.put_written(status, written(headers), body)

    def put_written(self, status: int, fields: str, body: bytes) -> None:
        """As `put`, with header fields as `written` gives them."""
        bodiless, size = status in _BODILESS, len(body)
        head = self._head(status, fields, "" if bodiless else f"content-length: {size}\r\n")
        self.started = self.ended = True
        if bodiless or not size or not self._body_wanted:
            self._wire.put(head)
        elif size <= _JOIN_BYTES_MAX:
            self._wire.put(head + body)
        else:
            self._wire.put(head)
            self._wire.put(body)

    async def start(
        self, status: int, headers: Mapping[str, str], body_bytes: int | None = None
    ) -> None:
        """Begin an answer: of so many bytes, or of unknown length. HEAD gets none of them."""
        if body_bytes is None:
            self.start_written(status, written(headers))
            return
        head = self._head(status, written(headers), f"content-length: {body_bytes}\r\n")
        self._missing, self._chunked = body_bytes, False
        self.started = True
        self._wire.put(head)

    def start_written(self, status: int, fields: str) -> None:
        """As `start`, with header fields as `written` gives them, for callers that do not wait."""
        framing = "transfer-encoding: chunked\r\n" if self._chunked else ""
        head = self._head(status, fields, framing)
        self.started = True
        self._wire.put(head)

    @property
    def chunked(self) -> bool:
        """Whether its end is said by the body itself."""
        return self._chunked

    async def write(self, data: bytes) -> None:
        """Send one piece now. Waits while the client is slow to take what was sent before."""
        self.push(data)
        await self._wire.settled()

    def push(self, data: bytes) -> None:
        """As `write`, for callers that do not wait."""
        if not self.started or self.ended:
            raise _out_of_order()
        self._count(data)
        if data and self._body_wanted:
            self._wire.put(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    async def end(self) -> None:
        """Say that the answer is complete."""
        self.finish()
        await self._wire.settled()

    def finish(self, last: bytes = b"") -> None:
        """As `end`, after a last piece, for callers that do not wait."""
        if not self.started or self.ended:
            raise _out_of_order()
        self._count(last)
        if self._missing and self._body_wanted:
            raise RuntimeError(f"{self._missing} bytes of an answer of known length are missing")
        self.ended = True
        if not self._body_wanted:
            return
        if not self._chunked:
            if last:
                self._wire.put(last)
        elif last:
            self._wire.put(b"%x\r\n%b\r\n0\r\n\r\n" % (len(last), last))
        else:
            self._wire.put(b"0\r\n\r\n")

    def _count(self, data: bytes) -> None:
        if self._missing is None:
            return
        if len(data) > self._missing:
            raise RuntimeError("an answer of known length has more bytes than it said")
        self._missing -= len(data)

    def _head(self, status: int, fields: str, framing: str) -> bytes:
        if self.started:
            raise RuntimeError("an answer is begun once")
        wire = self._wire
        close = "connection: close\r\n" if wire.last_answer() else ""
        text = (
            f"{_STATUS_LINES[status]}date: {wire.date()}\r\n"
            f"x-request-id: {self.id}\r\nrequest-id: {self.id}\r\n{framing}{close}{fields}\r\n"
        )
        return text.encode("latin-1")


def _out_of_order() -> RuntimeError:
    return RuntimeError("an answer is started, written to, and ended once")


def written(headers: Mapping[str, str]) -> str:
    """Header fields as they stand in an answer, each with its line end.

    Raises:
        ValueError: one frames the answer, which the server alone does, or holds a line end.
    """
    if not _FRAMING.isdisjoint(headers):
        raise ValueError("the server alone sets the fields that frame an answer")
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if not fields.count("\r") == fields.count("\n") == len(headers):
        raise ValueError("a header field holds a line end")
    return fields
