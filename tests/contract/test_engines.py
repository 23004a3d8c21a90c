"""One suite that every engine passes, on the real thing: real weights, real sockets, real kills."""

import asyncio
import base64
import dataclasses
import json
import math
import os
import signal
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from littoral.terms.errors import (
    BadRequestError,
    CallerError,
    ContextLengthError,
    EngineLostError,
    UnsupportedError,
)
from littoral.terms.facts import WorkerDied
from littoral.terms.ids import ModelName
from littoral.terms.values import EngineKind, Kind, ModelEntry, Ready, UpstreamTarget
from tests.adapters.engines.running import Running, running, text_of

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.model]

CONTEXT_TOKENS = 1024
SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
ASKED = [SYSTEM, {"role": "user", "content": "What is the capital of France?"}]
PLAIN: dict[str, object] = {"messages": ASKED, "temperature": 0, "max_tokens": 10}

ECHO = ModelEntry(
    name=ModelName("echo"),
    engine=EngineKind.ECHO,
    kinds=(Kind.CHAT, Kind.COMPLETE, Kind.EMBED),
    context_tokens=CONTEXT_TOKENS,
    dimensions=16,
)

LLAMA_SERVER = """
import sys, xllamacpp
parameters = xllamacpp.CommonParams()
parameters.model.path = sys.argv[1]
parameters.n_ctx, parameters.n_parallel, parameters.kv_unified = 2048, 4, True
parameters.kv_unified_per_slot = 1024
parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
parameters.api_keys, parameters.verbosity, parameters.fit_params = ["upstream-key"], 0, False
server = xllamacpp.Server(parameters)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


def llama_entry(smollm2: ModelEntry) -> ModelEntry:
    return dataclasses.replace(smollm2, context_tokens=CONTEXT_TOKENS)


def llama_vectors_entry(smollm2: ModelEntry) -> ModelEntry:
    return dataclasses.replace(
        smollm2, name=ModelName("smol-vectors"), kinds=(Kind.EMBED,), context_tokens=256
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream_url(smollm2: ModelEntry) -> AsyncIterator[str]:
    """A real OpenAI-compatible server on TCP: llama.cpp's own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LLAMA_SERVER, smollm2.files[0].path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        address = (await process.stdout.readline()).decode().strip()
    yield f"{address}/v1"
    process.kill()
    await process.wait()


def upstream_entry(url: str) -> ModelEntry:
    return ModelEntry(
        name=ModelName("afar"),
        engine=EngineKind.UPSTREAM,
        kinds=(Kind.CHAT, Kind.COMPLETE),
        context_tokens=CONTEXT_TOKENS,
        upstreams=(UpstreamTarget(url, model="whatever", key_env="KEY"),),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["echo", "llama", "upstream"])
async def writer(
    request: pytest.FixtureRequest,
    smollm2: ModelEntry,
    upstream_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Running]:
    """Every engine that chats and completes."""
    entries = {
        "echo": ECHO,
        "llama": llama_entry(smollm2),
        "upstream": upstream_entry(upstream_url),
    }
    folder = tmp_path_factory.mktemp("writer")
    secrets = {"KEY": "upstream-key"}
    async with running(entries[request.param], folder, secrets=secrets) as subject:
        yield subject


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["echo", "llama"])
async def own_writer(
    request: pytest.FixtureRequest, smollm2: ModelEntry, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    """Those that compute here, so that shapes and counts are ours to get right."""
    entry = {"echo": ECHO, "llama": llama_entry(smollm2)}[request.param]
    async with running(entry, tmp_path_factory.mktemp("own")) as subject:
        yield subject


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["echo", "onnx", "llama"])
async def embedder(
    request: pytest.FixtureRequest,
    smollm2: ModelEntry,
    minilm: ModelEntry,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Running]:
    """Every engine that makes vectors."""
    entries = {"echo": ECHO, "onnx": minilm, "llama": llama_vectors_entry(smollm2)}
    async with running(entries[request.param], tmp_path_factory.mktemp("embed")) as subject:
        yield subject


def _paced(subject: Running) -> dict[str, object]:
    """Makes the echo engine take as long as a model would."""
    is_echo = subject.entry.engine is EngineKind.ECHO
    return {"echo": {"tokens": 600, "interval_ms": 5}} if is_echo else {}


# --- chat and completions ------------------------------------------------------------------------


