"""One HTTP/1.1 connection to another server, and the one answer that it is reading.

Rules
- A connection is used again only after a whole, well-formed answer that allows it, with nothing
  behind it. `should_keep_alive()` is asked inside the parser's callback: afterwards the parser has
  forgotten.
- Whoever hears of the answer may `pause`: then nothing more is read, so that buffers are bounded.
- To the first byte of the body, between bytes, and in all there is a deadline; a pause does not
  count. The head may come long before: llama.cpp sends it before it reads the prompt.
- No timer is made for a request: a Watch looks at all connections at work (watch.py).

Not here: opening and pooling connections (line.py).
"""

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Protocol, cast

import httptools

from littoral.adapters.http.words import (
    AnswerHead,
    ConnectionLostError,
    Deadlines,
    Hears,
    HttpError,
    MalformedError,
    WaitedTooLongError,
)
from littoral.terms import limits

if TYPE_CHECKING:
    from littoral.adapters.http.watch import Watch

__all__ = ["Call", "Holder", "Hop"]


class Call(Protocol):
    """A request under way, as whoever asked holds it."""

    def cancel(self, hears: Hears) -> None:
        """The answer is not wanted any more: its connection is closed at once."""

    def pause(self, hears: Hears) -> None:
        """Read no more for now."""

    def resume(self, hears: Hears) -> None:
        """Read on."""


class Holder(Protocol):
    """Who has a connection, and what it wants to know of it."""

    def free(self, hop: "Hop") -> None:
        """An answer is over, and the connection may be used again."""

    def over(self, hop: "Hop") -> None:
        """An exchange is over, and the connection with it."""

    def again(self, hop: "Hop", hears: Hears) -> bool:
        """The connection was closed before any byte of the answer: whether it is asked anew."""


