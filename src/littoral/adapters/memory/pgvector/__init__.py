"""Collections in Postgres with pgvector, through psycopg.

`collections` is the driver, `shelf` one collection, `writing` its rows, `tables` its statements,
`link` the connections. Everything is done by the database: several PoPs may use one.
"""

from littoral.adapters.memory.pgvector.collections import PgvectorCollections
from littoral.adapters.memory.pgvector.link import Link

__all__ = ["Link", "PgvectorCollections"]
