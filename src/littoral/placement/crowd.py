"""How the requests for one model share out over the machines that have it, in the mean. Arithmetic.

Each request goes where its answer is over soonest (record 18), so queues grow until all machines
in use would take it equally long: the *level*. A quick machine is used first, and a slow one once
the wait at quick ones is longer than what it is slower by. Up to a wait of w seconds, n machines
that are alike let as many requests in as

    n / read_s x w / (w + read_s / √n)                       prompts are read one at a time
    n x slots / hold_s x w / (w + hold_s / √(n x slots))     an answer keeps a slot

whichever is less. It is a queue that grows without bound towards the capacity of n servers. The
more there are to choose from, the later it does: what they must have to spare grows as √n only.

Rules
- Links count for nothing: against reading a prompt and writing an answer they are short.
- Nothing of a prompt is kept, as nobody knows how much will be: loads are rather less than said.
- Beyond FULL of its machines' capacity all of them are as good as always at work.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Alike", "at_work", "least_s"]

FULL: Final = 0.95
"""Part of the capacity up to which queues are worked out."""
_STEPS: Final = 40
"""Halvings of the level: to a millionth of a millionth."""


@dataclass(frozen=True, slots=True)
class Alike:
    """Machines that do one model equally well."""

    read_s: float
    """To read a mean prompt."""
    write_s: float
    """To write a mean answer that is alone."""
    slots: int
    slowdown: float
    """Each further answer under way slows every one by so much."""

    @property
    def hold_s(self) -> float:
        """How long a request has a slot where all slots are taken."""
        return self.read_s + self.write_s * (1 + self.slowdown * (self.slots - 1))

    @property
    def capacity(self) -> float:
        """Requests a second of one of them."""
        return min(1 / self.read_s, self.slots / self.hold_s)

    def let_in(self, count: int, wait_s: float) -> float:
        """Requests a second of so many of them, up to a wait."""
        if wait_s <= 0:
            return 0.0
        read_s, places, hold_s = self.read_s, count * self.slots, self.hold_s
        reading = count / read_s * wait_s / (wait_s + read_s / math.sqrt(count))
        return min(reading, places / hold_s * wait_s / (wait_s + hold_s / math.sqrt(places)))

    def at_work(self, rate: float) -> float:
        """Slots at work of one machine that gets so many requests a second."""
        slowed = 1 - rate * self.write_s * self.slowdown
        writing = rate * self.write_s / slowed if slowed > 0 else float(self.slots)
        return min(rate * self.read_s + writing, float(self.slots))


def at_work(rate: float, have: Sequence[tuple[Alike, int]]) -> tuple[float, ...]:
    """Slots at work of one machine of each kind.

    Args:
        rate: requests a second for the model, from everywhere.
        have: machines that have the model, and how many; none is right where nothing is asked.
    """
    if not rate:
        return (0.0,) * len(have)
    served = min(rate, FULL * sum(alike.capacity * count for alike, count in have))
    level = _level_s(served, have)
    rates = [
        alike.let_in(count, level - least_s(alike)) / count if count else 0.0
        for alike, count in have
    ]
    return tuple(alike.at_work(each) for (alike, _), each in zip(have, rates, strict=True))


def least_s(alike: Alike) -> float:
    """From its being sent to its last token, on a machine that is idle."""
    return alike.read_s + alike.write_s


def _level_s(rate: float, have: Iterable[tuple[Alike, int]]) -> float:
    used = [(alike, count, least_s(alike)) for alike, count in have if count]
    low = min(least for *_, least in used)
    reach = 1.0

    def enough(level: float) -> bool:
        return sum(alike.let_in(count, level - least) for alike, count, least in used) >= rate

    while not enough(low + reach):
        reach *= 2
    high = low + reach
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if enough(middle):
            high = middle
        else:
            low = middle
    return high
