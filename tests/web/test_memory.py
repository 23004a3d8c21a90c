"""The PoP's own API of collections, over a real listener, with collections on paper."""

import base64
import json
from collections.abc import AsyncIterator

import pytest

from littoral.node.memory.house import House
from littoral.sim.collections import PaperCollections
from littoral.terms.contextual import ContextShown, ContextState, ContextWanted
from littoral.terms.errors import NotFoundError
from littoral.terms.values import Caller
from littoral.web.app import App, Desks
from tests.node.memory.made import MODEL, CountingDoor, vector_of
from tests.web.fake_door import KEY, OPERATOR_KEY, FakeDoor, FakeStatus
from tests.web.raw import Answer, Served, serving


class Api:
    """Asks with one JSON body after the other."""

    def __init__(self, served: Served) -> None:
        self._served = served

    async def __call__(
        self, method: str, path: str, body: object = None, key: str = OPERATOR_KEY
    ) -> tuple[int, dict[str, object]]:
        client = await self._served.client()
        sent = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: pop\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Length: {len(sent)}\r\n\r\n"
        )
        answer: Answer = await client.ask(head.encode() + sent, method)
        return answer.status, json.loads(answer.body)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    house = House({"paper": PaperCollections()}, CountingDoor(), made_by="paper")
    app = App(FakeDoor(), FakeStatus(), Desks(memory=house))
    async with serving(app.handler(), gate=app.gate()) as served:
        yield Api(served)
        assert not served.defects
    house.close()


async def test_a_collection_is_made_filled_asked_and_forgotten(api: Api) -> None:
    made = {"name": "docs", "embedding": MODEL, "fields": {"year": "integer"}}
    status, shown = await api("POST", "/v1/memory", made)
    assert (status, shown["records"]) == (201, 0)
    records = [
        {"id": "a", "text": "join a second machine", "metadata": {"year": 2025}},
        {"id": "b", "text": "cook a soup", "metadata": {"year": 2026}},
    ]
    writes = {"writes": [{"type": "upsert", "records": records}]}
    assert await api("POST", "/v1/memory/docs/write", writes) == (200, {"through": 2, "changed": 2})

    search = {"query": {"type": "like", "text": "a machine"}, "limit": 1}
    status, found = await api("POST", "/v1/memory/docs/search", search)
    assert status == 200
    assert [hit["record"]["id"] for hit in found["hits"]] == ["a"]  # type: ignore[attr-defined]

    packed = base64.b64encode(vector_of("cook soup")).decode()
    recent = {"type": "between", "field": "year", "gte": 2026}
    search = {"query": {"type": "nearest", "vector": packed}, "where": recent}
    _, found = await api("POST", "/v1/memory/docs/search", search)
    assert [hit["record"]["id"] for hit in found["hits"]] == ["b"]  # type: ignore[attr-defined]

    _, recalled = await api("POST", "/v1/memory/docs/recall", {"text": "how to cook"}, KEY)
    assert recalled["passages"][0]["id"] == "b"  # type: ignore[index]
    assert await api("POST", "/v1/memory/docs/count", {"where": recent}) == (200, {"count": 1})
    _, page = await api("POST", "/v1/memory/docs/scan", {"limit": 1})
    assert page["next"] == "a"
    _, fetched = await api("POST", "/v1/memory/docs/fetch", {"ids": ["b", "x"]})
    assert len(fetched["records"]) == 1  # type: ignore[arg-type]

    _, listed = await api("GET", "/v1/memory", key=KEY)
    assert [each["spec"]["name"] for each in listed["collections"]] == ["docs"]  # type: ignore[attr-defined]
    assert (await api("GET", "/v1/memory/docs"))[1]["records"] == 2
    assert await api("DELETE", "/v1/memory/docs") == (200, {"dropped": "docs"})
    assert (await api("GET", "/v1/memory/docs"))[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/memory", {"name": "../etc"}, 400),
        ("POST", "/v1/memory", {"name": "x", "unknown": 1}, 400),
        ("POST", "/v1/memory/none/search", {"query": {"type": "words", "text": "x"}}, 404),
        ("POST", "/v1/memory/docs", {}, 404),
        ("POST", "/v1/memory/docs/guess", {}, 404),
        ("POST", "/v1/memory/docs/search", {"query": {"type": "guess"}}, 400),
        ("POST", "/v1/memory/docs/search", {"query": {"type": "nearest", "vector": "?"}}, 400),
        ("POST", "/v1/memory/docs/search", {"query": {"type": "nearest", "vector": "AAAA"}}, 400),
        (
            "POST",
            "/v1/memory/docs/count",
            {"where": {"type": "is", "field": "", "values": []}},
            400,
        ),
        ("POST", "/v1/memory/docs/write", {"writes": [{"type": "delete", "ids": [""]}]}, 400),
        ("PUT", "/v1/memory/docs", {}, 405),
    ],
)
async def test_what_makes_no_sense_is_refused(
    api: Api, method: str, path: str, body: object, status: int
) -> None:
    await api("POST", "/v1/memory", {"name": "docs", "vectors": [{"dimensions": 2}]})
    answered, said = await api(method, path, body)
    assert (answered, "error" in said) == (status, True)


async def test_a_plain_key_writes_to_its_own_collections_alone(api: Api) -> None:
    await api("POST", "/v1/memory", {"name": "docs", "vectors": [{"dimensions": 2}]})
    writes = {"writes": [{"type": "delete", "ids": ["a"]}]}
    assert (await api("POST", "/v1/memory/docs/write", writes, KEY))[0] == 403
    await api("POST", "/v1/memory", {"name": "mine", "vectors": [{"dimensions": 2}]}, KEY)
    assert (await api("POST", "/v1/memory/mine/write", writes, KEY))[0] == 200


class Placing:
    """Says what it was asked for; see `ContextDesk`."""

    async def write_context(self, name: str, wanted: ContextWanted, caller: Caller) -> ContextShown:
        assert caller.operator
        return ContextShown(collection=name, state=ContextState.RUNNING, model=wanted.model)

    async def context(self, name: str, caller: Caller) -> ContextShown:
        if name != "docs":
            raise NotFoundError("there is no such collection")
        return ContextShown(collection=name, state=ContextState.DONE, written=3)

    async def stop_context(self, name: str, caller: Caller) -> ContextShown:
        return ContextShown(collection=name, state=ContextState.STOPPED)


async def test_contexts_are_asked_for_below_a_collection_and_leave_the_rest_alone() -> None:
    house = House({"paper": PaperCollections()}, CountingDoor(), made_by="paper")
    app = App(FakeDoor(), FakeStatus(), Desks(memory=house, contexts=Placing()))
    async with serving(app.handler(), gate=app.gate()) as served:
        api = Api(served)
        path = "/v1/memory/docs/context"
        status, said = await api("POST", path, {"model": "writer"})
        assert (status, said["state"], said["model"]) == (202, "running", "writer")
        assert (await api("POST", path, {"modell": "writer"}))[0] == 400
        assert (await api("GET", path))[1]["written"] == 3
        assert (await api("GET", "/v1/memory/soup/context"))[0] == 404
        assert (await api("DELETE", path))[1]["state"] == "stopped"
        await api("POST", "/v1/memory", {"name": "docs", "embedding": MODEL})
        assert (await api("GET", "/v1/memory/docs"))[1]["records"] == 0
        assert await api("POST", "/v1/memory/docs/count", {}) == (200, {"count": 0})
        assert await api("DELETE", "/v1/memory/docs") == (200, {"dropped": "docs"})
    house.close()
