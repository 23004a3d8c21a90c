"""Artifacts before they are ours: what a reference means at its origin. All are frozen."""

from dataclasses import dataclass

from littoral.terms.ids import Digest

__all__ = ["OriginFile", "OriginListing"]


@dataclass(frozen=True, slots=True)
class OriginFile:
    """One exact file at an origin: the same bytes whenever they are asked for."""

    path: str
    """Its name within the artifact: relative, with `/`, never with `..`."""
    size_bytes: int
    digest: Digest | None
    """The SHA-256 that the origin promises; None where it promises none."""
    place: str
    """What its origin reads it by. It means nothing to others, and holds no secret."""
    git_oid: str | None = None
    """The name that git gives these bytes, 40 hexadecimal digits, where the origin says it."""


@dataclass(frozen=True, slots=True)
class OriginListing:
    """What a reference means now."""

    reference: str
    """The reference, pinned (a commit, a digest): asked again it means the same bytes."""
    files: tuple[OriginFile, ...]
    """Sorted by path, at least one."""
    private: bool = False
    """It was given only because of a credential, so it goes to PoPs of the same owner only."""
    base: str | None = None
    """The reference of the model that this one is said to be derived from."""
