"""Another program holds the database: answers go on, and receipts come when it lets go."""

import asyncio
import json
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from littoral.adapters.store import STORE_FILE
from littoral.trust.receipts import stated
from tests.hardening.pops import CALLS, HardPop, body_of, hard_pop
from tests.hardening.upstreams import upstream
from tests.web.raw import PATIENCE_S, Answer, get


@pytest.fixture(scope="module")
def pop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HardPop]:
    with hard_pop(tmp_path_factory.mktemp("held")) as running:
        yield running


async def readiness(pop: HardPop) -> tuple[int, str]:
    """The status of `/readyz`, and what it says of receipts."""
    async with pop.client() as client:
        told = await client.ask(get("/readyz"))
    return told.status, json.loads(told.body)["receipts"]


async def ready_when(pop: HardPop, expected: tuple[int, str]) -> None:
    """Return once it says so."""
    async with asyncio.timeout(2 * PATIENCE_S):
        while await readiness(pop) != expected:
            await asyncio.sleep(0.02)


@contextmanager
def held(pop: HardPop) -> Iterator[None]:
    """A write is under way in another process meanwhile."""
    with closing(sqlite3.connect(pop.home / STORE_FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


async def receipt(pop: HardPop, answer: Answer) -> Answer:
    path = f"/v1/receipts/{answer.headers['littoral-receipt']}"
    async with pop.client() as client:
        return await client.ask(get(path, f"Authorization: Bearer {pop.key}"))


async def kept(pop: HardPop, answer: Answer) -> bytes:
    """Its receipt, as soon as it is kept."""
    async with asyncio.timeout(PATIENCE_S):
        while (told := await receipt(pop, answer)).status != 200:
            assert told.status == 503, told
            await asyncio.sleep(0.01)
    return told.body


async def test_streams_wait_for_their_receipts_and_all_else_goes_on(pop: HardPop) -> None:
    async with upstream() as one, pop.client() as relayed, pop.client() as translated:
        model = pop.add(one.port)
        streams = {"chat stream": relayed, "messages stream": translated}
        with held(pop):
            for call, client in streams.items():
                await client.send(pop.post(CALLS[call][0], body_of(call, model)))
            before = time.monotonic()
            answers = [await pop.call("chat", model) for _ in range(20)]
            assert time.monotonic() - before < 5, "half a second each, if it waited for the file"
            told = await receipt(pop, answers[0])
            assert (told.status, told.headers["retry-after"]) == (503, "5")
        for each in answers:
            assert each.status == 200
            assert stated(await kept(pop, each)).rid == each.headers["littoral-receipt"]
        for client in streams.values():
            ended = await client.answer("POST")
            assert b": littoral-receipt {" in ended.body


@pytest.mark.parametrize("workers", [1, 2])
async def test_held_for_too_long_it_is_not_ready_until_receipts_can_be_kept(
    tmp_path: Path, workers: int
) -> None:
    with hard_pop(tmp_path, "--workers", str(workers)) as pop:
        async with upstream() as one:
            model = pop.add(one.port)
            await ready_when(pop, (200, "kept"))
            with held(pop):
                ended = await pop.call("chat stream", model)
                assert b"is held by another process" in ended.body
                why = "not kept: another process holds the database"
                await ready_when(pop, (503, why))
                assert (await pop.call("chat", model)).status == 200
                checked = subprocess.run(
                    [sys.executable, "-m", "littoral.cli", "doctor", "--home", str(pop.home)],
                    check=False,
                    capture_output=True,
                    text=True,
                )
                assert checked.returncode == 1
                assert re.search("fail +receipts .* held by another process", checked.stdout)
            await ready_when(pop, (200, "kept"))
            ended = await pop.call("chat stream", model)
            assert b": littoral-receipt {" in ended.body
