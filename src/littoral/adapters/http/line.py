"""All connections to one server: kept open between requests, bounded, opened when needed.

Rules
- One request at a time per connection; a whole answer makes it free again.
- Cancelling a request closes its connection at once: that is how work is cancelled.
- A kept connection that dies before any byte of the answer is replaced once by a fresh one: the
  server had closed it while it was idle.
- Connections, those that are kept, and requests that wait for one are bounded.

Not here: what is asked, and of which server; an answer as something to await (client.py).
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

from littoral.adapters.http.hop import Hop, Watch
from littoral.adapters.http.words import (
    AnswerHead,
    ConnectFailedError,
    ConnectionLostError,
    Deadlines,
    Hears,
    HttpError,
    NoConnectionFreeError,
    Origin,
    WaitedTooLongError,
)
from littoral.terms.limits import UPSTREAM_CONNECTIONS_MAX, UPSTREAM_IDLE_MAX, UPSTREAM_WAITING_MAX

__all__ = ["Asking", "Dialler", "Line"]

Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Runs a coroutine as a task of an owner that outlives it."""

_SMALL_BODY_BYTES: Final = 16 * 1024


class Dialler:
    """Opens connections to one server."""

    def __init__(
        self, origin: Origin, watch: Watch, free: Callable[[Hop], None], certificate: str = ""
    ) -> None:
        """Open nothing yet.

        Args:
            origin: where the server is.
            watch: looks at the deadlines of its connections.
            free: told of each connection that may be used again.
            certificate: a PEM file; the server is to show this one, whatever name is in it.
        """
        self._origin = origin
        self._watch = watch
        self._free = free
        self._certificate = certificate
        self._tls: ssl.SSLContext | None = None
        self.connections_made = 0

    async def dial(self, seconds: float) -> Hop:
        """A fresh connection.

        Raises:
            WaitedTooLongError: it took longer than that.
            ConnectFailedError: there is none to be had.
        """
        loop = asyncio.get_running_loop()
        origin = self._origin
        hop = Hop(loop, self._watch, self._free)
        try:
            async with asyncio.timeout(seconds):
                if origin.socket_path is not None:
                    await loop.create_unix_connection(lambda: hop, origin.socket_path)
                else:
                    await loop.create_connection(
                        lambda: hop, origin.host, origin.port, ssl=self._tls_context()
                    )
        except TimeoutError:
            raise WaitedTooLongError(f"{seconds:g} s to connect") from None
        except (OSError, ssl.SSLError) as error:
            reason = error.strerror or type(error).__name__
            raise ConnectFailedError(f"no connection: {reason}") from error
        self.connections_made += 1
        return hop

    def _tls_context(self) -> ssl.SSLContext | None:
        if self._origin.tls and self._tls is None:
            self._tls = ssl.create_default_context(cafile=self._certificate or None)
            if self._certificate:
                self._tls.check_hostname = False
                self._tls.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return self._tls


class Asking:
    """One request on a line, from asking to the end of its answer; hears for whoever asked."""

    __slots__ = ("_again", "_body", "_deadlines", "_head", "_hears", "_hop", "_line", "_place")

    def __init__(
        self, line: "Line", head: bytes, body: bytes, hears: Hears, deadlines: Deadlines
    ) -> None:
        self._line = line
        self._head = head
        self._body = body
        self._hears: Hears | None = hears
        self._deadlines = deadlines
        self._hop: Hop | None = None
        self._place = False
        """One of the line's places is taken by this."""
        self._again = False
        """The connection was a kept one: if it turns out to be stale, one fresh one is tried."""

    def cancel(self) -> None:
        """The answer is not wanted any more: its connection is closed at once."""
        self._hears = None
        if self._hop is not None:
            self._hop.abort()
            self._hop = None
        self._leave()

    def pause(self) -> None:
        """Read no more for now."""
        if self._hop is not None:
            self._hop.pause()

    def resume(self) -> None:
        """Read on."""
        if self._hop is not None:
            self._hop.resume()

    # --- the line's part ---

    @property
    def wanted(self) -> bool:
        """Somebody still waits for the answer."""
        return self._hears is not None

    def take(self, hop: Hop, *, kept: bool) -> None:
        """Send on this connection."""
        self._hop, self._again = hop, kept
        hop.send(self._head, self._body, self, self._deadlines)

    def placed(self) -> None:
        """This has one of the line's places."""
        self._place = True

    @property
    def connect_s(self) -> float:
        """How long connecting may take."""
        return self._deadlines.connect_s

    def _leave(self) -> None:
        if self._place:
            self._place = False
            self._line.left()

    # --- Hears ---

    def head(self, head: AnswerHead) -> None:
        """Pass it on."""
        if self._hears is not None:
            self._hears.head(head)

    def data(self, data: bytes) -> None:
        """Pass it on."""
        if self._hears is not None:
            self._hears.data(data)

    def end(self) -> None:
        """Pass it on."""
        hears, self._hears, self._hop = self._hears, None, None
        self._leave()
        if hears is not None:
            hears.end()

    def lost(self, error: HttpError) -> None:
        """Pass it on, unless it was a kept connection that the server had closed already."""
        hop, self._hop = self._hop, None
        stale = self._again and hop is not None and not hop.heard
        if stale and self.wanted and isinstance(error, ConnectionLostError):
            self._again = False
            self._line.dial_for(self)
            return
        hears, self._hears = self._hears, None
        self._leave()
        if hears is not None:
            hears.lost(error)


