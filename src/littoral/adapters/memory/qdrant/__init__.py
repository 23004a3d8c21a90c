"""Collections on a Qdrant server, through qdrant-client.

`collections` is the driver, `shelf` one collection, `link` the way to the server.
"""

from littoral.adapters.memory.qdrant.collections import QdrantCollections
from littoral.adapters.memory.qdrant.link import connected

__all__ = ["QdrantCollections", "connected", "opened"]


def opened(address: str, secret: str) -> QdrantCollections:
    """The collections of a server; the secret is an API key."""
    return QdrantCollections(connected(address, secret))
