"""Upstreams that begin well: what broke off is said at the end of a stream, in the API's form."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hardening.neighbours import undisturbed
from tests.hardening.pops import CALLS, HardPop, check_error, hard_pop
from tests.hardening.test_lying_upstreams import check_failed, check_told
from tests.hardening.upstreams import Asked, Play, chunk, head, plain, truth, upstream, well
from tests.web.fake_door import DONE

MEGABYTE = 2**20
STREAMS = [call for call in CALLS if call.endswith("stream")]
WHOLE = [call for call in CALLS if not call.endswith("stream")]
SOON_S = 0.15
APART_S = 0.02
"""Between two writes that should be two reads: no test fails when they become one."""

IN_CHUNKS = head("content-type: text/event-stream", "transfer-encoding: chunked")


@pytest.fixture(scope="module")
def pop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HardPop]:
    with hard_pop(tmp_path_factory.mktemp("broken")) as running:
        yield running


class Begins:
    """Writes the head and the first events of the right stream, then what a test says."""

    def __init__(self, then: bytes = b"", *, closes: bool = False, events: int = 3) -> None:
        self.then = then
        self.closes = closes
        self.events = events

    async def __call__(self, asked: Asked, writer: asyncio.StreamWriter) -> bool:
        begun = truth(asked).pieces[: self.events]
        writer.write(IN_CHUNKS + b"".join(map(chunk, begun)))
        await writer.drain()
        await asyncio.sleep(APART_S)
        writer.write(self.then)
        return not self.closes


async def check_broken(pop: HardPop, play: Begins) -> None:
    """Every kind of stream, and what is folded from one, ends in an error that says so."""
    calls = [call for call in CALLS if call.endswith("stream") or call in {"messages", "responses"}]
    async with upstream(play) as breaking:
        model = pop.add(breaking.port)
        async with undisturbed(pop):
            answers = await asyncio.gather(*[pop.call(call, model) for call in calls])
    for call, answer in zip(calls, answers, strict=True):
        check_told(call, answer)


@pytest.mark.parametrize(
    "play",
    [
        pytest.param(Begins(closes=True), id="closes"),
        pytest.param(Begins(b"40\r\ndata: {", closes=True), id="closes in the middle of a chunk"),
        pytest.param(Begins(b"0\r\n\r\n"), id="ends without having finished"),
        pytest.param(Begins(b"0\r\n", closes=True), id="closes before its very end"),
        pytest.param(Begins(b"zz\r\n"), id="sends no size"),
        pytest.param(Begins(b"-1\r\n"), id="sends a negative size"),
        pytest.param(Begins(b"\r\n\r\n"), id="sends empty lines for a size"),
        pytest.param(Begins(b"3\r\nabcdef\r\n"), id="sends a chunk over its size"),
        pytest.param(Begins(head("content-length: 2") + b"{}"), id="begins another answer"),
        pytest.param(
            Begins(chunk(b"data: " + b"x" * 5 * MEGABYTE)), id="sends an event over the bound"
        ),
        pytest.param(
            Begins(chunk(b'data: {"error":{"message":"out of memory","code":500}}\n\n')),
            id="says that it failed",
        ),
    ],
)
async def test_a_stream_whose_upstream(pop: HardPop, play: Begins) -> None:
    await check_broken(pop, play)


async def silent(asked: Asked, writer: asyncio.StreamWriter) -> bool:
    return True


async def only_a_head(asked: Asked, writer: asyncio.StreamWriter) -> bool:
    writer.write(IN_CHUNKS)
    return True


async def a_slow_head(asked: Asked, writer: asyncio.StreamWriter) -> bool:
    """Bytes come all the time, and never one of the answer itself."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.transport.is_closing():
        writer.write(b"a: b\r\n")
        await asyncio.sleep(APART_S)
    return False


async def announcements(asked: Asked, writer: asyncio.StreamWriter) -> bool:
    while not writer.transport.is_closing():
        writer.write(head(status="102 Processing"))
        await asyncio.sleep(APART_S)
    return False


async def comments(asked: Asked, writer: asyncio.StreamWriter) -> bool:
    """A stream that begins, and then says nothing for ever."""
    writer.write(IN_CHUNKS + b"".join(map(chunk, truth(asked).pieces[:3])))
    while not writer.transport.is_closing():
        writer.write(chunk(b": still there\n\n"))
        await asyncio.sleep(APART_S)
    return False


