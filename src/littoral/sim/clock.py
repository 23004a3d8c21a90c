"""Time that passes when it is told to, and what is to happen in it.

Acts that are due at the same moment happen in the order in which they were asked for, so a world
with the same seed is the same each time.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

from littoral.terms.values import SECOND, Instant

__all__ = ["Act", "VirtualClock"]

_AT_ONCE_MAX: Final = 10_000
"""Acts at one moment: with more, time would never go on."""


class Act:
    """Something that will happen, unless it is called off."""

    __slots__ = ("do",)

    def __init__(self, do: Callable[[], object]) -> None:
        self.do: Callable[[], object] | None = do

    def call_off(self) -> None:
        """It will not happen. To say so later changes nothing."""
        self.do = None


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
        self._acts: list[tuple[Instant, int, Act]] = []
        self._asked = self._at_once = 0
        self.happened = 0
        """Acts so far."""

    def now(self) -> Instant:
        """As in the port."""
        return self._now

    def unix_ns(self) -> int:
        """As in the port."""
        return self._began_unix_ns + self._now

    def random_bytes(self, count: int) -> bytes:
        """As in the port, and fit for a simulated world only."""
        return bytes(int(self._chance() * 256) for _ in range(count))

    def at(self, moment: int, do: Callable[[], object]) -> Act:
        """Have this happen at a moment; at once, if it is past."""
        act = Act(do)
        self._asked += 1
        heappush(self._acts, (Instant(max(moment, self._now)), self._asked, act))
        return act

    def after(self, seconds: float, do: Callable[[], object]) -> Act:
        """Have this happen once so much time has passed."""
        return self.at(self._now + int(seconds * SECOND), do)

    def step(self, until: Instant) -> bool:
        """Go on to the next act and do it; or, if there is none by then, to `until`, and say so."""
        while self._acts and self._acts[0][0] <= until:
            moment, _, act = heappop(self._acts)
            if act.do is None:
                continue
            self._at_once = self._at_once + 1 if moment == self._now else 0
            assert self._at_once <= _AT_ONCE_MAX, "time stands still: one moment has no end"
            self._now = moment
            self.happened += 1
            do, act.do = act.do, None
            do()
            return True
        self._now = max(self._now, until)
        return False

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        until = Instant(self._now + int(seconds * SECOND))
        while self.step(until):
            pass
