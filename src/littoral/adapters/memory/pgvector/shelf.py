"""One collection in Postgres: rows in, rows out, and the three ways to search them.

Rules
- Below `PGVECTOR_INDEX_FROM` records every vector is compared. From there on there is a graph, read
  on until enough rows pass the filter (`hnsw.iterative_scan`).
- Words, sparse vectors and fields that keep many vectors are compared by joins over inverted
  tables: exact, and as slow as the rows that have something in common with the question.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from psycopg import sql

from littoral.adapters.memory.bodies import read_body, record_of
from littoral.adapters.memory.pgvector.link import Connection, Link, Packed
from littoral.adapters.memory.pgvector.tables import Tables, operator_of
from littoral.adapters.memory.pgvector.writing import cut, put, remove, there, word_key
from littoral.adapters.memory.scoring import prepared
from littoral.adapters.memory.shelf import Candidates, Shelf
from littoral.memory.marks import EVERYTHING, Sought
from littoral.memory.words import BM25_B, BM25_K1
from littoral.terms.errors import LittoralError
from littoral.terms.limits import PGVECTOR_COMPARED_MAX, PGVECTOR_INDEX_FROM, SERVED_INDEX_S
from littoral.terms.memory import CollectionSpec, Metric, Record, Sparse, VectorField

__all__ = ["PgvectorShelf"]

_EF_MIN, _EF_MAX = 200, 1_000
"""Of `hnsw.ef_search`: how far a graph is looked through at first."""


class PgvectorShelf(Shelf):
    """See `Shelf`."""

    numbers_kept = True

    def __init__(
        self,
        spec: CollectionSpec,
        number: int,
        link: Link,
        *,
        index_from: int = PGVECTOR_INDEX_FROM,
    ) -> None:
        super().__init__(spec)
        self.number = number
        self._link = link
        self._tables = Tables(spec, number)
        self._index_from = index_from
        self._indexed = False
        self._places = {field.name: place for place, field in enumerate(spec.vectors)}

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction, alone among those that change the collection."""
        with self._link.transaction() as connection:
            self._state(connection, lock=True)
            yield
        self._index_when_due()

    def through(self) -> int:
        """The number of the last change."""
        with self._link.connection() as connection:
            return self._state(connection)[0]

    def advance(self, count: int) -> int:
        """Take so many numbers."""
        with self._link.connection() as connection:
            row = connection.execute(
                "UPDATE littoral.collections SET through = through + %s WHERE number = %s"
                " RETURNING through",
                (count, self.number),
            ).fetchone()
        return int(there(row)[0])

    def put(self, records: Sequence[Record]) -> None:
        """Keep these."""
        with self._link.connection() as connection:
            put(connection, self._tables, self.number, records)

    def remove(self, ids: Sequence[str]) -> None:
        """Forget these."""
        with self._link.connection() as connection:
            remove(connection, self._tables, self.number, ids)

    def there(self, ids: Sequence[str]) -> Sequence[str]:
        """Those of the ids that have a record."""
        found = self._rows(
            "SELECT id FROM {} WHERE id = ANY(%s)", [[each.encode() for each in ids]]
        )
        return [row[0].decode() for row in found]

    def get(self, ids: Sequence[str], *, with_vectors: bool) -> Iterable[Record]:
        """Those that are there."""
        names = tuple(self._places) if with_vectors else ()
        rows = self._rows(
            "SELECT {columns} FROM {} WHERE id = ANY(%s)",
            [[each.encode() for each in ids]],
            columns=self._columns(names),
        )
        return self._read(rows, names)

    def page(
        self, wanted: Sought, after: str, limit: int, *, with_vectors: bool
    ) -> Sequence[Record]:
        """So many with ids above one."""
        names = tuple(self._places) if with_vectors else ()
        arguments: list[object] = [after.encode()]
        rows = self._rows(
            "SELECT {columns} FROM {} WHERE id > %s AND ({condition}) ORDER BY id LIMIT {limit}",
            arguments,
            columns=self._columns(names),
            condition=self._tables.condition(wanted, arguments),
            limit=sql.Literal(limit),
        )
        return self._read(rows, names)

    def count(self, wanted: Sought) -> int:
        """How many there are."""
        arguments: list[object] = []
        condition = self._tables.condition(wanted, arguments)
        rows = self._rows(
            "SELECT count(*) FROM {} WHERE {condition}", arguments, condition=condition
        )
        return int(rows[0][0])

    def nearest(
        self, field: VectorField, vector: bytes, wanted: Sought, limit: int, *, exact: bool
    ) -> Candidates:
        """The nearest."""
        if field.multi:
            return self._most_alike(field, vector, wanted, limit)
        exact = exact or not self._indexed or self._are_few(wanted)
        compared = None if exact else self._tables.compared(field)
        column = self._tables.columns[field.name]
        sent = Packed(prepared(field, vector)[0])
        arguments: list[object] = []
        condition = self._tables.condition(wanted, arguments)
        distance = sql.SQL("({} {} %s) + 0").format(column, operator_of(field))
        if compared is not None:
            halved = sql.SQL("::halfvec({})").format(sql.Literal(field.dimensions))
            half = field.dimensions > 2_000
            distance = sql.SQL("{} {} %s::vector{}").format(
                compared, operator_of(field), halved if half else sql.SQL("")
            )
        arguments.append(sent)
        rows = self._rows(
            "SELECT {columns} FROM {} WHERE {column} IS NOT NULL AND ({condition})"
            " ORDER BY {distance}, id LIMIT {limit}",
            arguments,
            columns=self._columns([field.name]),
            column=column,
            condition=condition,
            distance=distance,
            limit=sql.Literal(limit),
            looked_through=None if compared is None else max(_EF_MIN, min(2 * limit, _EF_MAX)),
        )
        plan = "Postgres compared every vector" if compared is None else "Postgres read its graph"
        return Candidates(self._read(rows, [field.name]), plan)

    def _are_few(self, wanted: Sought) -> bool:
        """Whether so few are wanted that comparing each is quicker than a graph, and exact."""
        if wanted == EVERYTHING:
            return False
        arguments: list[object] = []
        rows = self._rows(
            "SELECT count(*) FROM (SELECT FROM {} WHERE {condition} LIMIT {limit}) AS few",
            arguments,
            condition=self._tables.condition(wanted, arguments),
            limit=sql.Literal(PGVECTOR_COMPARED_MAX),
        )
        return int(rows[0][0]) < PGVECTOR_COMPARED_MAX

    def sparse(self, field: str, vector: Sparse, wanted: Sought, limit: int) -> Candidates:
        """Those of the highest dot product."""
        arguments: list[object] = [
            list(vector.indices),
            list(vector.values),
            self.spec.sparse.index(field),
        ]
        best = sql.SQL(
            "SELECT s.id, sum(s.value * q.value ORDER BY s.index) AS score FROM {} AS s"
            " JOIN unnest(%s::bigint[], %s::float8[]) AS q (index, value) USING (index)"
            " WHERE s.field = %s GROUP BY s.id"
        ).format(self._tables.sparse)
        return self._joined(best, arguments, wanted, limit, "Postgres multiplied", own=False)

    def words(self, words: Sequence[str], wanted: Sought, limit: int) -> Candidates:
        """The best by BM25. What a word weighs is of the whole collection."""
        arguments: list[object] = [[word_key(word) for word in words], self.number]
        best = sql.SQL(
            "SELECT p.id, sum(ln(1 + (a.records - p.having_it + 0.5) / (p.having_it + 0.5))"
            " * p.said * {more} / (p.said + {k1} * ({rest} + {b} * p.length"
            " / (a.words / a.records::float8))) ORDER BY p.word) AS score"
            " FROM (SELECT w.word, w.id, w.said::float8, r.length,"
            " count(*) OVER (PARTITION BY w.word) AS having_it FROM {words} AS w"
            " JOIN {records} AS r USING (id) WHERE w.word = ANY(%s::bytea[])) AS p"
            " CROSS JOIN (SELECT records::float8, words::float8 FROM littoral.collections"
            " WHERE number = %s) AS a GROUP BY p.id"
        ).format(
            words=self._tables.words,
            records=self._tables.records,
            k1=sql.Literal(BM25_K1),
            more=sql.Literal(BM25_K1 + 1),
            b=sql.Literal(BM25_B),
            rest=sql.Literal(1 - BM25_B),
        )
        return self._joined(best, arguments, wanted, limit, "Postgres ranked words", own=True)

    def _index_when_due(self) -> None:
        """Make the graphs, if the collection has grown to where they help. Blocks its writers.

        The change is made by now: where a graph can't be, the next change will try again.
        """
        if self._indexed:
            return
        with suppress(LittoralError):
            with self._link.connection() as connection:
                _, records, self._indexed = self._state(connection)
            if self._indexed or records < self._index_from:
                return
            with self._link.transaction(answer_s=SERVED_INDEX_S) as connection:
                if not self._state(connection, lock=True)[2]:
                    for statement in self._tables.indexing():
                        connection.execute(statement)
                    connection.execute(sql.SQL("ANALYZE {}").format(self._tables.records))
                    connection.execute(
                        "UPDATE littoral.collections SET indexed = true WHERE number = %s",
                        (self.number,),
                    )
            self._indexed = True

    def _state(self, connection: Connection, *, lock: bool = False) -> tuple[int, int, bool]:
        statement = sql.SQL(
            "SELECT through, records, indexed FROM littoral.collections WHERE number = %s {}"
        ).format(sql.SQL("FOR UPDATE" if lock else ""))
        row = there(connection.execute(statement, (self.number,)).fetchone())
        return int(row[0]), int(row[1]), bool(row[2])

    def _most_alike(
        self, field: VectorField, vector: bytes, wanted: Sought, limit: int
    ) -> Candidates:
        """MaxSim: for each vector of the query the nearest of a record's, and these summed."""
        nearness = "power(m.part <-> q.part, 2)"
        if field.metric is not Metric.L2:
            nearness = "(m.part <#> q.part)"
        arguments: list[object] = [
            cut(field, prepared(field, vector)[0]),
            self._places[field.name],
        ]
        best = sql.SQL(
            "SELECT id, sum(nearest ORDER BY place) AS score FROM"
            " (SELECT m.id, q.place, max(-({nearness})) AS nearest"
            " FROM {rows} AS m CROSS JOIN unnest(%b::vector[]) WITH ORDINALITY AS q (part, place)"
            " WHERE m.field = %s GROUP BY m.id, q.place) AS each GROUP BY id"
        ).format(rows=self._tables.rows, nearness=sql.SQL(nearness))
        return self._joined(
            best, arguments, wanted, limit, "Postgres compared all", own=False, names=[field.name]
        )

    def _joined(
        self,
        best: sql.Composed,
        arguments: list[object],
        wanted: Sought,
        limit: int,
        plan: str,
        *,
        own: bool,
        names: Sequence[str] = (),
    ) -> Candidates:
        """Records of the best scores, of a query that gives ids and scores."""
        condition = self._tables.condition(wanted, arguments)
        rows = self._rows(
            "SELECT {columns}, best.score FROM {} JOIN ({best}) AS best USING (id)"
            " WHERE {condition} ORDER BY best.score DESC, id LIMIT {limit}",
            arguments,
            columns=self._columns(names),
            best=best,
            condition=condition,
            limit=sql.Literal(limit),
        )
        scores = [float(row[-1]) for row in rows] if own else None
        return Candidates(self._read(rows, names), plan, scores=scores)

    def _columns(self, names: Iterable[str]) -> sql.Composed:
        every = (sql.Identifier("id"), sql.SQL("body::text"))
        return sql.SQL(", ").join([*every, *(self._tables.columns[name] for name in names)])

    def _read(self, rows: Iterable[Sequence[Any]], names: Sequence[str]) -> list[Record]:
        found = []
        for row in rows:
            vectors = {
                name: vector
                for name, vector in zip(names, row[2:], strict=False)
                if vector is not None
            }
            found.append(record_of(read_body(row[1]), vectors))
        return found

    def _rows(
        self,
        statement: str,
        arguments: Sequence[object],
        *,
        looked_through: int | None = None,
        **parts: sql.Composable,
    ) -> list[tuple[Any, ...]]:
        composed = sql.SQL(statement).format(self._tables.records, **parts)
        if looked_through is None:
            with self._link.connection() as connection:
                return connection.cursor(binary=True).execute(composed, arguments).fetchall()
        with self._link.transaction() as connection:
            connection.execute(
                "SELECT set_config('hnsw.ef_search', %s, true),"
                " set_config('hnsw.iterative_scan', 'strict_order', true)",
                (str(looked_through),),
            )
            return connection.cursor(binary=True).execute(composed, arguments).fetchall()
