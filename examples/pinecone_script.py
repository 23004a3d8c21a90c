"""Pinecone's own client against a PoP: nothing but the address and the key are Littoral's.

    python examples/pinecone_script.py http://127.0.0.1:7400 KEY

The address may also stand in LITTORAL_URL, the key in LITTORAL_API_KEY.
"""

import os
import sys

from pinecone import Pinecone, ServerlessSpec

BOOKS = [
    ("b1", [0.9, 0.1, 0.0], {"title": "Tides", "year": 1998}),
    ("b2", [0.8, 0.2, 0.1], {"title": "Harbours", "year": 2011}),
    ("b3", [0.0, 0.3, 0.9], {"title": "Deserts", "year": 2020}),
]


def main(url: str, key: str) -> None:
    """Make an index, fill two namespaces, ask them, and take it away."""
    pinecone = Pinecone(api_key=key, host=url)
    pinecone.create_index(
        name="books",
        dimension=3,
        metric="cosine",
        spec=ServerlessSpec(cloud="aws", region="us-east-1"),
    )
    print("host:", pinecone.describe_index("books").host.removeprefix(url))
    index = pinecone.Index("books")
    print("kept:", index.upsert(vectors=BOOKS).upserted_count)
    print("kept:", index.upsert(vectors=BOOKS[:1], namespace="signed").upserted_count)

    found = index.query(vector=[1.0, 0.1, 0.0], top_k=2, include_metadata=True)
    print("nearest:", [match.metadata["title"] for match in found.matches])
    recent = {"year": {"$gte": 2000}}
    found = index.query(vector=[1.0, 0.1, 0.0], top_k=1, filter=recent, include_metadata=True)
    print("nearest since 2000:", [match.metadata["title"] for match in found.matches])
    found = index.query(id="b1", top_k=5, namespace="signed")
    print("in the other namespace:", [match.id for match in found.matches])

    index.update(id="b3", set_metadata={"lent": True})
    print("lent:", sorted(index.fetch_by_metadata(filter={"lent": True}).vectors))
    index.delete(ids=["b2"])
    print("ids:", [item.id for page in index.list(prefix="b") for item in page.vectors])
    stats = index.describe_index_stats()
    print("counts:", {name: each.vector_count for name, each in stats.namespaces.items()})
    pinecone.delete_index("books")
    print("gone:", not pinecone.has_index("books"))


if __name__ == "__main__":
    main(
        sys.argv[1] if len(sys.argv) > 1 else os.environ["LITTORAL_URL"],
        sys.argv[2] if len(sys.argv) > 2 else os.environ["LITTORAL_API_KEY"],
    )
