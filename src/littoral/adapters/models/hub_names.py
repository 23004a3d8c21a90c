"""How files are named on the Hub: references that people write, and the choice among files.

Pure: it reads no network. A repository often has ten quantisations of one model; which of them is
meant is never guessed beyond the one rule that the documentation states.
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from littoral.terms.errors import BadRequestError, OriginError, UnsupportedError

__all__ = [
    "Candidate",
    "HubReference",
    "choose",
    "commit_of",
    "parse_reference",
    "sha256_of_etag",
]

PREFERRED: Final = "q4_k_m"
"""Taken when several files are there and exactly one is of this kind: the field's usual choice."""

LISTED_MAX: Final = 20
"""Files that an error lists."""

_REPOSITORY: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_REVISION: Final = re.compile(r"[\w./-]{1,200}")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SPLIT: Final = re.compile(r"-\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)
_NOT_MODELS: Final = ("mmproj", "imatrix")


@dataclass(frozen=True, slots=True)
class HubReference:
    """What a person asked for."""

    repository: str
    file: str | None = None
    """A path in the repository, or a part of a file's name that only one file has."""
    revision: str = "main"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file of a repository as the Hub lists it."""

    path: str
    size_bytes: int | None
    sha256: str | None


def parse_reference(text: str) -> HubReference:
    """Read `owner/repo[:file][@revision]`.

    Raises:
        BadRequestError: it is not that.
    """
    rest, _, revision = text.partition("@")
    repository, _, file = rest.partition(":")
    parts = PurePosixPath(file).parts
    if (
        not _REPOSITORY.fullmatch(repository)
        or not _REVISION.fullmatch(revision or "main")
        or file.startswith("/")
        or ".." in (*parts, *revision.split("/"))
    ):
        raise BadRequestError(
            f"{text[:200]!r} does not name a repository on the Hub",
            advice="write hf:owner/repo, and if need be :file and @revision after it",
        )
    return HubReference(repository, file or None, revision or "main")


def choose(reference: HubReference, siblings: object) -> Candidate:
    """The one file that is meant.

    Raises:
        OriginError: the repository has none that could be.
        BadRequestError: more than one could be; the message lists them with their sizes.
        UnsupportedError: it is cut into several files.
    """
    candidates = [file for file in _candidates(siblings) if _is_model(file)]
    if not candidates:
        raise OriginError(
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


def commit_of(value: object, repository: str) -> str:
    """The commit that a listing is of, checked.

    Raises:
        OriginError: it is none.
    """
    if not isinstance(value, str) or not _COMMIT.fullmatch(value):
        raise OriginError(
            f"the answer for {repository} names no commit",
            advice="check that the endpoint speaks the Hub's protocol",
        )
    return value


def sha256_of_etag(value: str | None) -> str | None:
    """The SHA-256 that an entity tag is, quoted or not, weak or not; None when it is another."""
    bare = (value or "").strip().removeprefix("W/").strip('"').lower()
    return bare if _SHA256.fullmatch(bare) else None


def _candidates(siblings: object) -> list[Candidate]:
    rows = siblings if isinstance(siblings, list) else []
    return [found for row in rows if (found := _candidate(row)) is not None]


def _candidate(row: object) -> Candidate | None:
    match row:
        case {"rfilename": str(path), "lfs": {"sha256": str(sha256), "size": int(size)}}:
            return Candidate(path, size, sha256_of_etag(sha256))
        case {"rfilename": str(path)}:
            return Candidate(path, None, None)
        case _:
            return None


def _is_model(file: Candidate) -> bool:
    name = PurePosixPath(file.path).name.lower()
    return name.endswith(".gguf") and not any(word in name for word in _NOT_MODELS)


def _is_meant(file: Candidate, wanted: str | None) -> bool:
    return wanted is None or wanted.lower() in file.path.lower()


def _whole(file: Candidate) -> Candidate:
    if _SPLIT.search(file.path):
        raise UnsupportedError(
            f"{file.path} is one piece of a model that is cut into several files",
            advice="choose a quantisation that is one file",
        )
    return file


def _listed(reference: HubReference, files: list[Candidate]) -> str:
    shown = [
        f"hf:{reference.repository}:{file.path}"
        + (f" ({file.size_bytes / 1e6:,.0f} MB)" if file.size_bytes is not None else "")
        for file in files[:LISTED_MAX]
    ]
    more = len(files) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
