"""Indexes for clients of Pinecone."""

from collections.abc import Mapping

from littoral.terms.collections import Memory
from littoral.web.routes import Route

__all__ = ["pinecone_routes"]


def pinecone_routes(memory: Memory) -> dict[str, dict[str, Route]]:
    """The routes, by path and method."""
    return {}
