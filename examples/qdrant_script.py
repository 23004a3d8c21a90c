"""Qdrant's own client against a PoP: nothing but the address and the key are Littoral's.

    python examples/qdrant_script.py http://127.0.0.1:7400 KEY

The address may also stand in LITTORAL_URL, the key in LITTORAL_API_KEY.
"""

import os
import sys
import warnings

from qdrant_client import QdrantClient
from qdrant_client.models import (
    Distance,
    FieldCondition,
    Filter,
    Fusion,
    FusionQuery,
    MatchValue,
    PointStruct,
    Prefetch,
    VectorParams,
)

CITIES = [
    ("Oslo", "north", [0.9, 0.1, 0.0, 0.2]),
    ("Bergen", "north", [0.8, 0.3, 0.1, 0.1]),
    ("Lisbon", "south", [0.1, 0.9, 0.3, 0.0]),
    ("Porto", "south", [0.2, 0.8, 0.4, 0.1]),
    ("Athens", "south", [0.0, 0.7, 0.7, 0.3]),
]


def main(url: str, key: str) -> None:
    """Make a collection, fill it, ask it, and take it away."""
    warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
    client = QdrantClient(url=url, api_key=key)
    client.create_collection("cities", VectorParams(size=4, distance=Distance.COSINE))
    client.upsert(
        "cities",
        [
            PointStruct(id=number, vector=vector, payload={"name": name, "where": where})
            for number, (name, where, vector) in enumerate(CITIES, start=1)
        ],
    )
    print("points:", client.count("cities").count)

    query = [0.2, 0.9, 0.3, 0.0]
    found = client.query_points("cities", query=query, limit=2).points
    print("nearest:", [(point.payload or {})["name"] for point in found])

    north = Filter(must=[FieldCondition(key="where", match=MatchValue(value="north"))])
    found = client.query_points("cities", query=query, query_filter=north, limit=1).points
    print("nearest in the north:", [(point.payload or {})["name"] for point in found])

    found = client.query_points(
        "cities",
        prefetch=[Prefetch(query=query, limit=3), Prefetch(query=1, limit=3)],
        query=FusionQuery(fusion=Fusion.RRF),
        limit=3,
    ).points
    print("fused:", sorted((point.payload or {})["name"] for point in found))

    client.set_payload("cities", {"capital": True}, points=[1, 3, 5])
    records, following = client.scroll("cities", limit=3, with_vectors=True)
    print("first three:", [record.id for record in records], "then", following)
    client.delete_collection("cities")
    print("gone:", not client.collection_exists("cities"))


if __name__ == "__main__":
    main(
        sys.argv[1] if len(sys.argv) > 1 else os.environ["LITTORAL_URL"],
        sys.argv[2] if len(sys.argv) > 2 else os.environ["LITTORAL_API_KEY"],
    )
