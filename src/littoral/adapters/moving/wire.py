"""One connection with mutual TLS on the loop, without asyncio's transports between.

Bytes are read by OpenSSL straight into the buffer of whoever owns the connection, and sent straight
from pieces that it gives, such as views of the page cache: nothing is joined or copied here.

Rules
- Nothing waits: what can't be read or sent now is when the kernel says so.
- One piece is sent after the other, and one that was begun is never changed.
- In one turn of the loop a connection reads and sends a bounded number of records.
- An HttpError that the owner raises while it is called ends the connection, and is told to it.
"""

import asyncio
import errno
import os
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, cast

from littoral.adapters.http.words import (
    ConnectFailedError,
    ConnectionLostError,
    HttpError,
    WaitedTooLongError,
)
from littoral.terms.limits import DELIVERY_TICK_S, DELIVERY_UNSENT_BYTES

__all__ = ["Beat", "Owner", "Wire", "dialled", "late"]

_RECORDS_A_TURN: Final = 64
"""Of at most 16 KiB each: a megabyte takes less than a millisecond."""
_TCP_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_WAKE_BYTES: Final = 128 * 1024
_RECORD_BYTES: Final = 17 * 1024
"""The longest record of TLS: so much may have been read that is not given out yet."""


class Owner(Protocol):
    """Who uses a connection."""

    def opened(self) -> None:
        """TLS is spoken: whoever is at the other end can be looked at."""

    def buffer(self) -> memoryview:
        """Where to read to; not empty."""

    def took(self, count: int) -> None:
        """So many bytes were read to the beginning of what `buffer` gave."""

    def refill(self) -> bool:
        """Everything was sent: `put` more, if there is any, and say so."""

    def lost(self, error: HttpError) -> None:
        """It is closed, by the other end or for an error. Told once."""

    def tick(self, now: float) -> None:
        """Look at deadlines, by the clock of the loop; called a few times a second."""


