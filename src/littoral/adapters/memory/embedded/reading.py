"""Connections for reading a collection, a bounded number of them, kept for whoever reads next.

Rules
- One thread uses a connection at a time. A writer blocks none of them, and they block no writer.
"""

# ruff: noqa: S608 - names of tables and marks go in, values never

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Condition as Waiting
from typing import Any

from littoral.adapters.memory.embedded.filtering import KEEPS_ARGUMENTS, Condition, keeps
from littoral.adapters.memory.embedded.layout import Layout
from littoral.adapters.memory.embedded.rows import COLUMNS, joined, record_of, unpacked_sparse
from littoral.adapters.store.database import Database, Row
from littoral.terms.errors import StoreError
from littoral.terms.limits import COLLECTION_READERS_MAX, COLLECTION_WAIT_S
from littoral.terms.memory import Record, Sparse

__all__ = ["Reader", "Readers"]

_CHUNK = 1_000
"""Rows that are asked for in one statement."""


class Reader:
    """One connection, and what is asked through it."""

    def __init__(self, database: Database, layout: Layout) -> None:
        self.database = database
        self._layout = layout
        self._checks: Sequence[Any] = ()
        database.define("keeps", KEEPS_ARGUMENTS, self._keeps)

    def read(
        self,
        select: str,
        condition: Condition,
        rest: str = "",
        *,
        first: Sequence[object] = (),
        last: Sequence[object] = (),
    ) -> list[Row]:
        """What a query gives whose WHERE has this condition.

        Args:
            select: what stands before the condition, and
            condition: the condition, and
            rest: what stands after it.
            first: the parameters of what stands before it, and
            last: after it.
        """
        self._checks = condition.checks
        return self.database.read(
            f"{select}{condition.sql}{rest}", [*first, *condition.parameters, *last]
        )

    def through(self) -> int:
        """The number of the last change."""
        return int(self.database.read("SELECT through FROM state")[0][0])

    def records(self, rows: Sequence[int], *, with_vectors: bool = False) -> dict[int, Record]:
        """The records in these rows, those that are there."""
        found = {row[0]: record_of(row) for row in self.some(COLUMNS, rows)}
        if with_vectors:
            return {row: self.filled(row, record) for row, record in found.items()}
        return found

    def by_ids(self, ids: Sequence[str], *, with_vectors: bool = False) -> dict[str, Record]:
        """The records with these ids, those that are there."""
        found: dict[str, Record] = {}
        for start in range(0, len(ids), _CHUNK):
            part = ids[start : start + _CHUNK]
            marks = ", ".join("?" * len(part))
            for row in self.database.read(
                f"SELECT {COLUMNS} FROM records WHERE id IN ({marks})", part
            ):
                record = record_of(row)
                found[record.id] = self.filled(row[0], record) if with_vectors else record
        return found

    def ids(self, rows: Sequence[int]) -> dict[int, str]:
        """The ids in these rows, of those that are there."""
        return dict(self.some("row, id", rows))

    def some(self, columns: str, rows: Sequence[int]) -> Iterator[Row]:
        """Columns of these rows, in any order."""
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            yield from self.database.read(
                f"SELECT {columns} FROM records WHERE row IN ({', '.join('?' * len(part))})", part
            )

    def filled(self, row: int, record: Record) -> Record:
        """The record with its vectors."""
        return joined(record, *self.vectors_of(row))

    def vectors_of(self, row: int) -> tuple[dict[str, bytes], dict[str, Sparse]]:
        """All vectors of a row."""
        vectors = {}
        for name, number in self._layout.dense.items():
            found = self.database.read(f"SELECT data FROM vectors_{number} WHERE row = ?", (row,))
            if found:
                vectors[name] = found[0][0]
        sparse = {name: self.sparse_of(name, row) for name in self._layout.sparse}
        return vectors, {name: each for name, each in sparse.items() if each is not None}

    def sparse_of(self, name: str, row: int) -> Sparse | None:
        """One sparse vector of a row."""
        number = self._layout.sparse[name]
        found = self.database.read(f"SELECT data FROM sparse_{number} WHERE row = ?", (row,))
        return unpacked_sparse(found[0][0]) if found else None

    def _keeps(self, number: int, *columns: object) -> bool:
        return keeps(self._checks, number, *columns)


class Readers:
    """The connections for reading that there are."""

    def __init__(self, make: Callable[[], Reader]) -> None:
        self._make = make
        self._idle: deque[Reader] = deque()
        self._out = 0
        self._closed = False
        self._changed = Waiting()

    @contextmanager
    def one(self) -> Iterator[Reader]:
        """A connection, all that it reads being of one moment."""
        reader = self._taken()
        try:
            with reader.database.snapshot():
                yield reader
        finally:
            self._give(reader)

    def rest(self) -> None:
        """Let go of those that nobody uses."""
        with self._changed:
            while self._idle:
                self._idle.pop().database.close()

    def close(self) -> None:
        """Let go of those that nobody uses; each of the others goes when it is given back."""
        with self._changed:
            self._closed = True
        self.rest()

    def _taken(self) -> Reader:
        with self._changed:
            free = self._changed.wait_for(self._is_free, timeout=COLLECTION_WAIT_S)
            if self._closed or not free:
                raise StoreError(
                    "the collection is closed" if self._closed else "too many read the collection",
                    advice="try again",
                )
            self._out += 1
            if self._idle:
                return self._idle.pop()
        try:
            return self._make()
        except BaseException:
            self._give(None)
            raise

    def _is_free(self) -> bool:
        return self._closed or bool(self._idle) or self._out < COLLECTION_READERS_MAX

    def _give(self, reader: Reader | None) -> None:
        with self._changed:
            self._out -= 1
            if reader is not None and self._closed:
                reader.database.close()
            elif reader is not None:
                self._idle.append(reader)
            self._changed.notify()
