"""Which GGUF file of a repository is meant.

Pure: it reads no network. A repository often has ten quantisations of one model; which of them is
meant is never guessed beyond the one rule that the documentation states.
"""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

from littoral.adapters.origins.references import HubReference
from littoral.terms.artifacts import OriginFile
from littoral.terms.errors import BadRequestError, OriginRefusedError, UnsupportedError

__all__ = ["choose"]

PREFERRED: Final = "q4_k_m"
"""Taken when several files are there and exactly one is of this kind: the field's usual choice."""

LISTED_MAX: Final = 20
"""Files that an error lists."""

_SPLIT: Final = re.compile(r"-\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)
_NOT_MODELS: Final = ("mmproj", "imatrix")


def choose(reference: HubReference, files: Sequence[OriginFile]) -> OriginFile:
    """The one file that is meant.

    Raises:
        OriginRefusedError: the repository has none that could be.
        BadRequestError: more than one could be; the message lists them with their sizes.
        UnsupportedError: it is cut into several files.
    """
    candidates = [file for file in files if _is_model(file)]
    if not candidates:
        raise OriginRefusedError(
            f"{reference.repository} has no GGUF file",
            advice="look for a repository of the same model whose name ends in -GGUF",
        )
    named = [file for file in candidates if _is_meant(file, reference.file)]
    exact = [file for file in named if file.path == reference.file]
    preferred = [file for file in named if PREFERRED in file.path.lower()]
    for group in (exact, named, preferred):
        if len(group) == 1:
            return _whole(group[0])
    raise BadRequestError(
        f"{reference.repository} has {len(named)} GGUF files that match"
        if named
        else f"{reference.repository} has no GGUF file {reference.file!r}",
        advice=f"choose one: {_listed(reference, named or candidates)}",
        details={"files": [file.path for file in named or candidates]},
    )


def _is_model(file: OriginFile) -> bool:
    name = PurePosixPath(file.path).name.lower()
    return name.endswith(".gguf") and not any(word in name for word in _NOT_MODELS)


def _is_meant(file: OriginFile, wanted: str | None) -> bool:
    return wanted is None or wanted.lower() in file.path.lower()


def _whole(file: OriginFile) -> OriginFile:
    if _SPLIT.search(file.path):
        raise UnsupportedError(
            f"{file.path} is one piece of a model that is cut into several files",
            advice="choose a quantisation that is one file",
        )
    return file


def _listed(reference: HubReference, files: list[OriginFile]) -> str:
    shown = [
        f"hf:{reference.repository}:{file.path} ({file.size_bytes / 1e6:,.0f} MB)"
        for file in files[:LISTED_MAX]
    ]
    more = len(files) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
