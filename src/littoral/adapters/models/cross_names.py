"""Which files of a folder or a repository make a model that sorts passages. Pure.

It is an ONNX file, in the folder itself or in `onnx/` below, and beside it or above it the
`tokenizer.json` and the `config.json` that it was made with.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

import msgspec

from littoral.terms.errors import BadRequestError, OriginRefusedError, UnsupportedError

__all__ = ["ONNX", "CrossFiles", "cross_files", "has_onnx"]

ONNX: Final = ".onnx"
_USUAL: Final = (
    "model.onnx",
    "onnx/model.onnx",
    "model_quantized.onnx",
    "onnx/model_quantized.onnx",
)
"""Taken, the first that is there, when several files are and none is named."""

_MORE: Final = (".data", "_data")
"""How files end that hold the numbers of a model too large for one file."""

LISTED_MAX: Final = 20
"""Files that an error lists."""


class CrossFiles(msgspec.Struct, frozen=True):
    """The paths of all that is needed."""

    weights: str
    tokenizer: str
    config: str


def has_onnx(paths: Sequence[str]) -> bool:
    """Whether any file is an ONNX model."""
    return any(path.lower().endswith(ONNX) for path in paths)


def cross_files(paths: Sequence[str], wanted: str | None, where: str) -> CrossFiles:
    """The three files that are meant.

    Args:
        paths: of all files, relative to the folder or the repository.
        wanted: a path, or a part of one that only one file has.
        where: the folder or the repository, for errors.

    Raises:
        OriginRefusedError: there is no ONNX file.
        BadRequestError: several could be meant, or none is.
        UnsupportedError: a file that belongs to it is missing, or it is cut into several.
    """
    weights = _weights(paths, wanted, where)
    if any(path.startswith(weights) and path.endswith(_MORE) for path in paths):
        raise UnsupportedError(
            f"{weights} of {where} keeps its numbers in other files",
            advice="choose a quantised file, which is one",
        )
    return CrossFiles(
        weights,
        _beside(paths, weights, "tokenizer.json", where),
        _beside(paths, weights, "config.json", where),
    )


def _weights(paths: Sequence[str], wanted: str | None, where: str) -> str:
    there = [path for path in paths if path.lower().endswith(ONNX)]
    if not there:
        raise OriginRefusedError(
            f"{where} has no ONNX file",
            advice="give the folder or the repository of a cross-encoder that has one",
        )
    named = [path for path in there if wanted is None or wanted.lower() in path.lower()]
    usual: list[list[str]] = [[path] for path in _USUAL if path in named]
    exact = [path for path in named if path == wanted]
    groups: tuple[list[str], ...] = (exact, named, *usual)
    for group in groups:
        if len(group) == 1:
            return group[0]
    listed = (named or there)[:LISTED_MAX]
    raise BadRequestError(
        f"{where} has {len(named)} ONNX files that match"
        if named
        else f"{where} has no ONNX file {wanted!r}",
        advice=f"choose one: {', '.join(listed)}",
        details={"files": listed},
    )


def _beside(paths: Sequence[str], weights: str, name: str, where: str) -> str:
    for folder in PurePosixPath(weights).parents:
        if str(folder / name) in paths:
            return str(folder / name)
    raise UnsupportedError(
        f"{where} has no {name} for {weights}",
        advice="give the folder as transformers or sentence-transformers has written it",
    )
