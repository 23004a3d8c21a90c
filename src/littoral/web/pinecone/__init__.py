"""Indexes for clients of Pinecone: its control plane at `/indexes`, each index below `/pinecone/`.

docs/memory-apis.md says what is served, what is refused, and where answers differ.
"""

from littoral.web.pinecone.routes import pinecone_routes

__all__ = ["pinecone_routes"]
