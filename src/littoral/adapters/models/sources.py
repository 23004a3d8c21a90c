"""Reads what a person writes after `littoral models add`, and adds that.

    smollm2-135m                       a built-in model
    ./file.gguf                        a file on this machine
    ./folder                           a cross-encoder in ONNX on this machine
    hf:owner/repo[:file][@revision]    either of them on the Hugging Face Hub
    upstream:URL                       a model that another server has

Rules
- What is written means one of these and nothing else; an option that does not go with it is refused
  rather than ignored.
- A model appears in the catalogue complete and checked, or not at all.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from littoral.adapters.models.bring import add_builtin
from littoral.adapters.models.builtin import BUILTIN
from littoral.adapters.models.catalogue import Catalogue
from littoral.adapters.models.cross_encoders import fetched, found_folder, taken
from littoral.adapters.models.cross_names import ONNX
from littoral.adapters.models.describe import described_gguf
from littoral.adapters.models.digests import Progress, hashed_files
from littoral.adapters.models.gguf import read_gguf
from littoral.adapters.models.hub import Hub, part_name
from littoral.adapters.models.upstreams import check_upstreams, described
from littoral.adapters.origins.references import HubReference, parse_hub
from littoral.terms.errors import BadRequestError, UnknownModelError
from littoral.terms.ids import ModelName, model_name
from littoral.terms.values import (
    EngineKind,
    Kind,
    ModelEntry,
    ToolSupport,
    UpstreamTarget,
)

__all__ = [
    "BuiltinSource",
    "FileSource",
    "HubSource",
    "Source",
    "UpstreamSource",
    "add",
    "parse_source",
]


@dataclass(frozen=True, slots=True)
class BuiltinSource:
    """A model of the built-in table."""

    name: ModelName


@dataclass(frozen=True, slots=True)
class FileSource:
    """A GGUF file, or a cross-encoder's folder, on this machine, used where it is or copied."""

    path: Path
    copy: bool = False


@dataclass(frozen=True, slots=True)
class HubSource:
    """A GGUF file or a cross-encoder on a hub."""

    reference: HubReference
    hub: Hub


@dataclass(frozen=True, slots=True)
class UpstreamSource:
    """A model of another server. `context_tokens` is 0 when only that server knows."""

    target: UpstreamTarget
    kinds: tuple[Kind, ...] = (Kind.CHAT, Kind.COMPLETE)
    context_tokens: int = 0


Source = BuiltinSource | FileSource | HubSource | UpstreamSource


def add(
    catalogue: Catalogue, source: Source, progress: Progress, name: str | None = None
) -> ModelEntry:
    """Bring a model into the catalogue.

    Args:
        catalogue: where to.
        source: where from.
        progress: told of every piece; may raise to stop.
        name: what to call it; the source's own name when None.

    Raises:
        BadRequestError, UnsupportedError: it is not a model that can be served here.
        ConflictError: the name is taken.
        OriginError, DigestMismatchError: it could not be had, or is not what it should be.
        DiskShortError: there is no room for it.
    """
    match source:
        case BuiltinSource(own):
            if name not in {None, own}:
                raise BadRequestError(
                    f"{own} is built in and keeps its name", advice="leave --name out"
                )
            return add_builtin(catalogue, own, progress)
        case FileSource():
            return _add_file(catalogue, source, progress, name)
        case HubSource():
            return _add_from_hub(catalogue, source, progress, name)
        case UpstreamSource():
            return _add_upstream(catalogue, source, progress, name)
        case _:
            assert_never(source)


def parse_source(text: str, *, hub: Hub | None = None, copy: bool = False) -> Source:
    """What a person means; an upstream's own options go through `upstreams` instead.

    Raises:
        BadRequestError, UnknownModelError: it means nothing.
    """
    if text.startswith("hf:"):
        return HubSource(parse_hub(text.removeprefix("hf:")), hub or Hub())
    if text in BUILTIN:
        return BuiltinSource(ModelName(text))
    path = Path(text).expanduser()
    if path.suffix.lower() in {".gguf", ONNX} or path.is_file() or path.is_dir():
        return FileSource(path, copy)
    raise UnknownModelError(
        f"{text[:200]!r} is neither a built-in model nor a file",
        advice=f"built in are {', '.join(sorted(BUILTIN))}; or give ./FILE.gguf, ./FOLDER, "
        "hf:OWNER/REPO[:FILE] or upstream:URL",
    )


def _add_file(
    catalogue: Catalogue, source: FileSource, progress: Progress, name: str | None
) -> ModelEntry:
    path = source.path.resolve()
    if path.is_dir() or path.suffix.lower() == ONNX:
        folder = found_folder(path)
        chosen = _name(name, folder.root.name)
        with catalogue.adding(chosen, resumable=False, progress=progress) as staging:
            return taken(staging, chosen, folder, progress, copy=source.copy)
    header = read_gguf(path)
    chosen = _name(name, path.stem)
    with catalogue.adding(chosen, resumable=False, progress=progress) as staging:
        (file,) = hashed_files([path], progress, staging.directory if source.copy else None)
        return staging.commit(described_gguf(chosen, header, file, f"file {path}"))


def _add_from_hub(
    catalogue: Catalogue, source: HubSource, progress: Progress, name: str | None
) -> ModelEntry:
    with source.hub.opened(progress) as fetch:
        files, origin = fetch.find(source.reference)
        if len(files) == 3:
            chosen = _name(name, source.reference.repository.rpartition("/")[2])
            with catalogue.adding(chosen, resumable=True, progress=progress) as staging:
                return fetched(staging, chosen, fetch, (files[0], files[1], files[2]), origin)
        (file,) = files
        chosen = _name(name, Path(file.path).stem)
        with catalogue.adding(chosen, resumable=True, progress=progress) as staging:
            # Named by its digest while it grows: bytes of one file are never taken up as another's.
            for other in set(staging.directory.iterdir()) - {staging.directory / part_name(file)}:
                other.unlink()
            grown = fetch.grown(file, staging.directory)
            header = read_gguf(Path(grown.path))
            return staging.commit(described_gguf(chosen, header, grown, origin))


def _add_upstream(
    catalogue: Catalogue, source: UpstreamSource, progress: Progress, name: str | None
) -> ModelEntry:
    target = source.target
    entry = ModelEntry(
        name=_name(name, target.model),
        engine=EngineKind.UPSTREAM,
        kinds=source.kinds,
        context_tokens=source.context_tokens,
        origin=f"upstream {target.base_url}",
        description=described((target,)),
        tools=ToolSupport.NATIVE,
        upstreams=(target,),
    )
    check_upstreams(entry)
    with catalogue.adding(entry.name, resumable=False, progress=progress) as staging:
        return staging.commit(entry)


def _name(given: str | None, own: str) -> ModelName:
    """The name given, or one made of the source's own."""
    if given is not None:
        return model_name(given)
    made = re.sub(r"[^a-z0-9._/:-]+", "-", own.lower()).strip("-._/:")[:96]
    if not made:
        raise BadRequestError(f"no name can be made of {own!r}", advice="give one with --name")
    return model_name(made)
