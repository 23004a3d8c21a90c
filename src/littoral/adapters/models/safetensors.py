"""Reads what a safetensors file says of its tensors, and trusts none of it.

Rules
- The header's length, every tensor's range and its agreement with the shape are checked against
  the size of the file before anything is read.
- Any file gives a table or a `BadRequestError`; nothing else. The tensors' bytes stay on the disk.
"""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Final

from littoral.delivery.safetensors import Tensor, parse_safetensors, refusal

__all__ = ["read_safetensors"]

_ITEM_BYTES: Final = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I8": 1, "U8": 1}


def read_safetensors(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a file by name.

    Raises:
        BadRequestError: it is no safetensors file, damaged, or has types that are not known here.
    """
    with path.open("rb") as file:
        tensors = parse_safetensors(path.name, path.stat().st_size, file.read).tensors
    for name, tensor in tensors.items():
        if tensor.dtype not in _ITEM_BYTES:
            raise refusal(path.name, f"gives {name[:80]!r} a senseless type or shape")
        if prod(tensor.shape) * _ITEM_BYTES[tensor.dtype] != tensor.size_bytes:
            raise refusal(path.name, f"gives {name[:80]!r} a shape that its bytes do not have")
    return tensors
