"""The frames in which chunks travel, within the chunked coding of HTTP/1.1.

Each chunk of the coding is one frame: number (4 bytes, big endian), BLAKE3 of the chunk (32), how
it is encoded (1), how many bytes it has so (3), and these (`delivery/encoding.py`). What is encoded
has fewer bytes than the chunk, so a frame never needs more room than its chunk.

Its size line has eight hexadecimal digits, always, so that what stands before the bytes of a frame
has one length. The line end behind a frame is sent with the next one, and not waited for.

A frame whose number is IDLE says that the sender lives and has nothing yet, END that all has been
sent; both are empty.
"""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from littoral.adapters.http.words import MalformedError
from littoral.delivery.encoding import Encoding
from littoral.terms.limits import DELIVERY_CHUNK_BYTES_MAX

__all__ = ["ENDING", "Frame", "Frames", "end_frame", "idle_frame", "prefix"]

IDLE: Final = 0xFFFF_FFFF
END: Final = 0xFFFF_FFFE
ENDING: Final = b"\r\n0\r\n\r\n"
"""What follows the frame END: its line end, and the last chunk of the coding."""

_HEADER: Final = Struct(">I32sI")
_LINE: Final = re.compile(rb"[0-9a-f]{8}\r\n")
_LINE_BYTES: Final = 10
_BEFORE: Final = _LINE_BYTES + _HEADER.size
_BUFFER_BYTES: Final = 64 * 1024
_NO_DIGEST: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Frame:
    """A chunk as it came."""

    number: int
    digest: bytes
    """What the peer calls it, 32 bytes."""
    encoding: Encoding
    body: memoryview
    """Good until the next step."""


def prefix(
    number: int,
    digest: bytes,
    size_bytes: int,
    *,
    encoding: Encoding = Encoding.RAW,
    first: bool,
) -> bytes:
    """What stands before the bytes of a frame, the line end of the frame before it included."""
    header = _HEADER.pack(number, digest, encoding << 24 | size_bytes)
    lead = b"" if first else b"\r\n"
    return b"%b%08x\r\n%b" % (lead, _HEADER.size + size_bytes, header)


def idle_frame(*, first: bool) -> bytes:
    """A sign of life."""
    return prefix(IDLE, _NO_DIGEST, 0, first=first)


def end_frame(*, first: bool) -> bytes:
    """The last frame, and the end of the coding."""
    return prefix(END, _NO_DIGEST, 0, first=first) + ENDING


class Frames:
    """Takes the bytes of a stream into one buffer that is used again for each frame."""

    def __init__(
        self,
        size_of: Callable[[int], int | None],
        takes: Collection[Encoding] = (Encoding.RAW,),
    ) -> None:
        """Expect the first frame.

        Args:
            size_of: the size that this chunk must have; None where it has not been asked for.
            takes: the encodings that were asked for.
        """
        self._size_of = size_of
        self._takes = frozenset(takes)
        self._whole = memoryview(bytearray(_BUFFER_BYTES))
        self._filled = 0
        self._lead = 0
        """Bytes of a line end that come before the next frame."""
        self._need = _BEFORE
        """Bytes in the buffer without which nothing can be done."""
        self._frame: tuple[int, bytes, Encoding, int] | None = None
        """Of the frame at the beginning of the buffer, once that is known."""
        self.ended = False
        self.rest = b""
        """What came behind the end of the stream."""

    def buffer(self) -> memoryview:
        """Where to read the next bytes to; never empty before the end."""
        return self._whole[self._filled :]

    def missing_bytes(self) -> int:
        """Of the frame that has begun; 0 between frames."""
        return max(0, self._need - self._filled) if self._frame is not None else 0

    def took(self, count: int) -> Iterator[Frame]:
        """So many bytes were read into the buffer.

        Returns: the chunks that are whole now.

        Raises:
            MalformedError: they are no frames, or of chunks or in encodings that were not asked
                for.
        """
        self._filled += count
        while self._filled >= self._need and not self.ended:
            if self._frame is None:
                self._read_header()
            else:
                number, digest, encoding, size = self._frame
                start = self._lead + _BEFORE
                if number < END:
                    yield Frame(number, digest, encoding, self._whole[start : start + size])
                self._over(number)

    def _read_header(self) -> None:
        lead = self._lead
        head = bytes(self._whole[: lead + _BEFORE])
        if (lead and head[:lead] != b"\r\n") or _LINE.fullmatch(head[lead:][:_LINE_BYTES]) is None:
            raise MalformedError("what stands before a frame is not in its form")
        number, digest, told = _HEADER.unpack_from(head, lead + _LINE_BYTES)
        encoding, size = self._encoding(told >> 24), told & 0xFF_FFFF
        expected = 0 if number >= END else self._size_of(number)
        if expected is None or expected > DELIVERY_CHUNK_BYTES_MAX:
            raise MalformedError(f"a frame of chunk {number}, which was not asked for")
        right = size == expected if encoding is Encoding.RAW else 0 < size < expected
        if not right or int(head[lead : lead + 8], 16) != _HEADER.size + size:
            raise MalformedError(f"a frame of chunk {number} of another size than it has")
        self._frame = number, digest, encoding, size
        self._need = lead + _BEFORE + size + (len(ENDING) if number == END else 0)
        if len(self._whole) < self._need + _BUFFER_BYTES:
            larger = memoryview(bytearray(self._need + _BUFFER_BYTES))
            larger[: self._filled] = self._whole[: self._filled]
            self._whole = larger

    def _encoding(self, told: int) -> Encoding:
        for encoding in self._takes:
            if encoding == told:
                return encoding
        raise MalformedError(f"a frame in encoding {told}, which was not asked for")

    def _over(self, number: int) -> None:
        """Make room for what follows the frame."""
        whole, need, filled = self._whole, self._need, self._filled
        if number == END:
            if bytes(whole[need - len(ENDING) : need]) != ENDING:
                raise MalformedError("the stream does not end as it should")
            self.ended = True
            self.rest = bytes(whole[need:filled])
            return
        if filled > need:
            whole[: filled - need] = whole[need:filled]
        self._filled = filled - need
        self._lead = 2
        self._need = self._lead + _BEFORE
        self._frame = None
