"""What clients and upstreams say of keeping answers is done, and only whole ones are kept."""

import asyncio
import json
import re
from collections.abc import Iterator

import pytest

from tests.hardening.native import native
from tests.hardening.pops import CALLS, HardPop, body_of, cache_status, hard_pop
from tests.hardening.upstreams import Asked, Play, chunk, head, plain, truth, upstream
from tests.web.fake_door import sse
from tests.web.raw import PATIENCE_S, Answer

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def pop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HardPop]:
    with hard_pop(tmp_path_factory.mktemp("control")) as running:
        yield running


class Asking:
    """One question, asked again and again with one `Cache-Control` or another."""

    def __init__(self, pop: HardPop, model: str, call: str = "chat") -> None:
        self.pop = pop
        self.path = CALLS[call][0]
        self.body = body_of(call, model, temperature=0)

    async def __call__(self, directive: str = "") -> Answer:
        fields = [f"Cache-Control: {directive}"] if directive else []
        return await self.pop.ask(self.path, self.body, *fields)


def saying(*fields: str) -> Play:
    """An upstream that answers well, and has more to say in its head."""

    async def play(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        body = truth(asked).body
        length = f"content-length: {len(body)}"
        writer.write(head("content-type: application/json", length, *fields) + body)
        return True

    return play


@pytest.mark.parametrize("call", ["chat", "messages"])
@pytest.mark.parametrize("directive", ["max-age=0", "no-cache"])
async def test_who_wants_a_new_answer_gets_one_that_takes_the_old_ones_place(
    pop: HardPop, call: str, directive: str
) -> None:
    async with upstream() as running:
        asked = Asking(pop, pop.add(running.port), call)
        old = await asked()
        new = await asked(directive)
        assert new.status == 200
        assert "hit" not in cache_status(new)
        assert len(running.asked) == 2
        again = await asked()
        assert "hit" in cache_status(again)
        assert len(running.asked) == 2
        kept = await pop.receipt(again)
    assert kept.origin == new.headers["littoral-receipt"] != old.headers["littoral-receipt"]


@pytest.mark.parametrize("call", ["chat", "messages", "responses"])
async def test_who_wants_nothing_kept_leaves_all_as_it_was(pop: HardPop, call: str) -> None:
    async with upstream() as running:
        asked = Asking(pop, pop.add(running.port), call)
        for times in (1, 2):
            assert "hit" not in cache_status(await asked("no-store"))
            assert len(running.asked) == times
        await asked()
        assert "hit" in cache_status(await asked())
        assert "hit" not in cache_status(await asked("no-store"))
        assert "hit" in cache_status(await asked())
        assert len(running.asked) == 4


@pytest.mark.parametrize("call", list(CALLS))
async def test_who_wants_a_kept_answer_or_none_never_has_one_computed(
    pop: HardPop, call: str
) -> None:
    async with upstream() as running:
        asked = Asking(pop, pop.add(running.port), call)
        for directive in ("only-if-cached", "only-if-cached, max-age=0"):
            missing = await asked(directive)
            assert missing.status == 504
            error = json.loads(missing.body)["error"]
            assert error["code"] == "not_cached"
        assert running.asked == []
        await asked()
        found = await asked("only-if-cached")
        assert found.status == 200
        assert "hit" in cache_status(found)
        assert (await asked("only-if-cached, no-cache")).status == 504
        assert len(running.asked) == 1


async def test_a_kept_answer_grows_older_and_says_so(pop: HardPop) -> None:
    async with upstream() as running:
        asked = Asking(pop, pop.add(running.port))
        await asked()
        fresh = await asked()
        async with asyncio.timeout(PATIENCE_S):
            while (aged := await asked()).headers["age"] == "0":
                await asyncio.sleep(0.02)
        assert fresh.headers["age"] == "0"
        assert int(aged.headers["age"]) >= 1
        for each in (fresh, aged):
            (left,) = re.findall(r"^private, max-age=(\d+)$", each.headers["cache-control"])
            assert cache_status(each) == f"littoral; hit; ttl={left}"
            assert int(left) + int(each.headers["age"]) in {86_399, 86_400}
        assert len(running.asked) == 1
        assert cache_status(await asked("max-age=1")) == "littoral; fwd=stale"
        assert (await asked("max-age=1")).headers["age"] == "0"
        assert len(running.asked) == 2


async def test_an_upstream_says_how_long_its_answer_is_fresh(pop: HardPop) -> None:
    async with upstream(saying("cache-control: max-age=1")) as running:
        asked = Asking(pop, pop.add(running.port))
        await asked()
        assert cache_status(await asked()) == "littoral; hit; ttl=0"
        async with asyncio.timeout(PATIENCE_S):
            while (await asked("only-if-cached")).status == 200:
                await asyncio.sleep(0.02)
        stale = await asked("max-stale=60")
        assert re.match(r"littoral; hit; ttl=-\d", cache_status(stale))
        assert int(stale.headers["age"]) >= 1
        assert cache_status(await asked("max-stale=0")) == "littoral; fwd=stale"
        assert len(running.asked) == 2


@pytest.mark.parametrize("field", ["no-store", "private", "no-cache", "max-age=0"])
async def test_what_an_upstream_wants_kept_nowhere_is_not(pop: HardPop, field: str) -> None:
    async with upstream(saying(f"cache-control: {field}")) as running:
        asked = Asking(pop, pop.add(running.port))
        for times in (1, 2):
            assert cache_status(await asked()) == "littoral; fwd=miss"
            assert len(running.asked) == times


ERROR = re.compile(rb'"error": ?\{')
REFUSAL = json.dumps({"error": {"message": "no", "type": "server_error"}}).encode()


def refused(status: str) -> bytes:
    return head(f"content-length: {len(REFUSAL)}", status=status) + REFUSAL


def bad(asked: Asked, how: str) -> bytes:
    """An answer that is none, or not all of one."""
    true = truth(asked)
    stream = head("content-type: text/event-stream", "transfer-encoding: chunked")
    some = stream + b"".join(map(chunk, true.pieces[:3]))
    match how:
        case "an error":
            return refused("500 Internal Server Error")
        case "a refusal":
            return refused("422 Unprocessable Entity")
        case "an error as an answer":
            length = f"content-length: {len(REFUSAL)}"
            return head("content-type: application/json", length) + REFUSAL
        case "a cut answer":
            return plain(true)[:-10]
        case "a cut stream":
            return some
        case "a stream cut in an event":
            return some + chunk(true.pieces[3])[:-10]
        case "a stream with an error":
            return some + chunk(sse(json.loads(REFUSAL))) + chunk(b"")
        case "a stream without its end":
            return some + chunk(b"")
        case _:
            raise AssertionError(how)


WHOLE = ["an error", "a refusal", "an error as an answer", "a cut answer"]
STREAMED = [
    "an error",
    "a cut stream",
    "a stream cut in an event",
    "a stream with an error",
    "a stream without its end",
]
TRANSLATED = ["messages", "responses"]


@pytest.mark.parametrize(
    ("call", "how"),
    [(call, how) for call in ("chat", "completion", *TRANSLATED) for how in WHOLE]
    + [(f"{call} stream", how) for call in ("chat", "completion", *TRANSLATED) for how in STREAMED],
)
async def test_an_answer_that_came_to_no_good_end_is_not_given_again(
    pop: HardPop, call: str, how: str
) -> None:
    failing = True

    async def play(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        if failing:
            writer.write(bad(asked, how))
            return False
        return await native(asked, writer)

    async with upstream(play) as running:
        asked = Asking(pop, pop.add(running.port), call)
        broken = await asked()
        assert ERROR.search(broken.body)
        assert (await asked("only-if-cached, max-stale")).status == 504
        before = len(running.asked)
        failing = False
        good = await asked()
        assert good.status == 200
        assert not ERROR.search(good.body)
        assert "hit" not in cache_status(good)
        assert len(running.asked) == before + 1
        assert "hit" in cache_status(await asked())
        assert len(running.asked) == before + 1
