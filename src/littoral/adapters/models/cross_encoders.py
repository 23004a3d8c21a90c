"""Adds models that sort passages: an ONNX file with its tokenizer and its configuration.

Rules
- What the configuration says is read before the weights are fetched, copied or hashed: a model of
  another kind is refused at once. That the weights are as it says is seen when they are loaded.
- All three files are checked like any other model's.
"""

from pathlib import Path
from typing import Final

from littoral.adapters.models.catalogue import Staging
from littoral.adapters.models.cross_config import CrossConfig, config_at
from littoral.adapters.models.cross_names import CrossFiles, cross_files
from littoral.adapters.models.digests import Progress, hashed_files
from littoral.adapters.models.hub import HubFetch, part_name
from littoral.terms.artifacts import OriginFile
from littoral.terms.errors import BadRequestError
from littoral.terms.ids import ModelName
from littoral.terms.values import EngineKind, Kind, ModelEntry, ModelFile

__all__ = ["CrossFolder", "fetched", "found_folder", "taken"]

_FOLDER: Final = "onnx"
"""Where repositories have ONNX files beside others."""


class CrossFolder:
    """A model of this kind that lies on this machine."""

    def __init__(self, root: Path, files: CrossFiles) -> None:
        self.root = root
        self.files = files
        self.config = config_at(root / files.config)

    @property
    def paths(self) -> tuple[Path, Path, Path]:
        """The weights, the tokenizer and the configuration."""
        files = self.files
        return self.root / files.weights, self.root / files.tokenizer, self.root / files.config


def found_folder(path: Path) -> CrossFolder:
    """The model in a folder, or around an ONNX file.

    Raises:
        BadRequestError, OriginRefusedError, UnsupportedError: there is none; see `cross_files` and
            `read_config`.
    """
    try:
        return _found(path)
    except OSError as error:
        raise BadRequestError(
            f"{path} can't be read ({error.strerror})", advice="check who may read it"
        ) from error


def _found(path: Path) -> CrossFolder:
    root, wanted = (path, None) if path.is_dir() else _around(path)
    paths = [
        str(file.relative_to(root))
        for folder in (root, root / _FOLDER)
        if folder.is_dir()
        for file in sorted(folder.iterdir())
        if file.is_file()
    ]
    return CrossFolder(root, cross_files(paths, wanted, str(root)))


def taken(
    staging: Staging, name: ModelName, folder: CrossFolder, progress: Progress, *, copy: bool
) -> ModelEntry:
    """Add the model in a folder, used where it is or copied.

    Raises:
        ConflictError: a file changed meanwhile.
        DiskShortError: there is no room for a copy.
    """
    files = hashed_files(folder.paths, progress, staging.directory if copy else None)
    return staging.commit(_entry(name, folder.config, files, f"file {folder.paths[0]}"))


def fetched(
    staging: Staging,
    name: ModelName,
    fetch: HubFetch,
    files: tuple[OriginFile, OriginFile, OriginFile],
    origin: str,
) -> ModelEntry:
    """Add a model of a hub.

    Args:
        staging: where its files go; what an earlier try has left there is gone on with.
        name: the new model's.
        fetch: the hub.
        files: the weights, the tokenizer and the configuration.
        origin: how the catalogue names where it is from.

    Raises:
        UnsupportedError: it is a model of another kind.
        OriginError, DigestMismatchError, DiskShortError: as `HubFetch.grown` says.
    """
    weights, tokenizer, config = files
    growing = {part_name(file) for file in files}
    for other in staging.directory.iterdir():
        if other.name not in growing:
            other.unlink()
    described = fetch.grown(config, staging.directory)
    said = config_at(Path(described.path))
    spoken = fetch.grown(tokenizer, staging.directory)
    heavy = fetch.grown(weights, staging.directory)
    return staging.commit(_entry(name, said, (heavy, spoken, described), origin))


def _entry(
    name: ModelName, config: CrossConfig, files: tuple[ModelFile, ...], origin: str
) -> ModelEntry:
    weights, tokenizer = files[:2]
    return ModelEntry(
        name=name,
        engine=EngineKind.ONNX,
        kinds=(Kind.RERANK,),
        context_tokens=config.context_tokens,
        size_bytes=weights.size_bytes,
        origin=origin,
        description="sorts passages by how well they answer",
        digest=weights.digest,
        tokenizer_digest=tokenizer.digest,
        files=files,
    )


def _around(path: Path) -> tuple[Path, str]:
    """The folder of the model that a file belongs to, and the file's name in it."""
    if not path.is_file():
        raise BadRequestError(f"there is no file {path}", advice="check the path")
    above = path.parent.parent
    inside = path.parent.name == _FOLDER and (above / "config.json").is_file()
    root = above if inside else path.parent
    return root, path.relative_to(root).as_posix()
