"""The head of a request: its bytes in, what they mean out, or a refusal.

One pure function. httptools (llhttp, all leniencies off) judges the syntax; in bytes that it has
passed, fields are found by splitting at line ends and colons, which costs a third of its callbacks.
What decides where a request ends is judged again, more strictly than the standard asks, because
two servers that disagree on it can be made to take one client's bytes for another's:

- the request line is `METHOD TARGET HTTP/1.x` with single spaces and nothing before it;
- a length and a transfer coding together, two lengths, a coding other than `chunked`, or any
  coding from an HTTP/1.0 client are refused;
- names and values hold no control character, no line is folded, every line ends in CRLF;
- exactly one `Host` in HTTP/1.1.

The target may be `/path` or `http://host/path`. The path is percent-decoded once and never
normalised: routes are compared whole, so `/v1/../metrics` is simply not found.
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from littoral.terms.errors import BadRequestError, HeadTooLargeError
from littoral.terms.limits import HEADS_KNOWN_MAX

__all__ = ["Head", "read_head"]

_LENGTH_DIGITS_MAX: Final = 18
_REQUEST_LINE: Final = re.compile(rb"([A-Z-]+) ([!-\"$-~]+) HTTP/1\.([01])\r\n")
_ABSOLUTE: Final = re.compile(rb"https?://[^/?]+", re.IGNORECASE)
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class Head(msgspec.Struct, frozen=True):
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
    escaped: str = ""
    """The path as it came, where it holds an escape: `%2F` is no `/` to who takes names apart."""


def read_head(data: bytes, headers_max: int) -> Head:
    """Read a whole head, from the request line to the empty line.

    A client sends the same head again and again, but for the length of the body. What is around
    that field is judged once; it then means the same, whatever number stands there.

    Raises:
        BadRequestError: it is not exactly one well-formed head.
        HeadTooLargeError: it has more than `headers_max` fields.
    """
    length = _LENGTH_FIELD.search(data)
    if length is None:
        return _read_anew(data, headers_max)
    start, end = length.span(1)
    around = data[:start], data[end:]
    known = _KNOWN.get(around)
    if known is None or known.headers_max != headers_max:
        head = _read_anew(data, headers_max)
        if len(_KNOWN) >= HEADS_KNOWN_MAX:
            _KNOWN.clear()
        _KNOWN[around] = _Known(head, headers_max)
        return head
    head, number = known.head, length[1]
    return Head(
        head.method,
        head.path,
        head.query,
        {**head.headers, "content-length": number.decode("ascii")},
        int(number),
        head.keep_alive,
        head.expects_continue,
        head.chunks_understood,
        head.escaped,
    )


_LENGTH_FIELD: Final = re.compile(rb"(?i:\r\ncontent-length): ?([0-9]{1,18})\r\n")


class _Known(msgspec.Struct, frozen=True):
    head: Head
    headers_max: int


_KNOWN: Final[dict[tuple[bytes, bytes], _Known]] = {}
"""Heads that were found well-formed, by what stands before and after the number of the length."""


def _read_anew(data: bytes, headers_max: int) -> Head:
    line = _REQUEST_LINE.match(data)
    if line is None:
        raise _malformed("the first line is not a request line of HTTP/1.0 or 1.1")
    method, target, minor = line.groups()
    syntax = _Syntax()
    syntax.parser = HttpRequestParser(syntax)
    try:
        syntax.parser.feed_data(data)
    except HttpParserUpgrade:
        pass  # An offer to change protocol may be ignored (RFC 9110, section 7.8).
    except HttpParserError as error:
        raise _malformed(str(error)) from None
    if not syntax.complete:
        raise _malformed("the head ends early")
    text = data[line.end() : -4].decode("latin-1")
    lines = text.split("\r\n") if text else []
    if len(lines) > headers_max:
        raise HeadTooLargeError(f"the request has more than {headers_max} header fields")
    modern = minor == b"1"
    headers = _headers(lines)
    if modern and "host" not in headers:
        raise _malformed("the host field is missing")
    raw_path, path, query = _target(target)
    return Head(
        method=method.decode("ascii"),
        path=path,
        query=query,
        headers=headers,
        body_bytes=_body_bytes(headers, modern=modern),
        keep_alive=modern and syntax.keep_alive,
        expects_continue=modern and headers.get("expect", "").lower() == "100-continue",
        chunks_understood=modern,
        escaped=raw_path.decode("ascii") if b"%" in raw_path else "",
    )


class _Syntax:
    """What httptools calls back."""

    __slots__ = ("complete", "keep_alive", "parser")

    parser: HttpRequestParser

    def __init__(self) -> None:
        self.complete = False
        self.keep_alive = False

    def on_headers_complete(self) -> None:
        # Only here is the parser's answer right: it forgets what it saw afterwards.
        self.keep_alive = self.parser.should_keep_alive()
        self.complete = True


def _malformed(what: str) -> BadRequestError:
    return BadRequestError(
        f"the request is not well-formed HTTP ({what})", advice="send it with an HTTP/1.1 client"
    )


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        key, value = name.lower(), value.strip(" \t")
        if key not in headers:
            headers[key] = value
        elif key in _ONCE:
            raise _malformed(f"there is more than one {key} field")
        else:
            headers[key] = f"{headers[key]}, {value}"
    return headers


_ONCE: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "authorization", "x-api-key", "api-key"}
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
    if not (length.isascii() and length.isdigit() and len(length) <= _LENGTH_DIGITS_MAX):
        raise _malformed("the content-length is not a number")
    return int(length)


def _target(target: bytes) -> tuple[bytes, str, str]:
    absolute = _ABSOLUTE.match(target)
    rest = target[absolute.end() :] if absolute else target
    raw_path, _, query = rest.partition(b"?")
    if absolute and not raw_path:
        raw_path = b"/"
    if not raw_path.startswith(b"/"):
        raise _malformed("the request target is not a path")
    return raw_path, _decoded(raw_path), query.decode("ascii")


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
