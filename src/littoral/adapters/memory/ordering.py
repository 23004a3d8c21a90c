"""The order of ids, for servers that have none: read once, kept until something has changed."""

from bisect import bisect_right
from collections.abc import Callable, Hashable
from threading import Lock

__all__ = ["Ordering"]


class Ordering:
    """The sorted ids of one filter: those of the scan that was last."""

    def __init__(self) -> None:
        self._of: Hashable = None
        self._ids: list[str] = []
        self._reading = Lock()

    def after(
        self, last: str, limit: int, of: Hashable, read: Callable[[], list[str]]
    ) -> list[str]:
        """So many ids above one.

        Args:
            last: the one.
            limit: how many.
            of: what ids are meant, and after which change: as long as it is the same, so are they.
            read: reads all of them.
        """
        with self._reading:
            if self._of != of or self._of is None:
                self._ids = sorted(read())
                self._of = of
            start = bisect_right(self._ids, last)
            return self._ids[start : start + limit]
