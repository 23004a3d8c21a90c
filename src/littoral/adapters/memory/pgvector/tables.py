"""The tables of a collection in Postgres, and what a filter is in SQL.

In the schema `littoral`, `collections` has a row for each: whose it is, its name, what it is, and
how many changes, records and words it has. Its number names its tables, so no name of a user is
part of a statement:

- `records_N`: a row for each record. `body` is all of it as JSON; `v0`, `v1`, … the vectors that
  are compared, as vectors; `m0`, … those of fields that keep many, as bytes; `marks` and `n0`, …
  what filters look at (`memory.marks`);
- `rows_N`: each vector of fields that keep many; `sparse_N`: each number of sparse vectors;
- `words_N`: how often which word is in which record, for BM25.

Ids are bytes: a text of Postgres has no zero byte, and is sorted as its locale likes.
"""

from collections.abc import Sequence
from typing import Final, assert_never

from psycopg import sql

from littoral.memory.marks import (
    NUMBERED,
    Alternatives,
    Complement,
    Everything,
    Identified,
    Marked,
    Sought,
    Together,
    Within,
)
from littoral.terms.memory import CollectionSpec, Metric, VectorField

__all__ = ["BEGINNING", "Tables", "operator_of"]

BEGINNING: Final = """
CREATE SCHEMA IF NOT EXISTS littoral;
CREATE TABLE IF NOT EXISTS littoral.collections (
    number serial PRIMARY KEY,
    scope text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    spec text NOT NULL,
    through bigint NOT NULL DEFAULT 0,
    records bigint NOT NULL DEFAULT 0,
    words bigint NOT NULL DEFAULT 0,
    indexed boolean NOT NULL DEFAULT false,
    UNIQUE (scope, name)
);
"""
"""What all collections have in common."""

_PLAIN_DIMENSIONS_MAX: Final = 2_000
_HALF_DIMENSIONS_MAX: Final = 4_000
"""What pgvector's graphs take, of floats of 32 and of 16 bits."""

_OPERATORS: Final = {Metric.COSINE: "<#>", Metric.DOT: "<#>", Metric.L2: "<->"}
_CLASSES: Final = {Metric.COSINE: "ip_ops", Metric.DOT: "ip_ops", Metric.L2: "l2_ops"}


def operator_of(field: VectorField) -> sql.SQL:
    """Of pgvector: the lower, the nearer. Cosines are dot products (`scoring.prepared`)."""
    return sql.SQL(_OPERATORS[field.metric])


