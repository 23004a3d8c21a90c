"""What models in the worker of ONNX Runtime have in common: how one opens, and how it stops.

Rules
- A session computes on the thread that asks it, so as many are at work as threads ask.
- Between groups of texts it is looked whether the caller still waits.

It knows neither tokens nor what comes out.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    import onnxruntime
    from tokenizers import Tokenizer

__all__ = ["GoneError", "RefusedError", "in_groups", "opened", "tokenizer_at"]

_GROUP_TEXTS: Final = 64
"""Texts between two looks for a caller who left."""

One = TypeVar("One")


class RefusedError(Exception):
    """The request can't be done; the arguments are the error's fields."""

    def __init__(self, **fields: object) -> None:
        super().__init__(str(fields.get("type")))
        self.fields = fields


class GoneError(Exception):
    """The PoP closed the connection: nobody waits for the answer."""


def opened(path: str) -> "onnxruntime.InferenceSession":
    """The model in a file, ready to compute."""
    import onnxruntime  # noqa: PLC0415  # heavy: only in the worker's process

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def tokenizer_at(path: str) -> "Tokenizer":
    """The tokenizer in a file, which cuts nothing and fills nothing up."""
    from tokenizers import Tokenizer  # noqa: PLC0415

    tokenizer = Tokenizer.from_file(path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def in_groups(items: Sequence[One], still_wanted: Callable[[], bool]) -> Iterator[Sequence[One]]:
    """The same items, some at a time, as long as the caller waits.

    Raises:
        GoneError: nobody does any more.
    """
    for start in range(0, len(items), _GROUP_TEXTS):
        if not still_wanted():
            raise GoneError
        yield items[start : start + _GROUP_TEXTS]
