"""OpenAI's and Anthropic's own clients read the PoP's own routes and errors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anthropic
import openai
import pytest

from littoral.web.app import App
from tests.web.fake_door import CHAT_MODEL, EMBED_MODEL, KEY, FakeDoor, FakeStatus
from tests.web.raw import Served, serving


@asynccontextmanager
async def pop() -> AsyncIterator[Served]:
    door, status = FakeDoor(), FakeStatus()
    app = App(door, status)
    async with serving(app.handler(), gate=app.gate()) as served:
        yield served
        assert not served.defects


async def test_openai_lists_and_finds_models() -> None:
    async with (
        pop() as served,
        openai.AsyncOpenAI(base_url=f"{served.server.url}/v1", api_key=KEY) as client,
    ):
        assert [model.id async for model in client.models.list()] == [CHAT_MODEL, EMBED_MODEL]
        found = await client.models.retrieve(CHAT_MODEL)
        assert (found.id, found.owned_by) == (CHAT_MODEL, "littoral")
        with pytest.raises(openai.NotFoundError) as missing:
            await client.models.retrieve("nowhere")
        assert missing.value.code == "model_not_found"
        assert str(missing.value.request_id).startswith("req_")


async def test_openai_is_told_that_its_key_is_wrong() -> None:
    async with (
        pop() as served,
        openai.AsyncOpenAI(base_url=f"{served.server.url}/v1", api_key="nope") as client,
    ):
        with pytest.raises(openai.AuthenticationError) as refused:
            await client.models.list()
        assert refused.value.code == "invalid_api_key"


async def test_anthropic_lists_and_finds_models() -> None:
    async with (
        pop() as served,
        anthropic.AsyncAnthropic(base_url=served.server.url, api_key=KEY) as client,
    ):
        listed = [model async for model in client.models.list()]
        assert [model.id for model in listed] == [CHAT_MODEL, EMBED_MODEL]
        assert (listed[0].type, listed[0].created_at.year) == ("model", 1970)
        with pytest.raises(anthropic.NotFoundError) as missing:
            await client.models.retrieve("nowhere")
        assert str(missing.value.request_id).startswith("req_")


async def test_anthropic_is_told_that_its_key_is_wrong() -> None:
    async with (
        pop() as served,
        anthropic.AsyncAnthropic(base_url=served.server.url, api_key="nope") as client,
    ):
        with pytest.raises(anthropic.AuthenticationError):
            await client.models.list()
