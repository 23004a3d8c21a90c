"""Collections in Postgres with pgvector, through psycopg.

`collections` is the driver, `shelf` one collection, `writing` its rows, `tables` its statements,
`link` the connections. Everything is done by the database: several PoPs may use one.
"""

from littoral.adapters.memory.pgvector.collections import PgvectorCollections
from littoral.adapters.memory.pgvector.link import Link

__all__ = ["Link", "PgvectorCollections", "opened"]


def opened(address: str, secret: str) -> PgvectorCollections:
    """The collections of a database; the secret is the password of its user."""
    return PgvectorCollections(Link(address, secret))
