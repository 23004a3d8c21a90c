"""The rows that filters mean, kept for whoever asks with the same filter again.

Rules
- What is kept is of one change of the truth; what changed since is looked at, record by record,
  or all is found anew where that is much. An array never changes: whoever has it keeps it.
- Filters are bounded in number and bytes; the one that was not used for longest goes.
"""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Final

import msgspec

from littoral.adapters.memory.embedded.comparing import Array, numpy
from littoral.adapters.memory.embedded.filtering import condition_of
from littoral.adapters.memory.embedded.layout import Layout
from littoral.adapters.memory.embedded.reading import Reader
from littoral.adapters.memory.embedded.rows import COLUMNS, record_of
from littoral.memory.filters import matches
from littoral.terms.filters import Filter
from littoral.terms.limits import MEMORY_FILTERS_BYTES, MEMORY_FILTERS_MAX

__all__ = ["Filtered", "KeptFilters"]

_CHANGED_MAX: Final = 512
"""Records that are looked at one by one: each takes 5 us."""

_encode: Final = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True, eq=False)
class Filtered:
    """What a filter means after one change."""

    key: bytes
    """The filter itself, in bytes."""
    through: int
    rows: Array
    """Ascending."""


class KeptFilters:
    """Those of one collection."""

    def __init__(self, layout: Layout) -> None:
        """None yet."""
        self._layout = layout
        self._kept: OrderedDict[bytes, Filtered] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def rows(self, where: Filter, reader: Reader, through: int) -> Filtered:
        """The rows that match, as the reader sees them."""
        key = _encode(where)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                if kept.through == through:
                    return kept
        found = None
        if kept is not None and kept.through < through:
            found = self._brought_on(kept, where, reader, through)
        if found is None:
            found = self._found(key, where, reader, through)
        self._keep(found)
        return found

    def quick_rows(self, where: Filter, through: int) -> Filtered | None:
        """The same if they are kept as of this change."""
        kept = self._kept.get(_encode(where))
        return kept if kept is not None and kept.through == through else None

    def _found(self, key: bytes, where: Filter, reader: Reader, through: int) -> Filtered:
        np = numpy()
        condition = condition_of(where, self._layout)
        rows = reader.read("SELECT row FROM records WHERE ", condition)
        found = np.fromiter((row for (row,) in rows), np.int64, len(rows))
        found.sort()
        return Filtered(key, through, found)

    def _brought_on(
        self, kept: Filtered, where: Filter, reader: Reader, through: int
    ) -> Filtered | None:
        """The same after a few more changes; None where they are many."""
        np = numpy()
        read = reader.database.read
        ((oldest,),) = read("SELECT oldest_tombstone FROM state")
        if through - kept.through > _CHANGED_MAX or oldest > kept.through:
            return None
        gone = [row for (row,) in read("SELECT row FROM gone WHERE seq > ?", (kept.through,))]
        changed = read(f"SELECT {COLUMNS} FROM records WHERE seq > ?", (kept.through,))  # noqa: S608
        left = gone + [row[0] for row in changed]
        came = [row[0] for row in changed if matches(where, record_of(row))]
        there = np.isin(kept.rows, left)
        if not came and not there.any():
            return Filtered(kept.key, through, kept.rows)
        rows = np.concatenate([kept.rows[~there], np.array(came, np.int64)])
        rows.sort()
        if len(rows) == len(kept.rows) and (rows == kept.rows).all():
            rows = kept.rows
        return Filtered(kept.key, through, rows)

    def _keep(self, found: Filtered) -> None:
        size = _size(found)
        if size > MEMORY_FILTERS_BYTES:
            return
        with self._lock:
            before = self._kept.get(found.key)
            if before is not None:
                if before.through > found.through:
                    return
                self._bytes -= _size(before)
            self._kept[found.key] = found
            self._bytes += size
            while len(self._kept) > MEMORY_FILTERS_MAX or self._bytes > MEMORY_FILTERS_BYTES:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= _size(oldest)


def _size(found: Filtered) -> int:
    return len(found.key) + int(found.rows.nbytes)