class Tables:
    """Statements about one collection."""

    def __init__(self, spec: CollectionSpec, number: int) -> None:
        self.spec = spec
        self.records = sql.Identifier("littoral", f"records_{number}")
        self.rows = sql.Identifier("littoral", f"rows_{number}")
        self.sparse = sql.Identifier("littoral", f"sparse_{number}")
        self.words = sql.Identifier("littoral", f"words_{number}")
        self._number = number
        self.numbered = {
            field: sql.Identifier(f"n{place}")
            for place, field in enumerate(
                name for name, kind in spec.fields.items() if kind in NUMBERED
            )
        }
        self.columns = {
            field.name: sql.Identifier(f"{'m' if field.multi else 'v'}{place}")
            for place, field in enumerate(spec.vectors)
        }

    def making(self) -> sql.Composed:
        """Make them."""
        columns = [
            sql.SQL("id bytea PRIMARY KEY"),
            sql.SQL("body json NOT NULL"),
            sql.SQL("length integer NOT NULL"),
            sql.SQL("marks text[] NOT NULL"),
            *(sql.SQL("{} float8[]").format(column) for column in self.numbered.values()),
            *(
                sql.SQL("{} bytea").format(self.columns[field.name])
                if field.multi
                else sql.SQL("{} vector({})").format(
                    self.columns[field.name], sql.Literal(field.dimensions)
                )
                for field in self.spec.vectors
            ),
        ]
        statements = [
            sql.SQL("CREATE TABLE {} ({})").format(self.records, sql.SQL(", ").join(columns)),
            sql.SQL("CREATE INDEX ON {} USING gin (marks)").format(self.records),
            *(
                sql.SQL("CREATE INDEX ON {0} (({1}[1]), ({1}[cardinality({1})]))").format(
                    self.records, column
                )
                for column in self.numbered.values()
            ),
            sql.SQL(
                "CREATE TABLE {0} (field smallint, id bytea, place integer, part vector NOT NULL,"
                " PRIMARY KEY (field, id, place)); CREATE INDEX ON {0} (id)"
            ).format(self.rows),
            sql.SQL(
                "CREATE TABLE {0} (field smallint, index bigint, id bytea, value float8 NOT NULL,"
                " PRIMARY KEY (field, index, id)); CREATE INDEX ON {0} (id)"
            ).format(self.sparse),
            sql.SQL(
                "CREATE TABLE {0} (word bytea, id bytea, said integer NOT NULL,"
                " PRIMARY KEY (word, id)); CREATE INDEX ON {0} (id)"
            ).format(self.words),
        ]
        return sql.SQL("; ").join(statements)

    def dropping(self) -> sql.Composed:
        """Drop them."""
        every = sql.SQL(", ").join([self.records, self.rows, self.sparse, self.words])
        return sql.SQL("DROP TABLE IF EXISTS {}").format(every)

    def indexing(self) -> list[sql.Composed]:
        """Make the graphs; vectors that are too long for one have none."""
        made = []
        for field in self.spec.vectors:
            compared = self.compared(field)
            if compared is not None:
                kind = "vector" if field.dimensions <= _PLAIN_DIMENSIONS_MAX else "halfvec"
                made.append(
                    sql.SQL("CREATE INDEX ON {} USING hnsw ({} {})").format(
                        self.records,
                        compared,
                        sql.Identifier(f"{kind}_{_CLASSES[field.metric]}"),
                    )
                )
        return made

    def compared(self, field: VectorField) -> sql.Composed | None:
        """The expression that a graph is of; None where there can be none."""
        if field.multi or field.dimensions > _HALF_DIMENSIONS_MAX:
            return None
        column = self.columns[field.name]
        if field.dimensions <= _PLAIN_DIMENSIONS_MAX:
            return sql.SQL("{}").format(column)
        return sql.SQL("({}::halfvec({}))").format(column, sql.Literal(field.dimensions))

    def condition(self, wanted: Sought, arguments: list[object]) -> sql.Composable:
        """What is to hold of a row of `records_N`; its values are put after the arguments."""
        match wanted:
            case Everything():
                return sql.SQL("true")
            case Marked(texts=()):
                return sql.SQL("false")
            case Marked(texts=texts):
                arguments.append(list(texts))
                return sql.SQL("marks && %s::text[]")
            case Identified(ids=ids):
                arguments.append([each.encode() for each in ids])
                return sql.SQL("id = ANY(%s::bytea[])")
            case Within():
                return self._within(wanted, arguments)
            case Together(of=parts):
                return self._joined(" AND ", parts, arguments)
            case Alternatives(of=parts):
                return self._joined(" OR ", parts, arguments)
            case Complement(of=part):
                return sql.SQL("NOT ({})").format(self.condition(part, arguments))
            case _:
                assert_never(wanted)

    def _joined(self, by: str, parts: Sequence[Sought], arguments: list[object]) -> sql.Composed:
        made = [sql.SQL("({})").format(self.condition(part, arguments)) for part in parts]
        return sql.SQL(by).join(made)

    def _within(self, wanted: Within, arguments: list[object]) -> sql.Composed:
        """The ends of a field's numbers by its index, then each number."""
        above = ">" if wanted.least_open else ">="
        below = "<" if wanted.greatest_open else "<="
        arguments += [wanted.greatest, wanted.least, wanted.least, wanted.greatest]
        return sql.SQL(
            "({0} IS NOT NULL AND {0}[1] <= %s AND {0}[cardinality({0})] >= %s AND EXISTS "
            f"(SELECT FROM unnest({{0}}) AS each WHERE each {above} %s AND each {below} %s))"
        ).format(self.numbered[wanted.field])
