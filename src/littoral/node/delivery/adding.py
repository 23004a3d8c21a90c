"""A model out of an artifact: an entry in the catalogue whose files stay in the store."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from littoral.adapters.artifacts import ArtifactStore
from littoral.adapters.models import Catalogue
from littoral.adapters.models.builtin import built_in_of
from littoral.adapters.models.describe import gguf_entry
from littoral.adapters.models.gguf import read_gguf
from littoral.terms.artifacts import OriginListing
from littoral.terms.errors import (
    BadRequestError,
    ConflictError,
    LittoralError,
    UnsupportedError,
)
from littoral.terms.ids import ArtifactId, Digest, ModelName, model_name
from littoral.terms.values import ModelEntry

__all__ = [
    "NO_MODEL",
    "Promised",
    "add_to_catalogue",
    "check_listing",
    "check_name",
    "digest_present",
    "model_among",
]

NO_MODEL: Final = (BadRequestError, UnsupportedError)
"""What a file is refused by that is none which an engine here serves."""


class Promised(Protocol):
    """A file, as far as it is known before it is here."""

    @property
    def path(self) -> str:
        """In its artifact."""

    @property
    def size_bytes(self) -> int:
        """Of all of it."""

    @property
    def sha256(self) -> Digest | None:
        """None where nobody promises it."""


class _Listed(NamedTuple):
    path: str
    size_bytes: int
    sha256: Digest | None


def add_to_catalogue(
    catalogue: Catalogue,
    store: ArtifactStore,
    artifact: ArtifactId,
    reference: str,
    name: str | None,
) -> ModelName | None:
    """Add the model that is in an artifact, and keep the artifact from being dropped. Blocks.

    Args:
        catalogue: where to.
        store: that has the artifact whole.
        artifact: which.
        reference: what it was pulled as.
        name: what to call it; else as `model_among` says.

    Returns: what it is called; None where there is not exactly one model in it that can be served
        here, and so nothing was added.

    Raises:
        BadRequestError, UnsupportedError: a name was given, and there is no such model.
        ConflictError: another model has the name.
    """
    with store.shelf.hold(artifact) as held:
        found = model_among(held.manifest.files, reference, name)
        if found is None:
            return None
        number, chosen = found
        path, file = held.paths[number], held.manifest.files[number]
        kept = "what was pulled is in the store; give it a name with --name"
        if _is_present(catalogue, chosen, file, advice=kept):
            return chosen
        try:
            entry = gguf_entry(chosen, read_gguf(path), path, file.sha256, origin=reference)
        except NO_MODEL:
            if name is None:
                return None
            raise
        with catalogue.adding(chosen, resumable=False, progress=_silent) as staging:
            staging.commit(entry)
    store.pin(artifact, pinned=True)
    return chosen


def check_name(
    catalogue: Catalogue, files: Sequence[Promised], reference: str, name: str | None
) -> None:
    """See, before anything is fetched, that what these files have could be added by that name.

    Raises:
        BadRequestError, ConflictError: as `add_to_catalogue`.
    """
    found = model_among(files, reference, name)
    if found is not None:
        advice = "give this one a name with --name"
        _is_present(catalogue, found[1], files[found[0]], advice=advice)


def check_listing(catalogue: Catalogue, listing: OriginListing, name: str | None) -> None:
    """The same by what an origin lists, before anything is read of it."""
    files = [_Listed(each.path, each.size_bytes, each.digest) for each in listing.files]
    check_name(catalogue, files, listing.reference, name)


def model_among(
    files: Sequence[Promised], reference: str, name: str | None
) -> tuple[int, ModelName] | None:
    """Which of the files of an artifact is a model, and what it is called.

    Args:
        files: of the artifact.
        reference: what it is pulled as.
        name: what the model is to be called; else what a built-in model of these weights is, or
            the file's own name.

    Returns: the number of the file and the name; None where there is not exactly one.

    Raises:
        BadRequestError: a name was given, and there is no such model.
    """
    found = [at for at, file in enumerate(files) if file.path.lower().endswith(".gguf")]
    if len(found) == 1:
        return found[0], _own_name(files[found[0]]) if name is None else model_name(name)
    if name is None:
        return None
    raise BadRequestError(
        f"{reference} has {len(found)} files that can be served here, so none is {name}",
        advice="name one of its .gguf files in the reference, or leave --name out",
    )


def digest_present(catalogue: Catalogue, name: ModelName) -> str | None:
    """The digest of the model of that name, if there is one."""
    entry = _known(catalogue, name)
    return None if entry is None else entry.digest


def _known(catalogue: Catalogue, name: ModelName) -> ModelEntry | None:
    try:
        return catalogue.get(name)
    except LittoralError:
        return None


def _is_present(catalogue: Catalogue, name: ModelName, file: Promised, *, advice: str) -> bool:
    """Whether this model has the name already; a ConflictError where another has it.

    Of a file whose digest is not promised its size tells, as far as it can.
    """
    entry = _known(catalogue, name)
    if entry is None:
        return False
    if file.sha256 is None:
        same = entry.digest is not None and entry.size_bytes == file.size_bytes
    else:
        same = entry.digest == file.sha256
    if not same:
        raise ConflictError(f"another model is named {name} here", advice=advice)
    return True


def _own_name(file: Promised) -> ModelName:
    made = re.sub(r"[^a-z0-9._/:-]+", "-", Path(file.path).stem.lower()).strip("-._/:")[:96]
    return built_in_of(file.sha256) or model_name(made or "model")


def _silent(_: str, __: int, ___: int | None) -> None:
    """Nobody watches this."""
