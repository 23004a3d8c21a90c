"""Answers that are given again: to whom, when, with what head, and never torn."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from littoral.trust.receipts import FRAME_START, stated
from tests.hardening.pops import HardPop, body_of, hard_pop
from tests.hardening.upstreams import truth, upstream
from tests.web.raw import PATIENCE_S, Answer, get

CHAT = "/v1/chat/completions"
SAME = {"temperature": 0, "stream_options": {"include_usage": True}}


@pytest.fixture(scope="module")
def pop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HardPop]:
    with hard_pop(tmp_path_factory.mktemp("cache")) as running:
        yield running


def littoral(pop: HardPop, *arguments: str) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "littoral.cli", *arguments, "--home", str(pop.home)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def new_key(pop: HardPop, *options: str) -> str:
    made = json.loads(
        littoral(pop, "keys", "create", f"k{os.urandom(4).hex()}", *options, "--json")
    )
    return str(made["key"])


async def ask_as(pop: HardPop, key: str, body: bytes) -> Answer:
    async with pop.client() as client:
        request = pop.post(CHAT, body).replace(pop.key.encode(), key.encode())
        return await client.ask(request, "POST")


def status_of(answer: Answer) -> str:
    return answer.headers.get("cache-status", "")


async def receipt_of(pop: HardPop, answer: Answer) -> bytes:
    path = f"/v1/receipts/{answer.headers['littoral-receipt']}"
    async with pop.client() as client:
        found = await client.ask(get(path, f"Authorization: Bearer {pop.key}"))
    assert found.status == 200
    return found.body


@pytest.mark.parametrize("call", ["chat", "chat stream", "completion", "completion stream"])
async def test_the_same_question_is_asked_once_and_answered_with_the_same_bytes(
    pop: HardPop, call: str
) -> None:
    async with upstream() as running:
        model = pop.add(running.port)
        first = await pop.call(call, model, **SAME)
        again = await pop.call(call, model, **SAME)
        assert len(running.asked) == 1
        right = truth(running.asked[0]).body
    own = [each.body.partition(FRAME_START)[0] for each in (first, again)]
    assert own == [right, right]
    assert status_of(first).startswith("littoral; fwd=miss")
    assert status_of(again).startswith("littoral; hit; ttl=")
    assert again.headers["age"] == "0"
    assert again.headers["littoral-source"] == "cache"
    assert again.headers["x-request-id"] != first.headers["x-request-id"]


async def test_a_hit_has_its_own_receipt_that_names_the_first(pop: HardPop) -> None:
    async with upstream() as running:
        model = pop.add(running.port)
        first, again = [await pop.call("chat", model, temperature=0) for _ in range(2)]
    before, after = [stated(await receipt_of(pop, each)) for each in (first, again)]
    assert (before.source.value, before.origin) == ("upstream", None)
    assert (after.source.value, after.origin) == ("cache", before.rid)
    assert after.rid != before.rid
    assert after.seq > before.seq


async def test_nobody_gets_the_answer_of_another_tenant(pop: HardPop) -> None:
    async with upstream() as running:
        body = body_of("chat", pop.add(running.port), temperature=0)
        mine, theirs, shared, partner = (
            new_key(pop),
            new_key(pop),
            new_key(pop, "--tenant", "acme"),
            new_key(pop, "--tenant", "acme"),
        )
        for key in (mine, theirs, shared):
            assert "fwd=miss" in status_of(await ask_as(pop, key, body))
        assert len(running.asked) == 3
        for key in (mine, partner):
            assert "hit" in status_of(await ask_as(pop, key, body))
        assert len(running.asked) == 3


async def test_a_hit_passes_the_same_checks_as_a_miss(pop: HardPop) -> None:
    async with upstream() as running:
        body = body_of("chat", pop.add(running.port), temperature=0)
        limited = new_key(pop, "--requests-per-minute", "2")
        assert [(await ask_as(pop, limited, body)).status for _ in range(3)] == [200, 200, 429]
        elsewhere = new_key(pop, "--tenant", "t", "--model", "echo")
        insider = new_key(pop, "--tenant", "t")
        assert (await ask_as(pop, insider, body)).status == 200
        assert (await ask_as(pop, elsewhere, body)).status == 403
        name = json.loads(littoral(pop, "keys", "list", "--json"))["keys"]
        revoked = new_key(pop, "--tenant", "t")
        assert "hit" in status_of(await ask_as(pop, revoked, body))
        known = {each["key_id"] for each in name}
        now = json.loads(littoral(pop, "keys", "list", "--json"))["keys"]
        (key_id,) = [each["key_id"] for each in now if each["key_id"] not in known]
        littoral(pop, "keys", "revoke", key_id)
        assert (await ask_as(pop, revoked, body)).status == 401


async def test_the_request_says_what_may_be_given_again(pop: HardPop) -> None:
    async with upstream() as running:
        body = body_of("chat", pop.add(running.port), temperature=0)

        async def asked(directive: str) -> Answer:
            return await pop.ask(CHAT, body, f"Cache-Control: {directive}")

        missing = await asked("only-if-cached")
        assert missing.status == 504
        assert json.loads(missing.body)["error"]["code"] == "not_cached"
        await asked("no-store")
        assert len(running.asked) == 1
        assert "hit" not in status_of(await pop.ask(CHAT, body))
        assert "hit" in status_of(await asked("only-if-cached"))
        assert "hit" not in status_of(await asked("no-cache"))
        assert "hit" not in status_of(await asked("no-store"))
        assert "hit" in status_of(await pop.ask(CHAT, body))
        assert len(running.asked) == 4


async def test_what_may_come_out_otherwise_is_not_kept_unless_asked_for(pop: HardPop) -> None:
    async with upstream() as running:
        body = body_of("chat", pop.add(running.port), temperature=1)
        for _ in range(2):
            assert status_of(await pop.ask(CHAT, body)) == "littoral; fwd=bypass"
        for _ in range(2):
            answer = await pop.ask(CHAT, body, "Cache-Control: max-age=60")
        assert "hit" in status_of(answer)
        assert len(running.asked) == 3


async def test_a_purge_is_in_force_when_it_returns(pop: HardPop) -> None:
    async with upstream() as running:
        model = pop.add(running.port)
        body = body_of("chat", model, temperature=0)
        await pop.ask(CHAT, body, "Littoral-Cache-Tags: draft")
        assert "hit" in status_of(await pop.ask(CHAT, body))
        littoral(pop, "cache", "purge", "--model", model, "--tag", "final")
        assert "hit" in status_of(await pop.ask(CHAT, body))
        littoral(pop, "cache", "purge", "--model", model, "--tag", "draft")
        assert "hit" not in status_of(await pop.ask(CHAT, body))


async def test_hits_show_in_the_stats_of_a_pop_that_nobody_asks_any_more(pop: HardPop) -> None:
    async with upstream() as running:
        model = pop.add(running.port)
        for _ in range(3):
            await pop.call("chat", model, temperature=0)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            stats = json.loads(littoral(pop, "cache", "stats", "--json"))
            found = [each for each in stats["models"] if each["model"] == model]
            if found and (found[0]["hits"], found[0]["misses"]) == (2, 1):
                break
            await asyncio.sleep(0.2)
