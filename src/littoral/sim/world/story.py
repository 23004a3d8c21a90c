"""What happened in a world, in order: a digest of it all, and its end for whoever asks why."""

import hashlib
from collections import deque
from typing import Final

from littoral.sim.clock import VirtualClock

__all__ = ["Story"]

_TAIL: Final = 120


class Story:
    """Told by everybody in the world; read by nobody in it."""

    __slots__ = ("_clock", "_hash", "tail", "told")

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._hash = hashlib.blake2b(digest_size=16)
        self.told = 0
        self.tail: deque[str] = deque(maxlen=_TAIL)

    def tell(self, who: str, what: str) -> None:
        """One line: `12.345678 a: begins to load m1`."""
        microseconds = self._clock.now() // 1_000
        line = f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06d} {who}: {what}"
        self._hash.update(line.encode() + b"\n")
        self.tail.append(line)
        self.told += 1

    @property
    def digest(self) -> str:
        """Of all that was told so far."""
        return self._hash.hexdigest()
