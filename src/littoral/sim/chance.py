"""Seeded chance for networks on paper, and the mixing of numbers that worlds draw by, too.

Whoever draws has a source of its own, named by what it is for. So a policy that draws more does not
change the workload, and the same seed gives the same result on every machine.
"""

from random import Random
from typing import Final

__all__ = ["Random", "mixed", "source"]

_MASK: Final = (1 << 64) - 1


def source(seed: int, purpose: str) -> Random:
    """The random source for one purpose."""
    return Random(f"{seed}/{purpose}")  # noqa: S311 - a simulated world, no secrets


def mixed(first: int, second: int) -> int:
    """64 well mixed bits that follow from two numbers (the finisher of splitmix64)."""
    bits = (first * 0x9E3779B97F4A7C15 + second * 0xD1B54A32D192ED03 + 0x8BB84B93962EACC9) & _MASK
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & _MASK
    return bits ^ (bits >> 31)
