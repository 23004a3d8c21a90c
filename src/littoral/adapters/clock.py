"""The one place that reads clocks and makes randomness."""

import secrets
import time
from collections.abc import Callable
from typing import Final

from littoral.terms.values import Instant

__all__ = ["SystemClock"]


_DRAWN_BYTES: Final = 4096
"""Randomness is drawn in portions: one system call for some hundred ids."""


class SystemClock:
    """The machine's own clocks and its cryptographic random source."""

    __slots__ = ("_drawn", "_used")

    def __init__(self) -> None:
        self._drawn = b""
        self._used = 0

    now: Callable[[], Instant] = staticmethod(time.monotonic_ns)  # type: ignore[assignment]
    """Monotonic nanoseconds. Read several times for a request, so without a function of ours."""

    unix_ns = staticmethod(time.time_ns)
    """Wall-clock nanoseconds since 1970."""

    def random_bytes(self, count: int) -> bytes:
        """Fit for keys, ids and salts."""
        start, end = self._used, self._used + count
        if end > len(self._drawn):
            if count > _DRAWN_BYTES:
                return secrets.token_bytes(count)
            self._drawn = secrets.token_bytes(_DRAWN_BYTES)
            start, end = 0, count
        self._used = end
        return self._drawn[start:end]
