"""Collections on a Milvus server, through pymilvus.

`collections` is the driver, `shelf` one collection, `link` what goes wrong between here and there.
"""

from littoral.adapters.memory.milvus.collections import MilvusCollections

__all__ = ["MilvusCollections", "opened"]


def opened(address: str, secret: str) -> MilvusCollections:
    """The collections of a server; the secret is `USER:PASSWORD` or an API key."""
    return MilvusCollections(address, secret)
