"""llama.cpp in its worker, with a real model: cancelling, threads, embeddings of other sizes."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from littoral.adapters.engines.llama import LlamaEngine
from littoral.terms.errors import BadRequestError, CallerError, EngineStartError, UnsupportedError
from littoral.terms.facts import ThreadsStepped
from littoral.terms.values import Down, Kind, ModelEntry, ModelFile, Ready
from tests.adapters.engines.running import Running, running

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.model]

LONG: dict[str, object] = {
    "messages": [{"role": "user", "content": "Tell me of the sea."}],
    "max_tokens": 2000,
    "ignore_eos": True,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def llama(
    smollm2: ModelEntry, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    async with running(smollm2, tmp_path_factory.mktemp("llama")) as subject:
        yield subject


async def slots_busy(subject: Running) -> int:
    engine = subject.engine
    assert isinstance(engine, LlamaEngine)
    async with engine._worker.request("GET", "/slots") as response:
        slots = json.loads(await response.read(1_000_000))
    return sum(slot["is_processing"] for slot in slots)


async def until_busy(subject: Running, count: int) -> float:
    """Wait until this many slots work; say how long it took."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with asyncio.timeout(20):
        while await slots_busy(subject) != count:
            await asyncio.sleep(0.002)
    return loop.time() - begun


@pytest.mark.parametrize("stream", [True, False])
async def test_a_slot_is_free_within_100_ms_of_leaving(llama: Running, stream: bool) -> None:
    waits_s: list[float] = []
    once = llama.call({**LONG, "max_tokens": 1}, Kind.CHAT, stream=False)
    async with llama.engine.open(once) as chunks:  # from now on the prompt is not what takes time
        assert [chunk async for chunk in chunks]
    for _ in range(3):
        entered = asyncio.Event()

        async def work(entered: asyncio.Event = entered) -> None:
            async with llama.engine.open(llama.call(LONG, Kind.CHAT, stream=stream)) as chunks:
                async for _chunk in chunks:
                    entered.set()

        task = asyncio.create_task(work())
        await until_busy(llama, 1)
        if stream:
            await entered.wait()
        task.cancel()
        await asyncio.wait([task])
        waits_s.append(await until_busy(llama, 0))
    assert min(waits_s) < 0.1, waits_s


async def test_leaving_several_choices_frees_all_their_slots(llama: Running) -> None:
    asked = {**LONG, "n": 3}
    async with llama.engine.open(llama.call(asked, Kind.CHAT, stream=True)) as chunks:
        await anext(chunks)
        await until_busy(llama, 3)
    await until_busy(llama, 0)


async def test_fields_that_are_not_the_callers_business_do_not_reach_the_worker(
    llama: Running,
) -> None:
    body = await llama.body({**LONG, "max_tokens": 2, "id_slot": 99, "n_predict": 50})
    assert body["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, BadRequestError),
        ({"tools": "none"}, BadRequestError),
        ({"temperature": "hot"}, BadRequestError),
        ({"max_tokens": 10**12}, BadRequestError),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"schema": {"$ref": "#/x"}},
                }
            },
            BadRequestError,
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}
                        ],
                    }
                ]
            },
            UnsupportedError,
        ),
    ],
)
async def test_what_llama_cpp_refuses_is_the_callers_fault(
    llama: Running, more: dict[str, object], error: type[CallerError]
) -> None:
    with pytest.raises(error):
        await llama.events({**LONG, "max_tokens": 2, **more})
    assert len(llama.readies) == 1, "and no worker died of it"


async def test_weights_that_are_none_are_explained(smollm2: ModelEntry, tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"not weights")
    file = ModelFile(str(bad), 11, smollm2.files[0].digest)
    entry = dataclasses.replace(smollm2, files=(file,))
    async with running(entry, tmp_path, ready=False) as subject:
        await subject.until(lambda: any(isinstance(state, Down) for state in subject.states))
    last = subject.states[-1]
    assert isinstance(last, Down)
    assert not last.retrying
    assert isinstance(last.error, EngineStartError)
    assert "could not load" in str(last.error)
    assert last.error.details["log"], "the log's last lines come with it"


async def test_rates_are_learnt_from_answers_that_were_alone(llama: Running) -> None:
    engine = llama.engine
    assert isinstance(engine, LlamaEngine)
    asked = {**LONG, "max_tokens": 20}
    engine._governor._best.clear()
    await asyncio.gather(*(llama.events(asked) for _ in range(3)))
    shared = dict(engine._governor._best)
    await llama.events(asked)
    assert not shared
    assert len(engine._governor._best) == 1


async def test_a_collapsed_rate_restarts_the_worker_with_fewer_threads(
    smollm2: ModelEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("littoral.adapters.engines.llama.granted_cores", lambda: 4.0)
    small = {**LONG, "max_tokens": 2}
    async with running(smollm2, tmp_path, threads=2) as subject:
        engine = subject.engine
        assert isinstance(engine, LlamaEngine)
        assert subject.readies[-1].info.threads == 2
        for rate in (80.0, 4.0, 4.0, 4.0):
            engine._governor.observe(rate, 100, engine._clock.now())
        assert await subject.body(small)
        ready = await subject.until_ready(times=2)
        assert ready.info.threads == 1
        assert subject.facts == [ThreadsStepped(smollm2.name, 2, 1)]
        assert await subject.body(small)
        assert isinstance(subject.states[-1], Ready)
