"""Pinecone's own client against a PoP."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pinecone import AsyncPinecone, Index, Pinecone, ServerlessSpec
from pinecone.errors import ApiError, NotFoundError, UnauthorizedError

from littoral.adapters.memory.embedded.place import EmbeddedCollections
from tests.web.collections_served import pop
from tests.web.fake_door import KEY, OPERATOR_KEY
from tests.web.raw import Served

SPEC = ServerlessSpec(cloud="aws", region="us-east-1")


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with pop(EmbeddedCollections(tmp_path)) as served:
        yield served


class Clients:
    """Clients of one PoP, closed at the end."""

    def __init__(self, served: Served, closing: ExitStack) -> None:
        self._served = served
        self._closing = closing

    def client(self, key: str = OPERATOR_KEY) -> Pinecone:
        made = Pinecone(api_key=key, host=self._served.server.url)
        return self._closing.enter_context(made)

    def index(self, name: str, key: str = OPERATOR_KEY) -> Index:
        found = self.client(key).Index(name)
        assert isinstance(found, Index)
        return self._closing.enter_context(found)


async def running(served: Served, script: Callable[[Clients], None]) -> None:
    """Run a script that blocks."""

    def run() -> None:
        with ExitStack() as closing:
            script(Clients(served, closing))

    await asyncio.to_thread(run)


async def scripted(served: Served, script: Callable[[Index], None], **made: Any) -> None:
    """Run a script that blocks, with an index of its own."""

    def run(clients: Clients) -> None:
        clients.client().create_index(name="one", spec=SPEC, **{"dimension": 3, **made})
        script(clients.index("one"))

    await running(served, run)


@contextmanager
def refused(words: str, status: int = 400) -> Iterator[None]:
    with pytest.raises(ApiError) as error:
        yield
    assert error.value.status_code == status
    assert words in str(error.value)


def ids(found: Any) -> list[str]:
    return [match.id for match in found.matches]


async def test_indexes_are_made_shown_and_forgotten(served: Served) -> None:
    def script(clients: Clients) -> None:
        client = clients.client()
        client.create_index(name="dense", dimension=3, spec=SPEC, tags={"for": "tests"})
        client.create_index(name="sparse", vector_type="sparse", spec=SPEC)
        shown = client.describe_index("dense")
        assert (shown.dimension, shown.metric, shown.vector_type) == (3, "cosine", "dense")
        assert shown.host == f"{served.server.url}/pinecone/dense"
        assert shown.status.ready
        assert shown.tags == {"for": "tests"}
        assert client.describe_index("sparse").vector_type == "sparse"
        assert [each.name for each in client.indexes.list()] == ["dense", "sparse"]
        with refused("already", 409):
            client.create_index(name="dense", dimension=3, spec=SPEC)
        with refused("not changed after", 400):
            client.indexes.configure("dense", tags={"a": "b"})
        with refused("not protected from deletion"):
            client.create_index(name="x", dimension=3, spec=SPEC, deletion_protection="enabled")
        fields = {"body": {"type": "string", "full_text_search": {}}}
        with refused("document index"):
            client.indexes.create(name="x", schema={"fields": fields})
        client.delete_index("dense")
        assert not client.has_index("dense")
        with pytest.raises(NotFoundError):
            client.delete_index("dense")

    await running(served, script)


async def test_a_host_without_a_dot_is_told_with_one_in_its_path(served: Served) -> None:
    client = await served.client()
    body = json.dumps({"name": "one", "dimension": 3}).encode()
    head = f"POST /indexes HTTP/1.1\r\nHost: pop:7400\r\nApi-Key: {OPERATOR_KEY}\r\n"
    made = await client.ask(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    host = json.loads(made.body)["host"]
    assert host == "http://pop:7400/pinecone.local/one"
    with pytest.warns(RuntimeWarning, match="travel unencrypted"):
        Index(host=host, api_key="x").close()

    def script() -> None:
        path = f"{served.server.url}/pinecone.local/one"
        with Index(host=path, api_key=OPERATOR_KEY) as index:
            assert index.describe_index_stats().dimension == 3

    await asyncio.to_thread(script)


async def test_vectors_are_kept_found_changed_and_forgotten(served: Served) -> None:
    def script(index: Index) -> None:
        vectors: list[Any] = [
            ("a", [1.0, 0, 0], {"kind": "x", "year": 1999, "tags": ["old", "red"]}),
            {"id": "b", "values": [0.0, 1, 0], "metadata": {"kind": "y", "year": 2005.5}},
            ("c", [0.5, 0.5, 0]),
        ]
        assert index.upsert(vectors=vectors).upserted_count == 3
        found = index.query(vector=[1, 0, 0], top_k=2, include_values=True, include_metadata=True)
        assert ids(found) == ["a", "c"]
        assert found.matches[0].score == pytest.approx(1)
        assert found.matches[0].metadata == vectors[0][2]
        assert found.matches[1].values == [0.5, 0.5, 0]
        assert found.matches[1].metadata is None
        assert ids(index.query(id="b", top_k=10)) == ["b", "c", "a"]
        assert ids(index.query(id="nothing", top_k=10)) == []

        fetched = index.fetch(ids=["b", "nothing"]).vectors
        assert {name: each.metadata for name, each in fetched.items()} == {
            "b": {"kind": "y", "year": 2005.5}
        }
        updated = index.update(id="b", values=[0, 0, 2], set_metadata={"kind": "z"})
        assert updated.matched_records == 1
        changed = index.fetch(ids=["b"]).vectors["b"]
        assert (changed.values, changed.metadata) == ([0, 0, 2], {"kind": "z", "year": 2005.5})
        old = {"year": {"$lt": 2000}}
        assert (
            index.update(filter=old, set_metadata={"old": True}, dry_run=True).matched_records == 1
        )
        assert index.update(filter=old, set_metadata={"old": True}).matched_records == 1
        assert list(index.fetch_by_metadata(filter={"old": True}).vectors) == ["a"]

        index.delete(filter={"kind": "z"})
        index.delete(ids=["c", "nothing"])
        assert index.describe_index_stats().total_vector_count == 1
        index.delete(delete_all=True)
        assert index.describe_index_stats().namespaces == {}

    await scripted(served, script)


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({"n": 1}, ["a"]),
    ({"n": {"$eq": 2}}, ["b"]),
    ({"n": {"$ne": 2}}, ["a", "c", "d"]),
    ({"n": {"$gt": 1, "$lte": 3}}, ["b", "c"]),
    ({"n": {"$gte": 3}}, ["c"]),
    ({"n": {"$in": [1, 3]}}, ["a", "c"]),
    ({"n": {"$nin": [1, 3]}}, ["b", "d"]),
    ({"n": {"$exists": True}}, ["a", "b", "c"]),
    ({"n": {"$exists": False}}, ["d"]),
    ({"tags": "red"}, ["a", "b"]),
    ({"tags": {"$in": ["blue"]}, "n": {"$lt": 2}}, ["a"]),
    ({"$or": [{"n": 1}, {"flag": True}]}, ["a", "d"]),
    ({"$and": [{"n": {"$gte": 2}}, {"$or": [{"tags": "red"}, {"n": 3}]}]}, ["b", "c"]),
]


async def test_filters_choose_before_anything_is_ranked(served: Served) -> None:
    def script(index: Index) -> None:
        vectors: list[Any] = [
            ("a", [1, 0, 0.1], {"n": 1, "tags": ["red", "blue"]}),
            ("b", [1, 0, 0.2], {"n": 2, "tags": ["red"]}),
            ("c", [1, 0, 0.3], {"n": 3}),
            ("d", [1, 0, 0.4], {"flag": True}),
        ]
        for namespace in ("", "other"):
            index.upsert(vectors=vectors, namespace=namespace)
            for chosen, expected in FILTERS:
                found = index.query(vector=[1, 0, 0], top_k=9, filter=chosen, namespace=namespace)
                assert (chosen, ids(found)) == (chosen, expected)

    await scripted(served, script)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": {"$regex": "x"}},
        {"n": {"$gt": "x"}},
        {"n": {"$in": 1}},
        {"n": {"$exists": 1}},
        {"n": {}},
        {"n": None},
        {"$and": []},
        {"$and": [1]},
        {"$nor": [{"n": 1}]},
        {"_namespace": "other"},
    ],
)
async def test_a_filter_that_means_nothing_is_refused(served: Served, wrong: Any) -> None:
    def script(index: Index) -> None:
        with refused("filter"):
            index.query(vector=[1, 0, 0], top_k=1, filter=wrong)

    await scripted(served, script)


async def test_namespaces_do_not_see_one_another(served: Served) -> None:
    def script(index: Index) -> None:
        for number, namespace in enumerate(["", "a", "a b", "a/b", "~"]):
            vectors: list[Any] = [("same", [1, number, 0]), (f"own{number}", [0, 0, 1])]
            index.upsert(vectors=vectors, namespace=namespace)
        for number, namespace in enumerate(["", "a", "a b", "a/b", "~"]):
            found = index.query(
                vector=[0, 0, 1], top_k=10, namespace=namespace, include_values=True
            )
            assert ids(found) == [f"own{number}", "same"]
            assert found.matches[1].values == [1, number, 0]
            assert [each.id for page in index.list(namespace=namespace) for each in page] == [
                f"own{number}",
                "same",
            ]
            assert list(index.fetch(ids=["same"], namespace=namespace).vectors) == ["same"]
            described = index.describe_namespace(name=namespace or "__default__")
            assert described.record_count == 2
        listed = [each.name for page in index.list_namespaces(limit=2) for each in page]
        assert listed == ["__default__", "a", "a b", "a/b", "~"]
        assert [each.name for page in index.list_namespaces(prefix="a") for each in page] == [
            *("a", "a b", "a/b")
        ]
        index.delete(ids=["same"], namespace="a")
        index.delete(delete_all=True, namespace="a b")
        index.delete_namespace(name="a/b")
        with refused("no namespace", 404):
            index.delete_namespace(name="a/b")
        with refused("no namespace", 404):
            index.describe_namespace(name="a/b")
        stats = index.describe_index_stats()
        counts = {name: each.vector_count for name, each in stats.namespaces.items()}
        assert counts == {"__default__": 2, "a": 1, "~": 2}
        assert stats.total_vector_count == 5
        index.delete(delete_all=True)
        assert index.describe_index_stats().total_vector_count == 3

    await scripted(served, script)


async def test_ids_are_listed_page_by_page(served: Served) -> None:
    def script(index: Index) -> None:
        for namespace in ("", "n"):
            vectors: list[Any] = [(f"doc1#{each}", [1, 1, each]) for each in range(25)]
            vectors += [(f"doc2#{each}", [1, 2, each]) for each in range(3)]
            index.upsert(vectors=vectors, namespace=namespace)
            pages = list(index.list(prefix="doc1#", limit=10, namespace=namespace))
            assert [len(page.vectors) for page in pages] == [10, 10, 5]
            assert sum(len(page.vectors) for page in index.list(namespace=namespace)) == 28
            page = index.fetch_by_metadata(
                filter={"x": {"$exists": False}}, limit=20, namespace=namespace
            )
            assert page.pagination is not None
            rest = index.fetch_by_metadata(
                filter={"x": {"$exists": False}},
                limit=20,
                namespace=namespace,
                pagination_token=page.pagination.next,
            )
            assert (len(page.vectors), len(rest.vectors), rest.pagination) == (20, 8, None)

    await scripted(served, script)


async def test_euclidean_scores_are_squares_and_the_lowest_is_best(served: Served) -> None:
    def script(index: Index) -> None:
        index.upsert(vectors=[("near", [0, 0, 1]), ("far", [0, 0, 4])])
        found = index.query(vector=[0, 0, 0], top_k=2)
        assert [(match.id, match.score) for match in found.matches] == [("near", 1), ("far", 16)]

    await scripted(served, script, metric="euclidean")


async def test_sparse_vectors_are_kept_beside_dense_ones_and_alone(served: Served) -> None:
    sparse = {"indices": [7, 3], "values": [2.0, 0.5]}

    def hybrid(index: Index) -> None:
        index.upsert(vectors=[{"id": "a", "values": [1, 1, 1], "sparse_values": sparse}])
        fetched = index.fetch(ids=["a"]).vectors["a"]
        assert fetched.sparse_values is not None
        assert dict(
            zip(fetched.sparse_values.indices, fetched.sparse_values.values, strict=True)
        ) == {
            7: 2.0,
            3: 0.5,
        }
        with refused("not added up"):
            index.query(vector=[1, 1, 1], sparse_vector=sparse, top_k=1)
        alone = index.query(sparse_vector={"indices": [7], "values": [3.0]}, top_k=1)
        assert [(match.id, match.score) for match in alone.matches] == [("a", 6)]

    def script(clients: Clients) -> None:
        clients.client().create_index(name="sparse", vector_type="sparse", spec=SPEC)
        index = clients.index("sparse")
        index.upsert(vectors=[{"id": "a", "sparse_values": sparse}])
        assert ids(index.query(id="a", top_k=3)) == ["a"]
        with refused("sparse vectors alone"):
            index.upsert(vectors=[("b", [1, 2, 3])])

    await scripted(served, hybrid, metric="dotproduct")
    await running(served, script)


async def test_what_is_not_done_is_refused_by_its_name(served: Served) -> None:
    def script(index: Index) -> None:
        with refused("records"):
            index.search(namespace="n", top_k=1, inputs={"text": "x"})
        with refused("bulk"):
            index.start_import("s3://bucket/path")
        with refused("first vector"):
            index.create_namespace(name="n")
        with refused("made for 3"):
            index.query(vector=[1, 2], top_k=1)
        with refused("no sparse vectors"):
            index.upsert(
                vectors=[
                    {
                        "id": "a",
                        "values": [1, 2, 3],
                        "sparse_values": {"indices": [1], "values": [1]},
                    }
                ]
            )
        with refused("metadata"):
            index.upsert(vectors=[("a", [1, 2, 3], {"_namespace": "x"})])
        with refused("metadata"):
            index.upsert(vectors=[("a", [1, 2, 3], {"x": None})])
        assert index.describe_index_stats().total_vector_count == 0

    await scripted(served, script)


async def test_the_client_that_does_not_block_does_the_same(served: Served) -> None:
    async with AsyncPinecone(api_key=OPERATOR_KEY, host=served.server.url) as client:
        made = await client.indexes.create(name="one", dimension=3, spec=SPEC)
        assert made.host is not None
        async with await client.index(host=made.host) as index:
            await index.upsert(vectors=[("a", [1, 2, 3])])
            assert ids(await index.query(vector=[1, 2, 3], top_k=1)) == ["a"]


async def test_a_key_sees_what_is_its_own_and_the_pops(served: Served) -> None:
    def script(clients: Clients) -> None:
        clients.client().create_index(name="one", dimension=3, spec=SPEC)
        other = clients.client(KEY)
        assert [each.name for each in other.indexes.list()] == ["one"]
        with refused("only reads", 403):
            clients.index("one", KEY).upsert(vectors=[("a", [1, 2, 3])])
        other.create_index(name="own", dimension=3, spec=SPEC)
        own = clients.index("own", KEY)
        assert own.upsert(vectors=[("a", [1, 2, 3])]).upserted_count == 1
        with pytest.raises(UnauthorizedError):
            clients.client("nobody").describe_index("one")

    await running(served, script)
