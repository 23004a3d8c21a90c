"""How much a PoP can take on to bring in: as much as it passes on in the next second or so.

What it was dealt counts as passed on once half of the others have it: slow downlinks of a few are
no reason to read less. What it passes on in a second is measured, so a slow uplink is found out
without being told, and what is taken on at once stays small.

Rules
- Whoever could take on more and has nothing left to bring in was dealt too little: it takes a while
  until a deal is there, on long ways and busy machines a longer one. So it takes on more.
- Nobody takes on much more than its equal share of what comes to the group: who was dealt more once
  would else pass on more, take on more for it, and be the last to have passed on everything.
- Towards the end what is taken on shrinks with what is left, for the same reason.
- How much more is taken on changes slowly: a PoP whose deals were late once is not to be the last.
"""

from collections.abc import Iterable
from math import inf
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

_LAST_PART: Final = 4
"""Where deals are slow to come, this part of what is left."""

_MORE: Final = 1.1
"""Of its equal share, that one takes on at most: what a slow one leaves is for the others."""

_FIRST: Final = 8
"""Chunks taken on at first: some are read, some passed on, and of others word is on its way."""
_LEAST: Final = 2
_GROWING, _SHRINKING, _SLACK_MAX = 1.05, 0.99, 4.0
"""The slack after each plan, of that before: where there was nothing to bring in, and elsewhere."""
_YOUNG: Final = 2 * SECOND
"""Until then, what was measured says how it begins, and not how it goes."""


class Appetite:
    """Of one PoP."""

    __slots__ = (
        "_meter",
        "_rate_max",
        "_sizes",
        "_slack",
        "_span_max",
        "_young",
        "ahead",
        "idle",
        "own",
    )

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        self._meter = Meter()
        """Of chunks that were passed on."""
        self.own = ChunkSet()
        """All that it was dealt, from the beginning."""
        self.ahead = _AHEAD_MIN
        """Nanoseconds of work that it takes on."""
        self.idle = True
        self._slack = 1.0
        """How much more it takes on than it passes on in `ahead`."""
        self._span_max = float(_AHEAD_MAX)
        """Nanoseconds of work that it takes on at most."""
        self._rate_max = inf
        """Chunks in a second."""
        self._young = True

    def plan(self, left: int, rate: float, usual_s: float, age: int) -> None:
        """Say how far the pull is.

        Args:
            left: bytes that this PoP lacks.
            rate: bytes that come to it in a second.
            usual_s: seconds between two chunks that one PoP brings in.
            age: nanoseconds since the pull began; what is measured early says little.
        """
        self._young = age < _YOUNG
        if rate > 0:
            self._rate_max = _MORE / usual_s
            ahead = min(left / rate / _PART * SECOND, age / 4, _AHEAD_MAX)
            least = min(_AHEAD_MIN, left / rate * SECOND)
            self.ahead = int(max(least, ahead, min(3 * usual_s, age / SECOND) * SECOND))
            self._span_max = max(self.ahead, left / rate / _LAST_PART * SECOND)

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
        pending = max(unread, behind[len(behind) // 2] if behind else 0)
        self._meter.note(len(own) - pending, now)
        rate = min(self._meter.rate(2 * self.ahead), self._rate_max) * self._sizes.mean
        least = _FIRST if self._young else _LEAST
        if rate <= 0:
            least, rate = _FIRST, uplink / max(1, len(behind))
        span = min(self.ahead * self._slack, self._span_max)
        window = max(least * self._sizes.mean, int(rate * span / SECOND))
        free = window - pending * self._sizes.mean
        hungry = free * 4 >= window
        change = _GROWING if self.idle and hungry else _SHRINKING
        self._slack = min(_SLACK_MAX, max(1.0, self._slack * change))
        return free if hungry else 0
