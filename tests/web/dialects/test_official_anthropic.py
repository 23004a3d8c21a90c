"""Anthropic's own client finds nothing missing, synchronous or not, whatever it adds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import MessageParam, ToolChoiceParam, ToolParam

from littoral.terms.errors import EngineLostError, QueueFullError
from tests.web.dialects.desk import SAID_CALL, DeskDoor, chat_events, door_saying, recorded
from tests.web.dialects.official import front, front_saying
from tests.web.fake_door import KEY, Script

ASKED: list[MessageParam] = [{"role": "user", "content": "What is the capital of France?"}]
ANSWER = "The capital of France is Paris."
TOOLS: list[ToolParam] = [
    {
        "name": "get_weather",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
]


@asynccontextmanager
async def client_of(door: DeskDoor) -> AsyncIterator[AsyncAnthropic]:
    async with (
        front(door) as url,
        AsyncAnthropic(base_url=url, api_key=KEY, max_retries=0) as client,
    ):
        yield client


async def test_the_synchronous_client_talks() -> None:
    def ask(url: str) -> tuple[str, str, int]:
        with Anthropic(base_url=url, api_key=KEY, max_retries=0) as client:
            whole = client.messages.create(model="small", max_tokens=9, messages=ASKED)
            with client.messages.stream(model="small", max_tokens=9, messages=ASKED) as stream:
                said = "".join(stream.text_stream)
                usage = stream.get_final_message().usage
            (block,) = whole.content
            assert block.type == "text"
            return block.text, said, usage.output_tokens

    async with front_saying(recorded("paris")) as url:
        assert await asyncio.to_thread(ask, url) == (ANSWER, ANSWER, 8)


async def test_the_accumulating_stream_adds_the_events_up() -> None:
    async with (
        client_of(door_saying(*recorded("stopped"))) as client,
        client.messages.stream(
            model="small", max_tokens=9, messages=ASKED, stop_sequences=[" is Par"]
        ) as stream,
    ):
        final = await stream.get_final_message()
    assert (final.stop_reason, final.stop_sequence) == ("stop_sequence", " is Par")
    assert final.content[0].type == "text"
    assert final.content[0].text == "The capital of France"
    cached = final.usage.cache_read_input_tokens or 0
    assert final.usage.input_tokens + cached == 27


AUTO: ToolChoiceParam = {"type": "auto"}
ANY: ToolChoiceParam = {"type": "any"}


@pytest.mark.parametrize(
    ("chunks", "choice"),
    [(chat_events(SAID_CALL[:20], SAID_CALL[20:]), AUTO), (recorded("forced"), ANY)],
)
async def test_a_call_is_a_tool_use_block_streamed_or_whole(
    chunks: list[bytes], choice: ToolChoiceParam
) -> None:
    async with client_of(door_saying(*chunks)) as client:
        whole = await client.messages.create(
            model="small", max_tokens=9, messages=ASKED, tools=TOOLS, tool_choice=choice
        )
        async with client.messages.stream(
            model="small", max_tokens=9, messages=ASKED, tools=TOOLS, tool_choice=choice
        ) as stream:
            streamed = await stream.get_final_message()
    for message in (whole, streamed):
        (block,) = message.content
        assert block.type == "tool_use"
        assert (block.name, block.input) == ("get_weather", {"city": "Oslo"})
        assert message.stop_reason == "tool_use"


async def test_tokens_are_counted() -> None:
    async with client_of(DeskDoor(Script(counted=42))) as client:
        counted = await client.messages.count_tokens(model="small", messages=ASKED, tools=TOOLS)
    assert counted.input_tokens == 42


async def test_the_beta_paths_are_the_same() -> None:
    async with client_of(door_saying(*recorded("paris"))) as client:
        message = await client.beta.messages.create(
            model="small", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]
        )
    assert message.content[0].type == "text"


async def test_a_stream_that_breaks_raises() -> None:
    door = DeskDoor(Script(fail_after=3, error=EngineLostError("the worker died")))
    async with (
        client_of(door) as client,
        client.messages.stream(model="small", max_tokens=9, messages=ASKED) as stream,
    ):
        with pytest.raises(anthropic.APIStatusError, match="the worker died"):
            await stream.get_final_message()


async def test_errors_have_the_classes_that_the_client_knows() -> None:
    async with client_of(DeskDoor(Script(refuse=QueueFullError("full")))) as client:
        with pytest.raises(anthropic.APIStatusError) as overloaded:
            await client.messages.create(model="small", max_tokens=9, messages=ASKED)
        with pytest.raises(anthropic.BadRequestError, match="temperature"):
            await client.messages.create(
                model="small", max_tokens=9, messages=ASKED, extra_body={"temperature": 1.5}
            )
    assert overloaded.value.status_code == 503
    assert overloaded.value.type == "overloaded_error"
