"""The order of ids, for servers that have none: read once, kept until something has changed."""

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable
from threading import Lock

from littoral.terms.memory import Record

__all__ = ["Ordering"]


class Ordering:
    """The sorted ids of one filter: those of the scan that was last."""

    def __init__(self) -> None:
        self._of: Hashable = None
        self._ids: list[str] = []
        self._reading = Lock()

    def page(
        self,
        after: str,
        limit: int,
        of: Hashable,
        read: Callable[[], list[str]],
        get: Callable[[list[str]], Iterable[Record]],
    ) -> list[Record]:
        """So many records with ids above one; fewer only where there are no more.

        Args:
            after: the one.
            limit: how many.
            of: what ids are meant, and after which change: as long as it is the same, so are they.
            read: reads all of them.
            get: gives those records that are there.
        """
        found: list[Record] = []
        while len(found) < limit:
            ids = self._above(after, limit - len(found), of, read)
            if not ids:
                break
            there = {each.id: each for each in get(ids)}
            found += [there[each] for each in ids if each in there]
            after = ids[-1]
        return found

    def _above(
        self, last: str, limit: int, of: Hashable, read: Callable[[], list[str]]
    ) -> list[str]:
        with self._reading:
            if self._of != of or self._of is None:
                self._ids = sorted(read())
                self._of = of
            start = bisect_right(self._ids, last)
            return self._ids[start : start + limit]
