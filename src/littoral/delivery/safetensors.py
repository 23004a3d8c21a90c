"""Reads the bytes of a safetensors header: where each tensor is. It trusts none of them.

Rules
- The header's length and every tensor's range are checked against the size of the file.
- Any file gives a `SafetensorsLayout` or a `BadRequestError`; nothing else.
- Only the header is asked for, so the file may be far away.

What types there are, and whether a shape has as many bytes as its tensor, is for who uses the
values: files may be delivered whose types are not known here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from littoral.delivery.gguf import Read
from littoral.terms.errors import BadRequestError

__all__ = ["SafetensorsLayout", "Tensor", "parse_safetensors", "refusal"]

HEADER_BYTES_MAX: Final = 100_000_000
"""As in the format's own implementation."""

DIMENSIONS_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where one tensor is: `start` counts from the beginning of the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SafetensorsLayout:
    """A header."""

    tensors: Mapping[str, Tensor]
    """By name, as the header lists them."""
    data_start: int
    """Where the first tensor may begin: after the header."""


def parse_safetensors(name: str, size_bytes: int, read: Read) -> SafetensorsLayout:
    """Read a header.

    Args:
        name: of the file, for what is said of it.
        size_bytes: of the whole file.
        read: gives its bytes from the first on.

    Raises:
        BadRequestError: it is no safetensors file, or damaged; and what `read` raises.
    """
    head = read(8) if size_bytes >= 8 else b""
    length = int.from_bytes(head[:8], "little")
    if not 2 <= length <= min(HEADER_BYTES_MAX, size_bytes - 8):
        raise refusal(name, "has no header of a possible length")
    if len(head) < 8 + length:
        head += read(8 + length - len(head))
    try:
        table = json.loads(head[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise refusal(name, "has a header that is not JSON") from error
    if not isinstance(table, dict):
        raise refusal(name, "has a header that is not an object")
    table.pop("__metadata__", None)
    data = 8 + length
    tensors = {key: _tensor(name, key, row, data, size_bytes) for key, row in table.items()}
    return SafetensorsLayout(tensors, data)


def _tensor(file: str, name: str, row: object, data: int, size: int) -> Tensor:
    match row:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(start), int(end)]}:
            pass
        case _:
            raise refusal(file, f"describes {name[:80]!r} in no known way")
    dimensions = tuple(item for item in shape if isinstance(item, int) and 0 <= item <= size)
    if len(dimensions) != len(shape) or len(shape) > DIMENSIONS_MAX:
        raise refusal(file, f"gives {name[:80]!r} a senseless type or shape")
    if not 0 <= start <= end <= size - data:
        raise refusal(file, f"puts {name[:80]!r} outside the file")
    return Tensor(dtype, dimensions, data + start, end - start)


def refusal(file: str, problem: str) -> BadRequestError:
    """What is said of a file that is no good safetensors file; `problem` ends a sentence."""
    return BadRequestError(f"{file} {problem}", advice="give a complete safetensors file")
