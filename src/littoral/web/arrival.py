"""One request as it arrives: bytes in, head and body out, and where the next request begins.

It joins `head.py` and `body.py`, knows the bounds on bytes, and neither sockets nor time.
"""

from typing import Final

from littoral.terms.errors import BadRequestError, HeadTooLargeError
from littoral.web.body import BodyReader, ChunkedBody, MeasuredBody, check_length
from littoral.web.head import Head, read_head
from littoral.web.http import HttpBounds

__all__ = ["Arrival"]

_HEAD_END: Final = b"\r\n\r\n"


class Arrival:
    """Gathers one request. After an error it is of no further use."""

    __slots__ = ("_bounds", "_kept", "_reader", "_searched", "body", "head")

    def __init__(self, bounds: HttpBounds) -> None:
        """Wait for the first byte."""
        self._bounds = bounds
        self._kept: bytearray | None = None
        """The part of a head that is here, when it did not come in one piece."""
        self._searched = 0
        """So much of `_kept` holds no end of a head."""
        self._reader: BodyReader | None = None
        self.head: Head | None = None
        """Once it is complete."""
        self.body = b""
        """Once it is complete."""

    @property
    def body_bytes(self) -> int:
        """How much of the body is here."""
        return len(self.body) if self._reader is None else self._reader.gathered_bytes

    def feed(self, data: bytes) -> bytes | None:
        """Take what arrived. Once the request is complete: the bytes beyond it; until then None.

        Raises:
            BadRequestError: it is not well-formed HTTP, or can be read in two ways.
            HeadTooLargeError: the head is over its bound.
            BodyTooLargeError: the body is over its bound, or says that it will be.
        """
        return self._feed_head(data) if self.head is None else self._feed_body(data)

    def _feed_head(self, data: bytes) -> bytes | None:
        end, bounds = self._find_end(data), self._bounds
        if end < 0:
            return None
        if self._kept is not None:
            data = bytes(self._kept)
            self._kept = None
        # One empty line before the request line is old clients' habit (RFC 9112, section 2.2).
        start = 2 if data.startswith(b"\r\n") else 0
        head = self.head = read_head(data[start:end], bounds.headers_max)
        length = head.body_bytes
        if length is None:
            self._reader = ChunkedBody(bounds.body_bytes_max)
            return self._feed_body(data[end:])
        check_length(length, bounds.body_bytes_max)
        over = end + length
        if over <= len(data):
            self.body = data[end:over]
            return data[over:]
        self._reader = MeasuredBody(length)
        return self._feed_body(data[end:])

    def _feed_body(self, data: bytes) -> bytes | None:
        assert self._reader is not None
        rest = self._reader.feed(data)
        if rest is not None:
            self.body = self._reader.take()
            self._reader = None
        return rest

    def _find_end(self, data: bytes) -> int:
        """Where the head ends within all that is here, or -1 when more is needed."""
        if self._kept is None:
            end = data.find(_HEAD_END)
            if end < 0:
                self._kept = bytearray(data)
        else:
            self._kept += data
            end = self._kept.find(_HEAD_END, self._searched)
        head_bytes = end + len(_HEAD_END) if end >= 0 else len(self._kept or b"")
        if head_bytes > self._bounds.head_bytes_max:
            raise HeadTooLargeError(f"the head is more than {self._bounds.head_bytes_max} bytes")
        if end >= 0:
            return head_bytes
        self._searched = max(0, head_bytes - len(_HEAD_END) + 1)
        self._check_beginning(self._kept or data)
        return -1

    @staticmethod
    def _check_beginning(kept: bytes | bytearray) -> None:
        # TLS on a plain port, say: better told now than when the time is up.
        if not (kept[:1].isupper() or kept[:1] == b"\r"):
            raise BadRequestError("this is not HTTP", advice="speak HTTP/1.1 here")
