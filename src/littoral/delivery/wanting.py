"""Wants: chunks that others have and this PoP lacks, chosen together with whom to ask for them.

What is dealt comes by itself. Wants are for all else: what was passed on before this PoP came, what
a PoP that is gone did not pass on, and what a slow one would pass on last.

Rules
- The rarest first, so that nothing rests on one PoP for long and those who want the same get
  something to give each other.
- Two that want the same of one begin at different places.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

from littoral.delivery.chunk_set import ChunkSet, Run
from littoral.delivery.sizes import Sizes
from littoral.terms.ids import PopId

__all__ = ["pick", "rarities", "spot"]

_REACH: Final = 32
"""How many bites from the first chunk that is lacking one begins at most: order matters too."""


def rarities(holders: Iterable[ChunkSet]) -> tuple[ChunkSet, ChunkSet]:
    """Chunks that more than one has, and that more than two have."""
    once = twice = thrice = 0
    for holder in holders:
        thrice |= twice & holder.mask
        twice |= once & holder.mask
        once |= holder.mask
    return ChunkSet(twice), ChunkSet(thrice)


def spot(me: PopId, source: PopId) -> float:
    """Where this PoP begins to ask that one, from 0 to 1."""
    mixed = blake2b(f"{me} {source}".encode(), digest_size=4).digest()
    return int.from_bytes(mixed) / 2**32


def pick(
    loose: ChunkSet, common: Sequence[ChunkSet], place: float, most: int, sizes: Sizes
) -> ChunkSet:
    """What to ask one source for.

    Args:
        loose: what it has, is lacking here, and is asked of nobody.
        common: as `rarities` gives them.
        place: from 0 to 1, where to begin.
        most: bytes; at least one chunk is chosen, if there is any.
        sizes: of the chunks.
    """
    for many in common:
        if loose - many:
            loose -= many
            break
    if not loose:
        return loose
    mask = loose.mask
    lowest = (mask & -mask).bit_length() - 1
    reach = min(mask.bit_length() - lowest, _REACH * max(1, most // sizes.mean))
    start = lowest + int(place * reach)
    later = ChunkSet(mask >> start << start)
    runs: list[Run] = []
    left = most
    for run in (later or loose).runs():
        end = sizes.reach(run, left)
        if runs and sizes.of_run((run[0], end)) > left:
            break
        runs.append((run[0], end))
        left -= sizes.of_run((run[0], end))
        if left <= 0:
            break
    return ChunkSet.of_runs(runs)