@pytest.mark.parametrize("play", [silent, only_a_head, a_slow_head, announcements])
async def test_an_upstream_that_answers_nothing_is_given_up_in_time(
    pop: HardPop, play: Play
) -> None:
    async with upstream(play) as waiting, asyncio.timeout(1.5):
        model = pop.add(waiting.port, first_byte_s=SOON_S)
        async with undisturbed(pop):
            answers = await asyncio.gather(*[pop.call(call, model) for call in CALLS])
        waiting.check_used_once()
    for call, answer in zip(CALLS, answers, strict=True):
        assert answer.status == 504
        assert check_error(CALLS[call][0], answer)["code"] == "upstream_timeout"


@pytest.mark.parametrize(
    ("waits", "play"), [("between_bytes_s", Begins()), ("total_s", Begins()), ("total_s", comments)]
)
async def test_an_upstream_that_comes_to_no_end_is_given_up_in_time(
    pop: HardPop, waits: str, play: Play
) -> None:
    async with upstream(play) as stalling, asyncio.timeout(1.5):
        policy: dict[str, Any] = {waits: SOON_S}
        model = pop.add(stalling.port, **policy)
        async with undisturbed(pop):
            answers = await asyncio.gather(*[pop.call(call, model) for call in STREAMS])
        stalling.check_used_once()
    for call, answer in zip(STREAMS, answers, strict=True):
        assert answer.status == 200
        check_told(call, answer)