class Hop(asyncio.Protocol):
    """One connection and the one answer that it is reading."""

    __slots__ = (
        "_body_begun",
        "_deadlines",
        "_fields",
        "_head_bytes",
        "_head_told",
        "_heard_at",
        "_hears",
        "_holder",
        "_loop",
        "_parser",
        "_pieces",
        "_sent_at",
        "_status",
        "_watch",
        "closed",
        "complete",
        "heard",
        "keep_alive",
        "on_body",
        "paused",
        "replaced_by",
        "tls",
        "transport",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, watch: "Watch", holder: Holder | None = None
    ) -> None:
        """Wait for `connection_made`.

        Args:
            loop: whose clock is read.
            watch: looks at the deadlines.
            holder: told of the end of each exchange.
        """
        self._loop = loop
        self._watch = watch
        self._holder = holder
        self.transport: asyncio.Transport | None = None
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append
        """Called by httptools with each piece of the body; a C function on purpose."""
        self._fields: list[tuple[bytes, bytes]] = []
        self._parser = httptools.HttpResponseParser(self)
        self._hears: Hears | None = None
        self._status = 0
        self._head_told = False
        self._head_bytes = 0
        self._body_begun = False
        self._deadlines = Deadlines()
        """Of the present request."""
        self._sent_at = self._heard_at = 0.0
        self.paused = False
        self.complete = True
        self.keep_alive = True
        self.heard = False
        """Whether any byte of the present answer has come."""
        self.closed = False
        self.tls: ssl.SSLContext | None = None
        """How TLS was spoken when it was dialled; None where it was not."""
        self.replaced_by: Call | None = None
        """What became of the last request on it, if the connection was closed already."""

    # --- the exchange ---

    def send(self, head: bytes, body: bytes, hears: Hears, deadlines: Deadlines) -> None:
        """Write a request; `hears` is told of its answer."""
        assert self.transport is not None
        assert self.complete, "bytes of the last answer must never be taken for this one's"
        assert self.keep_alive, "the server keeps the connection"
        now = self._loop.time()
        self._hears = hears
        self._fields = []
        self._status = self._head_bytes = 0
        self._head_told = self._body_begun = False
        self.complete = self.keep_alive = self.heard = False
        self._sent_at = self._heard_at = now
        self._deadlines = deadlines
        self._watch.begin(self, deadlines)
        self.transport.writelines((head, body) if body else (head,))

    def about(self, what: str) -> object:
        """What its transport says of it, as `asyncio.BaseTransport.get_extra_info`."""
        assert self.transport is not None
        said: object = self.transport.get_extra_info(what)
        return said

    @property
    def reusable(self) -> bool:
        """The answer has come whole, and the server keeps the connection."""
        return self.complete and self.keep_alive and not self.closed and not self.paused

    def cancel(self, hears: Hears) -> None:
        """The answer is not wanted any more, if it is still under way: the connection is closed."""
        if self._hears is hears:
            self._drop()
        elif self.replaced_by is not None:
            self.replaced_by.cancel(hears)

    def pause(self, hears: Hears) -> None:
        """Read no more of this answer for now."""
        if self.replaced_by is not None:
            self.replaced_by.pause(hears)
        elif self._hears is hears and not self.paused and self.transport is not None:
            self.paused = True
            self.transport.pause_reading()

    def resume(self, hears: Hears) -> None:
        """Read on."""
        if self.replaced_by is not None:
            self.replaced_by.resume(hears)
        elif self._hears is hears:
            self._read_on()

    def _read_on(self) -> None:
        if self.paused:
            self.paused = False
            self._heard_at = self._loop.time()
            if self.transport is not None and not self.transport.is_closing():
                self.transport.resume_reading()

    def abort(self) -> None:
        """Close at once; nobody hears of it."""
        self._hears = None
        self.keep_alive = False
        if self.transport is not None:
            self.transport.abort()

    def _drop(self) -> None:
        """End the exchange and the connection."""
        self._watch.end(self)
        self.abort()
        if self._holder is not None:
            self._holder.over(self)

    def check_time(self, now: float) -> None:
        """Act on a deadline that has passed."""
        if self.paused:  # it is the consumer that takes its time
            self._heard_at = now
        deadlines = self._deadlines
        wait_s, what = deadlines.first_byte_s, "without a first byte"
        if self._body_begun:
            wait_s, what = deadlines.between_bytes_s, "of silence"
        if now - self._heard_at >= wait_s:
            self._fail(WaitedTooLongError(f"{wait_s:g} s {what}"))
        elif now - self._sent_at >= deadlines.total_s:
            self._fail(WaitedTooLongError("the longest that one answer may take"))

    def lose(self, holder: Holder, error: HttpError, since: float) -> None:
        """The holder's server is gone: end this, unless some of the body came since then."""
        if self._holder is holder and not (self._body_begun and self._heard_at >= since):
            self._fail(error)

    def _fail(self, error: HttpError) -> None:
        """End the exchange with an error, and the connection with it."""
        hears = self._hears
        self._drop()
        if hears is not None:
            hears.lost(error)

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the socket up: no waiting to fill packets, or tokens would be held back."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and tell of all of it at once."""
        hears = self._hears
        if hears is None:  # nobody asked: this connection can't be trusted any more
            self.abort()
            return
        self.heard = True
        if not self._head_told:
            self._head_bytes += len(data)
        error = self._parsed(data)
        if not self._head_told:
            self._tell_head(hears, error)
        if not self.complete and (self._body_begun or self._pieces):
            self._heard_at = self._loop.time()
        if self._pieces and self._hears is hears:
            self._tell_pieces(hears)
        if self._hears is not hears:
            return  # it was told something that made it leave
        if error is not None:
            self._fail(error)
        elif self.complete:
            self._over(hears)

    def _parsed(self, data: bytes) -> HttpError | None:
        """What is wrong with these bytes, if they come before the end of the answer."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as malformed:
            self.keep_alive = False
            if not self.complete:
                return MalformedError(f"not an HTTP/1.1 answer: {type(malformed).__name__}")
        return None

    def _tell_head(self, hears: Hears, error: HttpError | None) -> None:
        whole = self._status >= 200
        if not whole and error is None and self._over_a_bound(self._head_bytes):
            self._fail(MalformedError("a head that is over the bounds"))
        elif whole:
            head = AnswerHead(self._status, self._fields)
            long = self._head_bytes > limits.HEAD_BYTES_MAX
            if self._over_a_bound(head.size_bytes() if long else 0):
                self._fail(MalformedError("a head that is over the bounds"))
            elif head.get(b"transfer-encoding").lower() not in {"", "chunked"}:
                self._fail(MalformedError("a transfer coding that was not asked for"))
            else:
                self._head_told = True
                hears.head(head)

    def _over_a_bound(self, head_bytes: int) -> bool:
        return head_bytes > limits.HEAD_BYTES_MAX or len(self._fields) > limits.HEADERS_MAX

    def _tell_pieces(self, hears: Hears) -> None:
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._body_begun = True
        hears.data(data)

    def _over(self, hears: Hears) -> None:
        """The answer is whole: the connection is free, or done with, before anybody hears of it."""
        if self.paused:
            self._read_on()
        if self.keep_alive and not self.closed:
            self._hears = None
            self._watch.end(self)
            if self._holder is not None:
                self._holder.free(self)
        else:
            self._drop()
        hears.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """An answer without a length ends here; any other is broken off."""
        self.closed = True
        self.keep_alive = False
        self._watch.end(self)
        hears, self._hears = self._hears, None
        if hears is None:
            return
        if self._holder is not None:
            if not self.heard and self._holder.again(self, hears):
                return
            self._holder.over(self)
        if self._head_told and exc is None and not self._has_length():
            self.complete = True
            hears.end()
        else:
            hears.lost(ConnectionLostError("the server closed the connection"))

    def _has_length(self) -> bool:
        head = AnswerHead(self._status, self._fields)
        chunked = "chunked" in head.get(b"transfer-encoding").lower()
        return chunked or bool(head.get(b"content-length"))

    # --- httptools ---

    def on_message_begin(self) -> None:
        """A second answer to one request is a server out of step: stop reading it."""
        if self.complete:
            raise MalformedError("an answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header field."""
        self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is whole; a 1xx head only announces the real one."""
        self._status = self._parser.get_status_code()

    def on_message_complete(self) -> None:
        """The answer is whole: keep-alive must be asked now."""
        if self._status < 200:
            self._fields = []
            return
        self.complete = True
        self.keep_alive = self._parser.should_keep_alive()
