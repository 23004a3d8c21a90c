"""The index of one vector field, kept in step with the truth by the numbers of its changes.

Rules
- It is derived: missing, damaged or of another truth, it is made anew from the truth, behind the
  searches, and no search fails for it. While it can't be used, `search` gives None and the truth
  itself is compared.
- A search has what its connection sees, neither less nor more (`Behind`).
- Processes that read only go on with what the writing one has built; they build nothing.

Not here: how it searches (`adapters/memory/scan`).
"""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

from littoral.adapters.memory.embedded.comparing import Array, batches, numpy
from littoral.adapters.memory.embedded.kept import Filtered
from littoral.adapters.memory.embedded.reading import Reader, Readers
from littoral.adapters.memory.embedded.upkeep import Upkeep
from littoral.terms.errors import BadRequestError, LittoralError, StoreError
from littoral.terms.limits import MEMORY_AT_ONCE_BYTES, MEMORY_QUIET_S, MULTI_VECTORS_MAX
from littoral.terms.memory import Nearest, VectorField

if TYPE_CHECKING:
    from littoral.adapters.memory.scan import Among, VectorScan

__all__ = ["Behind", "FieldIndex"]

_Near = tuple[list[int], list[float], tuple[str, ...]]
"""Rows, the score of each, and the plan."""

_CODED_SHARE: Final = 32
"""Of a vector's bytes its code has so much (`memory/planner.py`), of short ones a little more."""

_PASSED_OVER: Final = 100
"""After a failure the truth is compared so many times before the index is tried again."""

_UNSEEN_MAX: Final = 4_096
"""Records written while it is not open, after which it is."""


class Behind(Exception):  # noqa: N818 - no error: the search is made again
    """What is in memory is of a later moment than what the connection sees."""

    def __init__(self, position: int) -> None:
        """Say of which."""
        super().__init__()
        self.position = position


