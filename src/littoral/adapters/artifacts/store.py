"""The one writer of a store, and what it decides: room, pins, sweeping, scrubbing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from littoral.adapters.artifacts.intake import DraftIntake, Intake
from littoral.adapters.artifacts.shelf import Shelf
from littoral.delivery.drafts import Draft, DraftId
from littoral.delivery.manifest import Blake3
from littoral.terms.ids import ArtifactId

__all__ = ["ArtifactStore", "Scrubbed", "Swept", "open_store"]


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What a bounded piece of scrubbing found."""

    read_bytes: int
    rotten: tuple[tuple[ArtifactId, int], ...]
    """Chunks that are not held any more, under every artifact that has them; `take` one of these
    to have it repaired."""
    round_over: bool
    """All that is here was looked at since the round began."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What was taken away because nothing needs it."""

    files: int
    freed_bytes: int


class ArtifactStore:
    """The writer. All methods block, and may be called on any thread."""

    shelf: Shelf

    def take(
        self,
        manifest: bytes,
        tables: Sequence[bytes],
        lists: Mapping[Blake3, bytes] | None = None,
    ) -> Intake:
        """Begin, or go on with, an artifact; or repair one. One intake of each at a time.

        What the store holds of it already, in other files, is copied first.

        Args:
            manifest: its bytes.
            tables: one for each file.
            lists: lists of tensors, by name, as far as they are had.

        Raises:
            DigestMismatchError, BadRequestError: as `manifest.opened`.
            ConflictError: it is under way already.
            DiskShortError: there is no room for it, and none can be made.
        """
        raise NotImplementedError

    def take_draft(self, draft: Draft, cuts: Sequence[bytes]) -> DraftIntake:
        """Begin, or go on with, a draft. Raises as `take`."""
        raise NotImplementedError

    def drop_draft(self, draft: DraftId) -> None:
        """Take a draft away; nothing happens where there is none."""
        raise NotImplementedError

    def claim(self, artifact: ArtifactId, envelope: bytes) -> None:
        """Keep who vouches for an artifact. Raises NotFoundError."""
        raise NotImplementedError

    def pin(self, artifact: ArtifactId, *, pinned: bool) -> None:
        """Never make room by dropping it; or do so again. Raises NotFoundError."""
        raise NotImplementedError

    def used(self, artifact: ArtifactId, *, refetch_s: float | None = None) -> None:
        """Count that it was asked for, for the order of eviction.

        Args:
            artifact: which; nothing happens where it is not here.
            refetch_s: seconds that fetching it took, where it has been measured.
        """
        raise NotImplementedError

    def make_room(
        self, needed_bytes: int, keep: Collection[ArtifactId] = ()
    ) -> tuple[ArtifactId, ...]:
        """Drop what is worth least until so much more fits.

        Args:
            needed_bytes: to be written.
            keep: the last copies in the network of what somebody has pinned.

        Returns:
            What was dropped.

        Raises:
            DiskShortError: too much is pinned, held or the last copy. Nothing was dropped.
        """
        raise NotImplementedError

    def remove(self, artifact: ArtifactId) -> int:
        """Drop it, and say how many bytes that freed. Raises NotFoundError, ConflictError."""
        raise NotImplementedError

    def gc(self) -> Swept:
        """Take away files that no manifest names, and what killed processes left."""
        raise NotImplementedError

    def scrub(self, bytes_max: int) -> Scrubbed:
        """Hash some of what is here again, where the last call ended; rotten chunks are let go."""
        raise NotImplementedError

    def close(self) -> None:
        """Close every intake and let go of the store."""
        raise NotImplementedError


def open_store(folder: Path, *, bytes_max: int) -> ArtifactStore:
    """Open a store to write.

    Args:
        folder: `HOME/artifacts`; it is made.
        bytes_max: of disk that all files together may take.

    Raises:
        HomeHeldError: another process writes to it.
        HomeUnwritableError: it can't be made or written.
    """
    raise NotImplementedError
