"""Answers that are given again: to whom, when, with what head, and never torn."""

import asyncio
from collections.abc import Iterator

import pytest

from littoral.terms.values import ToolSupport
from littoral.trust.receipts import FRAME_START
from tests.hardening.pops import CALLS, HardPop, body_of, cache_status, hard_pop
from tests.hardening.upstreams import held, truth, upstream
from tests.web.raw import PATIENCE_S, Answer, get

CHAT = "/v1/chat/completions"
SAME = {"temperature": 0, "stream_options": {"include_usage": True}}


@pytest.fixture(scope="module")
def pop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HardPop]:
    with hard_pop(tmp_path_factory.mktemp("cache")) as running:
        yield running


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
    assert cache_status(first).startswith("littoral; fwd=miss")
    assert cache_status(again).startswith("littoral; hit; ttl=")
    assert again.headers["age"] == "0"
    assert again.headers["littoral-source"] == "cache"
    assert again.headers["x-request-id"] != first.headers["x-request-id"]


@pytest.mark.parametrize("call", ["chat", "messages"])
async def test_a_hit_has_its_own_receipt_that_names_the_first(pop: HardPop, call: str) -> None:
    async with upstream() as running:
        model = pop.add(running.port)
        first, again = [await pop.call(call, model, temperature=0) for _ in range(2)]
    before, after = [await pop.receipt(each) for each in (first, again)]
    assert (before.source.value, before.origin) == ("upstream", None)
    assert (after.source.value, after.origin) == ("cache", before.rid)
    assert after.rid != before.rid
    assert after.seq > before.seq


async def test_nobody_gets_the_answer_of_another_tenant(pop: HardPop) -> None:
    async with upstream() as running:
        body = body_of("chat", pop.add(running.port), temperature=0)
        mine, theirs, shared, partner = (
            pop.new_key(),
            pop.new_key(),
            pop.new_key("--tenant", "acme"),
            pop.new_key("--tenant", "acme"),
        )
        for key in (mine, theirs, shared):
            assert "fwd=miss" in cache_status(await pop.ask_as(key, CHAT, body))
        assert len(running.asked) == 3
        for key in (mine, partner):
            assert "hit" in cache_status(await pop.ask_as(key, CHAT, body))
        assert len(running.asked) == 3


async def test_a_hit_passes_the_same_checks_as_a_miss(pop: HardPop) -> None:
    async with upstream() as running:
        body = body_of("chat", pop.add(running.port), temperature=0)
        limited = pop.new_key("--requests-per-minute", "2")
        assert [(await pop.ask_as(limited, CHAT, body)).status for _ in range(3)] == [200, 200, 429]
        elsewhere = pop.new_key("--tenant", "t", "--model", "echo")
        insider = pop.new_key("--tenant", "t")
        assert (await pop.ask_as(insider, CHAT, body)).status == 200
        assert (await pop.ask_as(elsewhere, CHAT, body)).status == 403
        name = pop.command("keys", "list")["keys"]
        revoked = pop.new_key("--tenant", "t")
        assert "hit" in cache_status(await pop.ask_as(revoked, CHAT, body))
        known = {each["key_id"] for each in name}
        now = pop.command("keys", "list")["keys"]
        (key_id,) = [each["key_id"] for each in now if each["key_id"] not in known]
        pop.command("keys", "revoke", key_id)
        assert (await pop.ask_as(revoked, CHAT, body)).status == 401


async def test_what_may_come_out_otherwise_is_not_kept_unless_asked_for(pop: HardPop) -> None:
    async with upstream() as running:
        body = body_of("chat", pop.add(running.port), temperature=1)
        for _ in range(2):
            assert cache_status(await pop.ask(CHAT, body)) == "littoral; fwd=bypass"
        for _ in range(2):
            answer = await pop.ask(CHAT, body, "Cache-Control: max-age=60")
        assert "hit" in cache_status(answer)
        assert len(running.asked) == 3


KEPT = ("mine", "theirs", "other model", "tagged")


