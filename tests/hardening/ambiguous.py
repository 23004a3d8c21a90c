"""Requests that servers have been known to read in two ways, and what h11 makes of them.

A transmission is what one client sends on one connection: one or two requests, each well-formed
before something was done to it, and bytes behind them. The list of what is done comes from the
published request smuggling research and from the errors that HTTP servers have had to mend.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

import h11
from hypothesis import strategies as st

__all__ = ["Seen", "cut", "h11_sees", "transmissions"]


@dataclass(frozen=True)
class Seen:
    """A request as a server understood it."""

    method: str
    path: str
    query: str
    body: bytes
    ends_at: int
    """So many bytes of the connection had been used up by its end."""


LENGTHS = (
    "Content-Length: {n}", "content-length:{n}", "Content-Length: 0{n}", "Content-Length: +{n}",
    "Content-Length: -{n}", "Content-Length: {n}, {n}", "Content-Length: {n},9",
    "Content-Length: {n} {n}", "Content-Length: 0x{n}", "Content-Length: {n}.0",
    "Content-Length: {n}\t", "Content-Length:\x0b{n}", "Content-Length : {n}",
    "Content-Length\t:{n}",
    " Content-Length: {n}", "Content-Length: {n}\x00", "Content-Length: ", "Content_Length: {n}",
    "Content-Length: 99999999999999999999999", "Content-Length: {n}e0", "Content-Length: \u00b2",
    "Content-Length: 1\r\nContent-Length: {n}", "Content-Length: {n}\r\nContent-Length: {n}",
    "X: y\nContent-Length: {n}", "X: y\rContent-Length: {n}", "X: y\r\n Content-Length: {n}",
)  # fmt: skip
CODINGS = (
    "Transfer-Encoding: chunked", "transfer-encoding:CHUNKED", "Transfer-Encoding:  chunked",
    "Transfer-Encoding:\tchunked\t", "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: identity", "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity, chunked", "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: xchunked", "Transfer-Encoding: chunkedx", "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: chunked;a=b", "Transfer-Encoding: ,chunked", "Transfer-Encoding: chunked,",
    "Transfer-Encoding:\x0bchunked", "Transfer-Encoding: chunked\x0b",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked", " Transfer-Encoding: chunked", "Transfer-Encoding:\r\n chunked",
    "Transfer-Encoding: chu\x00nked", "Transfer_Encoding: chunked", "Transfer-Encoding:",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "\x00Transfer-Encoding: chunked",
    "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked", "X: y\rTransfer-Encoding: chunked",
    "X: y\nTransfer-Encoding: chunked", "Transfer-Encoding: chun\u212aed", "TE: chunked",
)  # fmt: skip
OTHERS = (
    "Connection: close", "Connection: keep-alive", "Connection: Content-Length",
    "Connection: close, Transfer-Encoding", "Expect: 100-continue", "Expect: 100-Continue, x",
    "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings",
    "Upgrade: websocket\r\nConnection: upgrade",
    "Trailer: Content-Length", "Host: b", "X-Empty:", "X: \x01", "X: \x7f", "X: \u00e9", ": x", "X",
    "X\x00: y", "X Y: z", "X: a\r\n\tb", "Proxy-Connection: keep-alive", "X:" + " " * 300 + "y",
)  # fmt: skip
REQUEST_LINES = (
    "{m} /p HTTP/1.1", "{m} /p?q=r HTTP/1.1", "{m} http://a/p HTTP/1.1",
    "{m} http://b:1/p?q HTTP/1.1",
    "{m} HTTPS://a HTTP/1.1", "{m} /p HTTP/1.0", "{m} http://a@b/p HTTP/1.1",
    "{m} /%2e%2e/p HTTP/1.1",
    "{m} /p#f HTTP/1.1", "{m} * HTTP/1.1", "{m} a:1 HTTP/1.1", "{m}  /p HTTP/1.1",
    "{m}\t/p HTTP/1.1",
    "{m} /p HTTP/1.1 ", "{m} /p  HTTP/1.1", "{m} /p HTTP/1.2", "{m} /p http/1.1",
    "{m} /p HTTP/01.1",
    "{m} /p HTTP/1.1\x00", "{m} /p\x00 HTTP/1.1", "{m} /p\x0b HTTP/1.1", "{m} /p",
    " {m} /p HTTP/1.1",
    "{m} /p HTTP/2.0", "{m} //a/p HTTP/1.1", "{m} /\u00e9 HTTP/1.1",
)  # fmt: skip
METHODS = ("POST", "GET", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "post", "QUERY", "PRI")
SIZES = (
    "{n:x}", "{n:X}", "0{n:x}", "000000000000{n:x}", "0000000000000000000000{n:x}", "+{n:x}",
    "-{n:x}", "0x{n:x}", "{n:x};a", "{n:x};a=b", "{n:x} ;a", "{n:x}; a=\"b;c\"", "{n:x} ", " {n:x}",
    "{n:x}\t", "{n:x};\x00", "{n:x};\x01", "{n:x};\n", "{n:x};\r", "{n:x};\u00e9", "{n:x}g",
    "{n:x}_0",
    "\uff11", "ffffffffffffffff{n:x}", "f" * 30, "", "{n:x};" + "a" * 2000,
)  # fmt: skip
LINE_ENDS = ("\r\n", "\n", "\r", "\r\r\n", "\n\r", "\x0b", "\x00\r\n", " \r\n", "\r\n ", "\x85")
AFTER_CHUNK = ("\r\n", "\n", "", "\r", "xx\r\n", "\r\n\r\n", "x\n", "\n\n", "\r\x00")
TRAILERS = (
    "", "X: y\r\n", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n",
    "Content-Length: x\r\n",
    "X: y\n", " X: y\r\n", "X : y\r\n", "X\r\n", "GET /q HTTP/1.1\r\n", "X: \x00\r\n",
    "X: y\r\n z\r\n",
    "Host: b\r\n", "Transfer-Encoding: gzip\r\n", "X: \x0b\r\n", "X: y\r",
    "Content-Length: 1, 2\r\n",
)  # fmt: skip
HOSTS = (
    "Host:",
    "host: a\r\nHost: a",
    "Host : a",
    "X: no host",
    "HOST:\ta",
    "Host: a, b",
    " Host: a",
)
BEFORE = ("\r\n", "\n", "\r\n\r\n", " ", "\x00", "\r", "\xef\xbb\xbf")
AFTER = ("x", "\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\x00", "0\r\n\r\n", "\r\n\r\nGET")
BODIES = (b"", b"hello", b"0\r\n\r\n", b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")


def _encoded(text: str) -> bytes:
    """Mostly Latin-1, as heads are; what is not in it (a Kelvin sign for a K) as UTF-8."""
    return b"".join(each.encode("latin-1") if ord(each) < 256 else each.encode() for each in text)


PLACES: Final = (
    "method", "line", "host", "framing", "other", "size", "after chunk", "last", "trailers",
    "line end", "count", "before", "after", "bytes",
)  # fmt: skip


class _Writer:
    """Writes what is usual, apart from the one or two places where something odd stands."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._odd = draw(st.sets(st.sampled_from(PLACES), max_size=2))

    def pick(self, place: str, usual: str, odd: tuple[str, ...]) -> str:
        return self._draw(st.sampled_from(odd)) if place in self._odd else usual

    def chunks(self, body: bytes) -> bytes:
        coded = b""
        at = self._draw(st.integers(0, len(body)))
        for piece in (body[:at], body[at:]):
            if piece:
                size = self.pick("size", "{n:x}", SIZES).format(n=len(piece))
                end = self.pick("after chunk", "\r\n", AFTER_CHUNK)
                coded += _encoded(size + "\r\n") + piece + _encoded(end)
        last = self.pick("last", "{n:x}", SIZES).format(n=0)
        end = self.pick("line end", "\r\n", LINE_ENDS)
        return coded + _encoded(last + end + self.pick("trailers", "", TRAILERS)) + b"\r\n"

    def request(self) -> bytes:
        method = self.pick("method", "POST", METHODS)
        line = self.pick("line", "{m} /p HTTP/1.1", REQUEST_LINES).format(m=method)
        fields = [self.pick("host", "Host: a", HOSTS)]
        body, chunked = self._draw(st.sampled_from(BODIES)), self._draw(st.booleans())
        sent = self.chunks(body) if chunked else body
        if chunked:
            fields.append(self.pick("framing", "Transfer-Encoding: chunked", CODINGS))
        counts = tuple(map(str, (len(sent), 0, 1, len(body) + 1, len(sent) + 40)))
        count = int(self.pick("count", str(len(body)), counts))
        if not chunked or "count" in self._odd:
            fields.append(self.pick("framing", "Content-Length: {n}", LENGTHS).format(n=count))
        if other := self.pick("other", "", OTHERS):
            fields.insert(self._draw(st.integers(0, len(fields))), other)
        if self._draw(st.booleans()):
            fields.reverse()
        end = self.pick("line end", "\r\n", LINE_ENDS)
        return _encoded("\r\n".join([line, *fields]) + end + "\r\n") + sent

    def transmission(self) -> bytes:
        data = b"".join([self.request() for _ in range(self._draw(st.integers(1, 2)))])
        data = _encoded(self.pick("before", "", BEFORE)) + data
        data += _encoded(self.pick("after", "", AFTER))
        if "bytes" in self._odd:
            at = self._draw(st.integers(0, len(data)))
            change = self._draw(st.one_of(st.binary(max_size=2), st.sampled_from([b"\r", b"\n"])))
            data = data[:at] + change + data[at + self._draw(st.integers(0, 1)) :]
        return data


