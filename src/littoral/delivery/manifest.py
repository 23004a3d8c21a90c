"""Manifests: what an artifact is.

An artifact is a set of files, named by the BLAKE3 of its manifest. The manifest names, for each
file, the BLAKE3 of its table (`tables.py`), and so, by way of the tables, every byte.

Rules
- There is one way to write a manifest (JSON with sorted members and no blanks); anything else is
  refused. The same files give the same manifest, and so the same name, on every PoP: nothing of a
  time, an origin or a signer is in it. Who vouches for it is said in claims (`claims.py`).
- Files are sorted by path. A path is relative, has `/`, and can't lead out of a folder; no path is
  a folder of another.
- A manifest with its tables is checked as a whole (`opened`) before anything else looks at it.
"""

import re
from collections.abc import Sequence
from enum import Enum
from itertools import pairwise
from typing import Annotated, Final

import msgspec
from blake3 import blake3

from littoral.delivery.tables import FILE_BYTES_MAX, ROW_BYTES, Table, check_cuts
from littoral.terms.errors import BadRequestError, DigestMismatchError
from littoral.terms.ids import ArtifactId
from littoral.trust.decoding import UNREADABLE, Sha256

__all__ = [
    "MANIFEST_BYTES_MAX",
    "CHUNKS_MAX",
    "GIT_BYTES_MAX",
    "Blake3",
    "Count",
    "FileFormat",
    "FileRow",
    "GitOid",
    "Kind",
    "Manifest",
    "Size",
    "blake3_of",
    "check_paths",
    "decoded",
    "opened",
]

