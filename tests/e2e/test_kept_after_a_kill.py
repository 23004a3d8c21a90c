"""What a PoP had kept when it was killed amid its work: there, whole, and not asked for again."""

import asyncio
import itertools
import json
from collections import Counter
from contextlib import suppress
from pathlib import Path

import h11
import psutil
import pytest

from littoral.trust.receipts import FRAME_START
from tests.hardening.pops import HardPop, body_of, cache_status, hard_pop
from tests.hardening.upstreams import Asked, Truth, Upstream, plain, upstream
from tests.web.fake_door import chat_body, chat_stream
from tests.web.raw import PATIENCE_S, Answer

CHAT = "/v1/chat/completions"
SETTLED = 12
"""Questions whose answers are on disk for certain before the kill."""
AMID = 120
"""Questions asked, in all, when the kill comes."""
LANES = 8
WORDS_EACH = 2000
"""So that an answer takes several pages of the database."""


def right(number: int) -> Truth:
    """The answer to this question and to no other: every second one a stream."""
    words = [f"{number} "] * WORDS_EACH
    if number % 2:
        return Truth("text/event-stream", chat_stream(words))
    return Truth("application/json", chat_body(words))


def number_of(asked: Asked) -> int:
    return int(json.loads(asked.body)["seed"])


async def numbered(asked: Asked, writer: asyncio.StreamWriter) -> bool:
    writer.write(plain(right(number_of(asked))))
    return True


def times_asked(running: Upstream) -> Counter[int]:
    return Counter(map(number_of, running.asked))


async def ask(pop: HardPop, model: str, number: int) -> Answer:
    """The answer to this question, which is checked to be whole and no other's."""
    call = "chat stream" if number % 2 else "chat"
    usage = {"stream_options": {"include_usage": True}}
    answer = await pop.ask(CHAT, body_of(call, model, seed=number, **usage))
    assert answer.status == 200
    assert answer.body.partition(FRAME_START)[0] == right(number).body
    return answer


async def on_disk(pop: HardPop, entries: int) -> None:
    """Return once another process finds so many entries in the cache."""
    async with asyncio.timeout(PATIENCE_S):
        while pop.command("cache", "stats")["entries"] != entries:
            await asyncio.sleep(0.05)


async def until_it_dies(pop: HardPop, model: str, numbers: "itertools.count[int]") -> None:
    with suppress(ConnectionError, h11.RemoteProtocolError):
        for number in numbers:
            await ask(pop, model, number)


def kill_all_of(pop: HardPop) -> None:
    """Kill it and each of its processes at once, and return when those are gone."""
    one = psutil.Process(pop.pid)
    others = one.children(recursive=True)
    for each in (one, *others):
        each.kill()
    _, alive = psutil.wait_procs(others, timeout=PATIENCE_S)
    assert alive == []


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_what_was_settled_is_not_asked_again_and_nothing_is_torn(
    tmp_path: Path, workers: str
) -> None:
    async with upstream(numbered) as running:
        with hard_pop(tmp_path, "--workers", workers) as pop:
            model = pop.add(running.port)
            for number in range(SETTLED):
                assert "fwd=miss" in cache_status(await ask(pop, model, number))
            await on_disk(pop, SETTLED)
            numbers = itertools.count(SETTLED)
            lanes = [asyncio.create_task(until_it_dies(pop, model, numbers)) for _ in range(LANES)]
            await running.until_asked(AMID)
            kill_all_of(pop)
            await asyncio.gather(*lanes)
        before = times_asked(running)
        assert set(before.values()) == {1}

        with hard_pop(tmp_path, "--workers", workers) as again:
            again.key = pop.key
            for number in range(SETTLED):
                assert "hit" in cache_status(await ask(again, model, number))
            assert times_asked(running) == before
            for number in before:
                await ask(again, model, number)
            after = times_asked(running)
            assert set(after.values()) <= {1, 2}, "lost with the kill, or kept"
            await on_disk(again, len(before))
            for number in before:
                assert "hit" in cache_status(await ask(again, model, number))
            assert times_asked(running) == after
