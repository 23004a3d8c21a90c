"""One HTTP/1.1 connection to a server, and the one answer it is reading.

Rules
- A connection is used again only after a whole, well-formed answer that allows it.
  `should_keep_alive()` is asked inside the parser's callback: afterwards the parser has forgotten.
- A consumer that does not keep up stops the reading (`pause_reading`), so that buffers are bounded.
- To the first byte of the body, and between bytes, there is a deadline; a slow consumer's time is
  not counted. The head may come long before: llama.cpp sends it before it reads the prompt.

Not here: opening and pooling connections (http1.py). These exceptions never leave the package;
each engine says what they mean for it.
"""

import asyncio
import socket
from collections import deque
from dataclasses import dataclass, field
from typing import Final, cast

import httptools

from littoral.terms import limits

__all__ = [
    "ConnectFailedError",
    "Connection",
    "ConnectionLostError",
    "Deadlines",
    "Head",
    "HttpError",
    "MalformedError",
    "NoConnectionFreeError",
    "WaitedTooLongError",
]

_BUFFER_BYTES_HIGH: Final = 256 * 1024
"""Unread body at which reading stops until it is taken; one more read may come on top."""


class HttpError(Exception):
    """What all failures of an exchange have in common."""


class ConnectFailedError(HttpError):
    """No connection could be made."""


class ConnectionLostError(HttpError):
    """The server went away before the end of its answer."""


class MalformedError(HttpError):
    """The answer is not HTTP/1.1 as we accept it, or is over a bound."""


class NoConnectionFreeError(HttpError):
    """All connections are in use; the server itself may be well."""


class WaitedTooLongError(HttpError):
    """A deadline passed; `str()` says which."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long each wait may take; `first_byte_s` is to the first byte of the body."""

    connect_s: float = 10.0
    first_byte_s: float = limits.FIRST_BYTE_WAIT_S
    between_bytes_s: float = limits.BETWEEN_BYTES_WAIT_S


@dataclass(slots=True)
class Head:
    """An answer's head while it is being read."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    bytes_received: int = 0
    field_bytes: int = 0
    fields: int = 0

    def over_a_bound(self, *, whole: bool) -> bool:
        """Too many fields or bytes; the bytes received count only until the head is whole."""
        size = self.field_bytes if whole else self.bytes_received
        return size > limits.HEAD_BYTES_MAX or self.fields > limits.HEADERS_MAX


class Connection(asyncio.Protocol):
    """One connection and the one answer it is reading."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._error: HttpError | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wait_s = self._between_bytes_s = 0.0
        self._heard_at = 0.0
        self._body_begun = False
        self._head = Head()
        self._head_done = False
        self.complete = True
        self.keep_alive = True
        self.heard = False
        self.closed = False

    # --- the exchange, called by the client ------------------------------------------------

    def send(self, request: bytes, body: bytes, deadlines: Deadlines) -> None:
        """Write a request and start to wait for its answer."""
        assert self._transport is not None
        assert self.reusable, "bytes of the last answer must never be taken for this one's"
        self._head = Head()
        self._head_done = self.complete = self.keep_alive = self.heard = False
        self._between_bytes_s = deadlines.between_bytes_s
        self._body_begun = False
        self._await_within(deadlines.first_byte_s)
        self._transport.writelines((request, body))

    async def head(self) -> Head:
        """The answer's status and headers."""
        while not self._head_done:
            self._raise_error()
            await self._wait()
        return self._head

    async def take(self) -> bytes:
        """All of the body that is here, waiting for some; empty at its end."""
        while not self._pieces:
            self._raise_error()
            if self.complete:
                return b""
            await self._wait()
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._buffered = 0
        if not self._body_begun:
            self._body_begun = True
            if not self.complete:
                self._await_within(self._between_bytes_s)
        if self._paused:
            self._paused = False
            self._heard_at = self._loop.time()
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()
        return data

    @property
    def reusable(self) -> bool:
        """The answer has come whole, was read to its end, and the server keeps the connection."""
        read = not self._pieces and not self._paused
        return self.complete and read and self.keep_alive and not self.closed

    def abort(self) -> None:
        """Close at once."""
        self.keep_alive = False
        self._stop_timer()
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _fail(self, error: HttpError) -> None:
        """End the exchange with the first error; whoever waits is told."""
        if not self.complete and self._error is None:
            self._error = error
        self.abort()
        self._wake()

    # --- deadlines: one lazy timer instead of one per piece ----------------------------------

    def _await_within(self, seconds: float) -> None:
        self._stop_timer()
        self._wait_s = seconds
        self._heard_at = self._loop.time()
        self._timer = self._loop.call_later(seconds, self._check_time)

    def _check_time(self) -> None:
        if self._paused or self._pieces:  # it is the consumer that takes its time
            self._heard_at = self._loop.time()
        left_s = self._heard_at + self._wait_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._check_time)
            return
        what = "of silence" if self._body_begun else "without a first byte"
        self._fail(WaitedTooLongError(f"{self._wait_s:g} s {what}"))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- asyncio.Protocol ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the socket up: no waiting to fill packets, or tokens would be held back."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and wake the reader once for all of it."""
        if self.complete:  # nobody asked: this connection can't be trusted any more
            self.abort()
            return
        self.heard = True
        self._heard_at = self._loop.time()
        if not self._head_done:
            self._head.bytes_received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(MalformedError(f"not an HTTP/1.1 answer: {type(error).__name__}"))
            return
        if self._head.over_a_bound(whole=self._head_done):
            self._fail(MalformedError("a head that is over the bounds"))
            return
        if self._buffered > _BUFFER_BYTES_HIGH and not self._paused and not self.complete:
            self._paused = True
            assert self._transport is not None
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """An answer without a length ends here; any other is broken off."""
        self.closed = True
        self.keep_alive = False
        self._stop_timer()
        if not self.complete:
            if self._head_done and not self._has_length() and exc is None:
                self.complete = True
            elif self._error is None:
                self._error = ConnectionLostError("the server closed the connection")
        self._wake()

    def _has_length(self) -> bool:
        headers = self._head.headers
        return "content-length" in headers or "chunked" in headers.get("transfer-encoding", "")

    # --- httptools -------------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header field, lower-cased; a later one of the same name is joined to it."""
        self._head.fields += 1
        self._head.field_bytes += len(name) + len(value)
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        headers = self._head.headers
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        """The head is whole; a 1xx head only announces the real one."""
        self._head.status = self._parser.get_status_code()
        self._head_done = self._head.status >= 200

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body for the reader."""
        self._pieces.append(body)
        self._buffered += len(body)

    def on_message_complete(self) -> None:
        """The answer is whole: keep-alive must be asked now."""
        if not self._head_done:
            self._head = Head(bytes_received=self._head.bytes_received)
            return
        self.complete = True
        self.keep_alive = self._parser.should_keep_alive()
        self._stop_timer()

    def on_message_begin(self) -> None:
        """A second answer to one request is a server out of step: stop reading it."""
        if self.complete:
            raise MalformedError("an answer that nobody asked for")
