"""The embedded driver: collections in SQLite, on this machine, without anything beside it."""

from littoral.adapters.memory.embedded.changes import Changes, Since
from littoral.adapters.memory.embedded.collection import EmbeddedCollection
from littoral.adapters.memory.embedded.place import EmbeddedCollections, open_collections

__all__ = ["Changes", "EmbeddedCollection", "EmbeddedCollections", "Since", "open_collections"]
