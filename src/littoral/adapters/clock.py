"""The one place that reads clocks and makes randomness."""

import secrets
import time

from littoral.terms.values import Instant

__all__ = ["SystemClock"]


class SystemClock:
    """The machine's own clocks and its cryptographic random source."""

    def now(self) -> Instant:
        """Monotonic nanoseconds."""
        return Instant(time.monotonic_ns())

    def unix_ns(self) -> int:
        """Wall-clock nanoseconds since 1970."""
        return time.time_ns()

    def random_bytes(self, count: int) -> bytes:
        """Fit for keys, ids and salts."""
        return secrets.token_bytes(count)
