"""Reads a safetensors header, and trusts none of it.

Rules
- The header's length, every tensor's range and its agreement with the shape are checked against
  the size of the file before anything is read.
- Any file gives a table or a `BadRequestError`; nothing else. The tensors' bytes stay on the disk.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Final

from littoral.terms.errors import BadRequestError

__all__ = ["Tensor", "read_safetensors"]

HEADER_BYTES_MAX: Final = 100_000_000
"""As in the format's own implementation."""

DIMENSIONS_MAX: Final = 8

_ITEM_BYTES: Final = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I8": 1, "U8": 1}


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where one tensor is: `start` counts from the beginning of the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    size_bytes: int


def read_safetensors(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a file by name.

    Raises:
        BadRequestError: it is no safetensors file, or damaged.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(HEADER_BYTES_MAX, size - 8):
            raise _refusal(path, "has no header of a possible length")
        try:
            table = json.loads(file.read(length))
        except (ValueError, RecursionError) as error:
            raise _refusal(path, "has a header that is not JSON") from error
    if not isinstance(table, dict):
        raise _refusal(path, "has a header that is not an object")
    table.pop("__metadata__", None)
    return {name: _tensor(path, name, row, 8 + length, size) for name, row in table.items()}


def _tensor(path: Path, name: str, row: object, data: int, size: int) -> Tensor:
    match row:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(start), int(end)]}:
            pass
        case _:
            raise _refusal(path, f"describes {name[:80]!r} in no known way")
    dimensions = tuple(item for item in shape if isinstance(item, int) and 0 <= item <= size)
    if dtype not in _ITEM_BYTES or len(dimensions) != len(shape) or len(shape) > DIMENSIONS_MAX:
        raise _refusal(path, f"gives {name[:80]!r} a senseless type or shape")
    if not 0 <= start <= end <= size - data:
        raise _refusal(path, f"puts {name[:80]!r} outside the file")
    if prod(dimensions) * _ITEM_BYTES[dtype] != end - start:
        raise _refusal(path, f"gives {name[:80]!r} a shape that its bytes do not have")
    return Tensor(dtype, dimensions, data + start, end - start)


def _refusal(path: Path, problem: str) -> BadRequestError:
    return BadRequestError(f"{path.name} {problem}", advice="give a complete safetensors file")