class FieldIndex:
    """The index of one field."""

    def __init__(
        self, folder: Path, field: VectorField, number: int, readers: Readers, upkeep: Upkeep | None
    ) -> None:
        """Nothing is opened before the first search.

        Args:
            folder: where it lies; it may be missing.
            field: what vectors there are.
            number: of the field's table in the truth.
            readers: the truth.
            upkeep: who builds; None in a process that reads only.
        """
        self.vector_bytes = 4 * field.dimensions
        self._folder = folder
        self._field = field
        self._number = number
        self._readers = readers
        self._upkeep = upkeep
        self._lock = Lock()
        self._building = Lock()
        self._scan: VectorScan | None = None
        self._among: type[Among]
        """Set where the index is opened, since it comes with an extra."""
        self._passed_over = 0
        self._unseen = 0
        self._built = 0
        """Vectors that there were when it was built last."""
        self._late = False
        """The next search has it built."""
        self._failure = ""
        self._closed = False

    def search(
        self, reader: Reader, through: int, query: Nearest, count: int, among: Filtered | None
    ) -> _Near | None:
        """The best rows, best first, and whatever is as good as the last of them.

        Args:
            reader: what is seen of the truth.
            through: the last change that it sees.
            query: of this field.
            count: how many are wanted.
            among: rows that are meant; None is all.

        Raises:
            Behind: try again with a later snapshot.
        """
        scan = self._scan
        if scan is None or scan.position != through:
            scan = self._in_step(reader, through)
            if scan is None:
                return None
        if self._late:
            self._build_late()
        found = self._nearest(scan, query, count, among)
        if scan.position != through:
            raise Behind(scan.position)
        return found

    def takes(self, vector: bytes) -> bool:
        """Whether it is of the right length."""
        rows, rest = divmod(len(vector), self.vector_bytes)
        return not rest and 1 <= rows <= (MULTI_VECTORS_MAX if self._field.multi else 1)

    def is_brief(self, query: Nearest, count: int, among: Filtered | None) -> bool:
        """Whether a search looks at so little that a thread would cost more."""
        scan, rows = self._scan, None
        if scan is None or self._field.multi:
            return False
        if among is not None:
            rows = self._among(among.rows, among.key)
        rescored = scan.plan(count + 1, rows, exact=query.exact).rescored
        if rows is not None and rescored and not scan.is_known(rows):  # codes are gathered first
            return False
        looked_at = scan.alive if rows is None else len(rows.rows)
        if rescored:
            looked_at = rescored + looked_at // _CODED_SHARE
        return looked_at * self.vector_bytes <= MEMORY_AT_ONCE_BYTES

    def quick_search(
        self, through: int, query: Nearest, count: int, among: Filtered | None
    ) -> _Near | None:
        """The same where all is in memory, and as of this change; else None."""
        scan = self._scan
        if scan is None or scan.position != through:
            return None
        if self._late:
            self._build_late()
        found = self._nearest(scan, query, count, among)
        return found if scan.position == through else None

    def reset(self) -> None:
        """Forget it all: the truth is another one than it was made of."""
        with self._lock:
            if self._upkeep is None:
                self._fail("the index is of another truth")
            self._forget()

    def shown(self) -> str:
        """In words, how it is."""
        scan, failure = self._scan, self._failure
        if failure:
            return failure
        if scan is None:
            return "not opened yet"
        behind, alive = scan.needs_rebuild(), f"{scan.alive:,} vectors"
        if behind:
            return f"{alive}, being built: {behind}"
        behind = "" if self._upkeep is None else scan.needs_rebuild(quiet=True)
        return f"{alive}, to be built when nothing is written: {behind}" if behind else alive

    def follow(self, reader: Reader, changed: int) -> None:
        """Take in what was written, so that the next search need not.

        It is opened for that where much was written (`changed` in this call): an import is
        searched sooner so. Then it is built whenever it has doubled; searches want it sooner.
        """
        self._unseen += changed
        if self._scan is None and self._unseen < _UNSEEN_MAX:
            return
        self._unseen = 0
        with suppress(Behind):
            self._in_step(reader, reader.through(), searched=False)

    def rest(self) -> None:
        """Let go of what is in memory; the next search opens it again."""
        with self._lock:
            if self._scan is not None:
                self._scan.close()
                self._scan = None

    def close(self) -> None:
        """Let go of its files; nothing is written into its folder any more."""
        self._closed = True
        with self._building:
            self.rest()

    def _nearest(
        self, scan: "VectorScan", query: Nearest, count: int, among: Filtered | None
    ) -> _Near | None:
        rows = None if among is None else self._among(among.rows, among.key)
        look = scan.search_multi if self._field.multi else scan.search
        wanted = count + 1
        try:
            while True:
                near = look(query.vector, wanted, rows, exact=query.exact)
                scores = near.scores.tolist()
                if len(scores) < wanted or scores[-1] < scores[count - 1]:
                    break
                wanted *= 2
        except BadRequestError:  # numbers beyond what the index compares
            return None
        if len(scores) > count:
            last = scores[count - 1]
            while scores[-1] < last:
                scores.pop()
        return near.rows[: len(scores)].tolist(), scores, near.plan.reasons

    def _in_step(
        self, reader: Reader, through: int, *, searched: bool = True
    ) -> "VectorScan | None":
        with self._lock:
            if self._passed_over:
                self._passed_over -= 1
                return None
            try:
                if self._scan is None:
                    self._scan = self._opened()
                if self._scan.position > through:
                    raise Behind(self._scan.position)
                if self._scan.position < through:
                    self._bring_on(reader, through)
                    self._have_built(searched=searched)
            except (OSError, StoreError, BadRequestError) as error:
                self._fail(str(error))
                return None
            self._failure = ""
            return self._scan

    def _opened(self) -> "VectorScan":
        try:
            from littoral.adapters.memory.scan import Among, VectorScan  # noqa: PLC0415 - an extra
        except ImportError:
            raise StoreError("faiss is not installed") from None
        if self._closed:
            raise StoreError("the collection is closed")
        self._among = Among
        return VectorScan.open(self._folder, self._field.dimensions, self._field.metric)

    def _bring_on(self, reader: Reader, through: int) -> None:
        np = numpy()
        scan = self._scan
        assert scan is not None
        if self._upkeep is None:
            scan.refresh()
            if scan.position > through:
                raise Behind(scan.position)
        ((oldest,),) = reader.database.read("SELECT oldest_tombstone FROM state")
        if 0 < scan.position < oldest:
            self._forget()
            scan = self._scan = self._opened()
        position = scan.position
        gone = reader.database.read("SELECT row FROM gone WHERE seq > ?", (position,))
        removed = np.array([row for (row,) in gone if row <= position], np.int64)
        waiting = None
        for rows, vectors in self._batches(reader, position):
            if waiting is not None:
                scan.change(int(waiting[0][-1]), rows=waiting[0], vectors=waiting[1])
            waiting = rows, vectors
        rows, vectors = waiting or (np.empty(0, np.int64), None)
        scan.change(through, removed, rows, vectors)

    def _have_built(self, *, searched: bool) -> None:
        scan = self._scan
        if scan is None or self._upkeep is None:
            return
        wanted = bool(scan.needs_rebuild())
        if wanted and (searched or scan.alive >= 2 * self._built):
            self._upkeep.ask(self, self._rebuild)
        elif wanted or scan.needs_rebuild(quiet=True):
            self._late = wanted
            self._upkeep.ask_later(self, self._rebuild_quietly, MEMORY_QUIET_S)

    def _build_late(self) -> None:
        self._late = False
        if self._upkeep is not None:
            self._upkeep.ask(self, self._rebuild)

    def _batches(self, reader: Reader, after: int) -> Iterator[tuple[Array, Array]]:
        np = numpy()
        for rows, data in batches(reader, self._number, after):
            if self._closed:
                raise StoreError("the collection is closed")
            vectors = np.frombuffer(b"".join(data), "<f4").reshape(-1, self._field.dimensions)
            numbers = np.array(rows, np.int64)
            if self._field.multi:
                numbers = numbers.repeat([len(each) // self.vector_bytes for each in data])
            yield numbers, vectors

    def _rebuild_quietly(self) -> None:
        """Nothing was written for a while; on the upkeep's thread."""
        scan = self._scan
        if scan is None or self._upkeep is None or not scan.needs_rebuild(quiet=True):
            return
        self._rebuild()
        if scan.needs_rebuild(quiet=True) and not self._failure:  # another process is at it
            self._upkeep.ask_later(self, self._rebuild_quietly, MEMORY_QUIET_S)

    def _rebuild(self) -> None:
        """Make it anew from the truth; on the upkeep's thread."""
        from littoral.adapters.memory.scan import Truth  # noqa: PLC0415 - an extra

        with self._building:
            scan = self._scan
            if scan is None or self._closed:
                return
            try:
                if scan.refresh() and not scan.needs_rebuild():
                    return
                with self._readers.one() as reader:
                    scan.rebuild(lambda: Truth(reader.through(), self._batches(reader, 0)))
            except (OSError, LittoralError) as error:
                self._failure = f"not built: {error}"
            else:
                self._failure = ""
                self._built = scan.alive

    def _fail(self, why: str) -> None:
        self._failure = f"every vector is compared: {why}"
        self._passed_over = _PASSED_OVER
        if self._scan is not None:
            self._scan.close()
            self._scan = None

    def _forget(self) -> None:
        if self._scan is not None:
            self._scan.close()
            self._scan = None
        if self._upkeep is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