async def until_stats(pop: HardPop, model: str, **said: int) -> None:
    """Answers are written, and counted, soon after their clients have them."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            models = pop.command("cache", "stats")["models"]
            if any(said.items() <= each.items() for each in models if each["model"] == model):
                break
            await asyncio.sleep(0.2)


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--key", "MINE"], ["theirs"]),
        (["--key", "THEIRS"], ["mine", "other model", "tagged"]),
        (["--model", "MODEL"], ["other model"]),
        (["--tag", "DRAFT"], ["mine", "theirs", "other model"]),
        (["--tag", "dra"], [*KEPT]),
        (["--tag", "DRAFT", "--model", "OTHER"], [*KEPT]),
        (["--tag", "DRAFT", "--model", "MODEL"], ["mine", "theirs", "other model"]),
        (["--key", "MINE", "--model", "OTHER"], ["mine", "theirs", "tagged"]),
        (["--all"], []),
    ],
)
@pytest.mark.parametrize("call", ["chat", "messages stream"])
async def test_a_purge_drops_what_it_names_and_is_in_force_when_it_returns(
    pop: HardPop, call: str, options: list[str], left: list[str]
) -> None:
    mine, theirs = (pop.made_key() for _ in range(2))
    async with upstream() as running:
        model, other = pop.add(running.port), pop.add(running.port)

        async def ask(name: str, *fields: str) -> Answer:
            key = theirs if name == "theirs" else mine
            of = other if name == "other model" else model
            body = body_of(call, of, temperature=0, metadata={"user_id": name})
            return await pop.ask_as(key["key"], CALLS[call][0], body, *fields)

        for name in KEPT:
            tags = [f"Littoral-Cache-Tags: draft-{model}, v2"] if name == "tagged" else []
            assert "fwd=miss" in cache_status(await ask(name, *tags))
        names = {"MINE": mine["key_id"], "THEIRS": theirs["name"], "MODEL": model, "OTHER": other}
        names["DRAFT"] = f"draft-{model}"
        for each, entries in ((model, 3), (other, 1)):
            await until_stats(pop, each, entries=entries)
        told = pop.command("cache", "purge", *(names.get(each, each) for each in options))
        if "--all" not in options:
            assert told["entries"] == len(KEPT) - len(left)
        found = [await ask(name, "Cache-Control: only-if-cached") for name in KEPT]
        assert [each.status for each in found] == [200 if each in left else 504 for each in KEPT]
        assert len(running.asked) == len(KEPT)


@pytest.mark.parametrize("call", ["chat stream", "messages stream"])
@pytest.mark.parametrize("named", [True, False])
async def test_what_was_being_computed_at_a_purge_that_names_it_is_not_kept(
    pop: HardPop, call: str, named: bool
) -> None:
    async with held() as (running, go_on):
        model, next_one = pop.add(running.port), pop.add(running.port)
        bodies = [body_of(call, each, temperature=0) for each in (model, next_one)]
        asking = asyncio.create_task(pop.ask(CALLS[call][0], bodies[0]))
        await running.until_asked(1)
        pop.command("cache", "purge", "--model", model if named else next_one)
        go_on.set()
        assert (await asking).status == 200
        assert (await pop.ask(CALLS[call][0], bodies[1])).status == 200
        await until_stats(pop, next_one, entries=1)  # it was written after the first
        again = await pop.ask(CALLS[call][0], bodies[0], "Cache-Control: only-if-cached")
        assert again.status == (504 if named else 200)


async def test_hits_show_in_the_stats_of_a_pop_that_nobody_asks_any_more(pop: HardPop) -> None:
    async with upstream() as running:
        model = pop.add(running.port)
        for _ in range(3):
            await pop.call("chat", model, temperature=0)
    await until_stats(pop, model, hits=2, misses=1)


async def test_the_metrics_tell_hits_from_misses_whoever_answers(pop: HardPop) -> None:
    async with upstream() as running:
        for tools in (ToolSupport.NATIVE, ToolSupport.PROMPTED):
            model = pop.add(running.port, tools=tools)
            for _ in range(3):
                await pop.call("chat", model, temperature=0)
            async with pop.client() as client:
                said = await client.ask(get("/metrics", f"Authorization: Bearer {pop.key}"))
            counted = [line for line in said.body.decode().splitlines() if f'"{model}"' in line]
            name = f'littoral_cache_answers_total{{model="{model}",result='
            assert f'{name}"miss"}} 1.0' in counted
            assert f'{name}"hit"}} 2.0' in counted
