"""The tables of `stores.db`, and how a part of one is read.

Each row has a number that only grows: lists are in its order, so that a page begins exactly behind
the row that the last one ended in, however many were made within one second.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from littoral.adapters.store.database import Database, Row
from littoral.terms.errors import BadRequestError
from littoral.terms.stores import Paging, Part

__all__ = ["MIGRATIONS", "part_of"]

T = TypeVar("T")

MIGRATIONS: Final = (
    """
    CREATE TABLE uploads (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        file_id TEXT NOT NULL UNIQUE,
        scope TEXT NOT NULL,
        filename TEXT NOT NULL,
        purpose TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        digest TEXT NOT NULL,
        created_unix_s INTEGER NOT NULL,
        expires_unix_s INTEGER
    ) STRICT;
    CREATE INDEX uploads_by_scope ON uploads (scope, number);
    CREATE INDEX uploads_by_digest ON uploads (digest, size_bytes);
    CREATE INDEX uploads_by_expiry ON uploads (expires_unix_s) WHERE expires_unix_s IS NOT NULL;
    CREATE TABLE stores (
        scope TEXT NOT NULL,
        store TEXT NOT NULL,
        created_unix_s INTEGER NOT NULL,
        active_unix_s INTEGER NOT NULL,
        title TEXT NOT NULL,
        description TEXT NOT NULL,
        metadata TEXT NOT NULL,
        expires_after_days INTEGER,
        PRIMARY KEY (scope, store)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE files (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        scope TEXT NOT NULL,
        store TEXT NOT NULL,
        file_id TEXT NOT NULL,
        filename TEXT NOT NULL,
        key_id TEXT NOT NULL,
        state TEXT NOT NULL,
        created_unix_s INTEGER NOT NULL,
        attributes TEXT NOT NULL,
        cut TEXT NOT NULL,
        usage_bytes INTEGER NOT NULL,
        fault TEXT,
        message TEXT NOT NULL,
        UNIQUE (scope, store, file_id)
    ) STRICT;
    CREATE INDEX files_by_store ON files (scope, store, number);
    CREATE INDEX files_by_id ON files (file_id);
    CREATE INDEX files_waiting ON files (key_id, number) WHERE state = 'in_progress';
    CREATE TABLE batches (
        batch_id TEXT PRIMARY KEY,
        scope TEXT NOT NULL,
        store TEXT NOT NULL,
        created_unix_s INTEGER NOT NULL,
        cancelled INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX batches_by_store ON batches (scope, store);
    CREATE TABLE batched (
        batch_id TEXT NOT NULL,
        file_id TEXT NOT NULL,
        PRIMARY KEY (batch_id, file_id)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE contexts (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        scope TEXT NOT NULL,
        collection TEXT NOT NULL,
        model TEXT NOT NULL,
        key_id TEXT NOT NULL,
        state TEXT NOT NULL,
        message TEXT NOT NULL,
        written INTEGER NOT NULL,
        without INTEGER NOT NULL,
        UNIQUE (scope, collection)
    ) STRICT;
    """,
)

_OTHER_WAY: Final = {"<": ">", ">": "<"}


def part_of(
    database: Database,
    table: str,
    where: tuple[str, Sequence[object]],
    paging: Paging,
    made: Callable[[Row], T],
) -> Part[T]:
    """A part of the rows of a table that has `number` and `file_id`.

    Args:
        database: has it.
        table: its columns and its name, as `SELECT` takes them.
        where: a condition, and its parameters.
        paging: which part.
        made: makes a value of a row.

    Raises:
        BadRequestError: it is to begin or end at a row that is not there.
    """
    condition, parameters = where[0], [*where[1]]
    for name, sign in (("after", "<"), ("before", ">")):
        cursor = getattr(paging, name)
        if not cursor:
            continue
        found = database.read(
            f"SELECT number FROM {table.rpartition(' FROM ')[2]} WHERE {where[0]} AND file_id = ?",  # noqa: S608 - fixed text
            [*where[1], cursor],
        )
        if not found:
            raise BadRequestError(f"the list has no {cursor[:80]!r}", param=name)
        way = sign if paging.descending else _OTHER_WAY[sign]
        condition += f" AND number {way} ?"
        parameters.append(found[0][0])
    # What ends before a row is read backwards from there, so that the part is the nearest one.
    backwards = bool(paging.before) and not paging.after
    order = "DESC" if paging.descending is not backwards else "ASC"
    rows = database.read(
        f"SELECT {table} WHERE {condition} ORDER BY number {order} LIMIT ?",
        [*parameters, paging.limit + 1],
    )
    more = len(rows) > paging.limit
    rows = rows[: paging.limit]
    if backwards:
        rows.reverse()
    return Part(tuple(map(made, rows)), more)
