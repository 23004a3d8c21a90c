"""Artifacts by the names that people know: at their origin, and on a shelf here. All are frozen."""

from dataclasses import dataclass

from littoral.terms.ids import Digest, ModelName

__all__ = ["OriginFile", "OriginListing", "Shelved"]


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


@dataclass(frozen=True, slots=True)
class Shelved:
    """One revision of a repository, as this PoP gives it to clients."""

    repository: str
    """`owner/name`; of data sets `datasets/owner/name`."""
    commit: str
    """40 hexadecimal digits: the commit at the origin, or what stands for one (`stand_in_commit`).
    Asked by it, the repository has the same bytes for ever, on every PoP."""
    files: tuple[OriginFile, ...]
    """Sorted by path. Each has a digest, a git name, or both; a file with a git name is one that
    its origin keeps in git itself, and the name is that of its bytes."""
    names: tuple[str, ...] = ("main",)
    """Branches and tags that mean this revision now; none if only its commit does."""
    private: bool = False
    """As in `OriginListing`."""
    models: tuple[ModelName, ...] = ()
    """A key that is limited to models opens it if it may use one of these."""
