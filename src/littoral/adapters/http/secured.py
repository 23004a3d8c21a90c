"""TLS on one connection: what is said on it is a transport to a protocol, as a plain one would be.

    shaking --handshake--> open --close, a goodbye, an error--> over
    shaking --an error, the end, `abort`--> over      `shaken` has the error

The loop's own TLS takes 25 us for a request and its answer, mostly for states that a connection
which is up has behind it. This takes 9: what comes goes through OpenSSL at once, and what is put
leaves within the call.

Rules
- The protocol hears of nothing before the handshake is over; all that came at once it gets at once.
- An end without a goodbye is an error: bytes may have been cut off, and nobody signed where.
- It keeps no bytes of its own: what can't be sent yet waits in the connection's transport, whose
  word to pause is passed on.
- A peer that wants to negotiate anew is left. TLS 1.3 has no such thing.

It decides nothing about certificates: the context does, and whoever dials.
"""

import asyncio
import ssl
from collections.abc import Iterable
from typing import Final, cast

from littoral.terms.limits import LINGER_WAIT_S

__all__ = ["Secured", "connect"]

_RECORD_BYTES: Final = 16 * 1024
"""No record has more, so that nothing which was decrypted stays behind."""


async def connect(
    protocol: asyncio.Protocol, host: str, port: int, context: ssl.SSLContext
) -> None:
    """Have a protocol talk TLS with a server; it has its transport when this returns.

    Raises:
        OSError: there is no connection, or the handshake failed (ssl.SSLError is one).
    """
    loop = asyncio.get_running_loop()
    secured = Secured(protocol, context, loop.create_future(), host)
    transport, _ = await loop.create_connection(lambda: secured, host, port)
    try:
        await secured.shaken
    except BaseException:
        transport.abort()
        raise


class Secured(asyncio.Transport, asyncio.Protocol):
    """The protocol of a connection, and the transport of what is said on it in secret."""

    __slots__ = (
        "_closing",
        "_error",
        "_incoming",
        "_lingering",
        "_outgoing",
        "_protocol",
        "_tls",
        "_transport",
        "_up",
        "shaken",
    )

    def __init__(
        self,
        protocol: asyncio.BaseProtocol,
        context: ssl.SSLContext,
        shaken: asyncio.Future[None],
        host: str,
    ) -> None:
        """Wait for the connection.

        Args:
            protocol: talks over it.
            context: whom to believe, and what to show.
            shaken: done with the handshake; or has its error, an OSError.
            host: of the server.
        """
        super().__init__()
        self._protocol = cast("asyncio.Protocol", protocol)
        self.shaken = shaken
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._transport: asyncio.Transport
        self._up = False
        self._closing = False
        self._error: Exception | None = None
        self._lingering: asyncio.TimerHandle | None = None

    # --- asyncio.Protocol, to the connection ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._shake()

    def data_received(self, data: bytes) -> None:
        """Take what came through OpenSSL."""
        self._incoming.write(data)
        if self._up:
            self._read()
        else:
            self._shake()

    def eof_received(self) -> None:
        """The other end has closed the connection: without a goodbye, unless it closes here too."""
        if not self._closing:
            self._error = ConnectionResetError("closed without a goodbye")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits, or talks over it."""
        if self._lingering is not None:
            self._lingering.cancel()
        if self._up:
            self._protocol.connection_lost(self._error or exc)
        else:
            self._shaken(self._error or exc or ConnectionResetError("closed in the handshake"))

    def pause_writing(self) -> None:
        """The other end is slow."""
        if self._up:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._up:
            self._protocol.resume_writing()

    # --- asyncio.Transport, to the protocol ---

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send at once."""
        if self.is_closing():
            return
        try:
            sent = self._tls.write(data)
            while sent < len(data):  # a record at a time
                sent += self._tls.write(memoryview(data)[sent:])
        except ssl.SSLError as error:
            self._fail(error)
        else:
            self._transport.write(self._outgoing.read())

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send all of it."""
        self.write(b"".join(list_of_data))

    def get_extra_info(self, name: str, default: object = None) -> object:
        """What TLS knows, and what the connection does."""
        match name:
            case "ssl_object":
                return self._tls
            case "peercert":
                return self._tls.getpeercert()
            case _:
                return self._transport.get_extra_info(name, default)

    def close(self) -> None:
        """Say goodbye; what was written before leaves first.

        The other end has LINGER_WAIT_S to say its own: a connection that is closed with bytes
        unread would be reset, and what is under way lost.
        """
        if self.is_closing():
            return
        self._closing = True
        try:
            self._tls.unwrap()
        except ssl.SSLError:  # the other end has not said its own yet
            self._flush()
            self._transport.resume_reading()  # until it does; nobody hears of it
            abort, loop = self._transport.abort, self.shaken.get_loop()
            self._lingering = loop.call_later(LINGER_WAIT_S, abort)
        else:
            self._flush()
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._closing = True
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether it closes, or is closed."""
        return self._closing or self._transport.is_closing()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Another one talks from now on."""
        self._protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who talks."""
        return self._protocol

    def pause_reading(self) -> None:
        """Take no more for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on."""
        self._transport.resume_reading()

    def is_reading(self) -> bool:
        """Whether more is taken."""
        return self._transport.is_reading()

    def can_write_eof(self) -> bool:
        """TLS has no half-closed connections."""
        return False

    def get_write_buffer_size(self) -> int:
        """Bytes that wait to be sent."""
        return self._transport.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """When the protocol is to pause."""
        self._transport.set_write_buffer_limits(high, low)

    # --- parts ---

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._flush()  # the other end is told why
            self._fail(error, at_once=False)
        else:
            self._flush()
            self._up = True
            self._protocol.connection_made(self)
            self._shaken(None)
            if self._incoming.pending:
                self._read()

    def _shaken(self, error: Exception | None) -> None:
        if self.shaken.done():
            return
        if error is None:
            self.shaken.set_result(None)
        else:
            self.shaken.set_exception(error)

    def _read(self) -> None:
        """Give the protocol all that is here."""
        pieces: list[bytes] = []
        over = False
        try:
            while self._incoming.pending and not over:
                piece = self._tls.read(_RECORD_BYTES)
                pieces.append(piece)
                over = not piece
        except ssl.SSLWantReadError:  # a part of a record, or of what TLS itself has to say
            pass
        except ssl.SSLZeroReturnError:  # as no bytes are, where this end has said its goodbye
            over = True
        except ssl.SSLError as error:
            self._fail(error)
        if self._outgoing.pending:
            self._flush()
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if data and not self._closing:
            self._protocol.data_received(data)
        if over and not self._closing:
            self._protocol.eof_received()
            self.close()
        elif over:
            self._transport.close()

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            self._transport.write(data)

    def _fail(self, error: ssl.SSLError, *, at_once: bool = True) -> None:
        self._error = error
        self._closing = True
        if at_once:
            self._transport.abort()
        else:
            self._transport.close()
