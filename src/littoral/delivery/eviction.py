"""Which artifacts go when others need their room.

The policy is GDSF (greedy dual, size, frequency; `cache.eviction` has the rule), with the time that
fetching an artifact took as its cost: what is far away stays longer than what a neighbour has.

Rules
- Never goes what an engine or a front door has, what is pinned here, or what is the last copy in
  the network of something that is pinned anywhere.
- Files that artifacts share are freed when the last of these goes, and only then counted.
- Either there is room afterwards, or nothing goes.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from littoral.terms.errors import DiskShortError
from littoral.terms.ids import ArtifactId

__all__ = ["Candidate", "victims", "worth"]

MEGABYTE = 10**6

REFETCH_BYTES_PER_S_ASSUMED = 25 * MEGABYTE
"""Where fetching was not measured: a common line to the Internet."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An artifact on disk."""

    artifact: ArtifactId
    files: Mapping[str, int]
    """What each of its files is known by, and the bytes that it takes on disk."""
    priority: float
    """The lowest goes first."""
    kept: bool
    """It is in use, pinned, or a last copy."""


def worth(asked: int, refetch_s: float | None, size_bytes: int) -> float:
    """What an artifact is worth for each megabyte that it takes; its priority beyond the clock.

    Args:
        asked: how often it was asked for, at least once.
        refetch_s: seconds that fetching it took; None where it was not measured.
        size_bytes: of all of its files.
    """
    megabytes = max(size_bytes, MEGABYTE) / MEGABYTE
    if refetch_s is None:
        refetch_s = max(size_bytes, MEGABYTE) / REFETCH_BYTES_PER_S_ASSUMED
    return asked * refetch_s / megabytes


def victims(
    candidates: Collection[Candidate], needed_bytes: int
) -> tuple[tuple[ArtifactId, ...], float]:
    """What goes so that so many bytes are freed, and the clock after that.

    Args:
        candidates: all artifacts on disk.
        needed_bytes: to be freed; nothing goes when it is 0 or less.

    Raises:
        DiskShortError: too little of what is here may go; `details` has how much.
    """
    users = Counter(file for candidate in candidates for file in candidate.files)
    gone: list[Candidate] = []
    freed = 0
    for candidate in sorted(candidates, key=lambda it: (it.priority, it.artifact)):
        if freed >= needed_bytes:
            break
        if candidate.kept:
            continue
        gone.append(candidate)
        for file, size in candidate.files.items():
            users[file] -= 1
            freed += 0 if users[file] else size
    if freed < needed_bytes:
        raise DiskShortError(
            f"{needed_bytes / MEGABYTE:,.0f} MB more are needed in the store, and all but "
            f"{freed / MEGABYTE:,.0f} MB of what is there is in use, pinned or a last copy",
            advice="unpin or remove something, or raise the bytes that the store may take",
            details={"needed_bytes": needed_bytes, "can_be_freed_bytes": freed},
        )
    needed = _without_the_needless(gone, users, freed - needed_bytes)
    return tuple(it.artifact for it in needed), max((it.priority for it in needed), default=0.0)


def _without_the_needless(
    gone: list[Candidate], users: Counter[str], spare_bytes: int
) -> list[Candidate]:
    """Let stay, from the worthiest on, whatever the others free enough without.

    Args:
        gone: those that free enough together.
        users: of each file, how many of those have it that stay.
        spare_bytes: how much more is freed than needed.
    """
    needed = list(gone)
    for candidate in reversed(gone[:-1]):
        less = sum(size for file, size in candidate.files.items() if not users[file])
        if less <= spare_bytes:
            spare_bytes -= less
            users.update(candidate.files.keys())
            needed.remove(candidate)
    return needed
