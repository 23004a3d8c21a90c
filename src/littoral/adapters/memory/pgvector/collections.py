"""The driver of Postgres with pgvector: see `terms.collections.Collections`."""

from collections.abc import Sequence
from threading import Lock
from typing import Final

import msgspec
from psycopg import sql

from littoral.adapters.memory.pgvector.link import Link
from littoral.adapters.memory.pgvector.shelf import PgvectorShelf
from littoral.adapters.memory.pgvector.tables import BEGINNING, Tables
from littoral.adapters.memory.served import ServedCollection
from littoral.memory.checking import check_spec
from littoral.terms.errors import ConflictError, NotFoundError
from littoral.terms.limits import PGVECTOR_INDEX_FROM
from littoral.terms.memory import Ability, CollectionShown, CollectionSpec

__all__ = ["PgvectorCollections"]

_DRIVER: Final = "pgvector"
_decode: Final = msgspec.json.Decoder(CollectionSpec).decode

_BEGINNING_LOCK: Final = 0x6C6974746F72616C
"""An advisory lock: of two that begin at once, one makes the schema."""


class PgvectorCollections:
    """See `terms.collections.Collections`."""

    def __init__(self, link: Link, *, index_from: int = PGVECTOR_INDEX_FROM) -> None:
        """Use this database, which is not asked yet.

        Args:
            link: connections to it.
            index_from: records from which a collection has graphs.
        """
        self._link = link
        self._index_from = index_from
        self._opened: dict[int, ServedCollection] = {}
        self._opening = Lock()
        self._begun = False

    @property
    def abilities(self) -> frozenset[Ability]:
        """Everything."""
        return frozenset(Ability)

    def create(self, spec: CollectionSpec) -> None:
        """Make a collection."""
        check_spec(spec)
        self._begin()
        with self._link.transaction() as connection:
            row = connection.execute(
                "INSERT INTO littoral.collections (scope, name, spec) VALUES (%s, %s, %s)"
                " ON CONFLICT DO NOTHING RETURNING number",
                (spec.scope, spec.name, msgspec.json.encode(spec).decode()),
            ).fetchone()
            if row is None:
                raise ConflictError(f"there is a collection {spec.name} already")
            connection.execute(Tables(spec, row[0]).making())

    def drop(self, name: str, scope: str = "") -> None:
        """Forget a collection."""
        self._begin()
        with self._link.transaction() as connection:
            row = connection.execute(
                "DELETE FROM littoral.collections WHERE scope = %s AND name = %s"
                " RETURNING number, spec",
                (scope, name),
            ).fetchone()
            if row is None:
                raise _missing(name)
            connection.execute(Tables(_spec_of(row[1]), row[0]).dropping())
        with self._opening:
            self._opened.pop(row[0], None)

    def open(self, name: str, scope: str = "") -> ServedCollection:
        """The collection."""
        self._begin()
        with self._link.connection() as connection:
            row = connection.execute(
                "SELECT number, spec FROM littoral.collections WHERE scope = %s AND name = %s",
                (scope, name),
            ).fetchone()
        if row is None:
            raise _missing(name)
        number = int(row[0])
        with self._opening:
            if number not in self._opened:
                shelf = PgvectorShelf(
                    _spec_of(row[1]), number, self._link, index_from=self._index_from
                )
                self._opened[number] = ServedCollection(shelf, self.abilities, _DRIVER)
            return self._opened[number]

    def describe(self) -> Sequence[CollectionShown]:
        """All there are."""
        self._begin()
        with self._link.connection() as connection:
            rows = connection.execute(
                "SELECT spec, records, through, indexed FROM littoral.collections"
                " ORDER BY scope, name"
            ).fetchall()
        return [
            CollectionShown(
                spec=_spec_of(spec),
                driver=_DRIVER,
                records=records,
                through=through,
                index="graph (HNSW)" if indexed else "none: every vector is compared",
            )
            for spec, records, through, indexed in rows
        ]

    def close(self) -> None:
        """Close the connections."""
        self._link.close()

    def _begin(self) -> None:
        """Make what all collections have in common, once."""
        if self._begun:
            return
        with self._link.transaction() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_BEGINNING_LOCK,))
            connection.execute(sql.SQL(BEGINNING))
        self._begun = True


def _spec_of(text: str) -> CollectionSpec:
    return _decode(text)


def _missing(name: str) -> NotFoundError:
    return NotFoundError(f"there is no collection {name[:128]}")
