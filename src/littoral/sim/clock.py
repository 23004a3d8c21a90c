"""Time that passes when it is told to, and what is to happen in it.

Acts that are due at the same moment happen in the order in which they were asked for, so a world
with the same seed is the same each time.
"""

from collections.abc import Callable
from heapq import heappop, heappush

from littoral.terms.values import SECOND, Instant

__all__ = ["VirtualClock"]


class VirtualClock:
    """The `Clock` of all in one simulated world."""

    def __init__(self, chance: Callable[[], float], *, unix_s: int = 1_700_000_000) -> None:
        """Begin.

        Args:
            chance: draws from 0 to 1, 1 excluded.
            unix_s: the wall-clock time at which the world begins.
        """
        self._chance = chance
        self._began_unix_ns = unix_s * SECOND
        self._now = Instant(0)
        self._acts: list[tuple[Instant, int, Callable[[], None]]] = []
        self._asked = 0

    def now(self) -> Instant:
        """As in the port."""
        return self._now

    def unix_ns(self) -> int:
        """As in the port."""
        return self._began_unix_ns + self._now

    def random_bytes(self, count: int) -> bytes:
        """As in the port, and fit for a simulated world only."""
        return bytes(int(self._chance() * 256) for _ in range(count))

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Have this happen once so much time has passed."""
        self._asked += 1
        heappush(self._acts, (Instant(self._now + int(seconds * SECOND)), self._asked, act))

    def step(self, until: Instant) -> bool:
        """Go on to the next act and do it; or, if there is none by then, to `until`, and say so."""
        if not self._acts or self._acts[0][0] > until:
            self._now = max(self._now, until)
            return False
        self._now, _, act = heappop(self._acts)
        act()
        return True

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        until = Instant(self._now + int(seconds * SECOND))
        while self.step(until):
            pass
