"""Vectors as APIs write them in JSON, packed as collections keep them, and back."""

import math
import sys
from array import array
from collections.abc import Sequence

from littoral.terms.errors import BadRequestError

__all__ = ["normalised", "packed", "packed_rows", "unpacked"]

_BIG_ENDIAN = sys.byteorder == "big"


def packed(numbers: object) -> bytes:
    """A list of numbers as little-endian float32.

    Raises:
        BadRequestError: it is anything else, or a number is too large.
    """
    if not isinstance(numbers, list) or not numbers:
        raise _no_vector()
    try:
        row = array("f", numbers)
    except (TypeError, OverflowError):
        raise _no_vector() from None
    if _BIG_ENDIAN:
        row.byteswap()
    return row.tobytes()


def packed_rows(rows: Sequence[object], dimensions: int) -> bytes:
    """Lists of so many numbers each, one behind the other.

    Raises:
        BadRequestError: they are anything else.
    """
    if not all(isinstance(row, list) and len(row) == dimensions for row in rows):
        raise BadRequestError(
            f"each of several vectors must be a list of {dimensions} numbers", param="vector"
        )
    return packed([number for row in rows if isinstance(row, list) for number in row])


def unpacked(vector: bytes) -> list[float]:
    """The numbers of a packed vector."""
    row = array("f", vector)
    if _BIG_ENDIAN:
        row.byteswap()
    return row.tolist()


def normalised(numbers: Sequence[float]) -> list[float]:
    """The same direction, of length one; nothing at all stays so."""
    length = math.hypot(*numbers)
    return [number / length for number in numbers] if length else [*numbers]


def _no_vector() -> BadRequestError:
    return BadRequestError("a vector is not a list of numbers that float32 can say", param="vector")
