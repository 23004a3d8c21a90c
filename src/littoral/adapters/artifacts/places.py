"""Where things are in the folder of a store.

    lock                   held by the one writer
    book                   what was asked for how often, and what is pinned
    manifests/HEX          each artifact, by its name
    claims/HEX/HEX         who vouches for it: envelopes, by their BLAKE3
    blobs/HEX              tables and lists of tensors, by their BLAKE3
    files/KEY              a whole file; never changes
    files/KEY.part         one that is being filled, or repaired: sparse, of its full length
    files/KEY.map          what of it is there
    drafts/HEX/            a draft: itself, and for each file the part, map and hashes

A KEY is of all that a manifest says of a file's bytes: its table, SHA-256 and what git calls it. So
a manifest that has one right and another wrong finds no file.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blake3 import blake3

from littoral.delivery.drafts import DraftId
from littoral.delivery.manifest import Blake3, FileRow
from littoral.terms.ids import ArtifactId

__all__ = ["MAP", "PART", "Places", "SlotPaths", "key_of", "whole_path"]

PART: Final = ".part"
MAP: Final = ".map"


@dataclass(frozen=True, slots=True)
class SlotPaths:
    """The names of one file in its states."""

    whole: Path | None
    """None for a file of a draft, which is never whole under its own name."""
    part: Path
    map: Path


def key_of(row: FileRow) -> str:
    """What a file is known by in the store."""
    return blake3(f"{row.table} {row.sha256} {row.git_oid}".encode()).hexdigest()


def whole_path(slot: SlotPaths) -> Path:
    """The name of a file of an artifact once it is whole."""
    assert slot.whole is not None, "only files of drafts are never whole"
    return slot.whole


@dataclass(frozen=True, slots=True)
class Places:
    """The names in one store."""

    folder: Path

    @property
    def lock(self) -> Path:
        """Held by the writer."""
        return self.folder / "lock"

    @property
    def book(self) -> Path:
        """Uses and pins."""
        return self.folder / "book"

    @property
    def manifests(self) -> Path:
        """The folder of manifests."""
        return self.folder / "manifests"

    @property
    def claims(self) -> Path:
        """The folder of folders of claims."""
        return self.folder / "claims"

    @property
    def blobs(self) -> Path:
        """The folder of tables and lists of tensors."""
        return self.folder / "blobs"

    @property
    def files(self) -> Path:
        """The folder of files."""
        return self.folder / "files"

    @property
    def drafts(self) -> Path:
        """The folder of folders of drafts."""
        return self.folder / "drafts"

    def manifest(self, artifact: ArtifactId) -> Path:
        """Of an artifact."""
        return self.manifests / _hex(artifact)

    def claims_of(self, artifact: ArtifactId) -> Path:
        """The folder of an artifact's claims."""
        return self.claims / _hex(artifact)

    def blob(self, name: Blake3) -> Path:
        """A table or a list of tensors."""
        return self.blobs / _hex(name)

    def draft(self, draft: DraftId) -> Path:
        """The folder of a draft."""
        return self.drafts / _hex(draft)

    def slot(self, key: str) -> SlotPaths:
        """A file."""
        return SlotPaths(self.files / key, self.files / (key + PART), self.files / (key + MAP))

    def draft_slot(self, draft: DraftId, file: int) -> SlotPaths:
        """A file of a draft."""
        folder = self.draft(draft)
        return SlotPaths(None, folder / f"{file}{PART}", folder / f"{file}{MAP}")

    def draft_file(self, draft: DraftId) -> Path:
        """The draft itself."""
        return self.draft(draft) / "draft"

    def draft_sealed(self, draft: DraftId) -> Path:
        """The artifact that a draft has become, until its files have their names."""
        return self.draft(draft) / "sealed"

    def draft_hashes(self, draft: DraftId, file: int) -> Path:
        """The hashes of the chunks of a file of a draft."""
        return self.draft(draft) / f"{file}.hashes"


def _hex(name: str) -> str:
    return name.partition(":")[2]
