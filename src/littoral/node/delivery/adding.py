"""A model out of an artifact: an entry in the catalogue whose files stay in the store."""

import re
from collections.abc import Sequence
from pathlib import Path

from littoral.adapters.artifacts import ArtifactStore
from littoral.adapters.models import Catalogue
from littoral.adapters.models.builtin import built_in_of
from littoral.adapters.models.describe import gguf_entry
from littoral.adapters.models.gguf import read_gguf
from littoral.delivery.drafts import DraftFile
from littoral.delivery.manifest import FileRow
from littoral.terms.errors import BadRequestError, ConflictError, LittoralError
from littoral.terms.ids import ArtifactId, ModelName, model_name

__all__ = ["add_to_catalogue", "check_name", "digest_present", "model_among"]


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
        BadRequestError: a name was given, and there is no such model.
        ConflictError: another model has the name.
    """
    with store.shelf.hold(artifact) as held:
        found = model_among(held.manifest.files, reference, name)
        if found is None:
            return None
        file, chosen = found
        path, digest = held.paths[file], held.manifest.files[file].sha256
        kept = "what was pulled is in the store; give it a name with --name"
        if _is_present(catalogue, chosen, digest, advice=kept):
            return chosen
        with catalogue.adding(chosen, resumable=False, progress=_silent) as staging:
            entry = gguf_entry(chosen, read_gguf(path), path, digest, origin=reference)
            staging.commit(entry)
    store.pin(artifact, pinned=True)
    return chosen


def check_name(
    catalogue: Catalogue,
    files: Sequence[FileRow | DraftFile],
    reference: str,
    name: str | None,
) -> None:
    """See, before anything is fetched, that what these files have could be added by that name.

    Raises:
        BadRequestError, ConflictError: as `add_to_catalogue`.
    """
    found = model_among(files, reference, name)
    digest = None if found is None else files[found[0]].sha256
    if found is not None and digest is not None:
        _is_present(catalogue, found[1], digest, advice="give this one a name with --name")


def model_among(
    files: Sequence[FileRow | DraftFile], reference: str, name: str | None
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
    try:
        return catalogue.get(name).digest
    except LittoralError:
        return None


def _is_present(catalogue: Catalogue, name: ModelName, digest: str, *, advice: str) -> bool:
    """Whether this model has the name already; a ConflictError where another has it."""
    present = digest_present(catalogue, name)
    if present not in {None, digest}:
        raise ConflictError(f"another model is named {name} here", advice=advice)
    return present is not None


def _own_name(file: FileRow | DraftFile) -> ModelName:
    made = re.sub(r"[^a-z0-9._/:-]+", "-", Path(file.path).stem.lower()).strip("-._/:")[:96]
    return built_in_of(file.sha256) or model_name(made or "model")


def _silent(_: str, __: int, ___: int | None) -> None:
    """Nobody watches this."""
