"""Which of an engine's slots a request takes: reuse of prompts, for the key that sent them only.

llama.cpp keeps in each slot the prompt it worked on last, and reuses what a next prompt has in
common with it. How much it reused shows in the usage and in the time to first token: a second
key could guess a first key's prompt, token by token. So a slot's past serves only the key it is
from; for any other it is computed anew (invariant I10).

A value with state and no I/O. It keeps the beginnings of prompts in memory, never elsewhere.
"""

from dataclasses import dataclass
from typing import Final

__all__ = ["PROMPT_BYTES_MAX", "Seat", "Seats"]

PROMPT_BYTES_MAX: Final = 64 * 1024
"""How much of each slot's prompt is remembered for finding the one with the most in common."""


@dataclass(frozen=True, slots=True)
class Seat:
    """One slot, taken."""

    slot: int
    reuse: bool
    """Whether what the slot holds may be used again: it is this tenant's own, or nothing."""


@dataclass(slots=True)
class _Past:
    """What a slot worked on last."""

    tenant: str
    prompt: bytes
    turn: int


class Seats:
    """The slots of one engine's life."""

    def __init__(self, slots: int) -> None:
        """All free, none with a past."""
        self._free = list(range(slots))
        self._past: dict[int, _Past] = {}
        self._turn = 0

    def take(self, tenant: str, prompt: bytes) -> Seat | None:
        """The best free slot for this prompt; None when all are taken.

        Best is the tenant's own slot with the longest beginning in common; then one without a
        past; then the tenant's own longest unused; then anybody's longest unused.
        """
        if not self._free:
            return None
        prompt = prompt[:PROMPT_BYTES_MAX]
        slot = max(self._free, key=lambda slot: self._worth(slot, tenant, prompt))
        self._free.remove(slot)
        past = self._past.get(slot)
        self._turn += 1
        self._past[slot] = _Past(tenant, prompt, self._turn)
        return Seat(slot, reuse=past is None or past.tenant == tenant)

    def give(self, seat: Seat) -> None:
        """The slot is free again, with the past of whoever had it."""
        self._free.append(seat.slot)
        self.check()

    def _worth(self, slot: int, tenant: str, prompt: bytes) -> tuple[int, int, int]:
        past = self._past.get(slot)
        if past is None:
            return (2, 0, -slot)
        if past.tenant != tenant:
            return (0, 0, -past.turn)
        shared = _shared_length(past.prompt, prompt)
        # Less than half in common is mostly the frame that every conversation has.
        return (3, shared, 0) if 2 * shared >= len(past.prompt) else (1, 0, -past.turn)

    def check(self) -> None:
        """Assert what must always hold."""
        assert len(set(self._free)) == len(self._free), "a slot is free once"


def _shared_length(one: bytes, other: bytes) -> int:
    """Length of the common beginning, by halving: comparing slices is what Python does fast."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
