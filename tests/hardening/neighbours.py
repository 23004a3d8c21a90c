"""Another client's stream that goes on while a PoP is treated badly, and must notice nothing."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from littoral.trust.receipts import FRAME_START
from tests.hardening.pops import HardPop, body_of
from tests.hardening.upstreams import Asked, chunk, head, upstream
from tests.web.fake_door import DONE, sse
from tests.web.raw import PATIENCE_S

__all__ = ["undisturbed"]

PAUSE_S = 0.01
"""Between two events, as a model makes tokens."""

DELAY_MAX_S = 2.5
"""For one event, on a machine that does much else; without a neighbour's harm it is under 10 ms."""


def _event(number: int, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": f" {number}"}, "finish_reason": finish}
    return sse({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]})


@asynccontextmanager
async def undisturbed(pop: HardPop) -> AsyncIterator[None]:
    """A stream that runs from before what is done inside to after it, whole and in time."""
    sent: list[tuple[float, bytes]] = []
    begun, over = asyncio.Event(), asyncio.Event()

    async def play(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        writer.write(head("content-type: text/event-stream", "transfer-encoding: chunked"))
        while not over.is_set() or len(sent) < 3:
            sent.append((time.perf_counter(), _event(len(sent))))
            writer.write(chunk(sent[-1][1]))
            begun.set()
            await asyncio.sleep(PAUSE_S)
        for last in (_event(len(sent), "stop"), DONE):
            sent.append((time.perf_counter(), last))
            writer.write(chunk(last))
        writer.write(chunk(b""))
        return True

    async with upstream(play) as good, pop.client() as client:
        model = pop.add(good.port)
        await client.send(pop.post("/v1/chat/completions", body_of("chat stream", model)))
        reading = asyncio.ensure_future(_read(client.reader))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await begun.wait()
            yield
            over.set()
            async with asyncio.timeout(PATIENCE_S):
                arrived = await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
    body = b"".join(data for _, data in arrived)
    truth = b"".join(data for _, data in sent)
    assert body.startswith(truth), "the bytes of another stream were changed"
    assert not body[len(truth) :] or body[len(truth) :].startswith(FRAME_START)
    _check_delays(sent, arrived)


def _check_delays(sent: list[tuple[float, bytes]], arrived: list[tuple[float, bytes]]) -> None:
    """Each event came soon after it was sent."""
    ends, total = iter(arrived), 0
    moment, have = next(ends)[0], len(arrived[0][1])
    for sent_at, data in sent:
        total += len(data)
        while have < total:
            moment, more = next(ends)
            have += len(more)
        assert moment - sent_at < DELAY_MAX_S, "another stream was held up"


async def _read(reader: asyncio.StreamReader) -> list[tuple[float, bytes]]:
    """The chunks of one answer, and when each was there."""
    answer_head = await reader.readuntil(b"\r\n\r\n")
    assert answer_head.startswith(b"HTTP/1.1 200 "), answer_head
    assert b"transfer-encoding: chunked" in answer_head.lower()
    chunks: list[tuple[float, bytes]] = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        data = (await reader.readexactly(size + 2))[:-2]
        chunks.append((time.perf_counter(), data))
    await reader.readexactly(2)
    return chunks
