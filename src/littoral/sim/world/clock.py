"""Virtual time: what is to happen, in the order in which it will.

Two things at one moment happen in the order in which they were planned, so nothing depends on
anything but the seed.
"""

import heapq
from collections.abc import Callable
from typing import Final

from littoral.sim.world.broken import BrokenError
from littoral.terms.values import SECOND, Instant

__all__ = ["START", "Agenda", "Plan"]

_AT_ONCE_MAX: Final = 10_000
"""Events at one moment."""

START: Final = Instant(1_000 * SECOND)
"""The world's first moment: clocks that are behind it are not before 0."""


class Plan:
    """Something that will happen, unless it is called off."""

    __slots__ = ("do",)

    def __init__(self, do: Callable[[], None]) -> None:
        self.do: Callable[[], None] | None = do

    def call_off(self) -> None:
        """It will not happen. To say so later changes nothing."""
        self.do = None


class Agenda:
    """All that will happen, and the world's own time, which nobody in it knows."""

    __slots__ = ("_at_once", "_heap", "_planned", "happened", "now")

    def __init__(self) -> None:
        self.now = START
        self.happened = 0
        self._heap: list[tuple[int, int, Plan]] = []
        self._planned = self._at_once = 0

    def at(self, moment: int, do: Callable[[], None]) -> Plan:
        """Do this at a moment; at once, if it is past."""
        plan = Plan(do)
        self._planned += 1
        heapq.heappush(self._heap, (max(moment, self.now), self._planned, plan))
        return plan

    def after(self, seconds: float, do: Callable[[], None]) -> Plan:
        """Do this in so many seconds."""
        return self.at(self.now + int(seconds * SECOND), do)

    def run(self, until: int) -> None:
        """Let everything happen up to a moment."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            moment, _, plan = heapq.heappop(heap)
            do = plan.do
            if do is not None:
                self._at_once = self._at_once + 1 if moment == self.now else 0
                if self._at_once > _AT_ONCE_MAX:
                    raise BrokenError("time stands still: somebody is never done at this moment")
                self.now = Instant(moment)
                self.happened += 1
                plan.do = None
                do()
        self.now = Instant(until)
