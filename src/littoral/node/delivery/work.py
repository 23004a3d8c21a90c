"""What a group has of its artifact or draft."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from littoral.adapters.artifacts import DraftIntake
from littoral.adapters.moving.words import Base
from littoral.delivery.manifest import Kind
from littoral.delivery.pull import PullMachine
from littoral.node.delivery.origin_reads import OriginReads
from littoral.node.delivery.shelves import FillingShelf

__all__ = ["Work"]

SealIt = Callable[[], None]
"""Makes the whole of what is here, or raises DigestMismatchError with `details["path"]`. Blocks."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a group has of its artifact."""

    name: str
    """By which the others know it: an artifact's id, or a draft's."""
    machine: PullMachine
    shelf: FillingShelf
    reads: OriginReads | None
    """None: no origin is known, or it can't be reached."""
    seal: SealIt
    paths: tuple[str, ...]
    """Of its files, in order."""
    documents: Mapping[str, bytes]
    """Its `manifest` (or draft) and `tables/N` (or cuts), for others."""
    kind: Kind
    """What it is for."""
    private: bool
    """It goes to PoPs of this owner only."""
    lists: Mapping[int, bytes]
    """Of the tensors of its files, by file, as far as they were had."""
    base: Base | None = None
    """Something like it that is here whole."""

    @property
    def is_draft(self) -> bool:
        """Whether hashes are only vouched for."""
        return isinstance(self.shelf.intake, DraftIntake)
