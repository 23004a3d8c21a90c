"""Chance that is the same everywhere.

Numbers are mixed, not drawn from the library's generator, so that a seed that failed once fails in
the same way with another version of Python.

Whoever draws has a source of its own, named by what it is for: a world in which one more client
comes has the same faults as before.
"""

import hashlib
from collections.abc import MutableSequence, Sequence
from typing import Any, Final, TypeVar

from littoral.sim.chance import mixed

__all__ = ["Chance"]

T = TypeVar("T")

_MASK: Final = (1 << 64) - 1


class Chance:
    """One source."""

    __slots__ = ("_drawn", "_name", "_seed")

    def __init__(self, seed: int, purpose: str = "") -> None:
        """Begin as this seed says.

        Args:
            seed: any whole number.
            purpose: what is drawn; another one gives other numbers.
        """
        self._name = f"{seed}/{purpose}"
        digest = hashlib.blake2b(self._name.encode(), digest_size=8).digest()
        self._seed = int.from_bytes(digest, "little")
        self._drawn = 0

    def of(self, purpose: str) -> "Chance":
        """Another source, which does not depend on what was drawn from this one."""
        return Chance(0, f"{self._name}/{purpose}")

    def bits(self) -> int:
        """64 random bits."""
        self._drawn += 1
        return mixed(self._seed, self._drawn)

    def below(self, end: int) -> int:
        """A whole number from 0, less than `end`."""
        return (self.bits() * end) >> 64

    def between(self, least: float, most: float) -> float:
        """A number between these."""
        return least + (most - least) * (self.bits() / (_MASK + 1))

    def happens(self, share: float) -> bool:
        """True so often of all times."""
        return self.bits() < share * (_MASK + 1)

    def one_of(self, things: Sequence[T]) -> T:
        """One of them, each as likely."""
        return things[self.below(len(things))]

    def some_of(self, things: Sequence[T], least: int, most: int) -> list[T]:
        """Between `least` and `most` of them, in any order, none twice."""
        shuffled = list(things)
        self.shuffle(shuffled)
        return shuffled[: least + self.below(most - least + 1)]

    def shuffle(self, things: MutableSequence[Any]) -> None:
        """Put them in any order."""
        for place in range(len(things) - 1, 0, -1):
            other = self.below(place + 1)
            things[place], things[other] = things[other], things[place]
