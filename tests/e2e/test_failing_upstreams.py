"""Which of two upstreams is asked when one refuses, fails, says to wait, or says nothing."""

import asyncio
import json
import time
from collections.abc import Iterator

import pytest

from tests.hardening.pops import HardPop, body_of, cache_status, hard_pop, parted
from tests.hardening.upstreams import (
    Asked,
    Play,
    Upstream,
    chunk,
    head,
    plain,
    truth,
    upstream,
    well,
)
from tests.web.raw import PATIENCE_S, Answer

CHAT = "/v1/chat/completions"
USAGE = {"stream_options": {"include_usage": True}}
REFUSED = json.dumps({"error": {"message": "no", "type": "invalid_request_error"}}).encode()
TIMES = 8
"""More than the failures in a row that open a breaker."""


@pytest.fixture(scope="module")
def pop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HardPop]:
    with hard_pop(tmp_path_factory.mktemp("failing")) as running:
        yield running


def refusal(status: str, *fields: str) -> bytes:
    return head(f"content-length: {len(REFUSED)}", *fields, status=status) + REFUSED


def refusing(status: str, *fields: str) -> Play:
    """An upstream that refuses what is `wrong`, and answers anything else."""

    async def play(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        if b"wrong" not in asked.body:
            return await well(asked, writer)
        writer.write(refusal(status, *fields))
        return True

    return play


async def wrong_until(pop: HardPop, model: str, one: Upstream, times: int) -> list[Answer]:
    """The answers to wrong requests, as many as it takes until this upstream had so many."""
    answers = []
    async with asyncio.timeout(PATIENCE_S):
        while len(one.asked) < times:
            answers.append(await pop.call("chat", model, user="wrong"))
    return answers


def opened(pop: HardPop, one: Upstream) -> bool:
    """Whether its breaker ever opened."""
    return f"the breaker of upstream 127.0.0.1:{one.port} is open" in pop.log.read_text()


async def standing(pop: HardPop, model: str, one: Upstream) -> str:
    """How this upstream stands, as the PoP explains it."""
    answer = await pop.ask(CHAT, body_of("chat", model), "Littoral-Explain: route")
    assert answer.status == 200
    standings = answer.headers["littoral-route"].partition(" -> ")[0]
    (found,) = [each for each in standings.split("; ") if f":{one.port}: " in each]
    return found.partition(f":{one.port}: ")[2]


@pytest.mark.parametrize(
    "status", ["400 Bad Request", "413 Content Too Large", "422 Unprocessable Entity"]
)
async def test_an_upstream_that_refused_a_clients_mistakes_is_chosen_as_before(
    pop: HardPop, status: str
) -> None:
    async with upstream(refusing(status)) as one, upstream() as other:
        model = pop.add(one.port, other.port, attempts=3)
        answers = await wrong_until(pop, model, one, TIMES)
        refused = [each for each in answers if each.status != 200]
        assert {each.status for each in refused} == {int(status.split(maxsplit=1)[0])}
        assert len(refused) == TIMES
        assert len(other.asked) == len(answers) - TIMES, "a mistake goes nowhere else"
        assert "setbacks" not in (how := await standing(pop, model, one))
        assert "in flight" in how
        assert not opened(pop, one)
        async with asyncio.timeout(PATIENCE_S):
            while len(one.asked) < 2 * TIMES:
                assert (await pop.call("chat", model)).status == 200


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found"])
async def test_what_a_client_may_have_brought_about_opens_no_breaker(
    pop: HardPop, status: str
) -> None:
    async with upstream(refusing(status)) as one, upstream() as other:
        model = pop.add(one.port, other.port, attempts=2)
        answers = await wrong_until(pop, model, one, TIMES)
        assert {each.status for each in answers} == {200}, "the other one is asked, too"
        assert len(other.asked) == len(answers)
        assert "in flight" in await standing(pop, model, one)
        assert not opened(pop, one)
        asked = len(one.asked)
        async with asyncio.timeout(PATIENCE_S):
            while len(one.asked) == asked:
                assert (await pop.call("chat", model)).status == 200


async def test_failures_of_its_own_do_open_its_breaker(pop: HardPop) -> None:
    async with upstream(refusing("500 Internal Server Error")) as one, upstream() as other:
        model = pop.add(one.port, other.port, attempts=2)
        answers = await wrong_until(pop, model, one, 5)
        assert {each.status for each in answers} == {200}
        assert opened(pop, one)


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
async def test_who_says_when_to_come_again_is_left_alone_till_then(
    pop: HardPop, status: str
) -> None:
    async with upstream(refusing(status, "retry-after: 60")) as one, upstream() as other:
        model = pop.add(one.port, other.port, attempts=2)
        answers = await wrong_until(pop, model, one, 1)
        assert {each.status for each in answers} == {200}, "the other one is asked at once"
        for _ in range(50):
            assert (await pop.call("chat", model)).status == 200
        assert len(one.asked) == 1
        assert len(other.asked) == len(answers) + 50


async def test_a_long_wait_is_told_to_the_client_and_nobody_is_asked_meanwhile(
    pop: HardPop,
) -> None:
    async with upstream(refusing("429 Too Many Requests", "retry-after: 60")) as one:
        model = pop.add(one.port, attempts=3)
        for _ in range(3):
            answer = await pop.call("chat", model, user="wrong")
            assert answer.status == 503, "it is not the client's own limit"
            assert 50 <= int(answer.headers["retry-after"]) <= 60
        assert len(one.asked) == 1


@pytest.mark.parametrize("call", ["chat", "chat stream", "messages"])
async def test_a_short_wait_is_waited_out(pop: HardPop, call: str) -> None:
    moments: list[float] = []

    async def play(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        moments.append(time.monotonic())
        if len(moments) > 1:
            return await well(asked, writer)
        writer.write(refusal("429 Too Many Requests", "retry-after: 1"))
        return True

    async with upstream(play) as one:
        answer = await pop.call(call, pop.add(one.port, attempts=2))
        assert answer.status == 200
    first, second = moments
    assert 1.0 <= second - first < PATIENCE_S


class Race:
    """Two upstreams: whichever is asked first says nothing, and the other answers."""

    def __init__(self) -> None:
        self.order: list[Asked] = []
        self.closed = asyncio.Event()
        """The PoP has closed the connection of the one that said nothing."""

    async def play(self, asked: Asked, writer: asyncio.StreamWriter) -> bool:
        self.order.append(asked)
        if len(self.order) > 1:
            writer.write(plain(truth(asked)))
            return True
        reader = writer.transport.get_protocol()._stream_reader  # type: ignore[attr-defined]
        assert await reader.read(1) == b""
        self.closed.set()
        return False


@pytest.mark.parametrize("call", ["chat", "chat stream", "completion", "completion stream"])
async def test_who_lost_a_hedge_is_let_go_and_the_answer_is_the_winners(
    pop: HardPop, call: str
) -> None:
    race = Race()
    async with upstream(race.play) as one, upstream(race.play) as two:
        model = pop.add(one.port, two.port, attempts=2, hedge_after_s=0.1)
        more = {"temperature": 0, **(USAGE if "stream" in call else {})}
        answer = await pop.call(call, model, **more)
        async with asyncio.timeout(PATIENCE_S):
            await race.closed.wait()
        assert (len(one.asked), len(two.asked)) == (1, 1)
        slow, quick = race.order
        assert slow.body == quick.body
        own = parted(answer)[0] if "stream" in call else answer.body
        assert own == truth(quick).body
        again = await pop.call(call, model, **more)
        assert "hit" in cache_status(again)
        assert (len(one.asked), len(two.asked)) == (1, 1)


async def test_a_hedge_is_not_sent_once_an_answer_has_begun(pop: HardPop) -> None:
    go_on = asyncio.Event()

    async def play(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        pieces = truth(asked).pieces
        writer.write(head("content-type: text/event-stream", "transfer-encoding: chunked"))
        writer.write(chunk(pieces[0]))
        await go_on.wait()
        writer.write(b"".join(map(chunk, [*pieces[1:], b""])))
        return True

    async with upstream(play) as one, upstream(play) as two, pop.client() as client:
        model = pop.add(one.port, two.port, attempts=2, hedge_after_s=0.05)
        await client.send(pop.post(CHAT, body_of("chat stream", model, **USAGE)))
        await client.until(b"\n\n")
        begun = time.monotonic()
        while time.monotonic() < begun + 0.2:
            assert (await pop.call("chat", "echo", max_tokens=1)).status == 200
        go_on.set()
        assert parted(await client.answer("POST"))[0]
        assert len(one.asked) + len(two.asked) == 1
