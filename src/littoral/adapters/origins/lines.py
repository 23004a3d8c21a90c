"""Connections to the servers of origins, kept for the next question to the same server.

Rules
- A connection is one thread's while it is in use, and anybody's after that. At most
  `ORIGIN_IDLE_MAX` to one server wait.
- Proxies and certificates are the machine's own, as urllib finds them.
"""

import http.client
import ssl
import threading
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from littoral.terms.errors import OriginRefusedError
from littoral.terms.limits import ORIGIN_IDLE_MAX

__all__ = ["PORTS", "Line", "Lines", "Place", "place_of"]

PORTS: Final = {"http": 80, "https": 443}
"""Schemes of web addresses, and the port of each where an address has none."""

Place = tuple[str, str, int]
"""Scheme, host and port: what one server is."""


@dataclass(slots=True)
class Line:
    """One connection, and the server it leads to."""

    place: Place
    connection: http.client.HTTPConnection
    through_proxy: Mapping[str, str] | None
    """Headers for a proxy that is asked with whole addresses; None where there is no such."""
    used: bool = False


class Lines:
    """Opens and keeps connections. `close` it at the end."""

    def __init__(self, connect_s: float) -> None:
        """Begin without any; one that takes longer than `connect_s` to open is given up."""
        self._connect_s: Final = connect_s
        self._lock = threading.Lock()
        self._idle: dict[Place, list[Line]] = {}
        self._closed = False
        self._context: ssl.SSLContext | None = None

    def take(self, place: Place) -> Line:
        """A kept connection, or a new one that is not made yet."""
        with self._lock:
            if idle := self._idle.get(place):
                return idle.pop()
            if self._context is None and place[0] == "https":
                self._context = ssl.create_default_context()
        scheme, host, port = place
        proxy = None if proxy_bypass(f"{host}:{port}") else getproxies().get(scheme)
        made = self._made(scheme, *_address_of(proxy, host, port))
        if proxy is None:
            return Line(place, made, None)
        pass_on = _proxy_headers(proxy)
        if scheme == "https":
            made.set_tunnel(host, port, dict(pass_on))
            return Line(place, made, None)
        return Line(place, made, pass_on)

    def keep(self, line: Line) -> None:
        """Keep a connection for the next question to its server."""
        line.used = True
        with self._lock:
            idle = self._idle.setdefault(line.place, [])
            if not self._closed and len(idle) < ORIGIN_IDLE_MAX:
                idle.append(line)
                return
        line.connection.close()

    def close(self) -> None:
        """Close every kept connection; those at work are closed as they end."""
        with self._lock:
            self._closed = True
            lines = [line for idle in self._idle.values() for line in idle]
            self._idle.clear()
        for line in lines:
            line.connection.close()

    def _made(self, scheme: str, host: str, port: int) -> http.client.HTTPConnection:
        if scheme == "https":
            return http.client.HTTPSConnection(
                host, port, timeout=self._connect_s, context=self._context
            )
        return http.client.HTTPConnection(host, port, timeout=self._connect_s)


def place_of(url: str) -> Place:
    """The server of an address.

    Raises:
        OriginRefusedError: it is no web address.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS[parts.scheme]
    except (ValueError, KeyError) as error:
        raise OriginRefusedError("an origin names a malformed address") from error
    if not parts.hostname:
        raise OriginRefusedError("an origin names an address without a host")
    return parts.scheme, parts.hostname, port


def _address_of(proxy: str | None, host: str, port: int) -> tuple[str, int]:
    if proxy is None:
        return host, port
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return parts.hostname or "", parts.port or 80


def _proxy_headers(proxy: str) -> Mapping[str, str]:
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
