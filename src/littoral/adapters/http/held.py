"""Connections whose ends change roles: who has dialled answers on them, who was dialled asks.

A server that can't be dialled opens them itself, to whoever is to ask it. It asks for the change as
for any change of protocol (RFC 9110, 7.8); after `101` either end has the other's part of HTTP/1.1.

Rules
- What was held and is lost is lost to whoever waits for it, too: nobody waits for a server that
  holds nothing.
- Whoever asks for the change says nothing more before it is answered; what comes behind the answer
  is already a request.

Not here: how many are opened, and when anew (node/fabric/holding.py).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from littoral.adapters.http.hop import Holder, Hop
from littoral.adapters.http.watch import Watch
from littoral.adapters.http.words import (
    ConnectFailedError,
    ConnectionLostError,
    MalformedError,
    WaitedTooLongError,
)
from littoral.terms.limits import HEAD_BYTES_MAX

__all__ = ["Held", "HeldHop", "turned"]

_LOST: Final = "it holds no connection to this PoP"
_CLOSED: Final = "the other PoP closed the connection"
_HEAD_END: Final = b"\r\n\r\n"


class HeldHop(Hop):
    """One connection that the server has opened."""

    __slots__ = ("_gone",)

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        watch: Watch,
        holder: Holder,
        gone: Callable[[Hop], None],
    ) -> None:
        """As a Hop; `gone` is told when it is closed, in whichever state."""
        super().__init__(loop, watch, holder)
        self._gone = gone

    def connection_lost(self, exc: Exception | None) -> None:
        """As a Hop's."""
        super().connection_lost(exc)
        self._gone(self)


class Held:
    """The connections that one server holds: a Line's idle ones, and what it has for a dialler."""

    def __init__(self) -> None:
        """There is none yet."""
        self._open: set[Hop] = set()
        self._idle: list[Hop] = []
        self._waiting: deque[asyncio.Future[Hop]] = deque()
        self._closed = False
        self.connections_made = 0

    @property
    def open(self) -> int:
        """How many are open."""
        return len(self._open)

    @property
    def idle(self) -> int:
        """How many of them nobody uses."""
        return len(self._idle)

    def bring(self, hop: Hop) -> None:
        """The server has opened another one."""
        self._open.add(hop)
        self.connections_made += 1
        self.put(hop)

    def gone(self, hop: Hop) -> None:
        """One is closed."""
        self._open.discard(hop)
        if hop in self._idle:
            self._idle.remove(hop)
        while self._waiting and not self._open:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(ConnectFailedError(_LOST))

    # --- as Idle ---

    def take(self) -> Hop | None:
        """One that is open still, if there is one."""
        while self._idle:
            hop = self._idle.pop()
            if not hop.closed:
                return hop
        return None

    def put(self, hop: Hop) -> None:
        """One has nothing to do: it goes to who waits, or is kept."""
        if self._closed:
            hop.abort()
            return
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(hop)
                return
        self._idle.append(hop)

    @property
    def empty(self) -> bool:
        """Whether none is free."""
        return not self._idle

    def drop(self) -> None:
        """Close those that nobody uses."""
        while self._idle:
            self._idle.pop().abort()

    def close(self) -> None:
        """The same, and keep none from now on."""
        self._closed = True
        self.drop()

    def cut(self) -> None:
        """Close them all, those at work too; who waits for an answer is told."""
        for hop in list(self._open):
            if hop.transport is not None:
                hop.transport.abort()

    # --- as Dialler ---

    async def dial(self, seconds: float) -> Hop:
        """The next that is free.

        Raises:
            WaitedTooLongError: none was within that time.
            ConnectFailedError: none is open.
        """
        if not self._open:
            raise ConnectFailedError(_LOST)
        waiting: asyncio.Future[Hop] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(seconds):
                return await waiting
        except TimeoutError:
            if waiting.done() and not waiting.cancelled():
                return waiting.result()  # it came in the same turn of the loop
            raise WaitedTooLongError(f"{seconds:g} s to connect") from None
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                self.put(waiting.result())
            raise

    def trusts(self, _hop: Hop) -> bool:
        """Whoever takes them in looks at their certificates."""
        return True


async def turned(hop: Hop, head: bytes, seconds: float) -> tuple[asyncio.Transport, bytes]:
    """A connection of ours on which the other end asks from now on, and what it has asked already.

    Whoever answers must take it at once: until then nobody hears of its end.

    Args:
        hop: the connection, on which nothing was asked.
        head: of the request for the change.
        seconds: how long the answer may take.

    Raises:
        ConnectionLostError: the connection was lost, or refused with another status.
        MalformedError: what came is no answer.
        WaitedTooLongError: none came in time.
    """
    transport = hop.transport
    assert transport is not None, "it was dialled"
    turning = _Turning(asyncio.get_running_loop())
    transport.set_protocol(turning)
    try:
        transport.write(head)
        async with asyncio.timeout(seconds):
            await turning.turned
    except BaseException as error:
        transport.abort()
        if isinstance(error, TimeoutError):
            raise WaitedTooLongError(f"{seconds:g} s without an answer") from None
        raise
    if turning.lost:  # right behind the answer, and nobody would hear of it any more
        raise ConnectionLostError(_CLOSED)
    return transport, turning.rest


class _Turning(asyncio.Protocol):
    """Waits for the answer to a request for the change."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.turned: asyncio.Future[None] = loop.create_future()
        self.rest = b""
        """What came behind the answer."""
        self.lost = False
        self._kept = b""

    def data_received(self, data: bytes) -> None:
        if self.turned.done():
            self.rest += data
            return
        self._kept += data
        end = self._kept.find(_HEAD_END)
        if end < 0 and len(self._kept) <= HEAD_BYTES_MAX:
            return
        line = self._kept.partition(b"\r\n")[0][:100]
        if not line.startswith(b"HTTP/1.1 "):
            self._failed(MalformedError("not an HTTP/1.1 answer"))
        elif not line.startswith(b"HTTP/1.1 101 "):
            said = line[9:].decode("latin-1")
            self._failed(ConnectionLostError(f"the other PoP refuses to hold it ({said})"))
        elif end < 0:
            self._failed(MalformedError("a head that is over the bounds"))
        else:
            self.rest = self._kept[end + len(_HEAD_END) :]
            self.turned.set_result(None)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.lost = True
        self._failed(ConnectionLostError(_CLOSED))

    def _failed(self, error: ConnectionLostError | MalformedError) -> None:
        if not self.turned.done():
            self.turned.set_exception(error)
            with suppress(Exception):
                self.turned.exception()  # whoever waited may have left
