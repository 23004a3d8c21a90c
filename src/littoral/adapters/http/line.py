"""All connections to one server: kept open between requests, bounded, opened when needed.

Rules
- One request at a time per connection; a whole answer makes it free again.
- Cancelling a request closes its connection at once: that is how work is cancelled.
- A kept connection that dies before any byte of the answer is replaced once by a fresh one: the
  server had closed it while it was idle.
- Connections, those that are kept, and requests that wait for one are bounded.
- A server that has a name is believed by that name alone: one that shows another gets no byte.
- Where the server opens the connections (held.py), none is dialled, and who needs one waits for it.

Not here: what is asked, and of which server; an answer as something to await (client.py).
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

from littoral.adapters.http.held import Held
from littoral.adapters.http.hop import Call, Holder, Hop
from littoral.adapters.http.idle import Idle
from littoral.adapters.http.secured import connect
from littoral.adapters.http.watch import Watch
from littoral.adapters.http.words import (
    ConnectFailedError,
    ConnectionLostError,
    Deadlines,
    Hears,
    HttpError,
    NoConnectionFreeError,
    Origin,
    Peering,
    WaitedTooLongError,
)
from littoral.terms.errors import LittoralError
from littoral.terms.limits import UPSTREAM_CONNECTIONS_MAX, UPSTREAM_WAITING_MAX

__all__ = ["Dialler", "Line", "Spawn"]

Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Runs a coroutine as a task of an owner that outlives it."""

_SMALL_BODY_BYTES: Final = 16 * 1024
_NAMES_SHOWN_CHARS: Final = 300
"""Of what a certificate says, in an error."""


