"""Anthropic's own client against a running PoP with the real model."""

from collections.abc import AsyncIterator, Iterator

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import MessageParam, ToolParam

from tests.conftest import CHAT_MODEL, RunningPop

pytestmark = pytest.mark.model

QUESTION = "In one English sentence: what is the capital of France?"
"""Asked so, the model is sure of its words, whatever its cache holds."""
ASKED: list[MessageParam] = [{"role": "user", "content": QUESTION}]
SYSTEM = "You are a helpful assistant."
COLD = {"temperature": 0}
WEATHER: ToolParam = {
    "name": "get_weather",
    "description": "Get the current weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


@pytest.fixture
def client(pop: RunningPop) -> Iterator[Anthropic]:
    with Anthropic(base_url=pop.url, api_key=pop.key, max_retries=0) as client:
        yield client


@pytest.fixture
async def aclient(pop: RunningPop) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=pop.url, api_key=pop.key, max_retries=0) as client:
        yield client


def text_of(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def test_a_message_says_paris_and_counts_its_tokens(client: Anthropic) -> None:
    message = client.messages.create(
        model=CHAT_MODEL, max_tokens=30, system=SYSTEM, messages=ASKED, extra_body=COLD
    )
    assert "Paris" in text_of(message)
    assert message.stop_reason == "end_turn"
    counted = client.messages.count_tokens(model=CHAT_MODEL, system=SYSTEM, messages=ASKED)
    used = message.usage
    assert used.input_tokens + (used.cache_read_input_tokens or 0) == counted.input_tokens


async def test_a_stream_says_the_same(aclient: AsyncAnthropic) -> None:
    whole = await aclient.messages.create(
        model=CHAT_MODEL, max_tokens=30, messages=ASKED, extra_body=COLD
    )
    async with aclient.messages.stream(
        model=CHAT_MODEL, max_tokens=30, messages=ASKED, extra_body=COLD
    ) as stream:
        said = "".join([text async for text in stream.text_stream])
        final = await stream.get_final_message()
    assert said == text_of(final) == text_of(whole)
    assert final.usage.output_tokens == whole.usage.output_tokens


def test_the_stream_begins_with_the_prompts_tokens(client: Anthropic) -> None:
    counted = client.messages.count_tokens(model=CHAT_MODEL, messages=ASKED)
    stream = client.messages.create(
        model=CHAT_MODEL, max_tokens=5, messages=ASKED, stream=True, extra_body=COLD
    )
    first, *_, last = list(stream)
    assert first.type == "message_start"
    assert first.message.usage.input_tokens == counted.input_tokens
    assert last.type == "message_stop"


def test_a_bound_is_told(client: Anthropic) -> None:
    cut = client.messages.create(model=CHAT_MODEL, max_tokens=3, messages=ASKED, extra_body=COLD)
    assert cut.stop_reason == "max_tokens"


def test_a_stop_text_is_told(client: Anthropic) -> None:
    stopped = client.messages.create(
        model=CHAT_MODEL,
        max_tokens=30,
        messages=ASKED,
        stop_sequences=["nothing like it", " is"],
        extra_body=COLD,
    )
    assert text_of(stopped) == "The capital of France"
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", " is")


def test_a_demanded_call_is_a_tool_use_block_streamed_and_whole(client: Anthropic) -> None:
    asked: list[MessageParam] = [{"role": "user", "content": "What is the weather in Oslo?"}]
    with client.messages.stream(
        model=CHAT_MODEL,
        max_tokens=80,
        messages=asked,
        tools=[WEATHER],
        tool_choice={"type": "any"},
        extra_body=COLD,
    ) as events:
        streamed = events.get_final_message()
    whole = client.messages.create(
        model=CHAT_MODEL,
        max_tokens=80,
        messages=asked,
        tools=[WEATHER],
        tool_choice={"type": "tool", "name": "get_weather"},
        extra_body=COLD,
    )
    for message in (streamed, whole):
        (block,) = message.content
        assert block.type == "tool_use"
        assert (block.name, block.input) == ("get_weather", {"city": "Oslo"})
        assert message.stop_reason == "tool_use"


def test_the_result_of_a_tool_goes_back(client: Anthropic) -> None:
    messages: list[MessageParam] = [
        {"role": "user", "content": "What is the weather in Oslo?"},
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {"city": "Oslo"}}
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "Snow."}],
        },
    ]
    answer = client.messages.create(
        model=CHAT_MODEL, max_tokens=40, messages=messages, tools=[WEATHER], extra_body=COLD
    )
    assert "snow" in text_of(answer).lower()


def test_errors_have_their_classes(client: Anthropic, pop: RunningPop) -> None:
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="nobody", max_tokens=5, messages=ASKED)
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        client.messages.create(model=CHAT_MODEL, max_tokens=0, messages=ASKED)
    with pytest.raises(anthropic.BadRequestError, match="tokens"):
        client.messages.create(
            model=CHAT_MODEL,
            max_tokens=5,
            messages=[{"role": "user", "content": "word " * 20_000}],
        )
    stranger = Anthropic(base_url=pop.url, api_key="lit_wrong", max_retries=0)
    with stranger, pytest.raises(anthropic.AuthenticationError):
        stranger.messages.create(model=CHAT_MODEL, max_tokens=5, messages=ASKED)
