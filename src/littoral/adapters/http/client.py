"""Requests to one server as something to await: for engines' workers, probes and the command line.

Rules
- As in line.py: leaving an answer early closes its connection at once; a stale kept connection is
  replaced once; connections and every wait are bounded.
- A consumer that does not keep up stops the reading.

Not here: redirects, proxies, cookies, compression, HTTP/2.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from littoral.adapters.http.hop import Hop
from littoral.adapters.http.idle import Idle
from littoral.adapters.http.line import Dialler
from littoral.adapters.http.unread import Unread
from littoral.adapters.http.watch import Watch
from littoral.adapters.http.words import (
    AnswerHead,
    ConnectionLostError,
    Deadlines,
    MalformedError,
    NoConnectionFreeError,
    Origin,
    Peering,
)
from littoral.terms.errors import ConfigError

__all__ = ["HttpClient", "Response", "fixed_fields", "once"]


class _Answer(Unread):
    """One answer, kept until it is taken."""

    __slots__ = ("_head", "_hop")

    def __init__(self, hop: Hop) -> None:
        super().__init__()
        self._hop = hop
        self._head: AnswerHead | None = None

    async def begun(self) -> AnswerHead:
        """The answer's status and headers."""
        while self._head is None:
            if self._error is not None:
                raise self._error
            await self._wait()
        return self._head

    async def take(self) -> bytes:
        """All of the body that is here, waiting for some; empty at its end."""
        if not self._pieces:
            await self.heard()
        return self._take() if self._pieces else b""

    @property
    def taken(self) -> bool:
        """The answer has come whole and was read to its end."""
        return self._over and self._error is None and not self._pieces

    def head(self, head: AnswerHead) -> None:
        self._head = head
        self._changed.set()

    def _pause(self) -> None:
        self._hop.pause(self)

    def _resume(self) -> None:
        self._hop.resume(self)


@dataclass(slots=True)
class Response:
    """The head of an answer; iterate it for the body as it comes."""

    status: int
    headers: Mapping[str, str]
    _answer: _Answer

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Pieces of the body; those that arrived together come joined."""
        return self

    async def __anext__(self) -> bytes:
        """The next piece; raises ConnectionLostError, MalformedError or WaitedTooLongError."""
        data = await self._answer.take()
        if not data:
            raise StopAsyncIteration
        return data

    async def read(self, bytes_max: int) -> bytes:
        """The whole body.

        Raises:
            MalformedError: it is longer than `bytes_max`.
        """
        pieces: list[bytes] = []
        size = 0
        async for piece in self:
            size += len(piece)
            if size > bytes_max:
                raise MalformedError(f"the answer is over {bytes_max} bytes")
            pieces.append(piece)
        return b"".join(pieces)


def fixed_fields(fields: Mapping[str, str]) -> str:
    """Header fields that every request of a client has, as they are written.

    Raises:
        ConfigError: one has a line break in it.
    """
    if any(ch in value for value in fields.values() for ch in "\r\n\0"):
        raise ConfigError("a header value has a line break in it")
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items())


class HttpClient:
    """Requests to one server."""

    def __init__(
        self,
        origin: Origin,
        *,
        headers: Mapping[str, str] | None = None,
        deadlines: Deadlines | None = None,
        connections_max: int = 256,
        certificate: str = "",
        peering: Peering | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            origin: where the server is.
            headers: sent with every request (a key, for example).
            deadlines: of every request.
            connections_max: requests at a time; more wait, no longer than to connect.
            certificate: a PEM file; the server is to show this one, whatever name is in it.
            peering: by which name the server is told, and how TLS is spoken with it.
        """
        self._origin = origin
        self._certificate = certificate
        self._peering = peering
        self._deadlines = deadlines or Deadlines()
        named = {"host": origin.authority, "user-agent": "littoral", **(headers or {})}
        self._fixed = fixed_fields(named)
        self._idle = Idle()
        self._places = asyncio.Semaphore(connections_max)
        self._watch: Watch | None = None
        self._dialler: Dialler | None = None

    @property
    def connections_made(self) -> int:
        """How many were opened so far."""
        return self._dialler.connections_made if self._dialler is not None else 0

    @property
    def local_host(self) -> str:
        """Address of this machine on the connection that was opened last."""
        return self._dialler.local_host if self._dialler is not None else ""

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        deadlines: Deadlines | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Response]:
        """Send a request and give its answer; leaving before its end closes the connection.

        Args:
            method: `GET`, `POST`, or `HEAD`, after whose head the answer must be left.
            path: with the query, percent-encoded.
            body: JSON, unless `headers` say what else; or nothing.
            deadlines: instead of the client's own.
            headers: of this request alone, besides the client's own.

        Raises:
            ConnectFailedError: no connection.
            ConnectionLostError: no answer, or not all of it.
            MalformedError: an answer that is not acceptable HTTP/1.1.
            WaitedTooLongError: a deadline passed.
        """
        within = deadlines or self._deadlines
        headers = headers or {}
        kind = "" if "content-type" in headers else "content-type: application/json\r\n"
        content = f"{kind}content-length: {len(body)}\r\n" if body else ""
        fields = self._fixed + content + fixed_fields(headers)
        head = f"{method} {path} HTTP/1.1\r\n{fields}\r\n".encode("latin-1")
        await self._place(within.connect_s)
        hop: Hop | None = None
        try:
            hop, answer = await self._ask(head, body, within)
            begun = await answer.begun()
            yield Response(begun.status, begun.headers(), answer)
            if answer.taken and hop.reusable:
                self._idle.put(hop)
                hop = None
        finally:
            self._places.release()
            if hop is not None:
                hop.abort()

    def close(self) -> None:
        """Close the idle connections; those in use close with their exchange."""
        self._idle.close()
        if self._watch is not None:
            self._watch.close()

    async def _place(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._places.acquire()
        except TimeoutError:
            raise NoConnectionFreeError(f"{seconds:g} s without a free connection") from None

    def _kept(self) -> Hop | None:
        """A connection that is open already, and was made as it would be now."""
        kept = self._idle.take()
        while kept is not None and self._dialler is not None and not self._dialler.trusts(kept):
            kept.abort()
            kept = self._idle.take()
        return kept

    async def _ask(self, head: bytes, body: bytes, within: Deadlines) -> tuple[Hop, _Answer]:
        """Send on a kept connection, or on a fresh one; a stale kept one gets a second try."""
        kept = self._kept()
        if kept is not None:
            try:
                return kept, await self._ask_on(kept, head, body, within)
            except ConnectionLostError:
                if kept.heard:
                    raise
        fresh = await self._dial(within.connect_s)
        return fresh, await self._ask_on(fresh, head, body, within)

    @staticmethod
    async def _ask_on(hop: Hop, head: bytes, body: bytes, within: Deadlines) -> _Answer:
        answer = _Answer(hop)
        try:
            hop.send(head, body, answer, within)
            await answer.begun()
        except BaseException:
            hop.abort()
            raise
        return answer

    async def _dial(self, seconds: float) -> Hop:
        if self._dialler is None:
            self._watch = Watch(asyncio.get_running_loop())
            self._dialler = Dialler(
                self._origin, self._watch, None, self._certificate, self._peering
            )
        return await self._dialler.dial(seconds)


async def once(body: bytes) -> AsyncIterator[bytes]:
    """A whole body, as an answer's only piece."""
    yield body
