"""A running PoP with the real model: receipts, cancels, deaths, limits, errors."""

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import psutil
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam

from littoral.adapters.http.client import HttpClient
from littoral.adapters.http.words import Origin
from tests.conftest import CHAT_MODEL, RunningPop, started_pop
from tests.typed import typed

ASKED = "What is the capital of France?"
QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": ASKED}]


def littoral(pop: RunningPop, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return typed(*arguments, "--home", str(pop.home))


@pytest.fixture
async def http(pop: RunningPop) -> AsyncIterator[HttpClient]:
    origin, _ = Origin.of_url(pop.url)
    client = HttpClient(origin, headers={"authorization": f"Bearer {pop.key}"})
    yield client
    client.close()


async def post(http: HttpClient, path: str, body: object) -> tuple[int, dict[str, str], bytes]:
    async with http.request("POST", path, json.dumps(body).encode()) as response:
        return response.status, dict(response.headers), await response.read(10_000_000)


def test_run_says_paris(pop: RunningPop) -> None:
    asked = littoral(pop, "run", CHAT_MODEL, ASKED, "--temperature", "0")
    assert asked.returncode == 0, asked.stderr
    assert "Paris" in asked.stdout


def test_a_saved_answer_verifies_and_one_changed_byte_rejects_it(
    pop: RunningPop, tmp_path: Path
) -> None:
    saved = tmp_path / "answer.json"
    asked = littoral(pop, "run", CHAT_MODEL, ASKED, "--save", str(saved))
    assert asked.returncode == 0, asked.stderr
    good = littoral(pop, "verify", str(saved))
    assert good.returncode == 0, good.stdout + good.stderr
    assert "proven" in good.stdout
    data = bytearray(saved.read_bytes())
    data[len(data) // 2] ^= 1
    saved.write_bytes(data)
    assert littoral(pop, "verify", str(saved)).returncode == 1


async def test_a_stream_ends_in_its_receipt_and_a_body_has_its_id(
    http: HttpClient, pop: RunningPop, tmp_path: Path
) -> None:
    body = {"model": CHAT_MODEL, "messages": QUESTION, "max_tokens": 8}
    status, headers, stream = await post(http, "/v1/chat/completions", {**body, "stream": True})
    assert status == 200
    assert stream.rstrip().rpartition(b"\n")[2].startswith(b": littoral-receipt {")
    (tmp_path / "stream").write_bytes(stream)
    assert littoral(pop, "verify", str(tmp_path / "stream")).returncode == 0

    status, headers, answer = await post(http, "/v1/chat/completions", body)
    receipt_id = headers["littoral-receipt"]
    async with http.request("GET", f"/v1/receipts/{receipt_id}") as response:
        assert response.status == 200
        document = await response.read(100_000)
    (tmp_path / "answer").write_bytes(answer)
    (tmp_path / "receipt").write_bytes(document)
    checked = littoral(
        pop, "verify", str(tmp_path / "answer"), "--receipt", str(tmp_path / "receipt")
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


async def test_a_receipt_is_for_its_caller_only(http: HttpClient, pop: RunningPop) -> None:
    made = littoral(pop, "keys", "create", "someone else", "--json")
    other = json.loads(made.stdout)["key"]
    body = {"model": "echo", "messages": QUESTION}
    _, headers, _ = await post(http, "/v1/chat/completions", body)
    origin, _ = Origin.of_url(pop.url)
    stranger = HttpClient(origin, headers={"authorization": f"Bearer {other}"})
    try:
        async with stranger.request(
            "GET", f"/v1/receipts/{headers['littoral-receipt']}"
        ) as response:
            assert response.status == 404
        async with stranger.request("GET", "/metrics") as response:
            assert response.status == 403
    finally:
        stranger.close()


async def test_an_over_long_prompt_is_refused_with_both_counts(http: HttpClient) -> None:
    body = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": "word " * 9000}]}
    status, _, answer = await post(http, "/v1/chat/completions", body)
    error = json.loads(answer)["error"]
    assert status == 400
    assert error["code"] == "context_length_exceeded"
    assert error["prompt_tokens"] > 9000
    assert error["context_tokens"] == 8192
    assert "8192" in error["message"]


@pytest.mark.parametrize("stream", [True, False])
async def test_when_the_client_leaves_its_slot_is_free_within_100_ms(
    http: HttpClient, pop: RunningPop, stream: bool
) -> None:
    body = {"model": CHAT_MODEL, "prompt": "Tell me", "max_tokens": 2000, "stream": stream}
    leaving = asyncio.create_task(post(http, "/v1/completions", body))
    await until_running(http, 1)
    leaving.cancel()
    began = time.perf_counter()
    await until_running(http, 0)
    assert time.perf_counter() - began < 0.1


async def running(http: HttpClient) -> int:
    async with http.request("GET", "/metrics") as response:
        text = (await response.read(1_000_000)).decode()
    line = next(
        line
        for line in text.splitlines()
        if line.startswith(f'littoral_requests_running{{model="{CHAT_MODEL}"}}')
    )
    return int(float(line.rpartition(" ")[2]))


async def until_running(http: HttpClient, count: int) -> None:
    async with asyncio.timeout(20):
        while await running(http) != count:
            pass  # each look is a round trip: this does not spin


async def test_killing_the_worker_during_eight_streams_leaves_the_pop_serving(
    models_home: Path, tmp_path: Path
) -> None:
    (tmp_path / "models").symlink_to(models_home / "models")
    with started_pop(tmp_path, models=CHAT_MODEL) as pop:
        client = AsyncOpenAI(base_url=f"{pop.url}/v1", api_key=pop.key, max_retries=0, timeout=60)
        begun = [asyncio.Event() for _ in range(8)]

        async def one(index: int) -> str:
            try:
                stream = await client.completions.create(
                    model=CHAT_MODEL, prompt=f"Story {index}:", max_tokens=900, stream=True
                )
                async for _ in stream:
                    begun[index].set()
            except openai.APIError as error:
                return str(error)
            return "ended"

        streams = [asyncio.create_task(one(index)) for index in range(8)]
        async with asyncio.timeout(60):
            await asyncio.gather(*(event.wait() for event in begun))
        (worker,) = psutil.Process(pop.pid).children(recursive=True)
        worker.send_signal(signal.SIGKILL)
        outcomes = await asyncio.gather(*streams)
        assert all("died" in outcome or "restart" in outcome for outcome in outcomes), outcomes
        began = time.perf_counter()
        answer = await client.chat.completions.create(
            model=CHAT_MODEL, messages=QUESTION, temperature=0, max_tokens=16
        )
        assert time.perf_counter() - began < 6
        assert "Paris" in (answer.choices[0].message.content or "")
        await client.close()


async def test_a_client_that_leaves_several_streamed_choices_ends_nothing_but_its_own(
    pop: RunningPop,
) -> None:
    body = {"model": CHAT_MODEL, "messages": QUESTION, "n": 4, "max_tokens": 400, "stream": True}
    raw = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {pop.key}\r\n"
        f"content-length: {len(raw)}\r\n\r\n"
    )
    host, _, port = pop.url.removeprefix("http://").partition(":")
    for _ in range(3):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head.encode() + raw)
        await reader.readuntil(b"data: ")
        writer.transport.abort()
    client = AsyncOpenAI(base_url=f"{pop.url}/v1", api_key=pop.key, max_retries=0, timeout=60)
    answer = await client.chat.completions.create(
        model=CHAT_MODEL, messages=QUESTION, temperature=0, max_tokens=16
    )
    await client.close()
    assert "Paris" in (answer.choices[0].message.content or "")


async def test_what_one_key_asked_is_never_reused_for_another(
    http: HttpClient, pop: RunningPop
) -> None:
    made = littoral(pop, "keys", "create", "neighbour", "--json")
    origin, _ = Origin.of_url(pop.url)
    headers = {"authorization": f"Bearer {json.loads(made.stdout)['key']}"}
    neighbour = HttpClient(origin, headers=headers)
    body = {"model": CHAT_MODEL, "prompt": "The patient is Maria and has asthma. " * 4}

    async def cached(client: HttpClient) -> int:
        _, _, answer = await post(client, "/v1/completions", {**body, "max_tokens": 1})
        return int(json.loads(answer)["usage"]["prompt_tokens_details"]["cached_tokens"])

    try:
        await cached(http)
        assert await cached(http) > 10, "a key's own prompt is used again"
        assert await cached(neighbour) == 0
    finally:
        neighbour.close()


async def test_a_refused_prompt_costs_its_key_nothing(pop: RunningPop) -> None:
    made = littoral(pop, "keys", "create", "thrifty", "--tokens-per-day", "5000", "--json")
    origin, _ = Origin.of_url(pop.url)
    headers = {"authorization": f"Bearer {json.loads(made.stdout)['key']}"}
    thrifty = HttpClient(origin, headers=headers)
    long = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": "word " * 9000}]}
    short = {"model": CHAT_MODEL, "messages": QUESTION, "max_tokens": 3}
    try:
        for _ in range(3):
            status, _, answer = await post(thrifty, "/v1/chat/completions", long)
            assert status == 400
            assert json.loads(answer)["error"]["code"] == "context_length_exceeded"
        status, _, _ = await post(thrifty, "/v1/chat/completions", short)
        assert status == 200
    finally:
        thrifty.close()


def test_limits_of_a_key_are_enforced_before_the_work(pop: RunningPop) -> None:
    made = littoral(
        pop, "keys", "create", "small", "--tokens-per-day", "60", "--model", CHAT_MODEL, "--json"
    )
    key = json.loads(made.stdout)["key"]
    client = OpenAI(base_url=f"{pop.url}/v1", api_key=key, max_retries=0)
    with pytest.raises(openai.PermissionDeniedError):
        client.chat.completions.create(model="echo", messages=QUESTION)
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(
            model=CHAT_MODEL,
            messages=QUESTION,
            max_tokens=50,
        )
    assert "day" in str(caught.value)
    answer = client.chat.completions.create(
        model=CHAT_MODEL,
        messages=QUESTION,
        max_tokens=5,
    )
    assert answer.usage is not None
    assert littoral(pop, "keys", "revoke", "small").returncode == 0
    with pytest.raises(openai.AuthenticationError):
        client.models.list()


async def test_metrics_are_named_as_the_field_names_them(http: HttpClient) -> None:
    await post(http, "/v1/chat/completions", {"model": "echo", "messages": QUESTION})
    async with http.request("GET", "/metrics") as response:
        text = (await response.read(1_000_000)).decode()
    for name in (
        "gen_ai_server_time_to_first_token_seconds",
        "gen_ai_server_time_per_output_token_seconds",
        "gen_ai_client_token_usage",
        "littoral_requests_waiting",
    ):
        assert f"# TYPE {name}" in text
    assert "capital of France" not in text
