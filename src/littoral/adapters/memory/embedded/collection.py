"""One collection of this machine: a database that is the truth, and what is derived from it.

Rules
- One thread writes at a time; a process waits for another's writes. Who reads waits for neither.
- Each call sees one moment of the truth, and no earlier one than when it began.

Not here: which collections there are (`place.py`).
"""

# ruff: noqa: S608 - names of tables and marks go in, values never

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

import msgspec

from littoral.adapters.memory.embedded.changing import Changing
from littoral.adapters.memory.embedded.era import era_now, left_open
from littoral.adapters.memory.embedded.filtering import condition_of
from littoral.adapters.memory.embedded.indexing import Behind, FieldIndex
from littoral.adapters.memory.embedded.kept import KeptFilters
from littoral.adapters.memory.embedded.layout import Layout
from littoral.adapters.memory.embedded.position import Position
from littoral.adapters.memory.embedded.quick import Quick
from littoral.adapters.memory.embedded.reading import Reader, Readers
from littoral.adapters.memory.embedded.replicating import changes_after, follow, followed
from littoral.adapters.memory.embedded.rows import COLUMNS, record_of
from littoral.adapters.memory.embedded.searching import Held, Searching
from littoral.adapters.memory.embedded.upkeep import Upkeep
from littoral.adapters.memory.embedded.wording import Wording
from littoral.adapters.store.database import Database
from littoral.memory.checking import check_search, check_writes
from littoral.memory.filters import check_filter
from littoral.terms.errors import BadRequestError, LittoralError, NotAllowedError, StoreError
from littoral.terms.filters import Filter
from littoral.terms.limits import COLLECTION_WAIT_S, TRUTH_LOG_BYTES_MAX
from littoral.terms.memory import (
    Applied,
    CollectionShown,
    CollectionSpec,
    Delete,
    Found,
    Page,
    Record,
    Scan,
    Search,
    Upsert,
    Write,
)
from littoral.terms.replicas import Changes, Followed

__all__ = ["TRUTH_FILE", "EmbeddedCollection"]

TRUTH_FILE = "truth.sqlite"
POSITION_FILE = "position"
INDEX_FOLDER = "index-"
"""And the number of the field, and the era."""

_FREE_PAGES_MIN = 64
"""Free pages below this number (512 KB) are not worth giving back."""


