"""A small HTTP/1.1 client for engines: one origin, pooled connections, streamed answers.

Rules
- One request at a time per connection; whole answers put it back into the pool.
- Leaving an answer early closes its connection at once: that is how work is cancelled.
- A pooled connection that dies before any byte of the answer is replaced once by a fresh one: the
  server had closed it while it was idle.
- The pool, the connections and every wait are bounded.

Not here: redirects, proxies, cookies, compression, HTTP/2.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from littoral.adapters.engines.connection import (
    ConnectFailedError,
    Connection,
    ConnectionLostError,
    Deadlines,
    Head,
    MalformedError,
    NoConnectionFreeError,
    WaitedTooLongError,
)
from littoral.terms.errors import ConfigError

__all__ = ["ANSWER_BYTES_MAX", "HttpClient", "Origin", "Response", "once"]

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
"""A whole JSON answer: embeddings of 2,048 texts at 1,024 dimensions are about 45 MB."""

_IDLE_MAX: Final = 64
"""Connections kept open without a request."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a server is: a Unix socket, or a host and port with or without TLS."""

    socket_path: str | None = None
    host: str = "localhost"
    port: int = 0
    tls: bool = False

    @property
    def authority(self) -> str:
        """The `host` header's value."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        standard = 443 if self.tls else 80
        return host if self.port in {0, standard} else f"{host}:{self.port}"

    @classmethod
    def of_url(cls, url: str) -> tuple["Origin", str]:
        """The origin of a URL, and its path without a slash at the end.

        Raises:
            ConfigError: it is not an http or https URL with a host.
        """
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in {"http", "https"} or not parts.hostname or port == -1:
            raise ConfigError(
                "an upstream's address is not an http or https URL",
                advice="give it as http://HOST:PORT/v1",
            )
        tls = parts.scheme == "https"
        origin = cls(host=parts.hostname, port=port or (443 if tls else 80), tls=tls)
        return origin, parts.path.rstrip("/")


@dataclass(slots=True)
class Response:
    """The head of an answer; iterate it for the body as it comes."""

    status: int
    headers: Mapping[str, str]
    _connection: Connection

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Pieces of the body; those that arrived together come joined."""
        return self

    async def __anext__(self) -> bytes:
        """The next piece; raises ConnectionLostError, MalformedError or WaitedTooLongError."""
        data = await self._connection.take()
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


class HttpClient:
    """Requests to one origin."""

    def __init__(
        self,
        origin: Origin,
        *,
        headers: Mapping[str, str] | None = None,
        deadlines: Deadlines | None = None,
        connections_max: int = 256,
        certificate: str = "",
    ) -> None:
        """Open nothing yet.

        Args:
            origin: where the server is.
            headers: sent with every request (a key, for example).
            deadlines: of every request.
            connections_max: requests at a time; more wait, no longer than to connect.
            certificate: a PEM file; the server is to show this one, whatever name is in it.
        """
        self._origin = origin
        self._deadlines = deadlines or Deadlines()
        fixed = {"host": origin.authority, "user-agent": "littoral", **(headers or {})}
        self._fixed = "".join(f"{name}: {value}\r\n" for name, value in fixed.items())
        if any(ch in value for value in fixed.values() for ch in "\r\n\0"):
            raise ConfigError("a header value has a line break in it")
        self._idle: list[Connection] = []
        self._places = asyncio.Semaphore(connections_max)
        self._certificate = certificate
        self._tls: ssl.SSLContext | None = None
        self._closed = False
        self.connections_made = 0

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        deadlines: Deadlines | None = None,
    ) -> AsyncIterator[Response]:
        """Send a request and give its answer; leaving before its end closes the connection.

        Args:
            method: `GET` or `POST`.
            path: with the query, percent-encoded.
            body: JSON, or nothing.
            deadlines: instead of the client's own.

        Raises:
            ConnectFailedError: no connection.
            ConnectionLostError: no answer, or not all of it.
            MalformedError: an answer that is not acceptable HTTP/1.1.
            WaitedTooLongError: a deadline passed.
        """
        within = deadlines or self._deadlines
        content = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        head = f"{method} {path} HTTP/1.1\r\n{self._fixed}{content if body else ''}\r\n".encode()
        await self._place(within.connect_s)
        connection: Connection | None = None
        try:
            connection, answer = await self._ask(head, body, within)
            yield Response(answer.status, answer.headers, connection)
        finally:
            self._places.release()
            if connection is not None:
                self._put_back(connection)

    def close(self) -> None:
        """Close the idle connections; those in use close with their exchange."""
        self._closed = True
        while self._idle:
            self._idle.pop().abort()

    async def _place(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._places.acquire()
        except TimeoutError:
            raise NoConnectionFreeError(f"{seconds:g} s without a free connection") from None

    async def _ask(self, head: bytes, body: bytes, within: Deadlines) -> tuple[Connection, Head]:
        """Send on a pooled connection, or on a fresh one; a stale pooled one gets a second try."""
        pooled = self._pooled()
        if pooled is not None:
            try:
                return pooled, await self._ask_on(pooled, head, body, within)
            except ConnectionLostError:
                if pooled.heard:
                    raise
        fresh = await self._connect(within.connect_s)
        return fresh, await self._ask_on(fresh, head, body, within)

    @staticmethod
    async def _ask_on(connection: Connection, head: bytes, body: bytes, within: Deadlines) -> Head:
        try:
            connection.send(head, body, within)
            return await connection.head()
        except BaseException:
            connection.abort()
            raise

    def _pooled(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        return None

    def _put_back(self, connection: Connection) -> None:
        if connection.reusable and not self._closed and len(self._idle) < _IDLE_MAX:
            self._idle.append(connection)
        else:
            connection.abort()

    async def _connect(self, seconds: float) -> Connection:
        loop = asyncio.get_running_loop()
        origin = self._origin
        connection = Connection(loop)
        try:
            async with asyncio.timeout(seconds):
                if origin.socket_path is not None:
                    await loop.create_unix_connection(lambda: connection, origin.socket_path)
                else:
                    await loop.create_connection(
                        lambda: connection, origin.host, origin.port, ssl=self._tls_context()
                    )
        except TimeoutError:
            raise WaitedTooLongError(f"{seconds:g} s to connect") from None
        except (OSError, ssl.SSLError) as error:
            reason = error.strerror or type(error).__name__
            raise ConnectFailedError(f"no connection: {reason}") from error
        self.connections_made += 1
        return connection

    def _tls_context(self) -> ssl.SSLContext | None:
        if self._origin.tls and self._tls is None:
            self._tls = ssl.create_default_context(cafile=self._certificate or None)
            if self._certificate:
                self._tls.check_hostname = False
                self._tls.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return self._tls


async def once(body: bytes) -> AsyncIterator[bytes]:
    """A whole body, as an answer's only piece."""
    yield body
