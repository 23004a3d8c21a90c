"""The PoP's own routes, through a real server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from littoral.terms.ids import ReceiptId
from littoral.web.app import App
from tests.web.fake_door import (
    CHAT_MODEL,
    EMBED_MODEL,
    KEY,
    NARROW_KEY,
    OPERATOR_KEY,
    FakeDoor,
    FakeStatus,
)
from tests.web.raw import Client, Served, get, post, serving


class House:
    """A server with a simulated PoP behind it."""

    def __init__(self, served: Served, client: Client, door: FakeDoor, status: FakeStatus) -> None:
        self.served = served
        self.client = client
        self.door = door
        self.status = status

    async def get(self, path: str, *fields: str, key: str | None = KEY) -> tuple[int, object]:
        given = [] if key is None else [f"Authorization: Bearer {key}"]
        answer = await self.client.ask(get(path, *given, *fields))
        is_json = answer.headers["content-type"] == "application/json"
        return answer.status, json.loads(answer.body) if is_json else answer.body


@asynccontextmanager
async def house() -> AsyncIterator[House]:
    door, status = FakeDoor(), FakeStatus()
    app = App(door, status)
    handler, gate = app.handler(), app.gate()
    async with serving(handler, gate=gate) as served:
        yield House(served, await served.client(), door, status)
        assert not served.defects


async def test_health_and_readiness_need_no_key_and_name_nobody() -> None:
    async with house() as pop:
        assert await pop.get("/healthz", key=None) == (200, {"status": "ok"})
        status, reasons = await pop.get("/readyz", key=None)
        assert (status, reasons) == (200, {"ready": True, "models": {CHAT_MODEL: "ready"}})
        pop.status.is_ready = False
        status, reasons = await pop.get("/readyz", key=None)
        assert status == 503


async def test_the_root_says_what_this_is() -> None:
    async with house() as pop:
        status, about = await pop.get("/", key=None)
        assert status == 200
        assert isinstance(about, dict)
        assert "/v1/chat/completions" in about["paths"]


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/models/x", "/v1/receipts/x", "/metrics", "/v1/chat/completions"]
)
async def test_everything_else_needs_a_good_key(path: str) -> None:
    async with house() as pop:
        method = post(b"{}", path) if path.endswith("completions") else get(path)
        missing = await pop.client.ask(method)
        wrong = await pop.client.ask(method.replace(b"Host", b"X-Api-Key: nope\r\nHost"))
    assert (missing.status, wrong.status) == (401, 401)
    assert json.loads(missing.body)["error"]["code"] == "missing_api_key"
    assert json.loads(wrong.body)["error"]["code"] == "invalid_api_key"


async def test_metrics_are_for_operators() -> None:
    async with house() as pop:
        status, _ = await pop.get("/metrics")
        assert status == 403
        status, text = await pop.get("/metrics", key=OPERATOR_KEY)
        assert status == 200
        assert isinstance(text, bytes)
        assert b"littoral_requests_total 1" in text


async def test_models_are_listed_as_openai_does_with_what_we_know_beyond() -> None:
    async with house() as pop:
        _, listed = await pop.get("/v1/models")
    assert isinstance(listed, dict)
    assert listed["object"] == "list"
    chat, embed = listed["data"]
    assert chat | {
        "id": CHAT_MODEL, "object": "model", "created": 0, "owned_by": "littoral",
        "context_length": 2048, "state": "ready", "engine": "echo", "licence": "Apache-2.0",
        "digest": "sha256:" + "ab" * 32,
    } == chat  # fmt: skip
    assert (embed["id"], embed["state"]) == (EMBED_MODEL, "cold")


async def test_models_are_listed_as_anthropic_does_for_its_clients() -> None:
    async with house() as pop:
        _, listed = await pop.get("/v1/models", "Anthropic-Version: 2023-06-01")
    assert isinstance(listed, dict)
    assert (listed["first_id"], listed["last_id"]) == (CHAT_MODEL, EMBED_MODEL)
    assert listed["has_more"] is False
    assert listed["data"][0]["type"] == "model"
    assert listed["data"][0]["display_name"] == CHAT_MODEL


async def test_a_key_sees_its_own_models_only() -> None:
    async with house() as pop:
        _, listed = await pop.get("/v1/models", key=NARROW_KEY)
        assert isinstance(listed, dict)
        assert [each["id"] for each in listed["data"]] == [EMBED_MODEL]
        status, _ = await pop.get(f"/v1/models/{CHAT_MODEL}", key=NARROW_KEY)
        assert status == 404


async def test_one_model_is_found_by_its_name() -> None:
    async with house() as pop:
        status, model = await pop.get(f"/v1/models/{CHAT_MODEL}")
        assert isinstance(model, dict)
        assert (status, model["id"]) == (200, CHAT_MODEL)
        status, error = await pop.get("/v1/models/no%2Fsuch")
        assert status == 404
        assert isinstance(error, dict)
        assert error["error"]["code"] == "model_not_found"


async def test_a_receipt_is_given_as_it_was_stored() -> None:
    async with house() as pop:
        pop.door.receipts[ReceiptId("rcpt_1")] = b'{"payload": "x"}'
        assert await pop.get("/v1/receipts/rcpt_1") == (200, {"payload": "x"})
        status, _ = await pop.get("/v1/receipts/rcpt_2")
        assert status == 404


async def test_a_wrong_path_or_method_is_said_in_the_shape_of_the_api() -> None:
    async with house() as pop:
        missing = await pop.client.ask(get("/v1/messages/nowhere"))
        assert (missing.status, json.loads(missing.body)["type"]) == (404, "error")
        wrong = await pop.client.ask(get("/v1/chat/completions"))
        assert (wrong.status, wrong.headers["allow"]) == (405, "POST")


async def test_a_large_body_without_a_key_is_refused_before_it_is_read() -> None:
    async with house() as pop:
        data = post(b"x" * 1_000_000, "/v1/chat/completions")
        answer = await pop.client.ask(data[:1000], "POST")
        assert answer.status == 401
        client = await pop.served.client()
        assert (await client.ask(post(b"x" * 1_000_000, "/v1/no")[:1000], "POST")).status == 404


async def test_a_chat_request_reaches_its_dialect_and_leaving_abandons_the_answer() -> None:
    async with house() as pop:
        pop.door.script.hold_at = 0
        ask = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": "hi"}]}
        body = json.dumps(ask | {"stream": True}).encode()
        fields = (f"Authorization: Bearer {KEY}", "Content-Type: application/json")
        await pop.client.send(post(body, "/v1/chat/completions", *fields))
        async with asyncio.timeout(5):
            await pop.door.script.held.wait()
            pop.client.leave()
            await pop.door.answers[0].abandoned.wait()
