"""Candidates of a search: where they stand, found once for a filter that is asked again and again.

A view has the places of the candidates in the files, and where they are many an index of their
codes, which are taken from the generation's as they are.

Rules
- A view is used only for the very rows and the generation that it was made of. What was removed
  since is left out by the marks, which are looked at once after each change; what was not there yet
  has another look taken for it.
- Views are bounded in number and bytes; the one that was not used for longest goes.
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np

from littoral.adapters.memory.scan.generation import Generation
from littoral.adapters.memory.scan.growth import Grown
from littoral.adapters.memory.scan.kernels import Flags, Places, places_of
from littoral.terms.limits import MEMORY_VIEWS_BYTES, MEMORY_VIEWS_MAX

__all__ = ["Among", "View", "Views"]


@dataclass(frozen=True, slots=True, eq=False)
class Among:
    """Rows that may be found, ascending; with a key, a view of them is kept under it.

    The same key may come with other rows later: the view is made anew.
    """

    rows: Places
    key: Hashable | None = None


@dataclass(slots=True, eq=False)
class View:
    """Where candidates stand."""

    wanted: Places
    base: Generation
    grown_rows: int
    """So many had come after the generation when it was made."""
    in_base: Places
    in_grown: Places
    index: Any
    """faiss.IndexPQFastScan of those in the generation, or None."""
    _removed: tuple[int, Flags | None] = -1, None
    """After which change of the truth, and which of those in the generation."""

    def removed(self, position: int, dead: Flags | None) -> Flags | None:
        """Which of those in the generation were removed; None is none.

        It is looked for once after each change: candidates are mostly rows that are there.

        Args:
            position: of the snapshot, which has
            dead: as the generation's.
        """
        if dead is None:
            return None
        known, flags = self._removed
        if known != position:
            flags = dead[self.in_base]
            flags = flags if flags.any() else None
            self._removed = position, flags
        return flags

    @property
    def ram_bytes(self) -> int:
        """What it takes in memory at most, beside the rows that it was asked for."""
        codes = 0 if self.index is None else len(self.in_base) * int(self.index.code_size)
        return self.in_base.nbytes + self.in_grown.nbytes + codes + len(self.in_base)

    def holds(self, among: Among, base: Generation, grown: Grown, *, coded: bool) -> bool:
        """Whether it may be used."""
        if coded and self.index is None and len(self.in_base):
            return False
        if self.base is not base or not _same(self.wanted, among.rows):
            return False
        found = len(self.in_base) + len(self.in_grown)
        return found >= len(self.wanted) or self.grown_rows == len(grown.rows)


class Views:
    """Those that are kept."""

    def __init__(self) -> None:
        """None yet."""
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, View] = OrderedDict()
        self.ram_bytes = 0

    def of(self, among: Among, base: Generation, grown: Grown, *, coded: bool) -> View:
        """The view of these candidates, with an index if it is wanted and there are codes."""
        if among.key is None:
            return _made(among, base, grown, coded=coded)
        with self._lock:
            kept = self._kept.get(among.key)
            if kept is not None:
                self._kept.move_to_end(among.key)
        if kept is not None and kept.holds(among, base, grown, coded=coded):
            return kept
        made = _made(among, base, grown, coded=coded)
        self._keep(among.key, made)
        return made

    def has(self, among: Among, base: Generation, grown: Grown, *, coded: bool) -> bool:
        """Whether it need not be made."""
        kept = None if among.key is None else self._kept.get(among.key)
        return kept is not None and kept.holds(among, base, grown, coded=coded)

    def drop(self) -> None:
        """Forget all: there is another generation."""
        with self._lock:
            self._kept.clear()
            self.ram_bytes = 0

    def _keep(self, key: Hashable, view: View) -> None:
        if view.ram_bytes > MEMORY_VIEWS_BYTES:
            return
        with self._lock:
            before = self._kept.pop(key, None)
            self.ram_bytes += view.ram_bytes - (before.ram_bytes if before else 0)
            self._kept[key] = view
            while len(self._kept) > MEMORY_VIEWS_MAX or self.ram_bytes > MEMORY_VIEWS_BYTES:
                _, oldest = self._kept.popitem(last=False)
                self.ram_bytes -= oldest.ram_bytes


def _made(among: Among, base: Generation, grown: Grown, *, coded: bool) -> View:
    in_base = places_of(base.rows, among.rows)
    in_grown = np.flatnonzero(np.isin(grown.rows, among.rows)) if len(grown.rows) else in_base[:0]
    index = None
    if coded and base.quantiser is not None and base.codes is not None and len(in_base):
        index = base.quantiser.index(base.codes[in_base])
    return View(among.rows, base, len(grown.rows), in_base, in_grown, index)


def _same(one: Places, other: Places) -> bool:
    return one is other or (len(one) == len(other) and bool((one == other).all()))
