"""Changes of a collection: what one transaction writes, row by row.

Rules
- Each record that is written, changed or forgotten takes the next number; the numbers, the rows and
  what is found by them commit together or not at all.
- What is forgotten or replaced leaves its row's number in `gone`, and what is forgotten its id too.
  Of those the oldest go when there are more than `TOMBSTONES_MIN` and than records.

Not here: who may write when (`collection.py`).
"""

# ruff: noqa: S608 - names of tables and marks go in, values never

from collections.abc import Iterable, Iterator
from typing import assert_never

from littoral.adapters.memory.embedded.filtering import condition_of
from littoral.adapters.memory.embedded.layout import Layout
from littoral.adapters.memory.embedded.reading import Reader
from littoral.adapters.memory.embedded.rows import (
    COLUMNS,
    joined,
    packed_sparse,
    record_of,
    rest_of,
)
from littoral.adapters.store.database import Row
from littoral.memory.changing import patched
from littoral.terms.filters import Filter
from littoral.terms.limits import TOMBSTONES_MIN
from littoral.terms.memory import Delete, DeleteWhere, Patch, Record, Upsert, Write

__all__ = ["Changing"]

_BATCH = 500
"""Rows that are read at once."""


class Changing:
    """The changes of one transaction that is open."""

    def __init__(self, reader: Reader, layout: Layout) -> None:
        self._reader = reader
        self._database = reader.database
        self._layout = layout
        ((through, records, gone, oldest),) = self._database.read(
            "SELECT through, records, gone, oldest_tombstone FROM state"
        )
        self.through, self.records = int(through), int(records)
        self._gone, self._oldest = int(gone), int(oldest)

    def apply(self, write: Write) -> int:
        """Make one change; gives how many records it changed."""
        before = self.through
        match write:
            case Upsert(records=records):
                for record in {each.id: each for each in records}.values():
                    self._put(record, self._row_of(record.id))
            case Delete(ids=ids):
                for each in dict.fromkeys(ids):
                    row = self._row_of(each)
                    if row is not None:
                        self._forget(row)
            case DeleteWhere(where=where):
                for row in self._matching(where):
                    self._forget(row)
            case Patch():
                for row in self._matching(write.where):
                    self._patch(row, write)
            case _:
                assert_never(write)
        return self.through - before

    def settle(self) -> None:
        """Write what is true after all of it."""
        if self._gone > 1.25 * max(TOMBSTONES_MIN, self.records):
            self._forget_tombstones(self._gone - max(TOMBSTONES_MIN, self.records))
        self._database.write(
            "UPDATE state SET through = ?, records = ?, gone = ?, oldest_tombstone = ?",
            (self.through, self.records, self._gone, self._oldest),
        )

    def _put(self, record: Record, old: Row | None) -> None:
        """Make a new row of the record, in place of the one that was."""
        rest = rest_of(record)
        self.through += 1
        if old is None:
            self.records += 1
        else:
            self._take_out(old)
            self._bury(old[0], None)
        row = self.through
        self._database.write(
            "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row,
                record.id,
                self.through,
                1 if record.labels else 0,
                record.document,
                rest,
                record.header,
                record.text,
            ),
        )
        if record.header or record.text:
            self._database.write(
                "INSERT INTO words (rowid, header, text) VALUES (?, ?, ?)",
                (row, record.header, record.text),
            )
        self._put_terms(row, record)
        for name, vector in record.vectors.items():
            number = self._layout.dense[name]
            self._database.write(f"INSERT INTO vectors_{number} VALUES (?, ?)", (row, vector))
        for name, sparse in record.sparse.items():
            number = self._layout.sparse[name]
            self._database.write(
                f"INSERT INTO sparse_{number} VALUES (?, ?)", (row, packed_sparse(sparse))
            )
            pairs = zip(sparse.indices, sparse.values, strict=True)
            self._database.write_many(
                f"INSERT INTO postings_{number} VALUES (?, ?, ?)",
                ((term, row, value) for term, value in pairs),
            )

    def _forget(self, row: Row) -> None:
        self._take_out(row)
        self.through += 1
        self.records -= 1
        self._bury(row[0], row[1])

    def _patch(self, row: Row, patch: Patch) -> None:
        record = record_of(row)
        if patch.vectors or patch.sparse or patch.header is not None:
            vectors, sparse = self._reader.vectors_of(row[0])
            self._put(patched(joined(record, vectors, sparse), patch), row)
            return
        changed = patched(record, patch)
        self.through += 1
        self._database.write(
            "UPDATE records SET seq = ?, rest = ? WHERE row = ?",
            (self.through, rest_of(changed), row[0]),
        )
        self._take_terms(row[0], record)
        self._put_terms(row[0], changed)

    def _take_out(self, row: Row) -> None:
        """Take away a row and all that is found by it."""
        number, *_, header, text = row
        if header or text:
            self._database.write(
                "INSERT INTO words (words, rowid, header, text) VALUES ('delete', ?, ?, ?)",
                (number, header, text),
            )
        self._take_terms(number, record_of(row))
        for each in self._layout.dense.values():
            self._database.write(f"DELETE FROM vectors_{each} WHERE row = ?", (number,))
        for name, each in self._layout.sparse.items():
            sparse = self._reader.sparse_of(name, number)
            if sparse is not None:
                self._database.write_many(
                    f"DELETE FROM postings_{each} WHERE term = ? AND row = ?",
                    ((term, number) for term in sparse.indices),
                )
                self._database.write(f"DELETE FROM sparse_{each} WHERE row = ?", (number,))
        self._database.write("DELETE FROM records WHERE row = ?", (number,))

    def _put_terms(self, row: int, record: Record) -> None:
        self._database.write_many(
            "INSERT OR IGNORE INTO terms VALUES (?, ?, ?)",
            ((*term, row) for term in self._layout.terms(record)),
        )

    def _take_terms(self, row: int, record: Record) -> None:
        self._database.write_many(
            "DELETE FROM terms WHERE field = ? AND value = ? AND row = ?",
            ((*term, row) for term in self._layout.terms(record)),
        )

    def _bury(self, row: int, record_id: str | None) -> None:
        self._gone += 1
        self._database.write("INSERT INTO gone VALUES (?, ?, ?)", (self.through, row, record_id))

    def _forget_tombstones(self, count: int) -> None:
        ((newest,),) = self._database.read(
            "SELECT max(seq) FROM (SELECT seq FROM gone ORDER BY seq LIMIT ?)", (count,)
        )
        self._gone -= self._database.write("DELETE FROM gone WHERE seq <= ?", (newest,))
        self._oldest = newest

    def _row_of(self, record_id: str) -> Row | None:
        found = self._database.read(f"SELECT {COLUMNS} FROM records WHERE id = ?", (record_id,))
        return found[0] if found else None

    def _matching(self, where: Filter) -> Iterator[Row]:
        """Rows that match now; they may be changed while they are given."""
        condition = condition_of(where, self._layout)
        numbers = [
            each for (each,) in self._reader.read("SELECT row FROM records WHERE ", condition)
        ]
        for start in range(0, len(numbers), _BATCH):
            yield from self._rows(numbers[start : start + _BATCH])

    def _rows(self, numbers: Iterable[int]) -> Iterable[Row]:
        chosen = ", ".join(map(str, numbers))
        return self._database.read(f"SELECT {COLUMNS} FROM records WHERE row IN ({chosen})")
