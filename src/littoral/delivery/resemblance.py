"""What a chunk resembles: the tensor that it is of, and the same tensor of a base.

A fine-tune has the tensors of its base under the same names, each number a little changed. So a
chunk of one is encoded against the same bytes of the other, wherever in whichever file they stand.

It is the sender that looks; the receiver is told the place. What is found may be wrong, and then
nothing is saved.
"""

from bisect import bisect_right
from collections.abc import Mapping
from typing import Final

from littoral.delivery.cutting import TensorRow, decode_tensors
from littoral.delivery.encoding import Before, Encoding, Place, in_planes, with_base
from littoral.delivery.tables import Chunk
from littoral.terms.errors import BadRequestError

__all__ = ["Tensors", "encoded", "least_bytes"]

_WIDTHS: Final = {
    **dict.fromkeys(("BF16", "F16", "I16", "U16", "ggml1", "ggml30"), 2),
    **dict.fromkeys(("F32", "I32", "U32", "ggml0"), 4),
    **dict.fromkeys(("F64", "I64", "U64"), 8),
}
"""Bytes of an element; all others are taken for one byte."""

_PLANES_LEAST: Final = {"BF16": 0.68, "F16": 0.84, "F32": 0.84, "F64": 0.87}
"""Of normally distributed numbers, what is left in planes; of all others, nothing is promised."""

_FILES_MAX: Final = 1 << 16
_GOOD_PART: Final = 0.5
"""A delta of no more than this part of its chunk is taken without looking whether planes of the
chunk alone would be shorter: they seldom are."""


class Tensors:
    """The tensors of one artifact, by where they are and by name. A value."""

    def __init__(self, lists: Mapping[int, bytes]) -> None:
        """Read lists of tensors (`cutting.py`), by the number of their file; none that is damaged.

        It takes about 5 µs for each tensor.
        """
        self._rows: dict[int, list[TensorRow]] = {}
        self._named: dict[tuple[str, str], tuple[int, TensorRow]] = {}
        for file, data in sorted(lists.items()):
            try:
                rows = [row for row in decode_tensors(data) if row.size_bytes]
            except BadRequestError:
                continue
            self._rows[file] = sorted(rows, key=lambda row: row.start)
            for row in rows:
                self._named.setdefault((row.name, row.dtype), (file, row))

    def of(self, chunk: Chunk) -> TensorRow | None:
        """The tensor that has all bytes of a chunk; None where none has."""
        rows = self._rows.get(chunk.file, [])
        at = bisect_right(rows, chunk.start, key=lambda row: row.start) - 1
        if at < 0 or chunk.start + chunk.size_bytes > rows[at].start + rows[at].size_bytes:
            return None
        return rows[at]

    def place_of(self, row: TensorRow, start: int, size_bytes: int) -> Place | None:
        """Where this artifact has the bytes that another has in a tensor of this name.

        Args:
            row: of the other.
            start: of the bytes within the tensor.
            size_bytes: of them.
        """
        found = self._named.get((row.name, row.dtype))
        if found is None or found[0] >= _FILES_MAX or start + size_bytes > found[1].size_bytes:
            return None
        return Place(found[0], found[1].start + start)


def encoded(
    chunk: Chunk, data: bytes | memoryview, own: Tensors, base: tuple[Tensors, Before] | None
) -> tuple[Encoding, bytes] | None:
    """A chunk in fewer bytes; None where it had better be sent as it is.

    Args:
        chunk: which.
        data: its bytes.
        own: the tensors of its artifact.
        base: those of an artifact that the receiver has, and its bytes.
    """
    row = own.of(chunk)
    width = 1 if row is None else _WIDTHS.get(row.dtype, 1)
    delta = None
    if row is not None and base is not None:
        place = base[0].place_of(row, chunk.start - row.start, chunk.size_bytes)
        before = None if place is None else base[1](place, chunk.size_bytes)
        if place is not None and before is not None:
            delta = with_base(data, place, before, width)
    if delta is not None and len(delta) <= _GOOD_PART * len(data):
        return Encoding.DELTA, delta
    planes = in_planes(data, width)
    if delta is not None and (planes is None or len(delta) < len(planes)):
        return Encoding.DELTA, delta
    return None if planes is None else (Encoding.PLANES, planes)


def least_bytes(chunk: Chunk, own: Tensors, base: Tensors | None) -> int:
    """In how few bytes a chunk may travel, as numbers of its kind usually do.

    Args:
        chunk: which.
        own: the tensors of its artifact.
        base: those of an artifact that both sides have. What it has too may differ by a number
            alone, which takes next to nothing.
    """
    row = own.of(chunk)
    if row is None:
        return chunk.size_bytes
    if base is not None and base.place_of(row, chunk.start - row.start, chunk.size_bytes):
        return 0
    return int(chunk.size_bytes * _PLANES_LEAST.get(row.dtype, 1.0))
