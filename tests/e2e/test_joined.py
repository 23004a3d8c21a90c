"""Who asks what is being answered already gets the same bytes, whenever they come to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from littoral.trust.receipts import FRAME_START, stated
from tests.hardening.native import native, native_truth
from tests.hardening.pops import CALLS, HardPop, body_of, cache_status, hard_pop, parted
from tests.hardening.upstreams import Asked, Upstream, chunk, head, upstream
from tests.web.fake_door import WORDS
from tests.web.raw import Answer, Client

NATIVE = ("messages", "responses")
STREAMS = [
    ("chat stream", ()),
    ("completion stream", ()),
    ("messages stream", ()),
    ("messages stream", NATIVE),
    ("responses stream", ()),
    ("responses stream", NATIVE),
]
"""A call, and what the upstream speaks: what it does not speak is translated."""
MARKS = [json.dumps(word).encode() for word in WORDS]
"""Each word of the answer, as it stands in an event of any API."""
OWN = {
    "age",
    "cache-control",
    "cache-status",
    "date",
    "littoral-cache-key",
    "littoral-pop",
    "littoral-receipt",
    "littoral-salt",
    "littoral-source",
    "request-id",
    "x-request-id",
}
"""Header fields in which the answers to two requests differ."""


@pytest.fixture(scope="module")
def pop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HardPop]:
    with hard_pop(tmp_path_factory.mktemp("joined")) as running:
        yield running


@asynccontextmanager
async def word_by_word(*, whole: bool = True) -> AsyncIterator[tuple[Upstream, asyncio.Semaphore]]:
    """An upstream that waits for a word from the test before each of its own, and before the rest.

    If it is not whole, the connection is closed there instead.
    """
    go_on = asyncio.Semaphore(0)

    async def play(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        pieces = native_truth(asked).pieces
        (*_, last) = [at for at, piece in enumerate(pieces) if any(map(piece.__contains__, MARKS))]
        writer.write(head("content-type: text/event-stream", "transfer-encoding: chunked"))
        for at, piece in enumerate(pieces):
            if any(map(piece.__contains__, MARKS)) or at == last + 1:
                await go_on.acquire()
            if at > last and not whole:
                return False
            writer.write(chunk(piece))
        writer.write(chunk(b""))
        return True

    async with upstream(play) as running:
        yield running, go_on


@asynccontextmanager
async def joining_at_every_word(
    pop: HardPop, running: Upstream, go_on: asyncio.Semaphore, call: str, model: str
) -> AsyncIterator[list[Client]]:
    """Clients of one answer, which lacks its end: two from its beginning, then one at each word."""
    request = pop.post(CALLS[call][0], body_of(call, model, temperature=0))
    async with AsyncExitStack() as stack:
        clients: list[Client] = []

        async def join() -> None:
            clients.append(await stack.enter_async_context(pop.client()))
            await clients[-1].send(request)

        await join()
        await running.until_asked(1)
        await join()
        for mark in MARKS:
            go_on.release()
            for client in clients:
                await client.until(mark)
            await join()
            await clients[-1].until(mark)  # all there is by now, with the answer still under way
        go_on.release()
        yield clients


def fields(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in OWN}


@pytest.mark.parametrize(("call", "spoken"), STREAMS)
async def test_who_joins_a_stream_at_any_word_gets_all_the_bytes_of_the_first(
    pop: HardPop, call: str, spoken: tuple[str, ...]
) -> None:
    async with word_by_word() as (running, go_on):
        model = pop.add(running.port, native=spoken)
        async with joining_at_every_word(pop, running, go_on, call, model) as clients:
            first, *others = [await client.answer("POST") for client in clients]
        assert len(running.asked) == 1
    own, receipt = parted(first)
    assert all(mark in own for mark in MARKS)
    receipts = [stated(receipt)]
    for each in others:
        theirs, receipt = parted(each)
        assert theirs == own
        assert fields(each) == fields(first)
        assert each.headers["cache-status"] == "littoral; fwd=miss; collapsed"
        receipts.append(stated(receipt))
        assert receipts[-1].origin == receipts[0].rid
        assert receipts[-1].rid == each.headers["littoral-receipt"]
    assert receipts[0].origin is None
    assert len({each.rid for each in receipts}) == len(receipts)


def own_id_left_out(answer: Answer) -> bytes:
    """Anthropic's errors name the request."""
    return answer.body.replace(answer.headers["x-request-id"].encode(), b"")


@pytest.mark.parametrize(("call", "spoken"), STREAMS)
async def test_who_joined_a_stream_that_breaks_off_hears_of_it_as_the_first_does(
    pop: HardPop, call: str, spoken: tuple[str, ...]
) -> None:
    async with word_by_word(whole=False) as (running, go_on):
        model = pop.add(running.port, native=spoken)
        async with joining_at_every_word(pop, running, go_on, call, model) as clients:
            first, *others = [await client.answer("POST") for client in clients]
        assert len(running.asked) == 1
    assert b'"error"' in first.body
    for each in (first, *others):
        assert FRAME_START not in each.body
        assert own_id_left_out(each) == own_id_left_out(first)


@pytest.mark.parametrize("call", ["chat", "completion", "embedding", "messages", "responses"])
@pytest.mark.parametrize("spoken", [(), NATIVE], ids=["translated", "native"])
async def test_who_joins_an_answer_in_one_piece_gets_the_same_one(
    pop: HardPop, call: str, spoken: tuple[str, ...]
) -> None:
    go_on = asyncio.Event()

    async def play(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        await go_on.wait()
        return await native(asked, writer)

    async with upstream(play) as running:
        model = pop.add(running.port, native=spoken)
        asking = [asyncio.create_task(pop.call(call, model, temperature=0)) for _ in range(8)]
        await running.until_asked(1)
        late = asyncio.create_task(pop.call(call, model, temperature=0))
        go_on.set()
        answers = await asyncio.gather(*asking, late)
        assert len(running.asked) == 1
    (first,) = [each for each in answers if each.headers["littoral-source"] == "upstream"]
    for each in answers:
        assert json.loads(each.body) == json.loads(first.body)
        if call != "embedding" or "hit" not in cache_status(each):  # put together of vectors
            assert each.body == first.body
            assert fields(each) == fields(first)
        if each is not first:
            assert (await pop.receipt(each)).origin == first.headers["littoral-receipt"]
