"""Another program holds the database: answers go on, and receipts come when it lets go."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

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
