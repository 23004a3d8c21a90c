"""One request and its answer on their way through a PoP that passes them on (relaying.py).

Rules
- Of the head of a request only what belongs to the connection is changed, and who asks and by which
  PoPs it came is said. Bodies are not looked at.
- An answer that is broken off is broken off here too: nothing is put into it.
"""

from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from littoral.adapters.http.hop import Call
from littoral.adapters.http.words import AnswerHead, HttpError
from littoral.adapters.upstreams.failures import error_of_http
from littoral.adapters.upstreams.target import FOR, TO, VIA
from littoral.terms.ids import PopId
from littoral.trust.members import Member
from littoral.web.head import Head
from littoral.web.hot import Reply

__all__ = ["Passing", "head_for"]

_LINK_ONLY: Final = frozenset(
    {
        *("connection", "content-length", "expect", "host", "keep-alive", "te", "trailer"),
        *("transfer-encoding", "upgrade", FOR, TO, VIA),
    }
)
"""Fields of a request that are not the other PoP's."""
_OWN: Final = frozenset(
    {b"connection", b"content-length", b"date", b"keep-alive", b"request-id", b"x-request-id"}
    | {b"transfer-encoding"}
)
"""Fields of an answer that this PoP's listener says itself."""


def head_for(to: PopId, asker: Member, via: str, head: Head, body: bytes) -> bytes:
    """The head of a request as it is passed on."""
    fields = {name: value for name, value in head.headers.items() if name not in _LINK_ONLY}
    fields |= {"host": to, VIA: via, FOR: asker.name, "content-length": str(len(body))}
    written = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{head.method} {quote(head.path)} HTTP/1.1\r\n{written}\r\n".encode("latin-1")


class Passing:
    """One answer on its way through, from the PoP that gives it to the one that asks."""

    __slots__ = ("_head", "_over", "_reply", "_told", "call")

    call: Call

    def __init__(self, reply: Reply, over: Callable[[str], None]) -> None:
        """Wait for the answer.

        Args:
            reply: the one to give it with.
            over: told once how it ended: `answered`, `lost` or `left`.
        """
        self._reply = reply
        self._told = over
        self._over = False
        self._head = AnswerHead(0, [])

    # --- hot.Underway ---

    def pause(self) -> None:
        """Whoever asks is slow."""
        self.call.pause(self)

    def resume(self) -> None:
        """It has caught up."""
        self.call.resume(self)

    def gone(self) -> None:
        """It has left."""
        self._reply.over = True
        self._end("left")
        self.call.cancel(self)

    # --- Hears ---

    def head(self, head: AnswerHead) -> None:
        """It is sent with the first bytes of the body."""
        self._head = head

    def data(self, data: bytes) -> None:
        """More of the body."""
        reply = self._reply
        try:
            if reply.started:
                reply.push(data)
            elif self._head.get(b"content-length") == str(len(data)):
                self._give(data)
            else:
                reply.start_written(self._head.status, self._fields())
                reply.push(data)
        except ConnectionResetError:
            self.gone()

    def end(self) -> None:
        """The answer is whole."""
        if self._reply.over:
            return
        try:
            if self._reply.started:
                self._end("answered")
                self._reply.close()
            else:
                self._give(b"")
        except ConnectionResetError:
            self._reply.over = True
            self._end("left")

    def lost(self, error: HttpError) -> None:
        """There is no answer, or not all of it."""
        if self._reply.over:
            return
        self._end("lost")
        try:
            if self._reply.started:
                self._reply.cut()
            else:
                self._reply.fail(error_of_http(error))
        except ConnectionResetError:
            self._reply.over = True

    def _end(self, outcome: str) -> None:
        if not self._over:
            self._over = True
            self._told(outcome)

    def _give(self, body: bytes) -> None:
        self._end("answered")
        self._reply.give(self._head.status, self._fields(), body)

    def _fields(self) -> str:
        kept = (each for each in self._head.fields if each[0] not in _OWN)
        return b"".join(b"%b: %b\r\n" % each for each in kept).decode("latin-1")