async def test_an_answer_without_streaming_is_one_whole_body(writer: Running) -> None:
    body = await writer.body(PLAIN)
    assert body["object"] == "chat.completion"
    (choice,) = body["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"]
    assert choice["finish_reason"] in {"stop", "length"}
    usage = body["usage"]
    assert usage["prompt_tokens"] > 5
    assert usage["completion_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_a_streamed_answer_ends_with_usage_and_the_closing_mark(writer: Running) -> None:
    events = await writer.events(PLAIN)
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert events[-1]["usage"]["completion_tokens"] > 0
    finishes = [c["finish_reason"] for e in events for c in e["choices"] if c["finish_reason"]]
    assert len(finishes) == 1


async def test_streamed_and_whole_answers_say_the_same(writer: Running) -> None:
    body = await writer.body(PLAIN)
    events = await writer.events(PLAIN)
    assert text_of(events) == body["choices"][0]["message"]["content"]
    assert events[-1]["usage"]["total_tokens"] == body["usage"]["total_tokens"]


async def test_a_completion_streams_and_does_not(writer: Running) -> None:
    asked: dict[str, object] = {"prompt": "One two three", "max_tokens": 6, "temperature": 0}
    body = await writer.body(asked, Kind.COMPLETE)
    assert body["object"] == "text_completion"
    events = await writer.events(asked, Kind.COMPLETE)
    assert text_of(events) == body["choices"][0]["text"]
    assert events[-1]["usage"]["prompt_tokens"] == body["usage"]["prompt_tokens"]


async def test_max_tokens_ends_the_answer_by_length(writer: Running) -> None:
    body = await writer.body({**PLAIN, "max_tokens": 3, "ignore_eos": True})
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 3


async def test_a_stop_string_ends_the_answer_and_is_not_in_it(writer: Running) -> None:
    whole = (await writer.body(PLAIN))["choices"][0]["message"]["content"]
    stop = whole.split()[2]
    body = await writer.body({**PLAIN, "stop": [stop]})
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["choices"][0]["message"]["content"] == whole[: whole.index(stop)]


async def test_the_same_seed_gives_the_same_answer(writer: Running) -> None:
    asked = {**PLAIN, "temperature": 1.0, "seed": 7, "max_tokens": 16, **_paced(writer)}
    first, again = [await writer.body(asked) for _ in range(2)]
    assert first["choices"][0]["message"] == again["choices"][0]["message"]


async def test_a_schema_is_followed(writer: Running) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}, "big": {"type": "boolean"}},
        "required": ["city", "big"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    body = await writer.body({**PLAIN, "response_format": wanted, "max_tokens": 60})
    answer = json.loads(body["choices"][0]["message"]["content"])
    assert set(answer) == {"city", "big"}
    assert isinstance(answer["city"], str)
    assert isinstance(answer["big"], bool)


@pytest.mark.parametrize("stream", [False, True])
async def test_logprobs_come_with_every_token(writer: Running, stream: bool) -> None:
    asked = {**PLAIN, "max_tokens": 3, "logprobs": True, "top_logprobs": 2}
    events = await writer.events(asked) if stream else [await writer.body(asked)]
    entries = [
        entry
        for event in events
        for choice in event["choices"]
        for entry in (choice.get("logprobs") or {}).get("content", [])
    ]
    assert len(entries) == 3
    for entry in entries:
        assert entry["logprob"] <= 0
        assert len(entry["top_logprobs"]) == 2


async def test_a_malformed_request_is_the_callers_fault(writer: Running) -> None:
    with pytest.raises(BadRequestError):
        await writer.body({"messages": "not a list"})
    with pytest.raises(BadRequestError):
        await writer.events({"messages": "not a list"})


async def test_an_over_long_prompt_is_refused(writer: Running) -> None:
    long = [{"role": "user", "content": "word " * (CONTEXT_TOKENS + 50)}]
    with pytest.raises(CallerError) as caught:
        await writer.body({"messages": long, "max_tokens": 4})
    assert caught.value.status == 400


async def test_eight_calls_at_once_all_end_well(writer: Running) -> None:
    asked = {**PLAIN, "max_tokens": 5}
    answers = await asyncio.gather(*(writer.events(asked) for _ in range(8)))
    # In a batch the last digits differ, and with them sometimes a word: only the form is certain.
    assert all(text_of(events) and events[-1]["usage"] for events in answers)


@pytest.mark.parametrize("stream", [False, True])
async def test_leaving_early_is_quick_and_harms_nothing(writer: Running, stream: bool) -> None:
    long = {**PLAIN, "max_tokens": 600, "ignore_eos": True, **_paced(writer)}
    begun = asyncio.Event()

    async def leave() -> None:
        begun.set()
        async with writer.engine.open(writer.call(long, Kind.CHAT, stream=stream)) as chunks:
            await anext(chunks)
            raise ConnectionResetError

    if stream:
        with pytest.raises(ConnectionResetError):
            await leave()
    else:
        leaving = asyncio.create_task(leave())
        await begun.wait()
        leaving.cancel()
        async with asyncio.timeout(0.5):
            await asyncio.wait([leaving])
        assert leaving.cancelled()
    assert (await writer.body(PLAIN))["choices"]


# --- what we shape ourselves -------------------------------------------------------------------


async def test_an_over_long_prompt_names_both_counts(own_writer: Running) -> None:
    long = [{"role": "user", "content": "word " * (CONTEXT_TOKENS + 50)}]
    with pytest.raises(ContextLengthError) as caught:
        await own_writer.events({"messages": long})
    details = caught.value.details
    assert details["context_tokens"] == CONTEXT_TOKENS
    assert isinstance(details["prompt_tokens"], int)
    assert details["prompt_tokens"] > CONTEXT_TOKENS


async def test_the_count_is_what_the_answer_is_charged(own_writer: Running) -> None:
    for kind, asked in (
        (Kind.CHAT, PLAIN),
        (Kind.COMPLETE, {"prompt": "One two three", "max_tokens": 1}),
        (Kind.COMPLETE, {"prompt": [5, 6, 7, 8], "max_tokens": 1}),
    ):
        counted = await own_writer.engine.count(own_writer.call(asked, kind))
        assert counted == (await own_writer.body(asked, kind))["usage"]["prompt_tokens"]


@pytest.mark.parametrize("stream", [False, True])
async def test_n_choices_are_numbered_and_all_counted(own_writer: Running, stream: bool) -> None:
    asked = {**PLAIN, "n": 3, "max_tokens": 4, "ignore_eos": True}
    one = await own_writer.body({**asked, "n": 1})
    if stream:
        events = await own_writer.events(asked)
        usage = events[-1]["usage"]
        indices = {choice["index"] for event in events for choice in event["choices"]}
        assert len({event["id"] for event in events}) == 1
    else:
        body = await own_writer.body(asked)
        usage = body["usage"]
        indices = {choice["index"] for choice in body["choices"]}
    assert indices == {0, 1, 2}
    assert usage["prompt_tokens"] == one["usage"]["prompt_tokens"]
    assert usage["completion_tokens"] == 3 * one["usage"]["completion_tokens"]


@pytest.mark.parametrize("stream", [False, True])
async def test_several_prompts_and_echo(own_writer: Running, stream: bool) -> None:
    prompts = ["One two", "Red green"]
    asked: dict[str, object] = {"prompt": prompts, "max_tokens": 2, "temperature": 0, "echo": True}
    if stream:
        events = await own_writer.events(asked, Kind.COMPLETE)
        texts = {0: "", 1: ""}
        for choice in (choice for event in events for choice in event["choices"]):
            texts[choice["index"]] += choice["text"]
    else:
        body = await own_writer.body(asked, Kind.COMPLETE)
        texts = {choice["index"]: choice["text"] for choice in body["choices"]}
    for index, prompt in enumerate(prompts):
        assert texts[index].startswith(prompt)
        assert len(texts[index]) > len(prompt)


async def test_legacy_logprobs_are_parallel_lists(own_writer: Running) -> None:
    asked: dict[str, object] = {"prompt": "One two", "max_tokens": 4, "logprobs": 2}
    body = await own_writer.body({**asked, "temperature": 0}, Kind.COMPLETE)
    choice = body["choices"][0]
    logprobs = choice["logprobs"]
    assert "".join(logprobs["tokens"]) == choice["text"]
    assert len(logprobs["token_logprobs"]) == len(logprobs["top_logprobs"]) == 4
    for offset, token in zip(logprobs["text_offset"], logprobs["tokens"], strict=True):
        assert choice["text"][offset:].startswith(token)
    assert all(len(top) == 2 for top in logprobs["top_logprobs"])


async def test_what_completions_do_not_do_is_said(own_writer: Running) -> None:
    asked: dict[str, object] = {"prompt": "One two", "max_tokens": 1}
    for more in ({"suffix": "end"}, {"best_of": 3}, {"echo": True, "logprobs": 1}):
        with pytest.raises(UnsupportedError):
            await own_writer.body({**asked, **more}, Kind.COMPLETE)


# --- embeddings --------------------------------------------------------------------------------


async def test_vectors_are_of_length_one_and_in_order(embedder: Running) -> None:
    texts = ["a much longer text about ships and harbours", "cat", "kitten"]
    body = await embedder.body({"input": texts}, Kind.EMBED)
    assert body["object"] == "list"
    assert [item["index"] for item in body["data"]] == [0, 1, 2]
    for item in body["data"]:
        assert math.isclose(math.hypot(*item["embedding"]), 1.0, abs_tol=1e-3)
    alone = await embedder.body({"input": "cat"}, Kind.EMBED)
    assert _cosine(body["data"][1]["embedding"], alone["data"][0]["embedding"]) > 0.9999
    assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"] > 0


async def test_base64_holds_the_same_numbers(embedder: Running) -> None:
    plain = await embedder.body({"input": ["harbour"]}, Kind.EMBED)
    packed = await embedder.body({"input": ["harbour"], "encoding_format": "base64"}, Kind.EMBED)
    raw = base64.b64decode(packed["data"][0]["embedding"])
    numbers = struct.unpack(f"<{len(raw) // 4}f", raw)
    assert numbers == pytest.approx(plain["data"][0]["embedding"], abs=1e-6)


async def test_tokens_can_be_embedded(embedder: Running) -> None:
    body = await embedder.body({"input": [[100, 101, 102], [100, 101]]}, Kind.EMBED)
    assert len(body["data"]) == 2
    assert body["usage"]["prompt_tokens"] == 5


async def test_the_count_of_texts_is_what_they_are_charged(embedder: Running) -> None:
    asked: dict[str, object] = {"input": ["one two three", "four"]}
    counted = await embedder.engine.count(embedder.call(asked, Kind.EMBED))
    assert counted == (await embedder.body(asked, Kind.EMBED))["usage"]["prompt_tokens"]


async def test_an_over_long_text_is_refused_with_both_counts(embedder: Running) -> None:
    with pytest.raises(ContextLengthError) as caught:
        await embedder.body({"input": ["fine", "word " * 1200]}, Kind.EMBED)
    details = caught.value.details
    assert isinstance(details["prompt_tokens"], int)
    assert details["prompt_tokens"] >= 1200
    assert details["context_tokens"] == embedder.readies[-1].info.context_tokens


async def test_of_an_over_long_text_the_beginning_is_embedded_where_that_is_asked_for(
    minilm: ModelEntry, embedder: Running
) -> None:
    asked = {"input": ["word " * 1200, "word"], "truncate_prompt_tokens": 16}
    if embedder.entry.engine is not minilm.engine:
        with pytest.raises(UnsupportedError):
            await embedder.body(asked, Kind.EMBED)
        return
    body = await embedder.body(asked, Kind.EMBED)
    short = await embedder.body({"input": ["word " * 14, "word"]}, Kind.EMBED)
    assert body["data"] == short["data"]
    most = await embedder.body({**asked, "truncate_prompt_tokens": -1}, Kind.EMBED)
    context = embedder.readies[-1].info.context_tokens
    assert most["usage"]["prompt_tokens"] == context + 3
    with pytest.raises(BadRequestError):
        await embedder.body({**asked, "truncate_prompt_tokens": 0}, Kind.EMBED)


async def test_input_that_is_no_text_is_refused(embedder: Running) -> None:
    nothings: tuple[object, ...] = (None, "", [], [""], [[]], [-1], [True], {"a": 1})
    for nothing in nothings:
        with pytest.raises(BadRequestError):
            await embedder.body({"input": nothing}, Kind.EMBED)
    with pytest.raises(UnsupportedError):
        await embedder.body({"input": "x", "dimensions": 7}, Kind.EMBED)


# --- workers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["llama", "onnx"])
async def test_a_killed_worker_fails_its_calls_and_comes_back(
    which: str, smollm2: ModelEntry, minilm: ModelEntry, tmp_path: Path
) -> None:
    entry = llama_entry(smollm2) if which == "llama" else minilm
    kind = Kind.CHAT if which == "llama" else Kind.EMBED
    work: dict[str, object] = (
        {**PLAIN, "max_tokens": 900, "ignore_eos": True}
        if which == "llama"
        else {"input": ["word " * 400] * 1500}
    )
    small: dict[str, object] = PLAIN if which == "llama" else {"input": "small"}
    loop = asyncio.get_running_loop()
    async with running(entry, tmp_path) as subject:
        pid = subject.readies[-1].info.pid
        assert pid is not None
        calls = [asyncio.create_task(subject.body(work, kind)) for _ in range(4)]
        await _busy(pid)
        os.kill(pid, signal.SIGKILL)
        killed_at = loop.time()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(result) for result in results] == [EngineLostError] * 4
        await subject.until_ready(times=2)
        assert loop.time() - killed_at < 6.0
        (died,) = [fact for fact in subject.facts if isinstance(fact, WorkerDied)]
        assert (died.exit_status, died.lost) == (-signal.SIGKILL, 4)
        assert await subject.body(small, kind)
        last = subject.states[-1]
        assert isinstance(last, Ready)
        assert last.info.pid != pid


async def _busy(pid: int) -> None:
    """Until the process has computed for a while."""
    ticks = os.sysconf("SC_CLK_TCK")

    def used_s() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / ticks

    goal = used_s() + 0.3
    async with asyncio.timeout(20):
        while used_s() < goal:
            await asyncio.sleep(0.01)


def _cosine(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))