@st.composite
def transmissions(draw: st.DrawFn) -> bytes:
    """One connection's bytes."""
    return _Writer(draw).transmission()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces, none of them empty."""
    at = sorted({place % len(data) for place in places} - {0}) if data else []
    return [data[start:end] for start, end in zip([0, *at], [*at, len(data)], strict=True)]


def h11_sees(data: bytes) -> list[Seen]:
    """The whole requests that h11 finds, up to the first thing that it does not take."""
    seen: list[Seen] = []
    at = 0
    while True:
        # One empty line is forgiven before a request (RFC 9112, section 2.2); h11 forgives none.
        at += 2 if data[at : at + 2] == b"\r\n" else 0
        theirs = h11.Connection(h11.SERVER, max_incomplete_event_size=2**20)
        theirs.receive_data(data[at:])
        found = _next_request(theirs)
        if found is None:
            return seen
        request, body = found
        at = len(data) - len(theirs.trailing_data[0])
        path, query = _parts(request.target)
        seen.append(Seen(request.method.decode(), path, query, body, at))
        if theirs.their_state is h11.MUST_CLOSE:
            return seen


def _next_request(theirs: h11.Connection) -> tuple[h11.Request, bytes] | None:
    request: h11.Request | None = None
    body = b""
    try:
        while True:
            match theirs.next_event():
                case h11.Request() as event:
                    request = event
                case h11.Data() as event:
                    body += event.data
                case h11.EndOfMessage():
                    assert request is not None
                    return request, body
                case _:
                    return None
    except h11.RemoteProtocolError:
        return None


def _parts(target: bytes) -> tuple[str, str]:
    if not target.startswith(b"/"):
        target = target.partition(b"://")[2]
        cuts = [at for at in (target.find(b"/"), target.find(b"?")) if at >= 0]
        target = target[min(cuts) :] if cuts else b""
    path, _, query = target.partition(b"?")
    return unquote_to_bytes(path).decode("utf-8", "replace") or "/", query.decode()
