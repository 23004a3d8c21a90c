"""How the bytes of a chunk travel, where that takes fewer than there are.

- `RAW`: as they are.
- `PLANES`: one byte of width, then the planes.
- `DELTA`: where in a base that the receiver holds (2 bytes of file, 5 of start, big endian), one
  byte of width, then the planes of the chunk XORed with as many bytes of the base from there on.

A *plane* has every width-th byte, from the first, the second, and so on: of bfloat16 one has signs
and exponents, which are much alike, and one has nothing that compresses. Each is 3 bytes of length
and a frame of zstd, or the plane itself where that is no longer.

Rules
- What is encoded is shorter than the chunk by a sixteenth at least, or it is sent raw.
- Nothing is believed: what comes out has the chunk's size or is refused, and never takes memory of
  more; whether it is right, its BLAKE3 says.
- Nobody need agree on what resembles what: the sender names the place in the base.

On one core here: planes of bfloat16 575 MB/s, deltas 390; back 1,700 and 490. With numpy only the
XOR would be quicker.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final, assert_never

from littoral.terms.errors import BadRequestError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["Before", "WIDTH_MAX", "Encoding", "Place", "decoded", "in_planes", "with_base"]

WIDTH_MAX: Final = 8
"""Bytes of the widest elements."""

_LEVEL: Final = 1
"""Of zstd. Higher ones save nothing here, and lower ones a tenth less."""
_WINDOW_LOG: Final = 22
"""No chunk is longer than this window, 4 MiB; what asks for a larger one is refused."""
_OPTIONS: Final = {int(zstd.DecompressionParameter.window_log_max): _WINDOW_LOG}
_SAVED_PART: Final = 16
_LENGTH_BYTES: Final = 3
_PLACE: Final = Struct(">HBI")


class Encoding(IntEnum):
    """How a chunk travels, as a frame says it."""

    RAW = 0
    PLANES = 1
    DELTA = 2


@dataclass(frozen=True, slots=True)
class Place:
    """Where bytes are in a base."""

    file: int
    """Which of its files, from 0; less than 65,536."""
    start: int
    """Their first byte there."""


Before = Callable[[Place, int], bytes | memoryview | None]
"""So many bytes of the base from a place on; None where it has no such."""


def in_planes(data: bytes | memoryview, width: int) -> bytes | None:
    """A chunk as `PLANES`; None where that is hardly shorter.

    Args:
        data: the chunk, at least one byte.
        width: bytes of an element, 1 to WIDTH_MAX.
    """
    return _shorter(b"", bytes(data), width)


def with_base(
    data: bytes | memoryview, place: Place, base: bytes | memoryview, width: int
) -> bytes | None:
    """A chunk as `DELTA`; None where that is hardly shorter.

    Args:
        data: the chunk, at least one byte.
        place: of the bytes of the base.
        base: these, as many as the chunk has.
        width: as for `in_planes`.
    """
    assert len(base) == len(data), "byte against byte"
    where = _PLACE.pack(place.file, place.start >> 32, place.start & 0xFFFFFFFF)
    return _shorter(where, _xored(data, base), width)


def decoded(
    encoding: Encoding, body: bytes | memoryview, size_bytes: int, base: Before
) -> bytes | memoryview:
    """The chunk that this is, or what somebody pretends to be one.

    Args:
        encoding: how it came.
        body: what came.
        size_bytes: of the chunk.
        base: what deltas are against.

    Raises:
        BadRequestError: it is not in the form of this encoding, not of this size, or against bytes
            that the base does not have.
    """
    match encoding:
        case Encoding.RAW:
            if len(body) != size_bytes:
                raise _refusal("has another size than its chunk")
            return body
        case Encoding.PLANES:
            return _joined(memoryview(body), size_bytes)
        case Encoding.DELTA:
            if len(body) < _PLACE.size:
                raise _refusal("names no place in its base")
            file, high, low = _PLACE.unpack_from(body)
            before = base(Place(file, high << 32 | low), size_bytes)
            if before is None or len(before) != size_bytes:
                raise _refusal("is against something that its base does not have")
            return _xored(_joined(memoryview(body)[_PLACE.size :], size_bytes), before)
        case _:
            assert_never(encoding)


def _shorter(lead: bytes, data: bytes, width: int) -> bytes | None:
    assert 0 < width <= WIDTH_MAX, "the width of an element"
    parts = [lead, bytes((width,))]
    for first in range(width):
        plane = data[first::width]
        packed = zstd.compress(plane, _LEVEL)
        kept = packed if len(packed) < len(plane) else plane
        parts += (len(kept).to_bytes(_LENGTH_BYTES, "big"), kept)
    body = b"".join(parts)
    return body if len(body) <= len(data) - len(data) // _SAVED_PART - 1 else None


def _joined(body: memoryview, size_bytes: int) -> bytes:
    """The bytes whose width and planes these are."""
    width = body[0] if body else 0
    if not 0 < width <= WIDTH_MAX:
        raise _refusal("has elements of no width")
    data = bytearray(size_bytes)
    planes = _planes(body[1:], width)
    for first, plane in enumerate(planes):
        length = len(range(first, size_bytes, width))
        data[first::width] = plane if len(plane) == length else _unpacked(plane, length)
    return bytes(data)


def _planes(body: memoryview, width: int) -> Iterator[memoryview]:
    at = 0
    for _ in range(width):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(body[start - _LENGTH_BYTES : start], "big")
        if start > len(body) or at > len(body):
            raise _refusal("is cut off")
        yield body[start:at]
    if at != len(body):
        raise _refusal("has more than its planes")


def _unpacked(packed: memoryview, length: int) -> bytes:
    """What a frame of zstd has in it, if that is of this length."""
    try:
        frame = zstd.ZstdDecompressor(options=_OPTIONS)
        data = frame.decompress(packed, max_length=length)
    except zstd.ZstdError:
        raise _refusal("has a plane that is no frame of zstd") from None
    if len(data) != length or not frame.eof or frame.unused_data:
        raise _refusal("has a plane of another length")
    return data


def _xored(one: bytes | memoryview, other: bytes | memoryview) -> bytes:
    """Byte against byte, of two of one length."""
    return (int.from_bytes(one, "little") ^ int.from_bytes(other, "little")).to_bytes(
        len(one), "little"
    )


def _refusal(problem: str) -> BadRequestError:
    return BadRequestError(f"a chunk {problem}", advice="fetch it from elsewhere")