MANIFEST_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of a manifest: about 40,000 files."""

FILES_MAX: Final = 32_768
"""Files of one artifact. The largest models have some hundred; data sets have thousands."""

CHUNKS_MAX: Final = 1 << 24
"""Chunks of one artifact: 16 TiB in chunks of 1 MiB, with tables of 640 MiB."""

GIT_BYTES_MAX: Final = 16 * 1024 * 1024
"""Files up to this size have what git calls them in the manifest; larger ones are not kept in git
as they are (the Hugging Face Hub takes up to 10 MB)."""

PATH_BYTES_MAX: Final = 1_024
PATH_PART_BYTES_MAX: Final = 240
"""Of one name in a path: file systems take 255."""

Blake3 = Annotated[str, msgspec.Meta(pattern=r"\Ablake3:[0-9a-f]{64}\Z")]
"""The name of some exact bytes."""

GitOid = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{40}\Z")]
"""What git calls a file, and hubs a small one: the SHA-1 of `blob SIZE\\0` and its bytes."""

Size = Annotated[int, msgspec.Meta(ge=0, lt=FILE_BYTES_MAX)]
Count = Annotated[int, msgspec.Meta(ge=0, le=CHUNKS_MAX)]

_FORBIDDEN: Final = re.compile(r"[\x00-\x1f\x7f\\]")


class Kind(Enum):
    """What an artifact is for."""

    WEIGHTS = "weights"
    EMBEDDINGS = "embeddings"
    INDEX = "index"
    PIPELINE = "pipeline"


class FileFormat(Enum):
    """How a file is cut."""

    SAFETENSORS = "safetensors"
    GGUF = "gguf"
    PLAIN = "plain"
    """At fixed distances: nothing is known of what is in it."""


class FileRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of an artifact."""

    path: str
    size_bytes: Size
    sha256: Sha256
    """Of the whole file: what hubs and registries call it."""
    git_oid: GitOid | None
    """Of a file of at most GIT_BYTES_MAX bytes, whether or not its origin says it; else None."""
    format: FileFormat
    chunks: Count
    table: Blake3
    """Of the bytes of its table. Files with the same table have the same bytes, cut alike."""
    tensors: Blake3 | None
    """Of the bytes of its list of tensors (`cutting.py`), where it has one."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=1, tag_field="v"):
    """What an artifact is; the tag is the version of this form, and of how files are cut."""

    kind: Kind
    base: Blake3 | None
    """The artifact that whoever made this one says it is derived from. Never what an origin says:
    that is in claims, for two PoPs may learn it differently."""
    files: tuple[FileRow, ...]
    """Sorted by path, at least one."""

    def encoded(self) -> bytes:
        """As the bytes that it is named by."""
        return _ENCODER.encode(self)

    @property
    def artifact(self) -> ArtifactId:
        """Its name. It takes some microseconds for each file."""
        return ArtifactId(blake3_of(self.encoded()))

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(file.size_bytes for file in self.files)

    @property
    def chunks(self) -> int:
        """Of all files together."""
        return sum(file.chunks for file in self.files)


_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_DECODER: Final = msgspec.json.Decoder(Manifest)


def blake3_of(data: bytes) -> Blake3:
    """The name of these exact bytes."""
    return f"blake3:{blake3(data).hexdigest()}"


def decoded(data: bytes, artifact: ArtifactId) -> Manifest:
    """The manifest that these bytes are, if they are the one of this artifact.

    Raises:
        DigestMismatchError: they are other bytes.
        BadRequestError: they are the right ones and no manifest: malformed, or beyond the bounds.
    """
    if len(data) > MANIFEST_BYTES_MAX:
        raise _refusal(f"has more than {MANIFEST_BYTES_MAX} bytes")
    if blake3_of(data) != artifact:
        raise DigestMismatchError(f"the manifest that came is not the one of {artifact}")
    try:
        manifest = _DECODER.decode(data)
    except UNREADABLE:
        raise _refusal("is damaged, or of another version") from None
    if manifest.encoded() != data:
        raise _refusal("is not written in the one way that it can be")
    check_paths([file.path for file in manifest.files])
    if any((file.git_oid is None) is (file.size_bytes <= GIT_BYTES_MAX) for file in manifest.files):
        raise _refusal("has what git calls a large file, or lacks it for a small one")
    if manifest.chunks > CHUNKS_MAX:
        raise _refusal(f"has more than {CHUNKS_MAX} chunks")
    return manifest


def opened(manifest: Manifest, tables: Sequence[bytes]) -> Table:
    """The chunks of an artifact, if these are its tables, one for each file in order.

    Raises:
        DigestMismatchError: one is another table than the manifest names.
        BadRequestError: one is the right one and does not cover its file.
    """
    assert len(tables) == len(manifest.files), "one table for each file"
    for row, table in zip(manifest.files, tables, strict=True):
        if blake3_of(table) != row.table:
            raise DigestMismatchError(f"the table that came is not the one of {row.path}")
        if len(table) != row.chunks * ROW_BYTES:
            raise _refusal(f"counts the chunks of {row.path} wrong")
        check_cuts(table, row.size_bytes)
    return Table(tables)


def check_paths(paths: Sequence[str]) -> None:
    """See that the paths of an artifact's files can be files of one folder, sorted.

    Raises:
        BadRequestError: they can't.
    """
    if not 0 < len(paths) <= FILES_MAX:
        raise _refusal(f"has {len(paths)} files; 1 to {FILES_MAX} is possible")
    if any(one >= other for one, other in pairwise(paths)):
        raise _refusal("does not have its files sorted by path, each once")
    files = set(paths)
    for path in paths:
        parts = path.split("/")
        if (
            not path.isprintable()
            or _FORBIDDEN.search(path)
            or {"", ".", ".."} & set(parts)
            or len(path.encode()) > PATH_BYTES_MAX
            or max(len(part.encode()) for part in parts) > PATH_PART_BYTES_MAX
        ):
            raise _refusal(f"has a path that no file can have: {path[:80]!r}")
        if any("/".join(parts[:depth]) in files for depth in range(1, len(parts))):
            raise _refusal(f"has a file and a folder of one name: {path[:80]!r}")


def _refusal(problem: str) -> BadRequestError:
    return BadRequestError(f"the manifest {problem}", advice="take the artifact from elsewhere")
