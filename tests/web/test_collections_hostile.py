"""Whatever is sent to the APIs of collections is answered in their own shape, never by a defect."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.web.collections_served import pop
from tests.web.fake_door import OPERATOR_KEY
from tests.web.raw import Client

QUERIES = 60
"""Mutations of each body."""

PLAIN = {"vectors": {"size": 3, "distance": "Cosine"}, "sparse_vectors": {"s": {}}}
FILTER = {
    "must": [{"key": "a.b", "match": {"value": 1}}, {"has_id": [1, "x"]}],
    "should": {"key": "c", "range": {"gte": 1, "lt": 2.5}},
    "must_not": [{"is_empty": {"key": "d"}}],
    "min_should": {"conditions": [{"key": "e", "match": {"any": ["x"]}}], "min_count": 1},
}
POINT = {"id": 1, "vector": {"": [1, 2, 3], "s": {"indices": [1], "values": [2]}}, "payload": {}}
PREFETCH = {"query": [1, 2, 3], "limit": 5, "filter": FILTER, "score_threshold": 0.1}
QDRANT = [
    ("PUT", "/collections/other", PLAIN),
    ("PUT", "/collections/one/points", {"points": [POINT]}),
    ("PUT", "/collections/one/points", {"batch": {"ids": [1], "vectors": [[1, 2, 3]]}}),
    ("POST", "/collections/one/points", {"ids": [1, 2], "with_payload": {"include": ["a[].b"]}}),
    ("POST", "/collections/one/points/scroll", {"filter": FILTER, "limit": 3, "offset": 1}),
    ("POST", "/collections/one/points/count", {"filter": FILTER}),
    ("POST", "/collections/one/points/delete", {"filter": FILTER}),
    ("POST", "/collections/one/points/payload", {"payload": {"a": 1}, "points": [1]}),
    ("POST", "/collections/one/points/payload/delete", {"keys": ["a"], "points": [1]}),
    ("PUT", "/collections/one/points/vectors", {"points": [{"id": 1, "vector": [1, 2, 3]}]}),
    ("POST", "/collections/one/points/vectors/delete", {"vector": [""], "points": [1]}),
    ("POST", "/collections/one/points/batch", {"operations": [{"delete": {"points": [1]}}]}),
    ("POST", "/collections/one/points/query", {**PREFETCH, "with_vector": True}),
    (
        "POST",
        "/collections/one/points/query",
        {"prefetch": [PREFETCH, {"prefetch": PREFETCH, "query": 1}], "query": {"fusion": "rrf"}},
    ),
    (
        "POST",
        "/collections/one/points/query",
        {"query": {"recommend": {"positive": [1, [1, 2, 3]]}}},
    ),
    ("POST", "/collections/one/points/query/batch", {"searches": [PREFETCH]}),
    ("POST", "/collections/one/points/query/groups", {"query": [1, 2, 3], "group_by": "a"}),
    (
        "POST",
        "/collections/one/points/search",
        {"vector": {"name": "", "vector": [1, 2, 3]}, "limit": 1},
    ),
]
SPARSE = {"indices": [1, 2], "values": [0.5, 1]}
WHERE = {"$and": [{"a": {"$in": [1, "x"]}}, {"b": {"$exists": True}}], "c": {"$gte": 2}}
PINECONE = [
    ("POST", "/indexes", {"name": "other", "dimension": 3, "metric": "cosine", "tags": {"a": "b"}}),
    (
        "POST",
        "/indexes",
        {
            "name": "another",
            "schema": {"fields": {"_values": {"type": "dense_vector", "dimension": 3}}},
        },
    ),
    (
        "POST",
        "/pinecone/one/vectors/upsert",
        {
            "vectors": [
                {"id": "a", "values": [1, 2, 3], "metadata": {"a": ["x"]}, "sparseValues": SPARSE}
            ]
        },
    ),
    (
        "POST",
        "/pinecone/one/query",
        {"vector": [1, 2, 3], "topK": 3, "filter": WHERE, "includeValues": True},
    ),
    ("POST", "/pinecone/one/query", {"id": "a", "topK": 3, "namespace": "n"}),
    (
        "POST",
        "/pinecone/one/vectors/update",
        {"id": "a", "values": [1, 2, 3], "setMetadata": {"x": 1}},
    ),
    ("POST", "/pinecone/one/vectors/delete", {"filter": WHERE, "namespace": "n"}),
    (
        "POST",
        "/pinecone/one/vectors/fetch_by_metadata",
        {"filter": WHERE, "limit": 3, "paginationToken": "eA=="},
    ),
    ("POST", "/pinecone/one/describe_index_stats", {"filter": WHERE}),
]
JUNK: tuple[object, ...] = (
    *(
        None,
        True,
        -1,
        0,
        3,
        2**63,
        2**64,
        10**30,
        1.5,
        1e39,
        1e308,
        "",
        "x",
        "$text",
        "\x00",
        "\ud800",
    ),
    *([], {}, [[]], [None], [1, 2], [[1, 2], [3]], {"": 1}, {"a": {}}, {"key": "a"}, [1e39] * 3),
    *({"indices": [2, 1], "values": [1]}, {"nearest": [1]}, {"text": "x"}, {"$or": []}, "é" * 600),
)


def places(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    yield path
    if isinstance(value, dict):
        for key, each in value.items():
            yield from places(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from places(each, (*path, index))


def mutated(chance: random.Random, body: object) -> bytes:
    """The body with one or two parts replaced, taken away or added; now and then not even JSON."""
    made = copy.deepcopy(body)
    for _ in range(chance.randint(1, 2)):
        *parents, last = chance.choice([path for path in places(made) if path] or [("x",)])
        inner: Any = made
        for key in parents:
            inner = inner[key]
        inside = isinstance(inner, dict)
        if not inside and not isinstance(inner, list):
            continue
        if inside and chance.random() < 0.2:
            inner.pop(last, None)
        elif inside and chance.random() < 0.2:
            inner[chance.choice(["x", "shard_key", "filter", "$y", ""])] = copy.deepcopy(
                chance.choice(JUNK)
            )
        else:
            inner[last] = copy.deepcopy(chance.choice(JUNK))
    sent = json.dumps(made).encode()
    match chance.randrange(20):
        case 0:
            return sent[: chance.randrange(len(sent))]
        case 1:
            return sent.replace(b":", b":" + b"[" * 100, 1)
        case 2:
            return sent + b"\xff"
        case 3:
            return sent.replace(b"1", b"NaN", 1)
        case _:
            return sent


async def asked(client: Client, method: str, path: str, body: bytes) -> tuple[int, object]:
    head = f"{method} {path} HTTP/1.1\r\nHost: pop.test\r\nApi-Key: {OPERATOR_KEY}\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    answer = await client.ask(head.encode() + body, method)
    return answer.status, json.loads(answer.body)


@pytest.mark.parametrize("api", ["qdrant", "pinecone"])
async def test_no_body_meets_a_defect(api: str) -> None:
    chance = random.Random(7)
    refused = taken = 0
    async with pop() as served:
        client = await served.client()
        if api == "qdrant":
            await asked(client, "PUT", "/collections/one", json.dumps(PLAIN).encode())
        else:
            made = {"name": "one", "dimension": 3, "metric": "dotproduct"}
            await asked(client, "POST", "/indexes", json.dumps(made).encode())
        for method, path, body in QDRANT if api == "qdrant" else PINECONE:
            valid, answer = await asked(client, method, path, json.dumps(body).encode())
            assert valid < 500, (path, answer)
            for _ in range(QUERIES):
                sent = mutated(chance, body)
                status, answer = await asked(client, method, path, sent)
                assert status < 500, (path, sent)
                taken += status < 400
                if status >= 400:
                    refused += 1
                    assert is_shaped(api, answer), answer
    assert refused > 300
    assert taken > 50


def many_ways(levels: int) -> dict[str, object]:
    """A filter of few words that is written out to 1,260 parts a level."""
    inner: dict[str, object] = {"key": "a", "match": {"value": 1}}
    for _ in range(levels):
        inner = {"min_should": {"conditions": [inner] * 10, "min_count": 5}}
    return inner


NASTY = [
    ("count", {"filter": {"min_should": {"conditions": [{"must": []}], "min_count": 2**64}}}),
    (
        "count",
        {"filter": {"min_should": {"conditions": [{"must": []}] * 5_000, "min_count": 2_500}}},
    ),
    ("count", {"filter": many_ways(3)}),
    ("query", {"query": {"recommend": {"positive": [""]}}}),
    ("query", {"query": "", "using": "s"}),
    ("query", {"query": [1e39, 0, 0]}),
    ("query", {"query": [10**400, 0, 0]}),
    ("query", {"query": "\ud800"}),
]
"""Bodies that have met a defect, or nearly."""


@pytest.mark.parametrize(("verb", "body"), NASTY)
async def test_a_body_that_is_meant_badly_is_refused_or_finds_nothing(
    verb: str, body: dict[str, object]
) -> None:
    async with pop() as served:
        client = await served.client()
        await asked(client, "PUT", "/collections/one", json.dumps(PLAIN).encode())
        path = f"/collections/one/points/{verb}"
        status, answer = await asked(client, "POST", path, json.dumps(body).encode())
    assert status in {200, 400, 404}, answer


def is_shaped(api: str, answer: object) -> bool:
    assert isinstance(answer, dict)
    if api == "qdrant":
        return bool(answer["status"]["error"]) and answer.keys() == {"status", "time"}
    return bool(answer["error"]["message"]) and answer["status"] >= 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/collections/one/points/999999999999999999999", 404),
        ("GET", "/collections/one/points/x", 404),
        ("GET", "/collections/%2e%2e/points/1", 404),
        ("PUT", "/collections/%2e%2e", 400),
        ("PUT", "/collections/%2e%2e%2fx", 404),
        ("PUT", "/collections/" + "n" * 200, 400),
        ("POST", "/collections/one/points/nothing", 404),
        ("PATCH", "/collections/one/points", 404),
        ("GET", "/pinecone/one/vectors/fetch", 400),
        ("GET", "/pinecone/one/vectors/list?limit=0", 400),
        ("GET", "/pinecone/one/vectors/list?paginationToken=%ff", 400),
        ("GET", "/pinecone/one/vectors/list?paginationToken=eA", 400),
        ("GET", "/pinecone/one/vectors/fetch?ids=", 400),
        ("GET", "/pinecone/one", 404),
        ("GET", "/pinecone/one/namespaces/%C2%85", 400),
        ("GET", "/pinecone/other/vectors/list", 404),
        ("DELETE", "/pinecone/one/query", 404),
        ("POST", "/pinecone/one/records/namespaces/x/search", 400),
    ],
)
async def test_no_path_meets_a_defect(method: str, path: str, status: int) -> None:
    async with pop() as served:
        client = await served.client()
        body = json.dumps({"name": "one", "dimension": 3, **PLAIN}).encode()
        if path.startswith("/collections"):
            await asked(client, "PUT", "/collections/one", body)
        else:
            await asked(client, "POST", "/indexes", body)
        said, answer = await asked(client, method, path, body if method == "PUT" else b"")
    assert said == status, answer
    assert is_shaped("qdrant" if path.startswith("/collections") else "pinecone", answer)