class EmbeddedCollection:
    """See `terms.collections.Collection`."""

    def __init__(
        self, folder: Path, spec: CollectionSpec, upkeep: Upkeep | None, *, new: bool = False
    ) -> None:
        """Open it.

        Args:
            folder: where it lies.
            spec: what it is.
            upkeep: who builds its indexes; None in a process that reads only.
            new: make its tables.

        Raises:
            StoreError: it is damaged, or held.
        """
        truth = folder / TRUTH_FILE
        if not new and not (truth.exists() and truth.stat().st_size):
            raise StoreError(f"{truth} is missing or empty", advice="restore it from a backup")
        was_open = left_open(truth)
        self.folder = folder
        self._layout = Layout(spec)
        self._read_only = upkeep is None
        self._closed = False
        self._writing = Lock()
        self._writer: Reader | None = None
        self._readers = Readers(lambda: self._opened(read_only=True))
        try:
            with self._readers.one() if self._read_only else self._written() as reader:
                self._era = era_now(reader.database, was_open=was_open, read_only=self._read_only)
        except BaseException:
            self._rest()
            raise
        kept = KeptFilters(self._layout)
        self._indexes = {
            name: FieldIndex(
                folder / f"{INDEX_FOLDER}{number}-{self._era}",
                spec.vectors[number],
                number,
                self._readers,
                upkeep,
            )
            for name, number in self._layout.dense.items()
        }
        self._position = Position(folder / POSITION_FILE, read_only=self._read_only)
        if not self._read_only:
            self._sweep()
            with self._written() as writer:
                if self._position.read() < writer.through():  # else without waiting for who writes
                    with writer.database.transaction():
                        self._position.say(writer.through())
        quick = Quick(self._indexes, kept, self._position, self._readers)
        self._held = Held(self._indexes, kept, quick, Wording())
        self.inode = truth.stat().st_ino

    @property
    def spec(self) -> CollectionSpec:
        """What it is."""
        return self._layout.spec

    def close(self) -> None:
        """Let go of its files; calls under way end first, or fail."""
        self._closed = True
        for index in self._indexes.values():
            index.close()
        self._readers.close()
        self._rest()
        self._position.close()

    def rest(self) -> None:
        """Let go of what whoever uses it next opens again: files, and indexes in memory."""
        for index in self._indexes.values():
            index.rest()
        self._held.wording.forget()
        self._rest(waits=False)

    def shown(self) -> CollectionShown:
        """As `Collections.describe` says it."""
        with self._readers.one() as reader:
            ((through, records),) = reader.database.read("SELECT through, records FROM state")
        size = sum(each.stat().st_size for each in self.folder.rglob("*") if each.is_file())
        return CollectionShown(
            spec=self._layout.spec,
            driver="embedded",
            records=records,
            through=through,
            disk_bytes=size,
            index="; ".join(
                f"{name or 'vectors'}: {index.shown()}" for name, index in self._indexes.items()
            ),
        )

    def apply(self, writes: Sequence[Write]) -> Applied:
        """Make these changes."""
        with _texts_only():
            check_writes(self._layout.spec, writes)
            if self._read_only:
                raise _read_only()
            with self._written() as writer:
                with writer.database.transaction():
                    changing = Changing(writer, self._layout)
                    changed = sum(changing.apply(write) for write in writes)
                    if changed:
                        changing.settle()
                        self._position.say(changing.through)
                if changed:
                    _give_back(writer.database)
            if changed:
                self._follow(changed)
            return Applied(changing.through, changed)

    def search(self, search: Search) -> Found:
        """The best records."""
        found = self._held.quick.found(search)
        if found is not None:
            return found
        with _texts_only():
            check_search(self._layout.spec, search)
            later = 0
            while True:
                with self._readers.one() as reader:
                    searching = Searching(reader, self._layout, self._held)
                    if searching.through < later:
                        for index in self._indexes.values():
                            index.reset()
                        self._held.wording.forget()
                    try:
                        return searching.found(search)
                    except Behind as behind:
                        later = behind.position

    def at_once(self, search: Search) -> Found | None:
        """See `terms.collections.Prompt`."""
        return self._held.quick.at_once(search)

    def fetch(self, ids: Sequence[str], *, with_vectors: bool = False) -> Sequence[Record]:
        """Those that are there."""
        with _texts_only(), self._readers.one() as reader:
            found = reader.by_ids(tuple(dict.fromkeys(ids)), with_vectors=with_vectors)
            return [found[each] for each in ids if each in found]

    def scan(self, scan: Scan) -> Page:
        """Records in the order of their ids."""
        check_filter(scan.where)
        condition = condition_of(scan.where, self._layout)
        with _texts_only(), self._readers.one() as reader:
            rows = reader.read(
                f"SELECT {COLUMNS} FROM records WHERE id > ? AND ",
                condition,
                " ORDER BY id LIMIT ?",
                first=(scan.after,),
                last=(scan.limit + 1,),
            )
            page = [(row[0], record_of(row)) for row in rows[: scan.limit]]
            if scan.with_vectors:
                page = [(row, reader.filled(row, record)) for row, record in page]
        records = tuple(record for _, record in page)
        return Page(records, records[-1].id if len(rows) > scan.limit else "")

    def count(self, where: Filter | None = None) -> int:
        """How many match."""
        check_filter(where)
        with _texts_only(), self._readers.one() as reader:
            if where is None:
                return int(reader.database.read("SELECT records FROM state")[0][0])
            condition = condition_of(where, self._layout)
            return int(reader.read("SELECT count(*) FROM records WHERE ", condition)[0][0])

    def changes(self, after: int, bytes_max: int, *, begun: int = 0, era: str = "") -> Changes:
        """See `terms.collections.Replicated`."""
        if era != self._era:
            after = begun = 0
        with self._readers.one() as reader:
            found = changes_after(reader, after, bytes_max, begun=begun)
        return msgspec.structs.replace(found, era=self._era)

    def follow(self, changes: Changes, incarnation: str) -> Followed:
        """See `terms.collections.Replicated`."""
        check_writes(self._layout.spec, [Upsert(changes.records), Delete(changes.gone)])
        if self._read_only:
            raise _read_only()
        with self._written() as writer:
            with writer.database.transaction():
                changing = Changing(writer, self._layout)
                follow(writer.database, changing, changes, incarnation)
                changing.settle()
                self._position.say(changing.through)
            _give_back(writer.database)
        self._follow(len(changes.records) + len(changes.gone))
        return self.followed()

    def followed(self) -> Followed:
        """See `terms.collections.Replicated`."""
        with self._readers.one() as reader:
            return followed(reader.database)

    def _opened(self, *, read_only: bool) -> Reader:
        database = Database(
            self.folder / TRUTH_FILE,
            migrations=self._layout.migrations,
            wal_bytes_max=TRUTH_LOG_BYTES_MAX,
            shrinks=True,
            busy_wait_s=COLLECTION_WAIT_S,
            threads=True,
            read_only=read_only,
        )
        return Reader(database, self._layout)

    @contextmanager
    def _written(self) -> Iterator[Reader]:
        """The one connection that writes, for one thread at a time."""
        with self._writing:
            if self._closed:
                raise StoreError("the collection is closed", advice="open it again")
            if self._writer is None:
                self._writer = self._opened(read_only=False)
            yield self._writer

    def _rest(self, *, waits: bool = True) -> None:
        self._readers.rest()
        if self._writing.acquire(blocking=waits):
            try:
                if self._writer is not None:
                    self._writer.database.close()
                    self._writer = None
            finally:
                self._writing.release()

    def _sweep(self) -> None:
        """Drop the indexes of other eras."""
        for each in self.folder.glob(f"{INDEX_FOLDER}*"):
            if each.is_dir() and not each.name.endswith(f"-{self._era}"):
                shutil.rmtree(each, ignore_errors=True)

    def _follow(self, changed: int) -> None:
        """Have indexes take in what was written; whatever fails there fails no write."""
        with suppress(LittoralError), self._readers.one() as reader:
            for index in self._indexes.values():
                index.follow(reader, changed)


def _give_back(database: Database) -> None:
    """Give free pages back to the disk where they are many; whatever fails there fails no write."""
    with suppress(LittoralError):
        ((free,),) = database.read("PRAGMA freelist_count")
        ((pages,),) = database.read("PRAGMA page_count")
        if free > max(_FREE_PAGES_MIN, pages // 8):
            database.shrink(waits=False)


def _read_only() -> NotAllowedError:
    return NotAllowedError("this process reads the collection only", advice="write through the PoP")


@contextmanager
def _texts_only() -> Iterator[None]:
    """Texts that are none in Unicode can't be kept, and nothing has them."""
    try:
        yield
    except UnicodeEncodeError:
        raise BadRequestError(
            "a text has half of a surrogate pair", advice="send texts in Unicode"
        ) from None