class Beat:
    """One timer for the deadlines of all connections; it runs while there is any."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._wires: set[Wire] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, wire: "Wire") -> None:
        """Look after this one."""
        self._wires.add(wire)
        if self._timer is None:
            self._timer = self._loop.call_later(DELIVERY_TICK_S, self._look)

    def end(self, wire: "Wire") -> None:
        """Look after it no more."""
        self._wires.discard(wire)
        if not self._wires and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = self._loop.call_later(DELIVERY_TICK_S, self._look)
        now = self._loop.time()
        for wire in list(self._wires):
            wire.tick(now)


class Wire:
    """One connection, from before its handshake."""

    __slots__ = (
        "_beat",
        "_fd",
        "_loop",
        "_out",
        "_plain",
        "_reading",
        "_server",
        "_sock",
        "_tls",
        "_wake_bytes",
        "_writing",
        "closed",
        "owner",
        "received_bytes",
        "sent_bytes",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        beat: Beat,
        plain: socket.socket,
        tls: ssl.SSLContext,
        owner: Owner,
        *,
        server: bool,
    ) -> None:
        """Begin the handshake as soon as the socket is connected.

        Args:
            loop: that everything runs on.
            beat: looks at its deadlines.
            plain: connected, or connecting; the connection has it from now on.
            tls: what to show and whom to believe.
            owner: is told of all that follows, and of nothing before this returns.
            server: which side this is.
        """
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, DELIVERY_UNSENT_BYTES)
        self._loop = loop
        self._beat = beat
        self._plain: socket.socket | None = plain
        self._tls = tls
        self._server = server
        self._sock: ssl.SSLSocket
        self._fd = plain.fileno()
        self.owner = owner
        self._out: deque[memoryview] = deque()
        self._reading = self._writing = False
        self._wake_bytes = 1
        self.closed = False
        self.received_bytes = self.sent_bytes = 0
        """Of what TLS carries, not of TLS itself."""
        beat.begin(self)
        self._watch_writing(self._connected)

    @property
    def connection(self) -> ssl.SSLSocket:
        """Once it is opened, for whoever looks at certificates or at what TCP has counted."""
        return self._sock

    # Opening

    def _connected(self) -> None:
        plain = self._plain
        assert plain is not None
        if failed := plain.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.fail(ConnectFailedError(f"no connection: {os.strerror(failed)}"))
            return
        self._rest_writing()
        try:
            self._sock = self._tls.wrap_socket(
                plain, server_side=self._server, do_handshake_on_connect=False
            )
        except OSError as error:
            self.fail(ConnectFailedError(f"no connection: {error.strerror}"))
            return
        self._plain = None
        self._shake()

    def _shake(self) -> None:
        try:
            self._sock.do_handshake()
        except ssl.SSLWantReadError:
            self._rest_writing()
            self._watch_reading(self._shake)
        except ssl.SSLWantWriteError:
            self._watch_writing(self._shake)
        except (OSError, ValueError) as error:
            reason = getattr(error, "verify_message", "") or str(error)
            self.fail(ConnectFailedError(f"no TLS: {reason}"))
        else:
            self._rest_writing()
            self._watch_reading(self._readable)
            try:
                self.owner.opened()
            except HttpError as error:
                self.fail(error)
            if not self.closed:
                self.pump()

    # Reading

    def _readable(self) -> None:
        error, again = self._read()
        if error is not None:
            self.fail(error)
        elif again and not self.closed and self._sock.pending():  # the kernel does not know of it
            self._loop.call_soon(self._read_on)

    def _read(self) -> tuple[HttpError | None, bool]:
        """Read what is there: why the connection has to end, and whether there may be more."""
        read, owner = self._sock.read, self.owner
        view, filled = owner.buffer(), 0
        error: HttpError | None = None
        again = False
        try:
            try:
                for _ in range(_RECORDS_A_TURN):
                    count = cast("int", read(len(view) - filled, view[filled:]))
                    if not count:
                        error = ConnectionLostError("the peer closed the connection")
                        break
                    filled += count
                    if filled == len(view):
                        self._took(filled)
                        filled = 0
                        if self.closed or self.owner is not owner:
                            return None, not self.closed
                        view = owner.buffer()
                else:
                    again = True
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            except OSError as broke:
                error = ConnectionLostError(f"the connection broke: {broke.strerror}")
            if filled:
                self._took(filled)
        except HttpError as refused:
            return refused, False
        return error, again

    def _took(self, count: int) -> None:
        self.received_bytes += count
        self.owner.took(count)

    def _read_on(self) -> None:
        if not self.closed:
            self._readable()

    def expect(self, missing_bytes: int) -> None:
        """Wake only for much of what is known to come: a packet costs more than its bytes.

        Args:
            missing_bytes: that certainly come; what TLS has read ahead may be among them.
        """
        wake = max(1, min(_WAKE_BYTES, missing_bytes - _RECORD_BYTES))
        if wake != self._wake_bytes:
            self._wake_bytes = wake
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wake)

    # Sending

    def put(self, *pieces: bytes | memoryview) -> None:
        """Send these after what was put before, each as it is when it is sent."""
        self._out.extend(memoryview(piece) for piece in pieces)

    @property
    def unsent(self) -> bool:
        """Something was put that has not been taken yet."""
        return bool(self._out)

    def push(self) -> None:
        """There is more to send, and the kernel may be able to take it."""
        if not self._writing:
            self.pump()

    def pump(self) -> None:
        """Send as much as is taken now; what is left goes by itself."""
        out, send = self._out, self._sock.write
        try:
            for _ in range(_RECORDS_A_TURN):
                if not out and not self.owner.refill():
                    self._rest_writing()
                    return
                piece = out[0]
                count = send(piece)
                self.sent_bytes += count
                if count == len(piece):
                    out.popleft()
                else:
                    out[0] = piece[count:]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError as error:
            self.fail(ConnectionLostError(f"the connection broke: {error.strerror}"))
            return
        except HttpError as error:
            self.fail(error)
            return
        self._watch_writing(self.pump)

    # Ending

    def tick(self, now: float) -> None:
        """Have the owner look at its deadlines, once it has what came and was no reason to wake."""
        if self._wake_bytes > 1:
            self._readable()
        try:
            if self.closed:
                return
            self.owner.tick(now)
        except HttpError as error:
            self.fail(error)

    def fail(self, error: HttpError) -> None:
        """Close it, and tell the owner why."""
        if not self.closed:
            self.close()
            self.owner.lost(error)

    def close(self) -> None:
        """Close it at once; nobody hears of it."""
        if self.closed:
            return
        self.closed = True
        self._beat.end(self)
        self._rest_writing()
        if self._reading:
            self._loop.remove_reader(self._fd)
        self._out.clear()
        (self._plain or self._sock).close()

    def _watch_reading(self, act: Callable[[], None]) -> None:
        self._reading = True
        self._loop.add_reader(self._fd, act)

    def _watch_writing(self, act: Callable[[], None]) -> None:
        if not self._writing or act != self.pump:
            self._writing = True
            self._loop.add_writer(self._fd, act)

    def _rest_writing(self) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._fd)


def dialled(host: str, port: int) -> socket.socket:
    """A socket that is connecting to this address.

    Raises:
        ConnectFailedError: the address is none, or the machine has no socket left.
    """
    try:
        plain = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConnectFailedError(f"no connection: {error.strerror}") from error
    plain.setblocking(False)
    try:
        failed = plain.connect_ex((host, port))
    except (OSError, ValueError, OverflowError) as error:
        plain.close()
        raise ConnectFailedError(f"no connection: {error}") from error
    if failed not in {0, errno.EINPROGRESS}:
        plain.close()
        raise ConnectFailedError(f"no connection: {os.strerror(failed)}")
    return plain


def late(now: float, since: float, wait_s: float, what: str) -> None:
    """Raise if a wait has taken too long."""
    if now - since >= wait_s:
        raise WaitedTooLongError(f"{wait_s:g} s {what}")
