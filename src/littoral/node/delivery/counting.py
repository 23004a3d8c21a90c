"""Where the bytes of a pull came from, and how fast they come."""

from collections import deque
from collections.abc import Sequence
from typing import Final

from littoral.delivery.words import ORIGIN
from littoral.node.delivery.rates import Rates
from littoral.terms.delivery import SourceRow
from littoral.terms.ids import PopId
from littoral.terms.values import SECOND, Instant

__all__ = ["Counted"]

_WINDOW: Final = 3 * SECOND
_STEP: Final = SECOND // 4


class _Source:
    """What came from one source."""

    __slots__ = ("recent", "total")

    def __init__(self) -> None:
        self.total = 0
        self.recent: deque[tuple[Instant, int]] = deque()
        """Bytes by the quarter of a second that they came in."""

    def add(self, count: int, now: Instant) -> None:
        self.total += count
        if self.recent and now - self.recent[-1][0] < _STEP:
            since, before = self.recent[-1]
            self.recent[-1] = (since, before + count)
        else:
            self.recent.append((now, count))

    def rate(self, now: Instant) -> float:
        """Bytes in a second, of late."""
        while self.recent and now - self.recent[0][0] > _WINDOW:
            self.recent.popleft()
        if not self.recent:
            return 0.0
        seconds = max(now - self.recent[0][0], SECOND) / SECOND
        return sum(count for _, count in self.recent) / seconds


class Counted:
    """Of one pull."""

    def __init__(self, rates: Rates) -> None:
        """Nothing came yet.

        Args:
            rates: of the mover, which hear of it too.
        """
        self._rates = rates
        self._sources: dict[PopId, _Source] = {}
        self.spared_bytes = 0
        """Of what came from other PoPs: it was encoded, and so did not have to travel."""

    def came(self, source: PopId, count: int, now: Instant) -> None:
        """Bytes came from a source."""
        found = self._sources.get(source)
        if found is None:
            found = self._sources[source] = _Source()
        found.add(count, now)
        self._rates.came(source, count, now)

    def spared(self, count: int) -> None:
        """Something came encoded, in so many bytes less than it has."""
        self.spared_bytes += count

    @property
    def origin_bytes(self) -> int:
        """Fetched from the origin."""
        found = self._sources.get(ORIGIN)
        return 0 if found is None else found.total

    @property
    def neighbour_bytes(self) -> int:
        """Fetched from other PoPs."""
        return sum(each.total for pop, each in self._sources.items() if pop != ORIGIN)

    def bytes_per_s(self, now: Instant) -> float:
        """From all sources together."""
        return sum(each.rate(now) for each in self._sources.values())

    def rows(self, now: Instant) -> Sequence[SourceRow]:
        """One for each source, those with the most bytes first."""
        found = sorted(self._sources.items(), key=lambda item: (-item[1].total, item[0]))
        return tuple(
            SourceRow(pop or "origin", each.total, round(each.rate(now), 1)) for pop, each in found
        )