class Line:
    """The connections to one server."""

    def __init__(
        self,
        origin: Origin,
        watch: Watch,
        spawn: Spawn,
        *,
        connections_max: int = UPSTREAM_CONNECTIONS_MAX,
        certificate: str = "",
    ) -> None:
        """Open nothing yet; `spawn` runs what opens connections."""
        self._dialler = Dialler(origin, watch, self._freed, certificate)
        self._spawn = spawn
        self._connections_max = connections_max
        self._idle: list[Hop] = []
        self._busy = 0
        self._waiting: deque[Asking] = deque()
        self._closed = False

    @property
    def connections_made(self) -> int:
        """How many were opened so far."""
        return self._dialler.connections_made

    def ask(self, head: bytes, body: bytes, hears: Hears, deadlines: Deadlines) -> Asking:
        """Send a request as soon as there is a connection; `hears` is told of its answer.

        What goes wrong is told to `hears` too, never raised, and never before this returns.
        """
        if len(body) <= _SMALL_BODY_BYTES:
            head, body = head + body, b""
        asking = Asking(self, head, body, hears, deadlines)
        if self._busy < self._connections_max:
            self._begin(asking)
        elif len(self._waiting) < UPSTREAM_WAITING_MAX:
            self._waiting.append(asking)
            self._spawn(self._give_up_later(asking))
        else:
            self._spawn(_tell(asking, NoConnectionFreeError("too many requests wait")))
        return asking

    def close(self) -> None:
        """Close the idle connections; those in use close with their answer."""
        self._closed = True
        while self._idle:
            self._idle.pop().abort()

    # --- what its requests call ---

    def left(self) -> None:
        """A request is over: its place goes to the next."""
        self._busy -= 1
        while self._waiting and self._busy < self._connections_max:
            asking = self._waiting.popleft()
            if asking.wanted:
                self._begin(asking)

    def dial_for(self, asking: Asking) -> None:
        """Open a connection for this request."""
        self._spawn(self._dial(asking))

    def _begin(self, asking: Asking) -> None:
        self._busy += 1
        asking.placed()
        while self._idle:
            hop = self._idle.pop()
            if not hop.closed:
                asking.take(hop, kept=True)
                return
        self.dial_for(asking)

    async def _dial(self, asking: Asking) -> None:
        try:
            hop = await self._dialler.dial(asking.connect_s)
        except HttpError as error:
            asking.lost(error)
            return
        if asking.wanted:
            asking.take(hop, kept=False)
        else:
            self._freed(hop)

    def _freed(self, hop: Hop) -> None:
        if self._closed or len(self._idle) >= UPSTREAM_IDLE_MAX:
            hop.abort()
        else:
            self._idle.append(hop)

    async def _give_up_later(self, asking: Asking) -> None:
        await asyncio.sleep(asking.connect_s)
        if asking in self._waiting:
            self._waiting.remove(asking)
            asking.lost(NoConnectionFreeError(f"{asking.connect_s:g} s without a free connection"))


async def _tell(asking: Asking, error: HttpError) -> None:
    asking.lost(error)
