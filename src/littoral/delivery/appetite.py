"""How much a PoP can take on to bring in: as much as it passes on in the next second or so.

What it was dealt counts as passed on once the quicker quarter of the others has it: slow downlinks
of others are no reason to read less. What it passes on in a second is measured, so a slow uplink is
found out without being told, and what is taken on at once stays small.
"""

from collections.abc import Iterable
from typing import Final

from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.peers import Meter, Peer
from littoral.delivery.sizes import Sizes
from littoral.terms.values import SECOND, Instant

__all__ = ["Appetite"]

_AHEAD_MIN: Final = int(0.8 * SECOND)
_AHEAD_MAX: Final = 6 * SECOND
_PART: Final = 16
"""What is taken on at once is this part of what is left of the whole pull."""

_FIRST: Final = 4
"""Chunks taken on at first: one is read, one passed on, and word of that is on its way."""
_LEAST: Final = 2


class Appetite:
    """Of one PoP."""

    __slots__ = ("_meter", "_sizes", "ahead", "idle", "own")

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        self._meter = Meter()
        """Of chunks that were passed on."""
        self.own = ChunkSet()
        """All that it was dealt, from the beginning."""
        self.ahead = _AHEAD_MIN
        """Nanoseconds of work that it takes on."""
        self.idle = True

    def plan(self, left: int, rate: float, usual_s: float, age: int) -> None:
        """Say how far the pull is.

        Args:
            left: bytes that this PoP lacks.
            rate: bytes that come to it in a second.
            usual_s: seconds between two chunks that one PoP brings in.
            age: nanoseconds since the pull began; what is measured early says little.
        """
        if rate > 0:
            ahead = min(left / rate / _PART * SECOND, age / 4, _AHEAD_MAX)
            self.ahead = int(max(_AHEAD_MIN, ahead, min(3 * usual_s, age / SECOND) * SECOND))

    def hunger(self, has: ChunkSet, others: Iterable[Peer], uplink: int, now: Instant) -> int:
        """Bytes that it could take on now; 0 where that is not worth a deal.

        Args:
            has: what this PoP has.
            others: those that it passes on to.
            uplink: bytes in a second, where that is known, for as long as nothing is measured.
            now: the time.
        """
        own = self.own
        unread = len(own - has)
        self.idle = not unread
        behind = sorted(len(own - peer.has - peer.known) for peer in others)
        pending = max(unread, behind[len(behind) // 4] if behind else 0)
        self._meter.note(len(own) - pending, now)
        rate = self._meter.rate(2 * self.ahead) * self._sizes.mean
        least = _LEAST
        if rate <= 0:
            least, rate = _FIRST, uplink / max(1, len(behind))
        window = max(least * self._sizes.mean, int(rate * self.ahead / SECOND))
        free = window - pending * self._sizes.mean
        return free if free * 4 >= window else 0
