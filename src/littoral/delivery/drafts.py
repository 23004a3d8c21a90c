"""Drafts: an artifact of which nobody holds a manifest yet.

Its files and sizes are known from the origin's listing, its cuts from headers that were read there;
the hashes of its chunks are not. Whoever reads a chunk at the origin vouches for its hash. A draft
becomes a manifest (`sealed`) once every file is whole and has the SHA-256 that the origin promises.

Rules
- PoPs that pull the same draft agree on its bytes, which it is named by; so their chunks have the
  same numbers, and they end with the same artifact.
- Nothing of a draft is served to engines or clients, or listed as held.
- What a PoP reads by (`place`) comes from the origin's listing, and holds no secret.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NewType

import msgspec

from littoral.delivery.manifest import (
    GIT_BYTES_MAX,
    Blake3,
    Count,
    FileFormat,
    FileRow,
    GitOid,
    Kind,
    Manifest,
    Size,
    blake3_of,
    check_paths,
)
from littoral.delivery.tables import CUT_BYTES, Table, check_cuts, encode_table
from littoral.terms.artifacts import OriginFile
from littoral.terms.errors import BadRequestError, DigestMismatchError
from littoral.terms.ids import Digest
from littoral.trust.decoding import UNREADABLE, Sha256

__all__ = [
    "Draft",
    "DraftFile",
    "DraftId",
    "WholeFile",
    "decoded_draft",
    "opened_draft",
    "sealed",
]

DRAFT_BYTES_MAX: Final = 32 * 1024 * 1024

DraftId = NewType("DraftId", str)
"""`draft:` and 64 lowercase hexadecimal digits: the BLAKE3 of a draft's bytes."""


class DraftFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a draft."""

    path: str
    size_bytes: Size
    sha256: Sha256 | None
    """What the origin promises; None where it promises nothing."""
    git_oid: GitOid | None
    """What the origin says that git calls these bytes; None where it says nothing."""
    place: str
    """What its origin reads it by (`OriginFile.place`)."""
    format: FileFormat
    chunks: Count
    cuts: Blake3
    """Of the bytes of its cuts (`tables.py`)."""
    tensors: Blake3 | None
    """As in a manifest."""

    @property
    def origin_file(self) -> OriginFile:
        """As the origin listed it."""
        return OriginFile(self.path, self.size_bytes, self.sha256, self.place, self.git_oid)


class Draft(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=1, tag_field="draft"):
    """What an artifact will be; the tag is the version of this form, and of how files are cut."""

    kind: Kind
    reference: str
    """What is pulled, pinned."""
    private: bool
    base: str | None
    """The reference of the model that this one is said to be derived from."""
    files: tuple[DraftFile, ...]
    """Sorted by path, at least one."""

    def encoded(self) -> bytes:
        """As the bytes that it is named by."""
        return _ENCODER.encode(self)

    @property
    def id(self) -> DraftId:
        """Its name."""
        return DraftId("draft:" + blake3_of(self.encoded()).removeprefix("blake3:"))


@dataclass(frozen=True, slots=True)
class WholeFile:
    """What a file of a draft was found to be, once all of its chunks were there."""

    sha256: Digest
    git_oid: str | None
    """None where the file is over GIT_BYTES_MAX and the draft promises none."""
    hashes: Sequence[bytes]
    """The BLAKE3 of each chunk, 32 bytes."""


_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_DECODER: Final = msgspec.json.Decoder(Draft)


def decoded_draft(data: bytes, draft: DraftId) -> Draft:
    """The draft that these bytes are, if they are the one of this name.

    Raises:
        DigestMismatchError: they are other bytes.
        BadRequestError: they are the right ones and no draft: malformed, or beyond the bounds.
    """
    if len(data) > DRAFT_BYTES_MAX:
        raise _refusal(f"has more than {DRAFT_BYTES_MAX} bytes")
    if "draft:" + blake3_of(data).removeprefix("blake3:") != draft:
        raise DigestMismatchError(f"the draft that came is not {draft}")
    try:
        value = _DECODER.decode(data)
    except UNREADABLE:
        raise _refusal("is damaged, or of another version") from None
    if value.encoded() != data:
        raise _refusal("is not written in the one way that it can be")
    check_paths([file.path for file in value.files])
    return value


def opened_draft(draft: Draft, cuts: Sequence[bytes]) -> Table:
    """The chunks of a draft, without hashes, if these are its cuts, one for each file in order.

    Raises:
        DigestMismatchError: some are other cuts than the draft names.
        BadRequestError: they are the right ones and do not cover their file.
    """
    assert len(cuts) == len(draft.files), "cuts for each file"
    for file, rows in zip(draft.files, cuts, strict=True):
        if blake3_of(rows) != file.cuts:
            raise DigestMismatchError(f"the cuts that came are not those of {file.path}")
        if len(rows) != file.chunks * CUT_BYTES:
            raise _refusal(f"counts the chunks of {file.path} wrong")
        check_cuts(rows, file.size_bytes, hashed=False)
    return Table(cuts, hashed=False)


def sealed(
    draft: Draft, cuts: Sequence[bytes], found: Sequence[WholeFile]
) -> tuple[Manifest, tuple[bytes, ...]]:
    """The manifest and the tables that a draft has become.

    Args:
        draft: what it was.
        cuts: of each file.
        found: what each file is now.

    Raises:
        DigestMismatchError: a file is another than the origin promised; `details["path"]`.
    """
    rows, tables = [], []
    for file, its_cuts, whole in zip(draft.files, cuts, found, strict=True):
        _check_promise(file, whole)
        table = encode_table(its_cuts, whole.hashes)
        tables.append(table)
        rows.append(
            FileRow(
                path=file.path,
                size_bytes=file.size_bytes,
                sha256=whole.sha256,
                git_oid=whole.git_oid if file.size_bytes <= GIT_BYTES_MAX else None,
                format=file.format,
                chunks=file.chunks,
                table=blake3_of(table),
                tensors=file.tensors,
            )
        )
    return Manifest(draft.kind, None, tuple(rows)), tuple(tables)


def _check_promise(file: DraftFile, whole: WholeFile) -> None:
    for promised, found in ((file.sha256, whole.sha256), (file.git_oid, whole.git_oid)):
        if promised not in (None, found):
            raise DigestMismatchError(
                f"{file.path} is not the file that its origin promises",
                details={"path": file.path, "promised": promised, "found": found},
            )


def _refusal(problem: str) -> BadRequestError:
    return BadRequestError(f"the draft {problem}", advice="start the pull again")