async def test_an_upstream_that_trickles_for_ever_is_left_when_its_client_leaves(
    pop: HardPop,
) -> None:
    gone = asyncio.Event()

    async def trickle(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        writer.write(IN_CHUNKS)
        try:
            while True:
                writer.write(chunk(truth(asked).pieces[1]))
                await writer.drain()
                await asyncio.sleep(0.001)
                if writer.transport.is_closing():
                    return False
        finally:
            gone.set()

    async with upstream(trickle) as endless:
        model = pop.add(endless.port)
        async with pop.client() as client:
            path, body = CALLS["chat stream"]
            ask = json.dumps({"model": model, **body}).encode()
            await client.send(pop.post(path, ask))
            async with asyncio.timeout(5):
                await client.reader.readuntil(b"Paris")
                client.leave()
                await gone.wait()


@pytest.mark.parametrize("call", WHOLE)
async def test_bytes_behind_an_answer_never_reach_the_next_request(pop: HardPop, call: str) -> None:
    """Whatever an upstream sends unasked is taken for nobody's answer."""
    poison = b'{"choices":[],"data":[],"object":"POISON"}'

    async def two_for_one(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        writer.write(plain(truth(asked)))
        writer.write(head(f"content-length: {len(poison)}", "content-type: application/json"))
        writer.write(poison)
        return True

    async with upstream(two_for_one) as lying:
        model = pop.add(lying.port)
        for _ in range(6):
            answer = await pop.call(call, model)
            assert answer.status == 200
            assert b"POISON" not in answer.body
        lying.check_used_once()


async def test_an_answer_that_nobody_asked_for_is_nobodys(pop: HardPop) -> None:
    """It is sent later, while the connection rests."""

    async def and_then(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        await well(asked, writer)
        await writer.drain()
        later.set()
        await go_on.wait()
        writer.write(head("content-length: 27") + b'{"choices":[],"x":"POISON"}')
        await writer.drain()
        sent.set()
        return True

    async with upstream(and_then) as lying:
        model = pop.add(lying.port)
        for _ in range(5):
            later, go_on, sent = asyncio.Event(), asyncio.Event(), asyncio.Event()
            answer = await pop.call("chat", model)
            assert b"POISON" not in answer.body
            assert b"Paris" in answer.body
            go_on.set()
            async with asyncio.timeout(5):
                await sent.wait()
        lying.check_used_once()


async def test_trailers_are_dropped_and_what_they_say_is_not_believed(pop: HardPop) -> None:
    trailers = b"0\r\nlittoral-receipt: forged\r\nx: y\r\n\r\n"

    async def trailing(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        true = truth(asked)
        writer.write(head(f"content-type: {true.type}", "transfer-encoding: chunked"))
        writer.write(chunk(true.body) + trailers)
        return True

    async with upstream(trailing) as odd:
        model = pop.add(odd.port)
        for call in CALLS:
            answer = await pop.call(call, model)
            assert answer.status == 200, call
            assert b"forged" not in answer.body
            assert "forged" not in str(answer.headers)


FORGED = (
    "littoral-receipt: forged", "littoral-pop: forged", "littoral-source: forged",
    "x-request-id: forged", "set-cookie: forged=1", "connection: x-forged, keep-alive",
    "x-forged: forged", "server: forged", "access-control-allow-origin: forged",
    "strict-transport-security: forged", "date: forged", "keep-alive: forged", "age: forged",
    "cache-status: forged", "www-authenticate: forged", "location: forged",
)  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
async def test_what_the_head_of_an_upstream_says_is_not_said_in_our_name(
    pop: HardPop, call: str
) -> None:
    async def forging(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        true = truth(asked)
        length = f"content-length: {len(true.body)}"
        writer.write(head(f"content-type: {true.type}", length, *FORGED) + true.body)
        return True

    async with upstream(forging) as lying:
        answer = await pop.call(call, pop.add(lying.port))
    assert answer.status == 200
    assert "forged" not in str(answer.headers)


@pytest.mark.parametrize("finished", [True, False])
async def test_a_missing_closing_mark_is_no_failure_once_the_answer_has_finished(
    pop: HardPop, finished: bool
) -> None:
    async def unclosed(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        pieces = [each for each in truth(asked).pieces if each != DONE]
        pieces = pieces if finished else pieces[:3]
        writer.write(IN_CHUNKS + b"".join(map(chunk, pieces)) + chunk(b""))
        return True

    async with upstream(unclosed) as short:
        model = pop.add(short.port)
        for call in STREAMS:
            answer = await pop.call(call, model)
            if finished:
                assert b'"error"' not in answer.body.replace(b'"error":null', b"")
            else:
                check_told(call, answer)


async def endless(asked: Asked, writer: asyncio.StreamWriter) -> bool:
    """A whole answer that never ends."""
    writer.write(head("content-type: application/json", "transfer-encoding: chunked"))
    piece = chunk(b" " * MEGABYTE)
    while not writer.transport.is_closing():
        writer.write(piece)
        await writer.drain()
    return False


async def test_a_closing_mark_of_an_answer_that_has_not_finished_is_no_defect(
    pop: HardPop,
) -> None:
    """OpenAI's own shape passes as it came; what must be translated can't be."""
    async with upstream(Begins(chunk(DONE) + chunk(b""))) as hasty:
        model = pop.add(hasty.port)
        for call in [*STREAMS, "messages", "responses"]:
            answer = await pop.call(call, model)
            if call.startswith(("messages", "responses")):
                check_failed(call, answer)
            else:
                assert answer.status == 200


async def test_an_endless_answer_is_refused_and_costs_bounded_memory(pop: HardPop) -> None:
    async with upstream(endless) as lying:
        model = pop.add(lying.port)
        with pop.grows_at_most(160 * MEGABYTE):  # 64 MB are taken; a whole one is joined
            async with undisturbed(pop):
                answer = await pop.call("chat", model)
    check_told("chat", answer)


async def test_endless_answers_at_once_cost_bounded_memory_together(pop: HardPop) -> None:
    async with upstream(endless) as lying:
        model = pop.add(lying.port)
        with pop.grows_at_most(320 * MEGABYTE):
            answers = await asyncio.gather(*[pop.call("chat", model) for _ in range(8)])
    assert {answer.status for answer in answers} <= {502, 503}


async def test_an_upstream_faster_than_its_client_is_held_back(pop: HardPop) -> None:
    sent = 0

    async def flood(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        nonlocal sent
        writer.write(IN_CHUNKS)
        event = truth(asked).pieces[1]
        piece = chunk(event * (65536 // len(event)))
        while sent < 256 * MEGABYTE and not writer.transport.is_closing():
            writer.write(piece)
            sent += len(piece)
            await writer.drain()
        return False

    async with upstream(flood) as fast, pop.client(limit=1024) as client:
        model = pop.add(fast.port)
        with pop.grows_at_most(32 * MEGABYTE):
            async with undisturbed(pop):
                path, body = CALLS["chat stream"]
                await client.send(pop.post(path, json.dumps({"model": model, **body}).encode()))
                before = -1
                async with asyncio.timeout(10):
                    while sent != before or not sent:
                        before = sent
                        await asyncio.sleep(0.1)
        assert sent < 64 * MEGABYTE  # mostly what the kernel's buffers took
