"""Collections over HTTP: the PoP's own API, and those of others that speak of the same."""

from littoral.terms.collections import Memory
from littoral.web.memory.contexts import ContextDesk, with_contexts
from littoral.web.memory.native import MEMORY, native_routes
from littoral.web.pinecone import pinecone_routes
from littoral.web.qdrant import qdrant_routes
from littoral.web.routes import Route

__all__ = ["memory_routes"]


def memory_routes(
    memory: Memory, contexts: ContextDesk | None = None
) -> dict[str, dict[str, Route]]:
    """The routes, by path and method."""
    native = native_routes(memory)
    if contexts is not None:
        below = f"{MEMORY}/"
        native[below] = with_contexts(native[below], contexts)
    return native | qdrant_routes(memory) | pinecone_routes(memory)
