"""Eviction policies as plain simulators: what would be kept, were it asked for in this order.

Each takes what is asked for, and says whether it was there; if it was not, it is kept afterwards,
and others go until all fit. `Gdsf` has its formula from the cache room: what is measured runs.
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from littoral.cache.eviction import priority, weight

__all__ = ["POLICIES", "Asked", "Fifo", "Gdsf", "Lru", "Policy", "S3Fifo", "Sieve"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: for which answer, its bytes, and the seconds that it takes to compute."""

    key: int
    size: int
    cost_s: float


class Policy(Protocol):
    """A cache of a given capacity."""

    def ask(self, one: Asked) -> bool:
        """Whether it was there."""


class Fifo:
    """Whoever came first goes first."""

    moves = False

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.bytes = 0
        self._sizes: OrderedDict[int, int] = OrderedDict()

    def ask(self, one: Asked) -> bool:
        """Whether it was there."""
        key, size = one.key, one.size
        if key in self._sizes:
            if self.moves:
                self._sizes.move_to_end(key)
            return True
        self._sizes[key] = size
        self.bytes += size
        while self.bytes > self.capacity:
            self.bytes -= self._sizes.popitem(last=False)[1]
        return False


class Lru(Fifo):
    """Whoever was asked for longest ago goes first."""

    moves = True


class Sieve:
    """SIEVE (Zhang and others, NSDI 2024): a queue, and a hand that spares who was asked for."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.bytes = 0
        self._sizes: dict[int, int] = {}
        self._asked: set[int] = set()
        self._newer: dict[int, int | None] = {}
        self._older: dict[int, int | None] = {}
        self._newest: int | None = None
        self._oldest: int | None = None
        self._hand: int | None = None

    def ask(self, one: Asked) -> bool:
        """Whether it was there."""
        key, size = one.key, one.size
        if key in self._sizes:
            self._asked.add(key)
            return True
        while self.bytes + size > self.capacity and self._sizes:
            self._evict()
        if size <= self.capacity:
            self._link(key, size)
        return False

    def _link(self, key: int, size: int) -> None:
        self._sizes[key] = size
        self.bytes += size
        self._older[key], self._newer[key] = self._newest, None
        if self._newest is not None:
            self._newer[self._newest] = key
        else:
            self._oldest = key
        self._newest = key

    def _evict(self) -> None:
        at = self._hand if self._hand is not None else self._oldest
        assert at is not None
        while at in self._asked:
            self._asked.discard(at)
            onward = self._newer[at]
            at = onward if onward is not None else self._oldest
            assert at is not None
        newer, older = self._newer.pop(at), self._older.pop(at)
        self._hand = newer
        if newer is not None:
            self._older[newer] = older
        else:
            self._newest = older
        if older is not None:
            self._newer[older] = newer
        else:
            self._oldest = newer
        self.bytes -= self._sizes.pop(at)


class S3Fifo:
    """S3-FIFO (Yang and others, SOSP 2023): a small queue before the main one, and ghosts."""

    small_part: Final = 0.1
    asked_max: Final = 3

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._small: OrderedDict[int, int] = OrderedDict()
        self._main: OrderedDict[int, int] = OrderedDict()
        self._ghosts: OrderedDict[int, int] = OrderedDict()
        self._asked: dict[int, int] = {}
        self._small_bytes = self._main_bytes = self._ghost_bytes = 0

    @property
    def bytes(self) -> int:
        """Kept at present."""
        return self._small_bytes + self._main_bytes

    def ask(self, one: Asked) -> bool:
        """Whether it was there."""
        key, size = one.key, one.size
        if key in self._asked:
            self._asked[key] = min(self._asked[key] + 1, self.asked_max)
            return True
        if size > self.capacity:
            return False
        while self.bytes + size > self.capacity:
            self._evict()
        self._asked[key] = 0
        if key in self._ghosts:
            self._ghost_bytes -= self._ghosts.pop(key)
            self._main[key] = size
            self._main_bytes += size
        else:
            self._small[key] = size
            self._small_bytes += size
        return False

    def _evict(self) -> None:
        if self._small_bytes > self.small_part * self.capacity or not self._main:
            self._evict_small()
        else:
            self._evict_main()

    def _evict_small(self) -> None:
        while self._small:
            key, size = self._small.popitem(last=False)
            self._small_bytes -= size
            if self._asked[key] > 0:
                self._asked[key] = 0
                self._main[key] = size
                self._main_bytes += size
                continue
            del self._asked[key]
            self._ghosts[key] = size
            self._ghost_bytes += size
            while self._ghost_bytes > (1 - self.small_part) * self.capacity:
                self._ghost_bytes -= self._ghosts.popitem(last=False)[1]
            return

    def _evict_main(self) -> None:
        while self._main:
            key, size = self._main.popitem(last=False)
            if self._asked[key] > 0:
                self._asked[key] -= 1
                self._main[key] = size
                continue
            self._main_bytes -= size
            del self._asked[key]
            return


class Gdsf:
    """GDSF (Cherkasova 1998): times asked for, by cost, by size, from a clock that goes on."""

    by_time = False

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.bytes = 0
        self._clock = 0.0
        self._kept: dict[int, tuple[float, int, float, int]] = {}
        self._heap: list[tuple[float, int]] = []

    def ask(self, one: Asked) -> bool:
        """Whether it was there."""
        key, size = one.key, one.size
        kept = self._kept.get(key)
        if kept is not None:
            _, asked, worth, _ = kept
            self._place(key, asked + 1, worth, size)
            return True
        worth = weight(int(one.cost_s * 1e6) if self.by_time else 1, size)
        self._place(key, 1, worth, size)
        self.bytes += size
        while self.bytes > self.capacity:
            self._evict()
        return False

    def _place(self, key: int, asked: int, worth: float, size: int) -> None:
        place = priority(self._clock, asked, worth)
        self._kept[key] = (place, asked, worth, size)
        heapq.heappush(self._heap, (place, key))

    def _evict(self) -> None:
        while True:
            place, key = heapq.heappop(self._heap)
            kept = self._kept.get(key)
            if kept is not None and kept[0] == place:
                break
        self._clock = max(self._clock, place)
        self.bytes -= self._kept.pop(key)[3]


class GdsfByTime(Gdsf):
    """GDSF whose cost is the time that an answer took."""

    by_time = True


POLICIES: Final[dict[str, Callable[[int], Policy]]] = {
    "FIFO": Fifo,
    "LRU": Lru,
    "SIEVE": Sieve,
    "S3-FIFO": S3Fifo,
    "GDSF, each hit worth 1": Gdsf,
    "GDSF, worth its seconds": GdsfByTime,
}
