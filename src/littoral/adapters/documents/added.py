"""Which file each document of a collection was last added from, kept in `HOME/added.db` (0600).

By it a folder can be mirrored: what came from a file in it, by the same name, may go when that file
does. Where files lie is known on the machine that they were added on, and is told to nobody.

Rules
- A document is of one file: of the one that it was taken from last, wherever it was named from.
- The book never says more than is so: before a document is taken from another file, that of the
  earlier one is no more; and it is of the new one only when all of it is kept. A crash between
  leaves a document of no file, until it is added again.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from littoral.adapters.store.database import Database

__all__ = ["ADDED_FILE", "AddedBook", "added_book"]

ADDED_FILE: Final = "added.db"
_BUSY_WAIT_S: Final = 10.0
"""For another import, which writes a hundred thousand rows at most."""

_MIGRATIONS: Final = (
    """
    CREATE TABLE added (
        scope TEXT NOT NULL,
        collection TEXT NOT NULL,
        document BLOB NOT NULL,
        file BLOB NOT NULL,
        PRIMARY KEY (scope, collection, document)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX added_by_file ON added (scope, collection, file);
    """,
)


class AddedBook:
    """The documents of all collections of one home. Used from one thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def loosen(self, scope: str, collection: str, files: Mapping[str, str]) -> None:
        """Let none of these documents be of another file than of its own here."""
        with self._database.transaction():
            self._database.write_many(
                "DELETE FROM added WHERE scope = ? AND collection = ? AND document = ? "
                "AND file <> ?",
                _rows(scope, collection, files),
            )

    def keep(self, scope: str, collection: str, files: Mapping[str, str]) -> None:
        """Let these documents be of these files."""
        with self._database.transaction():
            self._database.write_many(
                "INSERT INTO added (scope, collection, document, file) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET file = excluded.file WHERE file <> excluded.file",
                _rows(scope, collection, files),
            )

    def inside(self, scope: str, collection: str, folder: str) -> dict[str, str]:
        """The documents that are of files in a folder or below it, and these."""
        begin = os.fsencode(folder.rstrip(os.sep) + os.sep)
        found = self._database.read(
            "SELECT document, file FROM added WHERE scope = ? AND collection = ? "
            "AND file >= ? AND file < ? ORDER BY file",
            (scope, collection, begin, begin[:-1] + bytes([begin[-1] + 1])),
        )
        return {os.fsdecode(document): os.fsdecode(file) for document, file in found}

    def forget(self, scope: str, collection: str, documents: Iterable[str]) -> None:
        """Let these documents be of no file."""
        with self._database.transaction():
            self._database.write_many(
                "DELETE FROM added WHERE scope = ? AND collection = ? AND document = ?",
                ((scope, collection, os.fsencode(each)) for each in documents),
            )


@contextmanager
def added_book(home: Path) -> Iterator[AddedBook]:
    """Open the book of a home, and make it if it is not there.

    Raises:
        HomeUnwritableError, DiskShortError, StoreError: it can't be used.
    """
    path = home / ADDED_FILE
    database = Database(path, migrations=_MIGRATIONS, busy_wait_s=_BUSY_WAIT_S)
    try:
        yield AddedBook(database)
    finally:
        database.close()


def _rows(
    scope: str, collection: str, files: Mapping[str, str]
) -> Iterator[tuple[str, str, bytes, bytes]]:
    for document, file in files.items():
        yield scope, collection, os.fsencode(document), os.fsencode(file)
