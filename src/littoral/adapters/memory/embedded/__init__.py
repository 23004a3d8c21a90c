"""The embedded driver: collections in SQLite, on this machine, without anything beside it."""

from littoral.adapters.memory.embedded.collection import EmbeddedCollection
from littoral.adapters.memory.embedded.place import (
    EmbeddedCollections,
    open_collections,
    open_replicas,
)

__all__ = ["EmbeddedCollection", "EmbeddedCollections", "open_collections", "open_replicas"]
