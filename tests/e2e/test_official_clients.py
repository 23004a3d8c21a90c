"""OpenAI's and Anthropic's own clients read a kept answer as they read the first one."""

import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from tests.hardening.native import native, native_truth
from tests.hardening.pops import CALLS, HardPop, hard_pop
from tests.hardening.upstreams import Upstream, upstream, well
from tests.web.fake_door import USAGE, WORDS

TEXT = "".join(WORDS)
QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]
COLD: Any = {"temperature": 0}
USED: Any = {"stream_options": {"include_usage": True}}
NATIVE = ("messages", "responses")


@dataclass(frozen=True)
class Clients:
    """Both makers' clients of one PoP."""

    openai: AsyncOpenAI
    anthropic: AsyncAnthropic


ASK: Mapping[str, Callable[[Clients, str], Awaitable[Any]]] = {
    "chat": lambda by, model: by.openai.chat.completions.with_raw_response.create(
        model=model, messages=QUESTION, **COLD
    ),
    "chat stream": lambda by, model: by.openai.chat.completions.with_raw_response.create(
        model=model, messages=QUESTION, stream=True, **COLD, **USED
    ),
    "embedding": lambda by, model: by.openai.embeddings.with_raw_response.create(
        model=model, input=["one"]
    ),
    "responses": lambda by, model: by.openai.responses.with_raw_response.create(
        model=model, input=QUESTION, **COLD
    ),
    "responses stream": lambda by, model: by.openai.responses.with_raw_response.create(
        model=model, input=QUESTION, stream=True, **COLD
    ),
    "messages": lambda by, model: by.anthropic.messages.with_raw_response.create(
        model=model, max_tokens=16, messages=QUESTION, extra_body=COLD
    ),
    "messages stream": lambda by, model: by.anthropic.messages.with_raw_response.create(
        model=model, max_tokens=16, messages=QUESTION, stream=True, extra_body=COLD
    ),
}


@pytest.fixture(scope="module")
def pop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HardPop]:
    with hard_pop(tmp_path_factory.mktemp("clients")) as running:
        yield running


@asynccontextmanager
async def clients(pop: HardPop) -> AsyncIterator[Clients]:
    async with (
        AsyncOpenAI(base_url=f"{pop.url}/v1", api_key=pop.key, max_retries=0) as openai,
        AsyncAnthropic(base_url=pop.url, api_key=pop.key, max_retries=0) as anthropic,
    ):
        yield Clients(openai, anthropic)


async def said(answer: Any) -> list[dict[str, Any]]:
    """What a client has read: each event of a stream, or the one object."""
    parsed = answer.parse()
    if inspect.isawaitable(parsed):  # as Anthropic's client has it
        parsed = await parsed
    if hasattr(parsed, "to_dict"):
        return [parsed.to_dict(mode="json")]
    return [event.to_dict(mode="json") async for event in parsed]


def right(running: Upstream) -> list[dict[str, Any]]:
    """The same, out of the upstream's own bytes."""
    pieces = [piece.rpartition(b"data: ")[2] for piece in native_truth(running.asked[0]).pieces]
    return [json.loads(piece) for piece in pieces if b"[DONE]" not in piece]


async def miss_and_hit(by: Clients, call: str, model: str) -> list[dict[str, Any]]:
    """What a client reads of an answer, having checked that it reads the same of it when kept."""
    first = await ASK[call](by, model)
    read = await said(first)
    again = await ASK[call](by, model)
    assert first.headers["cache-status"] == "littoral; fwd=miss"
    assert again.headers["cache-status"].startswith("littoral; hit; ttl=")
    assert again.headers["littoral-receipt"] != first.headers["littoral-receipt"]
    assert await said(again) == read
    return read


@pytest.mark.parametrize("call", ASK)
async def test_a_kept_answer_of_an_upstream_that_speaks_the_api_is_read_unchanged(
    pop: HardPop, call: str
) -> None:
    async with upstream(native) as running, clients(pop) as by:
        read = await miss_and_hit(by, call, pop.add(running.port, native=NATIVE))
        assert [each.path for each in running.asked] == [CALLS[call][0]]
        assert read == right(running)


@pytest.mark.parametrize("call", [call for call in ASK if call.startswith(NATIVE)])
async def test_a_kept_answer_that_was_translated_is_read_unchanged(pop: HardPop, call: str) -> None:
    async with upstream(well) as running, clients(pop) as by:
        read = await miss_and_hit(by, call, pop.add(running.port))
        assert [each.path for each in running.asked] == ["/v1/chat/completions"]
    text = json.dumps(read) if "stream" not in call else "".join(map(piece_of, read))
    assert TEXT in text


def piece_of(event: dict[str, Any]) -> str:
    """The text that an event of a stream brings, if it brings any."""
    match event:
        case {"type": "content_block_delta", "delta": {"text": str(text)}}:
            return text
        case {"type": "response.output_text.delta", "delta": str(text)}:
            return text
        case _:
            return ""


@pytest.mark.parametrize("spoken", [(), NATIVE], ids=["translated", "native"])
async def test_the_clients_own_streams_put_a_kept_answer_together(
    pop: HardPop, spoken: tuple[str, ...]
) -> None:
    async with upstream(native) as running, clients(pop) as by:
        model = pop.add(running.port, native=spoken)
        for _ in range(2):
            async with by.anthropic.messages.stream(
                model=model, max_tokens=16, messages=QUESTION, extra_body=COLD
            ) as messages:
                message = await messages.get_final_message()
            async with by.openai.responses.stream(model=model, input=QUESTION, **COLD) as events:
                response = await events.get_final_response()
            async with by.openai.chat.completions.stream(
                model=model, messages=QUESTION, **COLD
            ) as chunks:
                completion = await chunks.get_final_completion()
            (block,) = message.content
            assert block.type == "text"
            assert block.text == response.output_text == TEXT
            assert completion.choices[0].message.content == TEXT
            assert message.usage.output_tokens == USAGE.completion_tokens
        assert len(running.asked) == 3
