"""Collections on a Weaviate server, through its client.

`collections` is the driver, `shelf` one collection, `link` the way to the server.
"""

from littoral.adapters.memory.weaviate.collections import WeaviateCollections
from littoral.adapters.memory.weaviate.link import Link

__all__ = ["WeaviateCollections", "opened"]


def opened(address: str, secret: str) -> WeaviateCollections:
    """The collections of a server; the secret is an API key."""
    return WeaviateCollections(Link(address, secret))
