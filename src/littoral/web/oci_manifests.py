"""Revisions of repositories as registries tell them: manifests and configurations, byte for byte.

Two forms of one revision:

- an OCI artifact as ModelPack has it (https://github.com/modelpack/model-spec): each file is a
  layer, raw, so that it can be read in ranges and keeps its SHA-256;
- for a repository with one GGUF file, what Ollama's client asks for.

The same files give the same bytes on every PoP: nothing of time or place is in them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

import msgspec

from littoral.terms.artifacts import OriginFile, Shelved
from littoral.terms.ids import Digest
from littoral.trust.names import digest_of

__all__ = ["Blob", "Packed", "packed"]

_OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
_DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
_MODEL: Final = "application/vnd.cncf.model."
_OLLAMA: Final = "application/vnd.ollama.image."
_FORMATS: Final = {
    ".safetensors": "safetensors",
    ".gguf": "gguf",
    ".onnx": "onnx",
    ".bin": "pt",
    ".pt": "pt",
    ".pth": "pt",
    ".h5": "h5",
    ".msgpack": "msgpack",
}
"""Of weights, by the end of the name."""
_DOCUMENTS: Final = frozenset({".md", ".rst", ".pdf", ".html"})
_CODE: Final = frozenset({".py", ".ipynb", ".sh", ".js", ".ts", ".c", ".cpp", ".cu"})
_OLLAMA_PARTS: Final = frozenset({"template", "params", "system", "license", "projector"})


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that a registry gives, and what it calls them."""

    media_type: str
    data: bytes
    digest: Digest


@dataclass(frozen=True, slots=True)
class Packed:
    """One revision in one of its forms."""

    manifest: Blob
    config: Blob


@dataclass(frozen=True, slots=True)
class _Form:
    """What the two forms differ in."""

    manifest: str
    artifact: str | None
    config: str


_MODEL_PACK: Final = _Form(_OCI_MANIFEST, f"{_MODEL}manifest.v1+json", f"{_MODEL}config.v1+json")
_OLLAMA_FORM: Final = _Form(_DOCKER_MANIFEST, None, _DOCKER_CONFIG)


def packed(shelved: Shelved, digests: Mapping[str, Digest]) -> tuple[Packed, ...]:
    """The forms of a revision, ModelPack's first.

    Args:
        shelved: the revision.
        digests: the SHA-256 of each file, by its path.
    """
    forms = [_model_pack(shelved, digests)]
    weights = [file for file in shelved.files if file.path.endswith(".gguf")]
    if len(weights) == 1:
        forms.append(_for_ollama(shelved, weights[0], digests))
    return tuple(forms)


def _model_pack(shelved: Shelved, digests: Mapping[str, Digest]) -> Packed:
    layers = [
        {
            "mediaType": f"{_MODEL}{_kind(shelved, file)}.v1.raw",
            "digest": digests[file.path],
            "size": file.size_bytes,
            "annotations": {
                "org.cncf.model.filepath": file.path,
                "org.opencontainers.image.title": file.path,
            },
        }
        for file in shelved.files
    ]
    formats = {_FORMATS.get(PurePosixPath(file.path).suffix) for file in shelved.files} - {None}
    config = {
        "descriptor": {"name": shelved.repository, "revision": shelved.commit},
        "config": {"format": next(iter(formats))} if len(formats) == 1 else {},
        "modelfs": {"type": "layers", "diffIds": [layer["digest"] for layer in layers]},
    }
    return _put_together(_MODEL_PACK, config, layers)


def _for_ollama(shelved: Shelved, weights: OriginFile, digests: Mapping[str, Digest]) -> Packed:
    named = [(weights, "model")]
    named += [(file, part) for file in shelved.files if (part := _ollama_part(file)) is not None]
    layers = [
        {
            "mediaType": f"{_OLLAMA}{part}",
            "digest": digests[file.path],
            "size": file.size_bytes,
        }
        for file, part in named
    ]
    config = {
        "model_format": "gguf",
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
    }
    return _put_together(_OLLAMA_FORM, config, layers)


def _put_together(form: _Form, config: object, layers: list[dict[str, object]]) -> Packed:
    told = _blob(form.config, config)
    manifest: dict[str, object] = {"schemaVersion": 2, "mediaType": form.manifest}
    if form.artifact is not None:
        manifest["artifactType"] = form.artifact
    manifest["config"] = {
        "mediaType": told.media_type,
        "digest": told.digest,
        "size": len(told.data),
    }
    manifest["layers"] = layers
    return Packed(_blob(form.manifest, manifest), told)


def _blob(media_type: str, value: object) -> Blob:
    data = msgspec.json.encode(value)
    return Blob(media_type, data, digest_of(data))


def _kind(shelved: Shelved, file: OriginFile) -> str:
    name = PurePosixPath(file.path)
    if shelved.repository.startswith("datasets/"):
        return "dataset"
    if name.suffix in _FORMATS:
        return "weight"
    if name.suffix in _DOCUMENTS or name.stem.upper() in {"README", "LICENSE", "LICENCE", "NOTICE"}:
        return "doc"
    return "code" if name.suffix in _CODE else "weight.config"


def _ollama_part(file: OriginFile) -> str | None:
    """Which part of a model of Ollama's a file is: they are named for that."""
    part = PurePosixPath(file.path).stem.lower()
    return part if part in _OLLAMA_PARTS else None
