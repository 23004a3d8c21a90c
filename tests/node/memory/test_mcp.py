"""Agents call the tools of memory, by the official client of their protocol, at a real listener."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from littoral.node.memory.house import House
from littoral.terms.errors import QueueFullError
from littoral.terms.memory import CollectionSpec, Recall, Record, Upsert
from littoral.terms.values import Caller
from littoral.web.mcp import MemoryTools
from littoral.web.mcp.tools import Added, Answered, Told
from tests.node.memory.made import MODEL, OPERATOR
from tests.node.memory.stored import StoresStand, stores_stand
from tests.web.raw import Answer

MODERN = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}


def tools_of(house: House) -> MemoryTools:
    """With stand-ins for what makes passages, and for the model that answers."""

    async def add(collection: str, told: Sequence[Told], caller: Caller) -> Added:
        await house.create(CollectionSpec(name=collection, embedding=MODEL), caller)
        opened = await house.open(collection, caller)
        records = [
            Record(id=each.id or "noted", text=each.text, document=each.id or "noted")
            for each in told
        ]
        await opened.apply([Upsert(tuple(records))])
        return Added(tuple(record.document for record in records), len(records))

    async def ask(collection: str, question: str, model: str, caller: Caller) -> Answered:
        found = await house.recall(collection, Recall(text=question, limit=1), caller)
        if "busy" in question:
            raise QueueFullError("the queue is full", retry_after_s=3)
        return Answered(f"As it is said: {found.passages[0].text}", found.passages, model or "tiny")

    return MemoryTools(house, add, ask)


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[StoresStand]:
    async with stores_stand(tmp_path, works=False, tools=tools_of) as stand:
        await stand.house.create(
            CollectionSpec(name="docs", embedding=MODEL, about="How things are"), OPERATOR
        )
        docs = await stand.house.open("docs", OPERATOR)
        texts = ("The tide turns twice a day.", "Bread rises with yeast.")
        records = [
            Record(id=str(place), text=text, document="a.md", position=place)
            for place, text in enumerate(texts)
        ]
        await docs.apply([Upsert(tuple(records))])
        yield stand


@asynccontextmanager
async def agent(
    stand: StoresStand, mode: str = "auto", key: str = "lit_alice"
) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(headers=headers, timeout=20) as http:
        transport = streamable_http_client(f"{stand.url}/mcp", http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


@pytest.mark.parametrize(("mode", "version"), [("legacy", "2025-11-25"), ("auto", MODERN)])
async def test_an_agent_lists_searches_adds_and_asks(
    stand: StoresStand, mode: str, version: str
) -> None:
    async with agent(stand, mode) as client:
        assert client.protocol_version == version
        assert client.server_info is not None
        assert client.server_info.name == "littoral"
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert names == ["memory_list", "memory_search", "memory_add", "memory_ask"]
        found = await client.call_tool("memory_search", {"collection": "docs", "query": "tide"})
        assert not found.is_error
        assert found.structured_content["passages"][0]["text"] == "The tide turns twice a day."
        assert "a.md, passage 0" in found.content[0].text  # type: ignore[union-attr]
        added = await client.call_tool(
            "memory_add", {"collection": "mine", "documents": [{"text": "Salt is dear", "id": "n"}]}
        )
        assert added.structured_content == {"documents": ["n"], "passages": 1}
        answer = await client.call_tool(
            "memory_ask", {"collection": "mine", "question": "Is salt dear?"}
        )
        assert answer.structured_content["answer"] == "As it is said: Salt is dear"
        assert answer.structured_content["sources"][0]["document"] == "n"
        listed = await client.call_tool("memory_list")
        rows = listed.structured_content["collections"]
        assert {row["name"]: row["passages"] for row in rows} == {"docs": 2, "mine": 1}


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_what_a_tool_can_not_do_is_told_to_the_agent(stand: StoresStand, mode: str) -> None:
    async with agent(stand, mode) as client:
        none = await client.call_tool("memory_search", {"collection": "none", "query": "x"})
        assert none.is_error
        assert none.structured_content["error"]["code"] == "not_found"
        never = await client.call_tool("memory_add", {"collection": "$x/y", "text": "x"})
        assert never.is_error
        assert "can't be the name of a collection" in never.content[0].text  # type: ignore[union-attr]
        denied = await client.call_tool("memory_ask", {"collection": "docs", "question": "busy?"})
        assert denied.is_error
        assert "queue is full" in denied.content[0].text  # type: ignore[union-attr]


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("nothing", {}),
        ("memory_search", {}),
        ("memory_search", {"collection": "docs"}),
        ("memory_search", {"collection": "docs", "query": 1}),
        ("memory_search", {"collection": "docs", "query": "x", "limit": 0}),
        ("memory_search", {"collection": "docs", "query": "x", "more": 1}),
        ("memory_list", {"collection": "docs"}),
        ("memory_ask", {"collection": "docs", "question": "x", "model": 1}),
        ("memory_add", {"collection": "docs", "documents": [{"id": "x"}]}),
    ],
)
async def test_a_wrong_call_is_an_error_of_the_protocol(
    stand: StoresStand, mode: str, name: str, arguments: dict[str, object]
) -> None:
    async with agent(stand, mode) as client:
        with pytest.raises(MCPError) as raised:
            await client.call_tool(name, arguments)
        assert raised.value.code == -32602


async def test_others_see_nothing_of_it(stand: StoresStand) -> None:
    async with agent(stand, "legacy") as alice:
        await alice.call_tool("memory_add", {"collection": "mine", "text": "A secret"})
    async with agent(stand, "auto", "lit_bob") as bob:
        listed = await bob.call_tool("memory_list")
        assert [row["name"] for row in listed.structured_content["collections"]] == ["docs"]
        assert (await bob.call_tool("memory_search", {"collection": "mine", "query": "x"})).is_error
    with pytest.raises(BaseExceptionGroup) as raised:
        async with agent(stand, "legacy", "lit_wrong"):
            pass
    assert raised.group_contains(MCPError, match="not accepted")


async def said(stand: StoresStand, body: object, *fields: str, key: str = "lit_alice") -> Answer:
    client = await stand.served.client()
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = ["POST /mcp HTTP/1.1", "Host: test", f"Authorization: Bearer {key}", *fields]
    lines += [f"Content-Length: {len(raw)}", "", ""]
    return await client.ask("\r\n".join(lines).encode() + raw)


def message(method: str, params: Mapping[str, object] | None = None) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": params or {}}


@pytest.mark.parametrize(
    ("asked", "given"),
    [("2025-06-18", "2025-06-18"), ("2024-11-05", "2024-11-05"), ("1999-01-01", "2025-11-25")],
)
async def test_a_revision_is_agreed_on(stand: StoresStand, asked: str, given: str) -> None:
    answer = await said(stand, message("initialize", {"protocolVersion": asked}))
    assert json.loads(answer.body)["result"]["protocolVersion"] == given


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        (b"{", -32700, 400),
        (b"\xff", -32700, 400),
        (b"[" * 10_000, -32700, 400),
        (b"[]", -32700, 400),
        ({"id": 1, "method": "ping"}, -32600, 400),
        ({"jsonrpc": "2.0", "id": None, "method": "ping"}, -32600, 400),
        ({"jsonrpc": "2.0", "id": True, "method": "ping"}, -32600, 400),
        ({"jsonrpc": "2.0", "id": 1, "method": 5}, -32600, 400),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}, -32600, 400),
        ({"jsonrpc": "2.0", "id": 1, "result": {}}, -32600, 400),
        (message("prompts/list"), -32601, 200),
        (message("prompts/list", {"_meta": META}), -32020, 400),
        (message("ping", {"_meta": {"io.modelcontextprotocol/protocolVersion": 5}}), -32602, 400),
    ],
)
async def test_what_is_no_message_is_answered_as_json_rpc_has_it(
    stand: StoresStand, body: object, code: int, status: int
) -> None:
    answer = await said(stand, body)
    assert (json.loads(answer.body)["error"]["code"], answer.status) == (code, status)


@pytest.mark.parametrize(
    ("fields", "name", "code"),
    [
        (["Mcp-Method: tools/call", "Mcp-Name: memory_list"], "memory_list", None),
        (["Mcp-Method: tools/call", "Mcp-Name: =?base64?bWVtb3J5X2xpc3Q=?="], "memory_list", None),
        (["Mcp-Method: tools/call", "Mcp-Name: =?base64?***?="], "memory_list", -32020),
        (["Mcp-Method: tools/call", "Mcp-Name: other"], "memory_list", -32020),
        (["Mcp-Method: tools/list", "Mcp-Name: memory_list"], "memory_list", -32020),
        (["Mcp-Method: tools/call"], "memory_list", -32020),
    ],
)
async def test_header_fields_say_what_the_body_says(
    stand: StoresStand, fields: list[str], name: str, code: int | None
) -> None:
    body = message("tools/call", {"name": name, "_meta": META})
    answer = await said(stand, body, f"MCP-Protocol-Version: {MODERN}", *fields)
    error = json.loads(answer.body).get("error")
    assert (None if error is None else error["code"]) == code


async def test_a_revision_that_is_not_spoken_is_answered_with_those_that_are(
    stand: StoresStand,
) -> None:
    meta = META | {"io.modelcontextprotocol/protocolVersion": "2031-01-01"}
    fields = ("MCP-Protocol-Version: 2031-01-01", "Mcp-Method: server/discover")
    answer = await said(stand, message("server/discover", {"_meta": meta}), *fields)
    error = json.loads(answer.body)["error"]
    assert (error["code"], error["data"]["requested"]) == (-32022, "2031-01-01")
    assert MODERN in error["data"]["supported"]
    old = await said(stand, message("ping"), "MCP-Protocol-Version: 2031-01-01")
    assert old.status == 400


async def test_a_notification_is_taken_and_nothing_is_answered(stand: StoresStand) -> None:
    answer = await said(stand, {"jsonrpc": "2.0", "method": "notifications/initialized"})
    assert (answer.status, answer.body) == (202, b"")


async def test_a_stranger_or_a_page_of_elsewhere_is_refused_in_the_same_words(
    stand: StoresStand,
) -> None:
    stranger = await said(stand, message("ping"), key="lit_wrong")
    assert stranger.status == 401
    assert json.loads(stranger.body)["error"]["data"]["code"] == "invalid_api_key"
    page = await said(stand, message("ping"), "Origin: http://elsewhere")
    assert page.status == 403
    assert (await said(stand, message("ping"), "Origin: http://test")).status == 200
    client = await stand.served.client()
    stream = await client.ask(
        b"GET /mcp HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer lit_bob\r\n\r\n"
    )
    assert stream.status == 405


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
CALLS = st.fixed_dictionaries(
    {"name": st.sampled_from(["memory_search", "memory_list"]) | JSON},
    optional={
        "arguments": JSON
        | st.fixed_dictionaries({}, optional={"collection": JSON, "query": JSON, "limit": JSON})
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(params=CALLS | JSON, method=st.sampled_from(["tools/call", "initialize", "tools/list"]))
async def test_any_call_is_answered(stand: StoresStand, params: object, method: str) -> None:
    answer = await said(stand, {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    assert answer.status in {200, 400}
    assert {"result", "error"} & json.loads(answer.body).keys()
