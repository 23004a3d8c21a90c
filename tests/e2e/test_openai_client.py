"""OpenAI's own client against a running PoP with the real models."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from openai.types.responses import FunctionToolParam
from pydantic import BaseModel

from tests.conftest import CHAT_MODEL, EMBED_MODEL, RunningPop

pytestmark = pytest.mark.model

QUESTION = "In one English sentence: what is the capital of France?"
"""Asked so, the model is sure of its words, whatever its cache holds."""
ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]
CITY: dict[str, object] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather of a city",
        "parameters": CITY,
    },
}
ADD: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
            "required": ["a", "b"],
        },
    },
}


@pytest.fixture
def client(pop: RunningPop) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{pop.url}/v1", api_key=pop.key, max_retries=0) as client:
        yield client


@pytest.fixture
async def aclient(pop: RunningPop) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{pop.url}/v1", api_key=pop.key, max_retries=0) as client:
        yield client


def test_the_models_are_listed_and_found(client: OpenAI) -> None:
    names = {model.id for model in client.models.list()}
    assert {CHAT_MODEL, EMBED_MODEL} <= names
    assert client.models.retrieve(CHAT_MODEL).id == CHAT_MODEL


def test_a_chat_says_paris_and_has_a_receipt(client: OpenAI, pop: RunningPop) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=CHAT_MODEL, messages=ASKED, temperature=0, extra_headers={"Littoral-Nonce": "n1"}
    )
    answer = raw.parse()
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    receipt = client.get(f"/receipts/{raw.headers['littoral-receipt']}", cast_to=object)
    assert receipt


async def test_a_stream_says_the_same_and_its_usage_at_the_end(aclient: AsyncOpenAI) -> None:
    whole = await aclient.chat.completions.create(model=CHAT_MODEL, messages=ASKED, temperature=0)
    stream = await aclient.chat.completions.create(
        model=CHAT_MODEL,
        messages=ASKED,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == whole.choices[0].message.content
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


async def test_the_accumulating_stream_adds_up(aclient: AsyncOpenAI) -> None:
    async with aclient.chat.completions.stream(
        model=CHAT_MODEL, messages=ASKED, temperature=0, logprobs=True, top_logprobs=2
    ) as stream:
        final = await stream.get_final_completion()
    assert "Paris" in (final.choices[0].message.content or "")
    logprobs = final.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content
    assert all(len(token.top_logprobs) == 2 for token in logprobs.content)


def test_stop_n_and_the_bound_do_what_they_say(client: OpenAI) -> None:
    stopped = client.chat.completions.create(
        model=CHAT_MODEL, messages=ASKED, temperature=0, stop=[" is"]
    )
    assert stopped.choices[0].message.content == "The capital of France"
    cut = client.chat.completions.create(
        model=CHAT_MODEL, messages=ASKED, temperature=0, max_completion_tokens=3
    )
    assert cut.choices[0].finish_reason == "length"
    assert cut.usage is not None
    assert cut.usage.completion_tokens == 3
    several = client.chat.completions.create(
        model=CHAT_MODEL, messages=ASKED, temperature=1, seed=7, n=2, max_tokens=8
    )
    assert [choice.index for choice in several.choices] == [0, 1]
    assert several.usage is not None
    assert several.usage.completion_tokens == 16


def test_a_seed_gives_the_same_answer_again(client: OpenAI) -> None:
    _, first, second = (  # the first fills the cache, so that the others are computed alike
        client.chat.completions.create(
            model=CHAT_MODEL, messages=ASKED, temperature=1, seed=7, max_tokens=12
        )
        for _ in range(3)
    )
    assert first.choices[0].message.content == second.choices[0].message.content


class City(BaseModel):
    city: str


def test_an_answer_is_held_to_a_schema(client: OpenAI) -> None:
    parsed = client.chat.completions.parse(
        model=CHAT_MODEL,
        messages=[{"role": "user", "content": "Name the capital of France as JSON."}],
        response_format=City,
        temperature=0,
        max_tokens=40,
    )
    assert isinstance(parsed.choices[0].message.parsed, City)


def test_a_demanded_call_is_made_whole_and_streamed(client: OpenAI) -> None:
    asked: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": "What is the weather in Oslo?"}
    ]
    with client.chat.completions.stream(
        model=CHAT_MODEL,
        messages=asked,
        tools=[WEATHER, ADD],
        tool_choice="required",
        temperature=0,
        max_tokens=80,
    ) as events:
        streamed = events.get_final_completion()
    whole = client.chat.completions.create(
        model=CHAT_MODEL,
        messages=asked,
        tools=[WEATHER, ADD],
        tool_choice="required",
        temperature=0,
        max_tokens=80,
    )
    for answer in (streamed, whole):
        (choice,) = answer.choices
        (call,) = choice.message.tool_calls or []
        assert call.type == "function"
        assert call.function.name == "get_weather"
        assert json.loads(call.function.arguments) == {"city": "Oslo"}
        assert choice.finish_reason == "tool_calls"


def test_a_named_function_is_called_and_its_result_goes_back(client: OpenAI) -> None:
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Add 12 and 30."}]
    first = client.chat.completions.create(
        model=CHAT_MODEL,
        messages=messages,
        tools=[WEATHER, ADD],
        tool_choice={"type": "function", "function": {"name": "add"}},
        temperature=0,
        max_tokens=80,
    )
    (call,) = first.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"a": 12, "b": 30}
    messages += [
        {"role": "assistant", "tool_calls": [call.to_dict()]},  # type: ignore[list-item]  # as the client gave it
        {"role": "tool", "tool_call_id": call.id, "content": "42"},
    ]
    second = client.chat.completions.create(
        model=CHAT_MODEL, messages=messages, tools=[ADD], temperature=0, max_tokens=40
    )
    assert "42" in (second.choices[0].message.content or "")


def test_words_stay_words_though_tools_are_offered(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=CHAT_MODEL, messages=ASKED, tools=[WEATHER], temperature=0, max_tokens=30
    )
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.choices[0].message.tool_calls is None


async def test_responses_answer_whole_and_streamed(aclient: AsyncOpenAI) -> None:
    whole = await aclient.responses.create(model=CHAT_MODEL, input=QUESTION, temperature=0)
    async with aclient.responses.stream(model=CHAT_MODEL, input=QUESTION, temperature=0) as stream:
        kinds = [event.type async for event in stream]
        streamed = await stream.get_final_response()
    assert "Paris" in whole.output_text
    assert streamed.output_text == whole.output_text
    assert kinds[-1] == "response.completed"
    assert whole.usage is not None
    assert streamed.usage is not None
    assert streamed.usage.output_tokens == whole.usage.output_tokens


def test_responses_parse_and_call(client: OpenAI) -> None:
    parsed = client.responses.parse(
        model=CHAT_MODEL,
        input="Name the capital of France as JSON.",
        text_format=City,
        temperature=0,
        max_output_tokens=40,
    )
    assert isinstance(parsed.output_parsed, City)
    tool: FunctionToolParam = {
        "type": "function",
        "name": "get_weather",
        "description": "Get the current weather of a city",
        "parameters": CITY,
        "strict": True,
    }
    called = client.responses.create(
        model=CHAT_MODEL,
        input="What is the weather in Oslo?",
        tools=[tool],
        tool_choice="required",
        temperature=0,
        max_output_tokens=80,
    )
    (item,) = called.output
    assert item.type == "function_call"
    assert json.loads(item.arguments) == {"city": "Oslo"}


def test_completions_go_on_with_a_text(client: OpenAI) -> None:
    prompt = "The capital of France is"
    whole = client.completions.create(
        model=CHAT_MODEL, prompt=prompt, max_tokens=4, temperature=0, echo=True
    )
    assert whole.choices[0].text.startswith(f"{prompt} Paris")
    stream = client.completions.create(
        model=CHAT_MODEL, prompt=prompt, max_tokens=4, temperature=0, stream=True, logprobs=1
    )
    choices = [choice for chunk in stream for choice in chunk.choices]
    assert "Paris" in "".join(choice.text for choice in choices)
    tokens = [token for c in choices if c.logprobs for token in c.logprobs.tokens or []]
    assert tokens[0] == " Paris"


def test_embeddings_are_the_same_packed_and_as_numbers(client: OpenAI) -> None:
    texts = ["A cat sleeps.", "A kitten naps.", "A GPU hums."]
    packed = client.embeddings.create(model=EMBED_MODEL, input=texts)
    plain = client.embeddings.create(model=EMBED_MODEL, input=texts, encoding_format="float")
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)

    def likeness(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    cat, kitten, gpu = (each.embedding for each in plain.data)
    assert likeness(cat, kitten) > likeness(cat, gpu) + 0.2
    assert plain.usage.prompt_tokens > 0


def test_a_prompt_that_is_too_long_is_refused_with_both_counts(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(
            model=CHAT_MODEL, messages=[{"role": "user", "content": "word " * 20_000}]
        )
    assert raised.value.code == "context_length_exceeded"
    assert isinstance(raised.value.body, dict)
    assert raised.value.body["prompt_tokens"] > raised.value.body["context_tokens"]


def test_errors_have_their_classes(client: OpenAI, pop: RunningPop) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nobody", messages=ASKED)
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=CHAT_MODEL, messages=ASKED, temperature=9)
    stranger = OpenAI(base_url=f"{pop.url}/v1", api_key="lit_wrong", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()


async def test_a_client_that_leaves_disturbs_nobody(aclient: AsyncOpenAI) -> None:
    stream = await aclient.chat.completions.create(
        model=CHAT_MODEL,
        messages=[{"role": "user", "content": "Tell a very long story."}],
        stream=True,
    )
    async for _ in stream:
        break
    await stream.close()
    async with asyncio.timeout(30):
        answer = await aclient.chat.completions.create(
            model=CHAT_MODEL, messages=ASKED, temperature=0
        )
    assert "Paris" in (answer.choices[0].message.content or "")
