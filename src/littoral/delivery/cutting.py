"""Cuts files into chunks, so that what two files have in common are the same chunks.

Rules
- Whatever a file says of itself, it is covered exactly once and in order; a header that can't be
  believed costs nothing but the sharing. Cuts follow from the bytes, the size and the name of the
  file alone, so that they are the same on every PoP.
- A tensor is cut from its own start, in pieces of a size that depends on the tensor; only beyond 20
  GB on the file. So it has the same chunks wherever in whichever file it stands. What pads it in
  GGUF belongs to it: how much that is depends on its own length.
- Small tensors are not put together: a chunk of two would be lost when either moves. They cost 40
  bytes of table each. A file in which they are the rule is cut as a plain one.
- In a GGUF header each large entry (tokens, merges) is cut from its own start too, so that an edit
  of another does not move it.
- Other files, and files of one piece, are cut at fixed distances.

Sizes were chosen by measurement: of two versions of a model, what is fetched for the second.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Final

import msgspec

from littoral.delivery.gguf import Read, parse_gguf
from littoral.delivery.manifest import FileFormat
from littoral.delivery.safetensors import parse_safetensors
from littoral.delivery.tables import encode_cuts
from littoral.terms.errors import BadRequestError
from littoral.trust.decoding import UNREADABLE

__all__ = ["TENSORS_BYTES_MAX", "Cut", "TensorRow", "cut_file", "decode_tensors"]

PIECE_BYTES: Final = 256 * 1024
"""Small enough that eight PoPs each pass on their part of a small file without a pause."""

LARGE_PIECE_BYTES: Final = 1024 * 1024
HUGE_PIECE_BYTES: Final = 4 * 1024 * 1024

LARGE_TENSOR_BYTES: Final = 64 * 1024 * 1024
"""A larger one is cut in large pieces."""

HUGE_TENSOR_BYTES: Final = 256 * 1024 * 1024
HUGE_FILE_BYTES: Final = 20 * 10**9
"""Beyond both, in huge ones."""

LARGE_PLAIN_BYTES: Final = 256 * 1024 * 1024
"""A larger file of no known format is cut in large pieces."""

FREE_CHUNKS: Final = 4_096
MEAN_BYTES_MIN: Final = 16 * 1024
"""The mean of chunks beyond the free ones: less, and their tables and frames would cost a part of
what they save."""

TENSORS_BYTES_MAX: Final = 32 * 1024 * 1024
"""Of a list of tensors; a longer one is left out."""


class TensorRow(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One tensor of a file, as the file says it."""

    name: str
    dtype: str
    """As in safetensors; in GGUF `ggml` and the number that ggml has for it."""
    shape: tuple[int, ...]
    start: Annotated[int, msgspec.Meta(ge=0)]
    size_bytes: Annotated[int, msgspec.Meta(ge=0)]
    """In GGUF with what pads it."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How a file is cut."""

    format: FileFormat
    cuts: bytes
    """Where (`tables.encode_cuts`)."""
    tensors: bytes | None
    """The list of its tensors by start (`decode_tensors`), where it has a format that has any."""


@dataclass(frozen=True, slots=True)
class _Layout:
    format: FileFormat
    edges: Iterable[int]
    """Where something begins that is cut from its own start, besides the file."""
    tensors: list[TensorRow]


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(tuple[TensorRow, ...])


