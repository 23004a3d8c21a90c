"""The head of a request: its bytes in, what they mean out, or a refusal.

One pure function. httptools (llhttp, all leniencies off) reads the fields; what decides where a
request ends is judged here again, more strictly than the standard asks, because two servers that
disagree on it can be made to take one client's bytes for another's:

- the request line is `METHOD TARGET HTTP/1.x` with single spaces and nothing before it;
- a length and a transfer coding together, two lengths, a coding other than `chunked`, or any
  coding from an HTTP/1.0 client are refused;
- names and values hold no control character, no line is folded, every line ends in CRLF;
- exactly one `Host` in HTTP/1.1.

The target may be `/path` or `http://host/path`. The path is percent-decoded once and never
normalised: routes are compared whole, so `/v1/../metrics` is simply not found.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from littoral.terms.errors import BadRequestError, HeadTooLargeError, LittoralError

__all__ = ["Head", "read_head"]

_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_REQUEST_LINE: Final = re.compile(rb"([A-Z-]+) ([!-\"$-~]+) HTTP/1\.([01])\r\n")
_ABSOLUTE: Final = re.compile(rb"https?://[^/?]+", re.IGNORECASE)
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Head:
    """What the first part of a request says."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body_bytes: int | None
    """Length of the body to come; None when it comes in chunks."""
    keep_alive: bool
    """Whether the client wants to send another request on the connection."""
    expects_continue: bool
    """Whether the client waits for `100 Continue` before it sends the body."""
    chunks_understood: bool
    """Whether the answer may come in chunks; an HTTP/1.0 client reads to the end instead."""


def read_head(data: bytes, headers_max: int) -> Head:
    """Read a whole head, from the request line to the empty line.

    Raises:
        BadRequestError: it is not exactly one well-formed head.
        HeadTooLargeError: it has more than `headers_max` fields.
    """
    line = _REQUEST_LINE.match(data)
    if line is None:
        raise _malformed("the first line is not a request line of HTTP/1.0 or 1.1")
    method, target, minor = line.groups()
    fields = _Fields(headers_max)
    fields.parser = HttpRequestParser(fields)
    try:
        fields.parser.feed_data(data)
    except HttpParserUpgrade:
        pass  # An offer to change protocol may be ignored (RFC 9110, section 7.8).
    except HttpParserError as error:
        if isinstance(error.__context__, LittoralError):
            raise error.__context__ from None
        raise _malformed(str(error)) from None
    if not fields.complete:
        raise _malformed("the head ends early")
    modern = minor == b"1"
    headers = _headers(fields.values)
    if modern and "host" not in headers:
        raise _malformed("the host field is missing")
    path, query = _target(target)
    return Head(
        method=method.decode("ascii"),
        path=path,
        query=query,
        headers=headers,
        body_bytes=_body_bytes(headers, modern=modern),
        keep_alive=modern and fields.keep_alive,
        expects_continue=modern and headers.get("expect", "").lower() == "100-continue",
        chunks_understood=modern,
    )


class _Fields:
    """What httptools calls back with, collected."""

    __slots__ = ("complete", "keep_alive", "max", "parser", "values")

    parser: HttpRequestParser

    def __init__(self, headers_max: int) -> None:
        self.values: list[tuple[bytes, bytes]] = []
        self.max = headers_max
        self.complete = False
        self.keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.values) == self.max:
            raise HeadTooLargeError(f"the request has more than {self.max} header fields")
        self.values.append((name, value))

    def on_headers_complete(self) -> None:
        # Only here is the parser's answer right: it forgets what it saw afterwards.
        self.keep_alive = self.parser.should_keep_alive()
        self.complete = True


def _malformed(what: str) -> BadRequestError:
    return BadRequestError(
        f"the request is not well-formed HTTP ({what})", advice="send it with an HTTP/1.1 client"
    )


def _headers(values: list[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in values:
        key = name.decode("ascii").lower()
        text = value.decode("latin-1").strip(" \t")
        if key not in headers:
            headers[key] = text
        elif key in _ONCE:
            raise _malformed(f"there is more than one {key} field")
        else:
            headers[key] = f"{headers[key]}, {text}"
    return headers


_ONCE: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "authorization", "x-api-key"}
)
"""Fields whose repetition is an attempt to be read in two ways."""


def _body_bytes(headers: dict[str, str], *, modern: bool) -> int | None:
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None:
        if length is not None:
            raise _malformed("it has both a length and a transfer coding")
        if coding.lower() != "chunked" or not modern:
            raise _malformed("the only transfer coding taken is chunked, in HTTP/1.1")
        return None
    if length is None:
        return 0
    if not _LENGTH.fullmatch(length.encode("latin-1")):
        raise _malformed("the content-length is not a number")
    return int(length)


def _target(target: bytes) -> tuple[str, str]:
    absolute = _ABSOLUTE.match(target)
    rest = target[absolute.end() :] if absolute else target
    raw_path, _, query = rest.partition(b"?")
    if absolute and not raw_path:
        raw_path = b"/"
    if not raw_path.startswith(b"/"):
        raise _malformed("the request target is not a path")
    return _decoded(raw_path), query.decode("ascii")


def _decoded(raw_path: bytes) -> str:
    if b"%" not in raw_path:
        return raw_path.decode("ascii")
    if _BAD_ESCAPE.search(raw_path):
        raise _malformed("the path holds a % that begins no escape")
    try:
        path = unquote_to_bytes(raw_path).decode("utf-8")
    except UnicodeDecodeError:
        raise _malformed("the path is not UTF-8 once decoded") from None
    if _CONTROL.search(path):
        raise _malformed("the path holds control characters")
    return path
