"""How fast each source has given: the rates of links, as a mover sees them.

A rate is the best of a second (of a shorter time, where all came sooner) in the last hour in which
something came, and in such an hour before it: what comes is often bounded by who else takes, and
only the best of it tells of the link. A source that gives nothing keeps the rate that it had.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from littoral.delivery.words import ORIGIN
from littoral.terms.ids import PopId
from littoral.terms.values import SECOND, Instant

__all__ = ["Rates"]

_WINDOW: Final = SECOND
_LEAST: Final = SECOND // 5
"""In less, what came tells of buffers."""
_PAUSE: Final = SECOND // 2
"""After which what comes is of another time."""
_HOUR: Final = 3_600 * SECOND


@dataclass(slots=True)
class _Source:
    since: Instant
    """When the window began, with bytes that had been on their way before and do not count."""
    last: Instant
    hour: Instant
    """When the hour of the best began."""
    came: int = 0
    """Since the window began."""
    best: float = 0.0
    before: float = 0.0
    """The best of the hour before."""

    def add(self, count: int, now: Instant) -> None:
        if now - self.last > _PAUSE:
            self.close()
            self.since = self.last = now
            return
        self.came += count
        self.last = now
        if now - self.since >= _WINDOW:
            self.close()

    def close(self) -> None:
        """The window ends with what came last."""
        taken = self.last - self.since
        if taken >= _LEAST:
            rate = self.came * SECOND / taken
            if self.since - self.hour > _HOUR:
                self.hour, self.before, self.best = self.since, self.best, 0.0
            self.best = max(self.best, rate)
        self.since, self.came = self.last, 0

    @property
    def rate(self) -> float:
        return max(self.best, self.before)


class Rates:
    """Of one mover."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self._sources: dict[PopId, _Source] = {}

    def came(self, source: PopId, count: int, now: Instant) -> None:
        """Bytes came from a PoP, or from `ORIGIN`."""
        found = self._sources.get(source)
        if found is None:
            self._sources[source] = _Source(since=now, last=now, hour=now)
        else:
            found.add(count, now)

    def keep(self, pops: Collection[PopId]) -> None:
        """These are there, and of others nothing is kept."""
        for gone in self._sources.keys() - {*pops, ORIGIN}:
            del self._sources[gone]

    def known(self) -> Mapping[PopId, int]:
        """Bytes in a second, of all sources of which that is known; `ORIGIN` may be one."""
        for source in self._sources.values():
            source.close()
        rates = {pop: round(source.rate) for pop, source in self._sources.items()}
        return {pop: rate for pop, rate in rates.items() if rate}