def cut_file(path: str, size_bytes: int, read: Read) -> Cut:
    """Cut one file.

    Args:
        path: its name in the artifact, which tells whether a header is looked for.
        size_bytes: of the whole file.
        read: gives its bytes from the first on, as far as its header reaches. They are worth
            keeping: they are chunks of the file.

    Raises:
        What `read` raises; nothing else.
    """
    layout = _layout(path, size_bytes, read) if size_bytes > PIECE_BYTES else None
    if layout is not None:
        edges = {0, size_bytes, *(edge for edge in layout.edges if 0 < edge < size_bytes)}
        cuts = list(_pieces(sorted(edges), size_bytes))
        if len(cuts) <= FREE_CHUNKS or len(cuts) * MEAN_BYTES_MIN <= size_bytes:
            listed = _ENCODER.encode(sorted(layout.tensors, key=lambda row: (row.start, row.name)))
            tensors = listed if len(listed) <= TENSORS_BYTES_MAX else None
            return Cut(layout.format, encode_cuts(cuts), tensors)
    piece = PIECE_BYTES if size_bytes <= LARGE_PLAIN_BYTES else LARGE_PIECE_BYTES
    return Cut(FileFormat.PLAIN, encode_cuts(_every(0, size_bytes, piece)), None)


def decode_tensors(data: bytes) -> tuple[TensorRow, ...]:
    """The tensors that these bytes list. A file may say anything of them but a place outside it.

    Raises:
        BadRequestError: they are no list of tensors.
    """
    try:
        return _DECODER.decode(data)
    except UNREADABLE:
        raise BadRequestError("this is no list of tensors", advice="ask another for it") from None


def _pieces(edges: list[int], file_bytes: int) -> Iterator[tuple[int, int]]:
    for start, end in pairwise(edges):
        yield from _every(start, end, _piece_bytes(end - start, file_bytes))


def _piece_bytes(tensor_bytes: int, file_bytes: int) -> int:
    if tensor_bytes <= LARGE_TENSOR_BYTES:
        return PIECE_BYTES
    if tensor_bytes > HUGE_TENSOR_BYTES and file_bytes > HUGE_FILE_BYTES:
        return HUGE_PIECE_BYTES
    return LARGE_PIECE_BYTES


def _every(start: int, end: int, piece_bytes: int) -> Iterator[tuple[int, int]]:
    for at in range(start, end, piece_bytes):
        yield at, min(piece_bytes, end - at)


def _layout(path: str, size_bytes: int, read: Read) -> _Layout | None:
    """What the file says of itself; None where it says nothing that can be believed."""
    name = path.rpartition("/")[2]
    suffix = name.rpartition(".")[2].lower() if "." in name else ""
    if suffix not in ("", "gguf", "safetensors"):
        return None
    head = read(8)

    def again(least: int) -> bytes:
        """As `read`, but from the first byte on."""
        nonlocal head
        given, head = head, b""
        return given + (read(least - len(given)) if len(given) < least else b"")

    try:
        if head.startswith(b"GGUF"):
            return _gguf(name, size_bytes, again)
        return _safetensors(name, size_bytes, again)
    except BadRequestError:
        return None


def _gguf(name: str, size_bytes: int, read: Read) -> _Layout:
    layout = parse_gguf(name, size_bytes, read)
    starts = [tensor.start for tensor in layout.tensors]
    ends = dict(pairwise(sorted({*starts, size_bytes})))
    rows = [
        TensorRow(it.name, f"ggml{it.type}", it.shape, it.start, ends[it.start] - it.start)
        for it in layout.tensors
    ]
    entries = (edge for span in layout.large for edge in span)
    edges = (*entries, layout.tensors_start, layout.data_start, *starts)
    return _Layout(FileFormat.GGUF, edges, rows)


def _safetensors(name: str, size_bytes: int, read: Read) -> _Layout:
    layout = parse_safetensors(name, size_bytes, read)
    rows = [
        TensorRow(_text(key), _text(it.dtype), it.shape, it.start, it.size_bytes)
        for key, it in layout.tensors.items()
    ]
    ends = (row.start + row.size_bytes for row in rows)
    edges = (layout.data_start, *(row.start for row in rows), *ends)
    return _Layout(FileFormat.SAFETENSORS, edges, rows)


def _text(text: str) -> str:
    """JSON can name half a character; such a one is replaced."""
    return text.encode("utf-8", "replace").decode()
