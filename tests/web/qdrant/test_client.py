"""Qdrant's own client against a PoP: what the random operations do not reach."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient
from qdrant_client import models as m
from qdrant_client.common.version_check import is_compatible
from qdrant_client.http.exceptions import UnexpectedResponse

from littoral.web.packing import unpacked
from tests.node.memory.made import MODEL, vector_of
from tests.web.collections_served import pop, qdrant
from tests.web.fake_door import KEY, OPERATOR_KEY
from tests.web.raw import Served, get, post

COSINE = m.VectorParams(size=3, distance=m.Distance.COSINE)
FAR = m.VectorParams(size=3, distance=m.Distance.EUCLID)
MANY = m.MultiVectorConfig(comparator=m.MultiVectorComparator.MAX_SIM)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with pop() as served:
        yield served


@pytest.fixture
async def client(served: Served) -> AsyncIterator[AsyncQdrantClient]:
    client = qdrant(served)
    yield client
    await client.close()


async def spoken(served: Served, path: str, body: object) -> tuple[int, Any]:
    client = await served.client()
    fields = f"Api-Key: {OPERATOR_KEY}"
    answer = await client.ask(post(json.dumps(body).encode(), path, fields), "POST")
    return answer.status, json.loads(answer.body)


async def test_the_client_finds_the_version_that_it_looks_for(served: Served) -> None:
    client = await served.client()
    answer = await client.ask(get("/", "User-Agent: python-client/1.20.0 python/3.11.7"))
    assert is_compatible("1.20.0", json.loads(answer.body)["version"])
    answer = await client.ask(get("/", "User-Agent: curl/8"))
    assert json.loads(answer.body)["name"] == "Littoral"


async def test_collections_are_made_shown_tuned_and_forgotten(client: AsyncQdrantClient) -> None:
    vectors = {
        "": COSINE,
        "tokens": m.VectorParams(size=2, distance=m.Distance.DOT, multivector_config=MANY),
    }
    sparse = {"words": m.SparseVectorParams()}
    assert await client.create_collection("a", vectors, sparse)
    assert await client.update_collection("a", m.OptimizersConfigDiff(indexing_threshold=1))
    done = await client.create_payload_index("a", "year", m.PayloadSchemaType.INTEGER)
    assert done.status == m.UpdateStatus.COMPLETED
    assert (await client.delete_payload_index("a", "year")).status == m.UpdateStatus.COMPLETED

    params = (await client.get_collection("a")).config.params
    assert isinstance(params.vectors, dict)
    assert params.vectors[""].size == 3
    assert params.vectors["tokens"].multivector_config == MANY
    assert list(params.sparse_vectors or ()) == ["words"]
    assert [each.name for each in (await client.get_collections()).collections] == ["a"]
    with pytest.raises(UnexpectedResponse, match="409"):
        await client.create_collection("a", COSINE)
    assert await client.collection_exists("a")
    assert await client.delete_collection("a")
    assert not await client.delete_collection("a")
    assert not await client.collection_exists("a")


async def test_the_client_that_blocks_uploads_in_batches(served: Served) -> None:
    def script() -> int:
        client = QdrantClient(
            url=served.server.url, headers={"api-key": OPERATOR_KEY}, check_compatibility=False
        )
        client.create_collection("a", COSINE)
        points = [m.PointStruct(id=each, vector=[float(each), 1, 2]) for each in range(500)]
        client.upload_points("a", points, batch_size=64, wait=True)
        count = client.count("a").count
        client.close()
        return count

    assert await asyncio.to_thread(script) == 500


async def test_vectors_compared_by_cosine_are_shown_at_length_one(
    client: AsyncQdrantClient,
) -> None:
    await client.create_collection("a", COSINE)
    await client.upsert(
        "a", [m.PointStruct(id=1, vector=[3.0, 0, 4]), m.PointStruct(id=2, vector=[0.0, 0, 0])]
    )
    one, nothing = await client.retrieve("a", [1, 2], with_vectors=True)
    assert one.vector == pytest.approx([0.6, 0, 0.8])
    assert nothing.vector == [0, 0, 0]


async def test_distances_by_euclid_rise_and_are_bounded_from_above(
    client: AsyncQdrantClient,
) -> None:
    await client.create_collection("a", FAR)
    points = [m.PointStruct(id=each, vector=[float(each), 0, 0]) for each in range(6)]
    await client.upsert("a", points)
    found = await client.query_points("a", query=[0.0, 0, 0], score_threshold=3)
    assert [(point.id, point.score) for point in found.points] == [(0, 0), (1, 1), (2, 2), (3, 3)]
    found = await client.query_points("a", query=[0.0, 0, 0], score_threshold=-1)
    assert not found.points


async def test_pages_follow_one_another_integers_before_uuids(client: AsyncQdrantClient) -> None:
    await client.create_collection("a", COSINE)
    names = ["00000000-0000-0000-0000-000000000000", "ffffffff-0000-0000-0000-000000000001"]
    ids: list[int | str] = [0, 1, 2, 9, 10, 2**64 - 1, *names]
    points = [m.PointStruct(id=each, vector=[1.0, 1, 1]) for each in reversed(ids)]
    await client.upsert("a", points)
    seen: list[int | str] = []
    offset: Any = None
    while True:
        records, offset = await client.scroll("a", limit=3, offset=offset)
        seen += [record.id for record in records]  # type: ignore[misc]
        if offset is None:
            break
    assert seen == ids
    upper = await client.retrieve("a", [names[1].upper()])
    assert [record.id for record in upper] == [names[1]]


async def test_a_point_that_is_read_and_written_again_is_seen_by_those_who_saw_it(
    served: Served, client: AsyncQdrantClient
) -> None:
    await client.create_collection("a", COSINE)
    secret = {"$text": "profit", "$labels": ["finance"], "year": 2026}
    wanted = [
        {"id": 1, "vector": [1.0, 0.0, 0.0], "payload": secret},
        {"id": 2, "vector": [0, 1, 0]},
    ]
    await client.upsert("a", [m.PointStruct.model_validate(each) for each in wanted])
    read, _ = await client.scroll("a", with_vectors=True)
    assert read[0].payload == secret
    again = [m.PointStruct.model_validate(each.model_dump(exclude_none=True)) for each in read]
    await client.upsert("a", again)
    other = qdrant(served, KEY)
    seen, _ = await other.scroll("a")
    assert [point.id for point in seen] == [2]
    assert (await other.count("a")).count == 1
    wrong = m.PointStruct(id=3, vector=[1.0, 0.0, 0.0], payload={"$labels": "x"})
    with pytest.raises(UnexpectedResponse, match="labels"):
        await client.upsert("a", [wrong])
    await other.close()


async def test_documents_that_came_in_otherwise_are_seen_and_asked_in_words(
    served: Served,
) -> None:
    spec = {"name": "docs", "embedding": MODEL}
    records = [
        {"id": "notes#1", "text": "join a second machine", "document": "notes", "position": 1},
        {"id": "notes#2", "text": "cook a soup", "document": "notes", "position": 2},
    ]
    writes = {"writes": [{"type": "upsert", "records": records}]}
    assert (await spoken(served, "/v1/memory", spec))[0] == 201
    assert (await spoken(served, "/v1/memory/docs/write", writes))[0] == 200
    query = {"query": {"text": "soup", "model": "any"}, "limit": 1, "with_payload": True}
    _, found = await spoken(served, "/collections/docs/points/query", query)
    (point,) = found["result"]["points"]
    shown = {"$text": "cook a soup", "$document": "notes", "$position": 2}
    assert (point["id"], point["payload"]) == ("notes#2", shown)

    point = {"id": 7, "payload": {"$text": "bake bread", "kind": "food"}}
    client = qdrant(served, cloud_inference=True)
    await client.upsert("docs", [m.PointStruct(vector={}, **point)])
    (record,) = await client.retrieve("docs", [7], with_vectors=True)
    assert record.payload == point["payload"]
    assert record.vector == pytest.approx(unpacked(vector_of("bake bread")))
    for said in (m.Document(text="bread", model="any"), m.TextQuery(text="bread")):
        using = "$text" if isinstance(said, m.TextQuery) else None
        hits = (await client.query_points("docs", query=said, using=using, limit=1)).points
        assert [hit.id for hit in hits] == [7]
    await client.close()


async def test_searches_in_the_old_words_are_answered_too(
    served: Served, client: AsyncQdrantClient
) -> None:
    await client.create_collection("a", {"title": FAR}, {"words": m.SparseVectorParams()})
    sparse = m.SparseVector(indices=[5], values=[2])
    vectors: Any = {"title": [0, 0, 1], "words": sparse}
    await client.upsert("a", [m.PointStruct(id=1, vector=vectors)])
    dense = {"vector": {"name": "title", "vector": [0, 0, 3]}, "limit": 1}
    words = {"vector": {"name": "words", "vector": sparse.model_dump()}, "limit": 1}
    _, found = await spoken(served, "/collections/a/points/search", dense)
    assert [(point["id"], point["score"]) for point in found["result"]] == [(1, 2)]
    both = {"searches": [dense, words]}
    _, found = await spoken(served, "/collections/a/points/search/batch", both)
    assert [[point["score"] for point in each] for each in found["result"]] == [[2], [4]]


async def test_a_keys_own_collection_is_its_own(served: Served, client: AsyncQdrantClient) -> None:
    other = qdrant(served, KEY)
    await client.create_collection("shared", COSINE)
    await other.create_collection("own", COSINE)
    await other.upsert("own", [m.PointStruct(id=1, vector=V)])
    assert (await other.count("shared")).count == 0
    with pytest.raises(UnexpectedResponse, match="403"):
        await other.upsert("shared", [m.PointStruct(id=1, vector=V)])
    stranger = qdrant(served, "nobody")
    with pytest.raises(UnexpectedResponse, match="401") as refused:
        await stranger.get_collections()
    assert "not accepted" in refused.value.structured()["status"]["error"]
    await other.close()
    await stranger.close()


A = "a"
V = [1.0, 2.0, 3.0]
FIRST = m.FieldCondition(key="x[0]", match=m.MatchValue(value=1))
POINT = m.PointStruct(id=1, vector=V)
NESTED = m.NestedCondition(nested=m.Nested(key="x", filter=m.Filter(must=[FIRST])))


def where(condition: Any) -> m.Filter:
    return m.Filter(must=[condition])


REFUSED: dict[str, Callable[[AsyncQdrantClient], Awaitable[object]]] = {
    "Manhattan": lambda c: c.create_collection(
        "b", m.VectorParams(size=3, distance=m.Distance.MANHATTAN)
    ),
    "by Euclid": lambda c: c.create_collection(
        "b", m.VectorParams(size=3, distance=m.Distance.EUCLID, multivector_config=MANY)
    ),
    "weighed by idf": lambda c: c.create_collection(
        "b", sparse_vectors_config={"s": m.SparseVectorParams(modifier=m.Modifier.IDF)}
    ),
    "metadata of a collection": lambda c: c.create_collection("b", COSINE, metadata={"a": 1}),
    "fusion by dbsf": lambda c: c.query_points(
        A, prefetch=m.Prefetch(query=V), query=m.FusionQuery(fusion=m.Fusion.DBSF)
    ),
    "rrf.weights": lambda c: c.query_points(
        A, prefetch=m.Prefetch(query=V), query=m.RrfQuery(rrf=m.Rrf(weights=[1]))
    ),
    "queries by mmr": lambda c: c.query_points(
        A, query=m.NearestQuery(nearest=V, mmr=m.Mmr(diversity=0.5))
    ),
    "queries by discover": lambda c: c.query_points(
        A, query=m.DiscoverQuery(discover=m.DiscoverInput(target=V, context=[]))
    ),
    "queries by sample": lambda c: c.query_points(A, query=m.SampleQuery(sample=m.Sample.RANDOM)),
    "queries by order_by": lambda c: c.query_points(A, query=m.OrderByQuery(order_by="n")),
    "order_by": lambda c: c.scroll(A, order_by="n"),
    "lookup_from": lambda c: c.query_points(
        A, query=1, lookup_from=m.LookupLocation(collection="b")
    ),
    "shard_key": lambda c: c.count(A, shard_key_selector="x"),
    "nested": lambda c: c.count(A, where(NESTED)),
    "null": lambda c: c.count(A, where(m.IsNullCondition(is_null=m.PayloadField(key="x")))),
    "has_vector": lambda c: c.count(A, where(m.HasVectorCondition(has_vector=""))),
    "values_count": lambda c: c.count(
        A, where(m.FieldCondition(key="x", values_count=m.ValuesCount(gt=1)))
    ),
    "one element of a list": lambda c: c.count(A, where(FIRST)),
    "match.phrase": lambda c: c.count(
        A, where(m.FieldCondition(key="x", match=m.MatchPhrase(phrase="a b")))
    ),
    "below a key": lambda c: c.set_payload(A, {"x": 1}, points=[1], key="a.b"),
    "what is below them": lambda c: c.delete_payload(A, ["a.b"], points=[1]),
    "update_filter": lambda c: c.upsert(A, [POINT], update_filter=m.Filter()),
    "facet": lambda c: c.facet(A, key="x"),
    "matrix": lambda c: c.search_matrix_pairs(A),
    "snapshots": lambda c: c.list_snapshots(A),
    "changed with the whole point": lambda c: c.overwrite_payload(A, {"$text": "x"}, points=[1]),
}


@pytest.mark.parametrize("words", REFUSED)
async def test_what_is_not_done_is_refused_by_its_name(
    client: AsyncQdrantClient, words: str
) -> None:
    await client.create_collection(A, COSINE)
    await client.upsert(A, [POINT])
    with pytest.raises(UnexpectedResponse) as refused:
        await REFUSED[words](client)
    assert refused.value.status_code == 400
    assert words in refused.value.structured()["status"]["error"]
    assert (await client.retrieve(A, [1], with_vectors=False))[0].payload == {}


async def test_a_query_has_a_bound_on_its_prefetches(client: AsyncQdrantClient) -> None:
    await client.create_collection("a", COSINE)
    prefetch = [m.Prefetch(query=V)] * 33
    with pytest.raises(UnexpectedResponse, match="at most 32 prefetches"):
        await client.query_points("a", prefetch=prefetch, query=m.FusionQuery(fusion=m.Fusion.RRF))