class Dialler:
    """Opens connections to one server."""

    def __init__(
        self,
        origin: Origin,
        watch: Watch,
        holder: Holder | None,
        certificate: str = "",
        peering: Peering | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            origin: where the server is.
            watch: looks at the deadlines of its connections.
            holder: told of the end of each exchange.
            certificate: a PEM file; the server is to show this one, whatever name is in it.
            peering: by which name the server is told, and how TLS is spoken with it.
        """
        self._origin = origin
        self._watch = watch
        self._holder = holder
        self._certificate = certificate
        self._peering = peering
        self._tls: ssl.SSLContext | None = None
        self.connections_made = 0
        self.local_host = ""
        """Address of this machine on the connection that was opened last."""

    async def dial(self, seconds: float) -> Hop:
        """A fresh connection.

        Raises:
            WaitedTooLongError: it took longer than that.
            ConnectFailedError: there is none to be had.
        """
        loop = asyncio.get_running_loop()
        origin = self._origin
        hop = Hop(loop, self._watch, self._holder)
        try:
            async with asyncio.timeout(seconds):
                tls = hop.tls = self._tls_context()
                if origin.socket_path is not None:
                    await loop.create_unix_connection(lambda: hop, origin.socket_path)
                elif tls is None:
                    await loop.create_connection(lambda: hop, origin.host, origin.port)
                else:
                    await connect(hop, origin.host, origin.port, tls)
        except TimeoutError:
            raise WaitedTooLongError(f"{seconds:g} s to connect") from None
        except (OSError, ssl.SSLError) as error:
            reason = error.strerror or type(error).__name__
            raise ConnectFailedError(f"no connection: {reason}") from error
        if self._peering is not None and (refused := _refused(hop, self._peering)):
            hop.abort()
            raise ConnectFailedError(refused)
        self.connections_made += 1
        self.local_host = _local_host(hop)
        return hop

    def trusts(self, hop: Hop) -> bool:
        """Whether a kept connection was made as it would be now: certificates are renewed."""
        if self._peering is None:
            return True
        try:
            return hop.tls is _tls_of(self._peering)
        except ConnectFailedError:
            return False

    def _tls_context(self) -> ssl.SSLContext | None:
        if self._peering is not None:
            return _tls_of(self._peering)
        if self._origin.tls and self._tls is None:
            self._tls = ssl.create_default_context(cafile=self._certificate or None)
            if self._certificate:
                self._tls.check_hostname = False
                self._tls.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return self._tls


def _tls_of(peering: Peering) -> ssl.SSLContext:
    try:
        return peering.tls()
    except (LittoralError, OSError) as error:
        raise ConnectFailedError(f"{peering.name} can't be asked over TLS: {error}") from error


def _names_of(hop: Hop) -> tuple[str, ...]:
    """The URIs in the certificate that the server has shown, which was checked."""
    shown = hop.about("peercert")
    names = shown.get("subjectAltName", ()) if isinstance(shown, dict) else ()
    return tuple(name for kind, name in names if kind == "URI")


def _local_host(hop: Hop) -> str:
    name = hop.about("sockname")
    return str(name[0]) if isinstance(name, tuple) else ""


def _refused(hop: Hop, peering: Peering) -> str:
    """Why a server is not the one that it is to be; nothing if it is."""
    if peering.name and (names := _names_of(hop)) != (peering.name,):
        shown = ", ".join(names)[:_NAMES_SHOWN_CHARS] or "no name"
        return f"the server shows {shown}, and not {peering.name}"
    try:
        if peering.vet is not None:
            connection = hop.about("ssl_object")
            assert isinstance(connection, ssl.SSLObject), "TLS is spoken with it"
            peering.vet(connection)
    except LittoralError as error:
        return str(error)
    return ""


class Waiting:
    """A request without a connection yet; afterwards it stands for its connection."""

    __slots__ = ("body", "deadlines", "head", "hears", "hop")

    def __init__(self, head: bytes, body: bytes, hears: Hears, deadlines: Deadlines) -> None:
        self.head = head
        self.body = body
        self.hears: Hears | None = hears
        self.deadlines = deadlines
        self.hop: Hop | None = None

    def cancel(self, hears: Hears) -> None:
        """The answer is not wanted any more."""
        self.hears = None
        if self.hop is not None:
            self.hop.cancel(hears)

    def pause(self, hears: Hears) -> None:
        """Read no more for now."""
        if self.hop is not None:
            self.hop.pause(hears)

    def resume(self, hears: Hears) -> None:
        """Read on."""
        if self.hop is not None:
            self.hop.resume(hears)

    def send(self, hop: Hop) -> None:
        """There is a connection now."""
        hears, self.hears = self.hears, None
        assert hears is not None, "only for what is wanted"
        self.hop = hop
        hop.send(self.head, self.body, hears, self.deadlines)

    def fail(self, error: HttpError) -> None:
        """There will be none."""
        hears, self.hears = self.hears, None
        if hears is not None:
            hears.lost(error)


class Line:
    """The connections to one server. It holds them (hop.Holder)."""

    def __init__(
        self,
        origin: Origin,
        watch: Watch,
        spawn: Spawn,
        *,
        connections_max: int = UPSTREAM_CONNECTIONS_MAX,
        peering: Peering | None = None,
        held: Held | None = None,
    ) -> None:
        """Open nothing yet; `spawn` runs what opens them, or waits for what the server opens."""
        dialler = Dialler(origin, watch, self, peering=peering) if held is None else held
        self._dialler = dialler
        self._watch = watch
        self._spawn = spawn
        self._connections_max = connections_max
        self._idle = Idle() if held is None else held
        self._busy = 0
        self._waiting: deque[Waiting] = deque()
        self._sent: dict[Hop, tuple[bytes, bytes, Deadlines]] = {}
        """What was sent on a kept connection, until its answer is over."""
        self._warming = False
        self._lost = ""
        """Why the server is not asked for now, if it is gone."""

    @property
    def connections_made(self) -> int:
        """How many were opened so far."""
        return self._dialler.connections_made

    def ask(self, head: bytes, body: bytes, hears: Hears, deadlines: Deadlines) -> Call:
        """Send a request as soon as there is a connection; `hears` is told of its answer.

        What goes wrong is told to `hears` too, never raised, and never before this returns.
        """
        if len(body) <= _SMALL_BODY_BYTES:
            head, body = head + body, b""
        if self._lost:
            call = Waiting(head, body, hears, deadlines)
            self._spawn(_tell(call, ConnectFailedError(self._lost)))
            return call
        if self._busy < self._connections_max:
            self._busy += 1
            hop = self._kept()
            if hop is not None:
                self._sent[hop] = head, body, deadlines
                hop.send(head, body, hears, deadlines)
                return hop
            call = Waiting(head, body, hears, deadlines)
            self._spawn(self._dial(call))
            return call
        call = Waiting(head, body, hears, deadlines)
        if len(self._waiting) < UPSTREAM_WAITING_MAX:
            self._waiting.append(call)
            self._spawn(self._give_up_later(call))
        else:
            self._spawn(_tell(call, NoConnectionFreeError("too many requests wait")))
        return call

    def warm(self, seconds: float) -> None:
        """Open one connection ahead, if none is kept. Why it can't be is found out by who asks.

        Args:
            seconds: how long that may take.
        """
        if self._idle.empty and not self._warming:
            self._warming = True
            self._spawn(self._dial_ahead(seconds))

    def close(self) -> None:
        """Close the idle connections; those in use close with their answer."""
        self._idle.close()

    def lose(self, why: str, silent_s: float) -> None:
        """The server is gone: end what was asked (`Watch.lose`), and ask nothing until `regain`."""
        self._lost = why
        self._idle.drop()
        self._watch.lose(self, ConnectionLostError(why), silent_s)

    def regain(self) -> None:
        """The server is back."""
        self._lost = ""

    # --- hop.Holder ---

    def free(self, hop: Hop) -> None:
        """An answer is over: its connection goes to who waits, or is kept."""
        self._sent.pop(hop, None)
        self._idle.put(hop)
        self._left()

    def over(self, hop: Hop) -> None:
        """An exchange is over, and its connection with it."""
        self._sent.pop(hop, None)
        self._left()

    def again(self, hop: Hop, hears: Hears) -> bool:
        """A kept connection that turns out to have been closed already is replaced once."""
        sent = self._sent.pop(hop, None)
        if sent is None:
            return False
        head, body, deadlines = sent
        call = Waiting(head, body, hears, deadlines)
        hop.replaced_by = call
        self._spawn(self._dial(call))
        return True

    # --- places ---

    def _left(self) -> None:
        """An exchange is over: its place goes to the next."""
        self._busy -= 1
        while self._waiting and self._busy < self._connections_max:
            call = self._waiting.popleft()
            if call.hears is not None:
                self._busy += 1
                self._begin(call)

    def _kept(self) -> Hop | None:
        """A connection that is open already."""
        hop = self._idle.take()
        while hop is not None and not self._dialler.trusts(hop):
            hop.abort()
            hop = self._idle.take()
        return hop

    def _begin(self, call: Waiting) -> None:
        hop = self._kept()
        if hop is None:
            self._spawn(self._dial(call))
        else:
            self._sent[hop] = call.head, call.body, call.deadlines
            call.send(hop)

    async def _dial(self, call: Waiting) -> None:
        try:
            hop = await self._dialler.dial(call.deadlines.connect_s)
        except HttpError as error:
            self._left()
            call.fail(error)
            return
        if call.hears is not None:
            call.send(hop)
        else:
            self.free(hop)

    async def _dial_ahead(self, seconds: float) -> None:
        try:
            self._idle.put(await self._dialler.dial(seconds))
        except HttpError:
            pass
        finally:
            self._warming = False

    async def _give_up_later(self, call: Waiting) -> None:
        await asyncio.sleep(call.deadlines.connect_s)
        if call in self._waiting:
            self._waiting.remove(call)
            seconds = call.deadlines.connect_s
            call.fail(NoConnectionFreeError(f"{seconds:g} s without a free connection"))


async def _tell(call: Waiting, error: HttpError) -> None:
    call.fail(error)
