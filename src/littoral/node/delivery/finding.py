"""What is to be pulled: its manifest, if anybody has it, or a draft of one.

Rules
- A manifest that another PoP gives is believed as far as it can be checked: its name is its hash,
  and its files must be those that the origin lists, by size and by the digest that the origin
  promises. Where the origin promises none, a PoP of this owner must have claimed it.
- Who has a manifest is asked first. Then who has a draft; of several that begin at once the one
  with the lowest name makes it, and the others wait for it, so that headers are read once.
- What was read of a file to see how to cut it is kept: it is the beginning of the file.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from blake3 import blake3

from littoral.adapters.identity import verify
from littoral.adapters.moving.client import Client
from littoral.adapters.moving.words import Peer, RefusedError
from littoral.delivery import drafts, manifest
from littoral.delivery.claims import Claim, opened_claim
from littoral.delivery.cutting import TENSORS_BYTES_MAX, Cut, cut_file
from littoral.delivery.drafts import DRAFT_BYTES_MAX, Draft, DraftFile, DraftId
from littoral.delivery.manifest import (
    CHUNKS_MAX,
    MANIFEST_BYTES_MAX,
    Blake3,
    FileRow,
    Kind,
    Manifest,
    blake3_of,
)
from littoral.delivery.tables import CUT_BYTES, ROW_BYTES
from littoral.terms.artifacts import OriginFile, OriginListing
from littoral.terms.errors import RecordRejectedError
from littoral.terms.ids import ArtifactId
from littoral.terms.limits import CLAIMS_BYTES_MAX
from littoral.terms.ports import Origin

__all__ = [
    "FoundDraft",
    "FoundManifest",
    "agrees",
    "draft_of",
    "mark_of",
    "read_claims",
    "read_draft",
    "read_manifest",
    "wish_of",
]

_MARK_BYTES: Final = 8
_HEAD_BYTES: Final = 64 * 1024
"""Read at first: most headers of safetensors fit."""


@dataclass(frozen=True, slots=True)
class FoundManifest:
    """An artifact that somebody has."""

    artifact: ArtifactId
    manifest: Manifest
    tables: tuple[bytes, ...]
    lists: Mapping[int, bytes] = field(default_factory=dict)
    """Of the tensors of files, by file, as far as they were had."""

    @property
    def name(self) -> str:
        """By which others know it."""
        return self.artifact

    @property
    def kind(self) -> Kind:
        """What it is for."""
        return self.manifest.kind

    @property
    def files(self) -> tuple[FileRow, ...]:
        """In order."""
        return self.manifest.files

    @property
    def paths(self) -> tuple[str, ...]:
        """Of its files, in order."""
        return tuple(file.path for file in self.files)

    def documents(self) -> Mapping[str, bytes]:
        """What others may ask for."""
        return _documents(self.manifest.encoded(), self.tables, self.lists)


@dataclass(frozen=True, slots=True)
class FoundDraft:
    """One that nobody has yet."""

    draft: Draft
    cuts: tuple[bytes, ...]
    lists: Mapping[int, bytes] = field(default_factory=dict)
    """As of a manifest."""
    heads: Mapping[int, bytes] = field(default_factory=dict)
    """By file: its first bytes, as far as they were read to cut it."""

    @property
    def name(self) -> str:
        """By which others know it."""
        return self.draft.id

    @property
    def kind(self) -> Kind:
        """What it is for."""
        return self.draft.kind

    @property
    def files(self) -> tuple[DraftFile, ...]:
        """In order."""
        return self.draft.files

    @property
    def paths(self) -> tuple[str, ...]:
        """Of its files, in order."""
        return tuple(file.path for file in self.files)

    def documents(self) -> Mapping[str, bytes]:
        """What others may ask for."""
        return _documents(self.draft.encoded(), self.cuts, self.lists)


def _documents(
    first: bytes, tables: Sequence[bytes], lists: Mapping[int, bytes]
) -> Mapping[str, bytes]:
    return {
        "manifest": first,
        **{f"tables/{at}": each for at, each in enumerate(tables)},
        **{f"tensors/{at}": each for at, each in lists.items()},
    }


def mark_of(reference: str) -> bytes:
    """What a PoP says of a pinned reference, so that others see that they mean the same."""
    return blake3(reference.encode()).digest(_MARK_BYTES)


def wish_of(reference: str) -> str:
    """What a pull is known by to others before it is known what it is."""
    return f"wish:{blake3(b'wish ' + reference.encode()).hexdigest()}"


async def read_manifest(client: Client, peer: Peer, artifact: ArtifactId) -> FoundManifest:
    """The manifest and the tables that a PoP has.

    Raises:
        HttpError: it does not give them.
        DigestMismatchError, BadRequestError: they are not what they are called.
    """
    data = await client.document(peer, artifact, "manifest", bytes_max=MANIFEST_BYTES_MAX)
    value = manifest.decoded(data, artifact)
    tables = await _parts(client, peer, artifact, len(value.files))
    manifest.opened(value, tables)
    lists = await _lists(client, peer, artifact, [file.tensors for file in value.files])
    return FoundManifest(artifact, value, tables, lists)


async def read_draft(client: Client, peer: Peer, name: DraftId) -> FoundDraft:
    """The draft and its cuts that a PoP has; raises as `read_manifest`."""
    data = await client.document(peer, name, "manifest", bytes_max=DRAFT_BYTES_MAX)
    value = drafts.decoded_draft(data, name)
    cuts = await _parts(client, peer, name, len(value.files))
    drafts.opened_draft(value, cuts)
    lists = await _lists(client, peer, name, [file.tensors for file in value.files])
    return FoundDraft(value, cuts, lists)


async def read_claims(client: Client, peer: Peer, artifact: ArtifactId) -> tuple[Claim, ...]:
    """What a PoP has that was claimed of an artifact; what is no good is left out.

    Raises:
        HttpError: it does not give it.
    """
    data = await client.document(peer, artifact, "claims", bytes_max=CLAIMS_BYTES_MAX)
    found = []
    for envelope in data.splitlines():
        with suppress(RecordRejectedError):
            found.append(opened_claim(envelope, verify))
    return tuple(each for each in found if each.artifact == artifact)


async def _parts(client: Client, peer: Peer, name: str, count: int) -> tuple[bytes, ...]:
    return tuple(
        [
            await client.document(peer, name, f"tables/{number}", bytes_max=CHUNKS_MAX * ROW_BYTES)
            for number in range(count)
        ]
    )


async def _lists(
    client: Client, peer: Peer, name: str, named: Sequence[Blake3 | None]
) -> Mapping[int, bytes]:
    """Lists of tensors. Nothing but a saving depends on them, so who does not have one has none."""
    found = {}
    for number, each in enumerate(named):
        if each is None:
            continue
        try:
            data = await client.document(
                peer, name, f"tensors/{number}", bytes_max=TENSORS_BYTES_MAX
            )
        except RefusedError:
            continue
        if blake3_of(data) == each:
            found[number] = data
    return found


def agrees(value: Manifest, listing: OriginListing) -> bool | None:
    """Whether a manifest is of what an origin lists; None where the origin promises too little."""
    if len(value.files) != len(listing.files):
        return False
    told = True
    for row, file in zip(value.files, listing.files, strict=True):
        if (row.path, row.size_bytes) != (file.path, file.size_bytes):
            return False
        if file.digest is not None:
            if row.sha256 != file.digest:
                return False
        elif file.git_oid is not None and row.git_oid is not None:
            if row.git_oid != file.git_oid:
                return False
        else:
            told = False
    return True if told else None


def draft_of(origin: Origin, listing: OriginListing) -> FoundDraft:
    """Cut what an origin lists, by the headers of its files. Blocks.

    Args:
        origin: where it is.
        listing: what.

    Raises:
        OriginError: a header could not be read.
    """
    rows, cuts, lists, heads = [], [], {}, {}
    for number, file in enumerate(listing.files):
        head = _Head(origin, file)
        cut = cut_file(file.path, file.size_bytes, head.read)
        rows.append(_row(file, cut))
        cuts.append(cut.cuts)
        if cut.tensors is not None:
            lists[number] = cut.tensors
        if head.data:
            heads[number] = bytes(head.data)
    value = Draft(Kind.WEIGHTS, listing.reference, listing.private, listing.base, tuple(rows))
    return FoundDraft(value, tuple(cuts), lists, heads)


def _row(file: OriginFile, cut: Cut) -> DraftFile:
    return DraftFile(
        path=file.path,
        size_bytes=file.size_bytes,
        sha256=file.digest,
        git_oid=file.git_oid,
        place=file.place,
        format=cut.format,
        chunks=len(cut.cuts) // CUT_BYTES,
        cuts=blake3_of(cut.cuts),
        tensors=None if cut.tensors is None else blake3_of(cut.tensors),
    )


class _Head:
    """The beginning of a file, read at its origin as far as it is asked for.

    Not much further, for what an origin has sent before a transfer is broken off is paid for.
    """

    def __init__(self, origin: Origin, file: OriginFile) -> None:
        self._origin = origin
        self._file = file
        self.data = bytearray()

    def read(self, least: int) -> bytes:
        """The next bytes, as many or a few more; fewer at the end of the file."""
        start = len(self.data)
        end = min(self._file.size_bytes, start + max(least, start, _HEAD_BYTES))
        if start < end:
            with self._origin.read(self._file, start, end) as pieces:
                for piece in pieces:
                    self.data += piece
        return bytes(self.data[start:])
