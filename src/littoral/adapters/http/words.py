"""The words of a request to another server: where to, how long, how it failed, who hears of it.

These exceptions never leave the adapters; each of them says what they mean for it.
"""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit

import msgspec

from littoral.adapters.addresses import bracketed
from littoral.terms import limits
from littoral.terms.errors import ConfigError

__all__ = [
    "AnswerHead",
    "ConnectFailedError",
    "ConnectionLostError",
    "Deadlines",
    "Hears",
    "HttpError",
    "MalformedError",
    "NoConnectionFreeError",
    "Origin",
    "Peering",
    "WaitedTooLongError",
]


_SOCKET_PATH_BYTES_MAX: Final = 107
"""What Linux takes (`sun_path` in unix(7), with the zero at its end)."""


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
    total_s: float = float("inf")
    """From the request to the last byte."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a server is: a Unix socket, or a host and port with or without TLS."""

    socket_path: str | None = None
    host: str = "localhost"
    port: int = 0
    tls: bool = False

    @property
    def name(self) -> str:
        """What people read of it: the socket's path, or the host with its port."""
        return self.socket_path or self.authority

    @property
    def authority(self) -> str:
        """The `host` header's value."""
        host = bracketed(self.host)
        standard = 443 if self.tls else 80
        return host if self.port in {0, standard} else f"{host}:{self.port}"

    @classmethod
    def of_url(cls, url: str) -> tuple["Origin", str]:
        """The origin of a URL, and its path without a slash at the end.

        A Unix socket is `unix:/run/server.sock:/v1`: its absolute path, a colon, the path to ask.

        Raises:
            ConfigError: it is neither that nor a plain http or https URL with a host.
        """
        try:
            parts = urlsplit(url)
            port, host = parts.port, parts.hostname
        except ValueError:  # a bracket or a port that is none
            raise _not_an_address() from None
        if port == 0 or parts.query or parts.fragment:
            raise _not_an_address()
        if parts.scheme == "unix" and not parts.netloc:
            socket_path, _, path = parts.path.partition(":")
            if socket_path[:1] != "/" or (path and path[0] != "/"):
                raise _not_an_address()
            if len(socket_path.encode()) > _SOCKET_PATH_BYTES_MAX:
                raise ConfigError(
                    f"a Unix socket's path has at most {_SOCKET_PATH_BYTES_MAX} bytes",
                    advice="give it a shorter path",
                )
            return cls(socket_path=socket_path), path.rstrip("/")
        if parts.scheme not in {"http", "https"} or not host:
            raise _not_an_address()
        tls = parts.scheme == "https"
        return cls(host=host, port=port or (443 if tls else 80), tls=tls), parts.path.rstrip("/")


@dataclass(frozen=True, slots=True)
class Peering:
    """A server that is told by a name in its certificate, wherever it is."""

    name: str
    """The URI that it must show, and no other beside it; empty where `vet` alone decides."""
    tls: Callable[[], ssl.SSLContext]
    """Whom to believe, and what to show. It checks certificates, and leaves names to whoever dials.
    Where it is another one, as certificates are renewed, connections are made anew."""
    vet: Callable[[ssl.SSLObject], None] | None = None
    """Looks at a connection before a byte is sent; raises LittoralError to refuse it."""


def _not_an_address() -> ConfigError:
    return ConfigError(
        "an upstream's address is not a plain http or https URL, nor a Unix socket",
        advice="give it as clients do, version included: http://HOST:PORT/v1 or unix:/PATH:/v1",
    )


# A Struct, as every answer makes one.
class AnswerHead(msgspec.Struct):
    """An answer's status and header fields in the order in which they came."""

    status: int
    fields: list[tuple[bytes, bytes]]
    """Names in lowercase."""

    def get(self, name: bytes) -> str:
        """The value of a field by its lowercase name; empty when it is not there."""
        for key, value in self.fields:
            if key == name:
                return value.decode("latin-1").strip()
        return ""

    def size_bytes(self) -> int:
        """Of all names and values."""
        return sum(len(name) + len(value) for name, value in self.fields)

    def headers(self) -> Mapping[str, str]:
        """All fields; a later one of the same name is joined to it."""
        joined: dict[str, str] = {}
        for name, value in self.fields:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            joined[key] = f"{joined[key]}, {text}" if key in joined else text
        return joined


class Hears(Protocol):
    """Who is told of an answer as it comes: head once, then data, then one of end and lost."""

    def head(self, head: AnswerHead) -> None:
        """The final status and the header fields are here; of the body nothing yet."""

    def data(self, data: bytes) -> None:
        """More of the body: all that arrived together."""

    def end(self) -> None:
        """The answer is whole. Nothing follows."""

    def lost(self, error: HttpError) -> None:
        """There is no answer, or not all of it. Nothing follows."""
