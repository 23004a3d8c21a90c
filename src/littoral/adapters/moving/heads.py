"""Heads of requests and answers between movers, and small bodies behind them.

httptools judges the syntax. A message is taken whole or refused: everything has a bound, and what
comes behind a message before it is answered is an error, as nobody pipelines here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import httptools

from littoral.adapters.http.words import MalformedError
from littoral.terms.limits import DELIVERY_WANTED_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX

__all__ = ["Head", "Message", "Span", "answer", "request", "span_of"]

_RANGE: Final = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")
_REASONS: Final = {
    200: "OK",
    206: "Partial Content",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    416: "Range Not Satisfiable",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Head:
    """What the first part of a message says."""

    method: str
    """Empty in an answer."""
    path: str
    status: int
    """0 in a request."""
    fields: Mapping[str, str]
    """Names in lowercase; of fields that are repeated the last."""
    keep_alive: bool


Span = tuple[int, int]
"""Bytes of something: the first, and the one after the last."""


def span_of(value: str, size_bytes: int) -> Span | None:
    """What a `Range` field asks for; all of it where it asks for nothing that is understood.

    Returns: None where it asks for what is not there.
    """
    found = _RANGE.fullmatch(value.strip())
    if found is None or not (found[1] or found[2]):
        return 0, size_bytes
    if not found[1]:
        first, end = max(0, size_bytes - int(found[2])), size_bytes
    else:
        first = int(found[1])
        end = min(size_bytes, int(found[2]) + 1) if found[2] else size_bytes
        if found[2] and int(found[2]) < first:
            return 0, size_bytes
    return (first, end) if first < end else None


def request(method: str, path: str, host: str, fields: Mapping[str, str]) -> bytes:
    """The head of a request."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\nhost: {host}\r\n{lines}\r\n".encode()


def answer(status: int, fields: Mapping[str, str]) -> bytes:
    """The head of an answer."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} {_REASONS[status]}\r\n{lines}\r\n".encode()


class Message:
    """One request or answer as it arrives."""

    def __init__(self, *, to_server: bool, body_bytes_max: int = DELIVERY_WANTED_BYTES_MAX) -> None:
        """Expect its first byte.

        Args:
            to_server: a request, and not an answer.
            body_bytes_max: of what is kept of the body and not taken.
        """
        self._parser: httptools.HttpRequestParser | httptools.HttpResponseParser
        if to_server:
            self._parser = httptools.HttpRequestParser(self)
        else:
            self._parser = httptools.HttpResponseParser(self)
        self._body_bytes_max = body_bytes_max
        self._kept = bytearray()
        """The head, until it is whole."""
        self._url = b""
        self._fields: dict[str, str] = {}
        self._fields_count = 0
        self._keep_alive = False
        self._headed = False
        self._body = bytearray()
        self.head: Head | None = None
        self.whole = False

    def feed_head(self, data: bytes) -> tuple[Head, bytes] | None:
        """Take more of the head.

        Returns: the head, and what came behind it, once it is whole; None before.

        Raises:
            MalformedError: it is none, or over a bound.
        """
        looked_at = max(0, len(self._kept) - 3)
        self._kept += data
        end = self._kept.find(b"\r\n\r\n", looked_at)
        if (end < 0 and len(self._kept) > HEAD_BYTES_MAX) or end > HEAD_BYTES_MAX:
            raise MalformedError("a head that is over the bounds")
        if end < 0:
            return None
        head, rest = bytes(self._kept[: end + 4]), bytes(self._kept[end + 4 :])
        self._kept.clear()
        self._parse(head)
        if not self._headed or self._fields_count > HEADERS_MAX:
            raise MalformedError("a head that is over the bounds")
        parser, method, status = self._parser, "", 0
        if isinstance(parser, httptools.HttpRequestParser):
            method = parser.get_method().decode("latin-1")
        else:
            status = parser.get_status_code()
        path = self._url.decode("latin-1")
        self.head = Head(method, path, status, self._fields, self._keep_alive)
        return self.head, rest

    def feed_body(self, data: bytes) -> None:
        """Take more of the body; `whole` says whether that was all.

        Raises:
            MalformedError: it is none, or over its bound.
        """
        if data:
            if self.whole:
                raise MalformedError("more than was asked for")
            self._parse(data)
        if len(self._body) > self._body_bytes_max:
            raise MalformedError("a body that is over the bounds")

    def taken(self) -> bytes:
        """What has come of the body since the last time."""
        body = bytes(self._body)
        self._body.clear()
        return body

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as malformed:
            kind = type(malformed).__name__
            raise MalformedError(f"not HTTP/1.1 as it is spoken here: {kind}") from None

    # What httptools calls back

    def on_message_begin(self) -> None:
        """See that it is the first."""
        if self.whole:
            raise MalformedError("a second message behind the first")

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field."""
        self._fields_count += 1
        self._fields[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        """Ask now: the parser forgets it."""
        self._keep_alive = self._parser.should_keep_alive()
        self._headed = True

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        self._body += data

    def on_message_complete(self) -> None:
        """It is whole."""
        self.whole = True
