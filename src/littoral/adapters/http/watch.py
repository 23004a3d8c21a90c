"""Looks at the deadlines of all connections that are at work, a few times a second.

No timer is made for a request. It decides nothing: a connection knows what its time is (hop.py).
"""

import asyncio
from typing import TYPE_CHECKING, Final

from littoral.adapters.http.words import Deadlines, HttpError

if TYPE_CHECKING:
    from littoral.adapters.http.hop import Holder, Hop

__all__ = ["Watch"]

_TICK_MAX_S: Final = 0.25
_TICK_MIN_S: Final = 0.005
_TICKS_PER_WAIT: Final = 8
"""A deadline is seen at most an eighth of its length late."""


class Watch:
    """The deadlines of all hops that are at work on one loop."""

    __slots__ = ("_hops", "_last", "_loop", "_tick_s", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._hops: set[Hop] = set()
        self._tick_s = _TICK_MAX_S
        self._last: Deadlines | None = None
        """Those that the ticks were looked at for last."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, hop: "Hop", deadlines: Deadlines) -> None:
        """Look after this one from now on."""
        self._hops.add(hop)
        if self._timer is None or deadlines is not self._last:
            self._last = deadlines
            self._look_within(min(deadlines.first_byte_s, deadlines.between_bytes_s))

    def _look_within(self, shortest_s: float) -> None:
        tick_s = shortest_s / _TICKS_PER_WAIT
        if self._timer is None or tick_s < self._tick_s:
            if self._timer is not None:
                self._timer.cancel()
            self._tick_s = max(_TICK_MIN_S, min(_TICK_MAX_S, tick_s))
            self._timer = self._loop.call_later(self._tick_s, self._look)

    def end(self, hop: "Hop") -> None:
        """Look after it no more."""
        self._hops.discard(hop)

    def lose(self, holder: "Holder", error: HttpError, silent_s: float) -> None:
        """The holder's server is gone: end what it was asked.

        Args:
            holder: whose connections.
            error: told of each.
            silent_s: an answer of whose body something came within so many seconds goes on.
        """
        since = self._loop.time() - silent_s
        for hop in list(self._hops):
            hop.lose(holder, error, since)

    def close(self) -> None:
        """Look no more, at none."""
        self._hops.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        for hop in list(self._hops):
            hop.check_time(now)
        if self._hops:
            self._timer = self._loop.call_later(self._tick_s, self._look)
        else:
            self._tick_s = _TICK_MAX_S
            self._last = None
