"""The index of one vector field: what its owner opens, changes, asks and has made anew.

The truth is somewhere else, and knows its changes by number. On disk is a generation, which has
what the truth had after one of them (`through`); what came since is in memory's order, and lost
with the process. So the owner, having opened it, gives it again what the truth has after `through`.

Rules
- A change is given once it is committed, whole, and in the order of the truth: the rows that it
  took away and those that it brought. One that is known already changes nothing.
- Row numbers are never used again: what is written over is a row removed and another one brought.
- A search sees one state. Changes, a rebuild and another's generation put the next in its place.
- Nothing here is needed: whatever is missing or damaged, the owner makes it again of the truth.

Not here: what a row is, who may see it, and when to rebuild (`needs_rebuild` says why to).
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from littoral.adapters.memory.scan.building import Truth, building_alone, publish, sweep
from littoral.adapters.memory.scan.generation import Generation, current_name, empty, load
from littoral.adapters.memory.scan.growth import Grown, Growth
from littoral.adapters.memory.scan.kernels import (
    Floats,
    Places,
    places_of,
    prepared,
    prepared_queries,
    prepared_query,
    single_thread,
)
from littoral.adapters.memory.scan.multi import found_multi, vectors_wanted
from littoral.adapters.memory.scan.searching import Neighbours, Snapshot, found, found_many
from littoral.adapters.memory.scan.views import Among, View, Views
from littoral.memory.planner import CODED_ROWS_MIN, Kind, Plan, plan
from littoral.terms.memory import Metric

__all__ = ["VectorScan"]

_CHANGED_MIN: Final = 2_048
_GROWN_SHARE: Final = 4
"""A new generation is worth its while when a quarter has come since: 25 us of each search."""

_DEAD_SHARE: Final = 10
"""Or when a tenth was removed: the scan asks for as many more."""

_QUIET_TIMES: Final = 4
"""Or when so many times fewer have come and no more are likely to: at most 16 vectors are written
again for each of them."""

_DRIFT: Final = 1.5
"""Or when codes say what came since so many times worse than what they were learned from."""

_NO_ROWS: Final = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class _Removed:
    """Rows that a change took away."""

    rows: Places
    sequence: int


class VectorScan:
    """An index. Any thread may do anything with it."""

    def __init__(self, folder: Path, base: Generation) -> None:
        """Use `open`."""
        self._folder = folder
        self._lock = threading.Lock()
        """Of changes."""
        self._rebuilding = threading.Lock()
        self._views = Views()
        self._removed: list[_Removed] = []
        self._growth = Growth(folder, base.meta.dimensions, base.quantiser)
        self._now = Snapshot(base, None, 0, self._growth.now, base.through)

    @classmethod
    def open(cls, folder: Path, dimensions: int, metric: Metric) -> "VectorScan":
        """Open what is there; if it is missing, damaged or of another kind, with nothing in it.

        Raises:
            OSError: the folder can't be made or written.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with building_alone(folder) as alone:
            if alone:
                sweep(folder)
        return cls(folder, load(folder, dimensions, metric) or empty(dimensions, metric))

    @property
    def through(self) -> int:
        """The last change of the truth that is in what lies on disk; 0 before the first."""
        return self._now.base.through

    @property
    def position(self) -> int:
        """The last change of the truth that searches see."""
        return self._now.position

    @property
    def alive(self) -> int:
        """Vectors that may be found."""
        return self._now.alive

    @property
    def ram_bytes(self) -> int:
        """In memory, beside what is mapped; twice as much while a generation replaces another."""
        base, grown, code_bytes = self._now.base, self._now.grown, 0
        if base.quantiser is not None:
            code_bytes = base.quantiser.code_bytes
        coded = (len(base.rows) + grown.coded) * code_bytes if base.index is not None else 0
        marks = 0 if self._now.dead is None else len(self._now.dead)
        return coded + marks + 16 * len(grown.rows) + self._views.ram_bytes

    def change(
        self,
        sequence: int,
        removed: Places = _NO_ROWS,
        rows: Places = _NO_ROWS,
        vectors: Floats | None = None,
    ) -> None:
        """Let the next search see a change of the truth.

        Args:
            sequence: its number; one that is not above `position` is known, and passed over.
            removed: rows that are no more, in any order; those that are not here do not matter.
            rows: rows that have come.
            vectors: one for each of them.

        Raises:
            BadRequestError: a vector has another length, or a number that is not finite.
            OSError: there is no room; nothing is changed, and the same may be given again.
        """
        with self._lock:
            now = self._now
            if sequence <= now.position:
                return
            dimensions, metric = now.base.meta.dimensions, now.base.meta.metric
            fresh = None
            if vectors is not None and len(rows):
                fresh = prepared(vectors, dimensions, metric)
                assert len(fresh) == len(rows)
            if len(removed):
                gone = np.unique(np.asarray(removed, np.int64))
                now = _without(now, gone, self._growth.remove(gone))
            grown = now.grown
            if fresh is not None:
                grown = self._growth.append(np.asarray(rows, np.int64), fresh, sequence)
            if len(removed):
                self._removed.append(_Removed(gone, sequence))
            self._now = replace(now, grown=grown, position=sequence)

    def plan(self, count: int, among: Among | None = None, *, exact: bool = False) -> Plan:
        """How a search would be done now."""
        return _planned(self._now, count, among, exact=exact)

    def is_known(self, among: Among) -> bool:
        """Whether it is in memory where these candidates stand, with their codes."""
        now = self._now
        return self._views.has(among, now.base, now.grown, coded=True)

    def search(
        self, query: Floats | bytes, count: int, among: Among | None = None, *, exact: bool = False
    ) -> Neighbours:
        """The nearest to a query, best first: `count` of them, or all that there are.

        Args:
            query: as many numbers as the field has dimensions, or these packed.
            count: how many to give.
            among: the rows that may be found; None is all.
            exact: leave no nearer one out, however long it takes.

        Raises:
            BadRequestError: the query has another length, or a number that is not finite.
        """
        now = self._now
        meta = now.base.meta
        asked = prepared_query(query, meta.dimensions, meta.metric)
        chosen = _planned(now, count, among, exact=exact)
        return found(now, asked, count, chosen, self._view(now, chosen, among))

    def search_many(self, queries: Floats, count: int, *, exact: bool = False) -> list[Neighbours]:
        """The nearest to each query, of all vectors. See `search`."""
        now = self._now
        asked = prepared(queries, now.base.meta.dimensions, now.base.meta.metric)
        return found_many(now, asked, count, _planned(now, count, None, exact=exact))

    def search_multi(
        self,
        queries: Floats | bytes,
        count: int,
        among: Among | None = None,
        *,
        exact: bool = False,
    ) -> Neighbours:
        """The best rows for all vectors of a query together (MaxSim), where rows have many each.

        Raises:
            BadRequestError: a vector has another length, or a number that is not finite.
        """
        now = self._now
        meta = now.base.meta
        asked = prepared_queries(queries, meta.dimensions, meta.metric)
        chosen = _planned(now, vectors_wanted(count), among, exact=exact)
        return found_multi(now, asked, count, chosen, self._view(now, chosen, among))

    def needs_rebuild(self, *, quiet: bool = False) -> str:
        """Why a new generation is worth its while, or nothing.

        Args:
            quiet: no change has come for a while, so that it would stay as good as it is made.
        """
        now, growth, times = self._now, self._growth, _QUIET_TIMES if quiet else 1
        held, grown = len(now.base.rows), len(now.grown.rows)
        many = max(_CHANGED_MIN, held // _GROWN_SHARE) // times
        if now.base.index is None and now.alive >= CODED_ROWS_MIN:
            return f"{now.alive:,} vectors have no codes"
        if grown >= many and now.base.index is not None:
            return f"{grown:,} vectors have come to {held:,}"
        if now.dead_count >= max(_CHANGED_MIN, held // _DEAD_SHARE):
            return f"{now.dead_count:,} of {held:,} vectors were removed"
        if now.grown.alive * 2 < grown and grown >= _CHANGED_MIN:
            return f"{grown - now.grown.alive:,} of {grown:,} vectors that came were removed"
        if growth.errors and growth.error_sum > growth.errors * now.base.meta.error * _DRIFT:
            worse = growth.error_sum / growth.errors / max(now.base.meta.error, 1e-30)
            return f"codes say what came since {worse:.1f} times worse"
        return ""

    def rebuild(self, truth: Callable[[], Truth]) -> bool:
        """Make a generation of the truth, and go on with it; searches and changes go on meanwhile.

        Args:
            truth: opens the truth as it is when this is called: no change before it is missing.

        Returns:
            False where another thread or process makes one already.

        Raises:
            DiskShortError: there is no room; what was there goes on.
            OSError: it can't be written; what was there goes on.
        """
        if not self._rebuilding.acquire(blocking=False):
            return False
        try:
            single_thread()
            with building_alone(self._folder) as alone:
                if not alone:
                    return False
                sweep(self._folder)
                meta = self._now.base.meta
                publish(self._folder, truth(), meta.dimensions, meta.metric)
            self.refresh()
            return True
        finally:
            self._rebuilding.release()

    def refresh(self) -> bool:
        """Go on with the generation that counts, if another process, or this, has made one."""
        meta = self._now.base.meta
        if current_name(self._folder) in ("", self._now.base.name):
            return False
        base = load(self._folder, meta.dimensions, meta.metric)
        if base is None:
            return False
        with self._lock:
            if base.through < self._now.base.through:
                return False
            self._go_on_with(base)
        self._views.drop()
        return True

    def close(self) -> None:
        """Let go of what is open. Searches under way end as they would."""
        with self._lock:
            self._growth.close()

    def _view(self, now: Snapshot, chosen: Plan, among: Among | None) -> View | None:
        if among is None:
            return None
        return self._views.of(among, now.base, now.grown, coded=chosen.kind is Kind.VIEW)

    def _go_on_with(self, base: Generation) -> None:
        """Put changes that the generation does not have on top of it."""
        before, grown = self._now, self._now.grown
        late = grown.sequences > base.through
        if grown.dead is not None:
            late &= ~grown.dead
        growth = Growth(self._folder, base.meta.dimensions, base.quantiser)
        if late.any():
            growth.append(grown.rows[late], grown.vectors[late], grown.sequences[late])
        removed = [each for each in self._removed if each.sequence > base.through]
        position = max(before.position, base.through)
        now = Snapshot(base, None, 0, growth.now, position)
        for each in removed:
            now = _without(now, each.rows, growth.now)
        self._growth.close()
        self._growth, self._removed, self._now = growth, removed, now


def _planned(now: Snapshot, count: int, among: Among | None, *, exact: bool) -> Plan:
    return plan(
        now.alive,
        None if among is None else len(among.rows),
        now.base.meta.dimensions,
        count,
        codes=now.base.ranking,
        kept=among is not None and among.key is not None,
        exact=exact,
    )


def _without(now: Snapshot, rows: Places, grown: Grown) -> Snapshot:
    """The same, these rows removed from the generation. They ascend."""
    places = places_of(now.base.rows, rows)
    if not len(places):
        return replace(now, grown=grown)
    dead = np.zeros(len(now.base.rows), np.bool_) if now.dead is None else now.dead.copy()
    dead[places] = True
    return replace(now, dead=dead, dead_count=int(np.count_nonzero(dead)), grown=grown)
