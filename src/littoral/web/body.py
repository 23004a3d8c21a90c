"""A request body as it arrives: bytes in, the body out, and where the next request begins.

Two readers with one face. Both are strict, keep at most `bytes_max` of body, and spend work in
proportion to the bytes of body only: chunks that are tiny on average, or dressed up with long
extensions, are refused, since each costs more than it carries. Trailers are checked and dropped;
one that would frame the body, had it come in the head, is refused.

Nothing here is allocated by what a client announces, only by what it has sent.
"""

import re
from typing import Final, Protocol

from littoral.terms.errors import BadRequestError, BodyTooLargeError
from littoral.terms.limits import CHUNK_BYTES_MEAN_MIN, CHUNK_LINE_BYTES_MAX, CHUNKS_FREE

__all__ = ["BodyReader", "ChunkedBody", "MeasuredBody", "check_length"]

_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t -~]*)?")
_TRAILER_LINE: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*")
_FRAMING_TRAILER: Final = re.compile(rb"(?:content-length|transfer-encoding):", re.IGNORECASE)
_TRAILERS_MAX: Final = 32


class BodyReader(Protocol):
    """Gathers one body."""

    @property
    def gathered_bytes(self) -> int:
        """How much of the body is here."""

    def feed(self, data: bytes) -> bytes | None:
        """Take what arrived. Once the body is complete: the bytes beyond it; until then None.

        Raises:
            BadRequestError: its framing is wrong.
            BodyTooLargeError: it is longer than allowed.
        """

    def take(self) -> bytes:
        """The complete body."""


def check_length(body_bytes: int, bytes_max: int) -> None:
    """Refuse a body that is longer than allowed, by what it announces.

    Raises:
        BodyTooLargeError: it is over `bytes_max`.
    """
    if body_bytes > bytes_max:
        raise BodyTooLargeError(
            f"the body is more than {bytes_max} bytes", advice="send it in smaller parts"
        )


class MeasuredBody:
    """A body whose length the head says."""

    def __init__(self, body_bytes: int) -> None:
        self._missing = body_bytes
        self._body = bytearray()

    @property
    def gathered_bytes(self) -> int:
        """How much of the body is here."""
        return len(self._body)

    def feed(self, data: bytes) -> bytes | None:
        """Take what arrived; see `BodyReader.feed`."""
        if len(data) < self._missing:
            self._body += data
            self._missing -= len(data)
            return None
        end = self._missing
        self._body += memoryview(data)[:end]
        self._missing = 0
        return data[end:]

    def take(self) -> bytes:
        """The complete body."""
        return bytes(self._body)


class ChunkedBody:
    """A body in chunks: `SIZE CRLF bytes CRLF`, ended by a size of 0 and trailers."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._body = bytearray()
        self._rest = b""
        """Bytes of a line, or of the CRLF after a chunk, whose end has not arrived."""
        self._missing = 0
        """Bytes of the present chunk still to come, without the CRLF after it."""
        self._closing = False
        """The present chunk's bytes are here; its CRLF is not."""
        self._trailers: int | None = None
        """Trailer lines seen; None until the last chunk."""
        self._chunks = 0

    @property
    def gathered_bytes(self) -> int:
        """How much of the body is here."""
        return len(self._body)

    def feed(self, data: bytes) -> bytes | None:
        """Take what arrived; see `BodyReader.feed`."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at = 0
        while at < len(data):
            if self._missing:
                at = self._take_bytes(data, at)
                continue
            line_end = data.find(b"\r\n", at)
            if line_end < 0 or line_end - at > CHUNK_LINE_BYTES_MAX:
                self._keep(data[at:])
                return None
            line = data[at:line_end]
            at = line_end + 2
            if self._take_line(line):
                return data[at:]
        return None

    def take(self) -> bytes:
        """The complete body."""
        return bytes(self._body)

    def _take_bytes(self, data: bytes, at: int) -> int:
        end = min(at + self._missing, len(data))
        self._body += memoryview(data)[at:end]
        self._missing -= end - at
        self._closing = self._missing == 0
        return end

    def _keep(self, rest: bytes) -> None:
        if len(rest) > CHUNK_LINE_BYTES_MAX:
            raise BadRequestError("a chunk's size line or trailer is too long")
        self._rest = rest

    def _take_line(self, line: bytes) -> bool:
        """Take one line without its CRLF; say whether it was the last of the body."""
        if self._closing:
            if line:
                raise BadRequestError("a chunk is longer than its size says")
            self._closing = False
            return False
        if self._trailers is not None:
            return self._take_trailer(line, self._trailers)
        size_line = _SIZE_LINE.fullmatch(line)
        if size_line is None:
            raise BadRequestError("the size of a chunk is not a hexadecimal number")
        self._begin_chunk(int(size_line[1], 16))
        return False

    def _begin_chunk(self, size: int) -> None:
        if size == 0:
            self._trailers = 0
            return
        check_length(len(self._body) + size, self._bytes_max)
        self._chunks += 1
        if self._chunks > CHUNKS_FREE + len(self._body) // CHUNK_BYTES_MEAN_MIN:
            raise BadRequestError(
                "the body comes in too many tiny chunks",
                advice=f"send at least {CHUNK_BYTES_MEAN_MIN} bytes in a chunk on average",
            )
        self._missing = size

    def _take_trailer(self, line: bytes, seen: int) -> bool:
        if not line:
            return True
        well_formed = _TRAILER_LINE.fullmatch(line) and not _FRAMING_TRAILER.match(line)
        if seen == _TRAILERS_MAX or not well_formed:
            raise BadRequestError("the trailers of the body are not well-formed")
        self._trailers = seen + 1
        return False
