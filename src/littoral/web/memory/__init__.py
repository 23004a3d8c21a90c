"""Collections over HTTP: the PoP's own API, and those of others that speak of the same."""

from littoral.terms.collections import Memory
from littoral.web.memory.native import native_routes
from littoral.web.pinecone import pinecone_routes
from littoral.web.qdrant import qdrant_routes
from littoral.web.routes import Route

__all__ = ["memory_routes"]


def memory_routes(memory: Memory) -> dict[str, dict[str, Route]]:
    """The routes, by path and method."""
    return native_routes(memory) | qdrant_routes(memory) | pinecone_routes(memory)
