"""Whatever is sent to the PoP's own API and to the tools of agents is never met by a defect.

The collection is the embedded driver's: filters become SQL there, and numbers what SQLite takes.
"""

import base64
import json
import random
from pathlib import Path

from littoral.adapters.memory.embedded import open_collections
from littoral.node.memory.house import House
from littoral.node.memory.taking import Adding
from littoral.web.mcp import MemoryTools
from tests.node.memory.made import MODEL, vector_of
from tests.node.memory.stored import stores_stand
from tests.web.raw import Client
from tests.web.test_collections_hostile import mutated

MUTATIONS = 60
"""Of each body."""

VECTOR = base64.b64encode(vector_of("profit")).decode()
WHERE = {
    "type": "all",
    "of": [
        {"type": "is", "field": "kind", "values": [1, "a", True, 2.5]},
        {"type": "any", "of": [{"type": "not", "of": {"type": "has", "field": "c"}}]},
        {"type": "between", "field": "at", "gt": "2025-01-01", "lte": "2027-01-01"},
        {"type": "matches", "field": "$text", "words": "profit"},
        {"type": "near", "field": "place", "latitude": 1, "longitude": 2, "radius_m": 10},
        {"type": "allowed", "labels": ["staff"]},
    ],
}
COUNTED = {"type": "between", "field": "count", "gte": 1, "lt": 5.5}
RECORD = {
    "id": "a",
    "text": "profit for all",
    "header": "Money",
    "metadata": {"kind": "a", "count": 2, "at": "2026-01-01", "place": {"lat": 1, "lon": 2}},
    "document": "d",
    "position": 1,
    "labels": ["staff"],
    "sparse": {"s": {"indices": [1, 5], "values": [1, 2]}},
}
FUSED = {
    "type": "fused",
    "branches": [
        {"query": {"type": "like", "text": "profit"}, "limit": 5, "where": WHERE},
        {"query": {"type": "words", "text": "profit"}},
        {"query": {"type": "sparse", "field": "s", "vector": {"indices": [1], "values": [1]}}},
    ],
}
FIELDS = {"kind": "keyword", "count": "integer", "at": "time", "place": "geo"}
MADE = {"name": "one", "embedding": MODEL, "sparse": ["s"], "fields": FIELDS}
NEAREST = {"type": "nearest", "vector": VECTOR}
BODIES = [
    ("/v1/memory", {"name": "mine", "vectors": [{"dimensions": 4}], "fields": FIELDS}),
    ("/v1/memory/one/write", {"writes": [{"type": "upsert", "records": [RECORD]}]}),
    (
        "/v1/memory/one/write",
        {"writes": [{"type": "patch", "where": WHERE, "metadata": {"x": 1}, "without": ["kind"]}]},
    ),
    ("/v1/memory/one/write", {"writes": [{"type": "delete_where", "where": COUNTED}]}),
    ("/v1/memory/one/search", {"query": FUSED, "limit": 5, "offset": 0, "with_vectors": True}),
    ("/v1/memory/one/search", {"query": NEAREST, "where": COUNTED, "with_content": False}),
    ("/v1/memory/one/recall", {"text": "profit", "where": WHERE, "variety": 0.5}),
    ("/v1/memory/one/fetch", {"ids": ["a", "b"], "with_vectors": True}),
    ("/v1/memory/one/scan", {"where": WHERE, "after": "", "limit": 3}),
    ("/v1/memory/one/count", {"where": WHERE}),
]


def call(tool: str, arguments: dict[str, object]) -> tuple[str, dict[str, object]]:
    params = {"name": tool, "arguments": arguments}
    return "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


CALLS = [
    call("memory_list", {}),
    call("memory_search", {"collection": "one", "query": "profit", "limit": 3}),
    call(
        "memory_add", {"collection": "one", "documents": [{"text": "x", "id": "i", "title": "t"}]}
    ),
]


async def asked(client: Client, path: str, body: bytes, key: str) -> int:
    head = f"POST {path} HTTP/1.1\r\nHost: pop.test\r\nAuthorization: Bearer {key}\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    return (await client.ask(head.encode() + body, "POST")).status


async def test_no_body_meets_a_defect(tmp_path: Path) -> None:
    chance, statuses = random.Random(11), list[int]()

    def tools(house: House) -> MemoryTools:
        return MemoryTools(house, Adding(house, house.threads, lambda _: None, MODEL))

    drivers = open_collections(tmp_path)
    async with stores_stand(tmp_path, drivers=drivers, tools=tools) as stand:
        client = await stand.served.client()
        assert await asked(client, "/v1/memory", json.dumps(MADE).encode(), "lit_operator") == 201
        for path, body in BODIES + CALLS:
            said = json.dumps(body).encode()
            assert await asked(client, path, said, "lit_operator") < 500, (path, body)
            for _ in range(MUTATIONS):
                sent, key = mutated(chance, body), chance.choice(["lit_operator", "lit_bob"])
                statuses.append(await asked(client, path, sent, key))
                assert statuses[-1] < 500, (path, sent)
    assert sum(status < 400 for status in statuses) > 50
    assert sum(status >= 400 for status in statuses) > 300
