"""OpenAI's own client finds nothing missing, synchronous or not, whatever it adds to the API."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from littoral.terms.errors import ContextLengthError, EngineLostError, QueueFullError
from tests.web.dialects.desk import (
    SAID_CALL,
    DeskDoor,
    chat_events,
    door_saying,
    recorded,
    whole_chat,
)
from tests.web.dialects.official import front, front_saying
from tests.web.fake_door import KEY, Script, embedding_body

ASKED: list[ChatCompletionMessageParam] = [
    {"role": "user", "content": "What is the capital of France?"}
]
ANSWER = "The capital of France is Paris."
TOOLS: list[ChatCompletionToolParam] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


@asynccontextmanager
async def client_of(door: DeskDoor) -> AsyncIterator[AsyncOpenAI]:
    async with (
        front(door) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client,
    ):
        yield client


async def test_the_synchronous_client_chats() -> None:
    def ask(url: str) -> tuple[str, str, int]:
        with OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
            stream = client.chat.completions.create(
                model="small",
                messages=ASKED,
                stream=True,
                stream_options={"include_usage": True},
            )
            chunks = list(stream)
            said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
            usage = chunks[-1].usage
            response = client.responses.create(model="small", input="Capital of France?")
            return said, response.output_text, usage.total_tokens if usage else 0

    async with front_saying(recorded("paris")) as url:
        assert await asyncio.to_thread(ask, url) == (ANSWER, ANSWER, 35)


async def test_a_whole_chat_is_understood_with_its_receipt_in_a_header() -> None:
    async with client_of(door_saying(whole_chat(ANSWER))) as client:
        raw = await client.chat.completions.with_raw_response.create(model="small", messages=ASKED)
    assert raw.headers["littoral-receipt"].startswith("rcpt_")
    assert raw.parse().choices[0].message.content == ANSWER


async def test_the_accumulating_stream_adds_the_events_up() -> None:
    async with (
        client_of(door_saying(*recorded("paris"))) as client,
        client.chat.completions.stream(model="small", messages=ASKED) as stream,
    ):
        kinds = [event.type async for event in stream]
        final = await stream.get_final_completion()
    assert "content.done" in kinds
    assert final.choices[0].message.content == ANSWER
    assert final.choices[0].finish_reason == "stop"


async def test_logprobs_arrive() -> None:
    async with (
        client_of(door_saying(*recorded("logprobs"))) as client,
        client.chat.completions.stream(
            model="small", messages=ASKED, logprobs=True, top_logprobs=2
        ) as stream,
    ):
        final = await stream.get_final_completion()
    logprobs = final.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert "".join(each.token for each in logprobs.content).startswith("The capital of")


async def test_a_call_in_text_is_a_call_for_the_accumulating_stream() -> None:
    async with (
        client_of(door_saying(*chat_events(SAID_CALL[:20], SAID_CALL[20:]))) as client,
        client.chat.completions.stream(model="small", messages=ASKED, tools=TOOLS) as stream,
    ):
        final = await stream.get_final_completion()
    (call,) = final.choices[0].message.tool_calls or []
    assert (call.function.name, json.loads(call.function.arguments)) == (
        "get_weather",
        {"city": "Oslo"},
    )
    assert final.choices[0].finish_reason == "tool_calls"


class Capital(BaseModel):
    city: str


async def test_an_answer_is_parsed_into_a_model() -> None:
    async with client_of(door_saying(whole_chat('{"city": "Paris"}'))) as client:
        parsed = await client.chat.completions.parse(
            model="small", messages=ASKED, response_format=Capital
        )
    assert parsed.choices[0].message.parsed == Capital(city="Paris")


async def test_responses_stream_parse_and_call() -> None:
    async with (
        client_of(door_saying(*recorded("paris"))) as client,
        client.responses.stream(model="small", input="Capital of France?") as stream,
    ):
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert final.output_text == ANSWER
    assert final.store is False  # type: ignore[attr-defined]  # an extra field of the API
    async with client_of(door_saying(*chat_events('{"city":', ' "Paris"}'))) as client:
        parsed = await client.responses.parse(
            model="small", input="Capital of France?", text_format=Capital
        )
    assert parsed.output_parsed == Capital(city="Paris")
    async with (
        client_of(door_saying(*recorded("forced"))) as client,
        client.responses.stream(
            model="small",
            input="Weather in Oslo?",
            tools=[
                {
                    "type": "function",
                    "name": "get_weather",
                    "parameters": {"type": "object"},
                    "strict": False,
                }
            ],
            tool_choice="required",
        ) as stream,
    ):
        called = (await stream.get_final_response()).output[0]
    assert called.type == "function_call"
    assert json.loads(called.arguments) == {"city": "Oslo"}


async def test_a_response_that_fails_within_its_stream_says_so() -> None:
    door = DeskDoor(Script(fail_after=3, error=EngineLostError("the worker died")))
    async with client_of(door) as client:
        stream = await client.responses.create(model="small", input="Hi", stream=True)
        last = [event async for event in stream][-1]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert "the worker died" in last.response.error.message


async def test_a_chat_that_breaks_within_its_stream_raises() -> None:
    door = DeskDoor(Script(fail_after=3, error=EngineLostError("the worker died")))
    async with client_of(door) as client:
        stream = await client.chat.completions.create(model="small", messages=ASKED, stream=True)
        with pytest.raises(openai.APIError, match="the worker died"):
            _ = [chunk async for chunk in stream]


async def test_completions_and_embeddings_arrive() -> None:
    async with client_of(DeskDoor()) as client:
        whole = await client.completions.create(model="small", prompt="Paris")
        stream = await client.completions.create(model="small", prompt="Paris", stream=True)
        said = "".join([chunk.choices[0].text async for chunk in stream])
    assert whole.choices[0].text == said == "Paris is the capital."
    async with client_of(door_saying(*embedding_body(2))) as client:
        vectors = await client.embeddings.create(
            model="small", input=["a", "b"], encoding_format="float"
        )
    assert [each.embedding for each in vectors.data] == [[0.6, 0.8]] * 2


async def test_errors_have_the_classes_that_the_client_knows() -> None:
    full = QueueFullError("the queue is full", retry_after_s=1)
    async with client_of(DeskDoor(Script(refuse=full))) as client:
        with pytest.raises(openai.InternalServerError) as overloaded:
            await client.chat.completions.create(model="small", messages=ASKED)
        with pytest.raises(openai.BadRequestError) as bad:
            await client.chat.completions.create(model="small", messages=ASKED, temperature=9)
    assert overloaded.value.response.headers["retry-after"] == "1"
    assert bad.value.param == "temperature"
    long = ContextLengthError(prompt_tokens=9000, context_tokens=8192)
    async with client_of(DeskDoor(Script(refuse=long))) as client:
        with pytest.raises(openai.BadRequestError, match=r"9000.*8192") as too_long:
            await client.chat.completions.create(model="small", messages=ASKED)
    assert too_long.value.code == "context_length_exceeded"
