"""Upstreams that fail where another try is allowed: no answer is doubled, mixed or repeated."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.hardening.pops import CALLS, HardPop, hard_pop
from tests.hardening.test_lying_upstreams import CLOSES, STAYS, WELL_FRAMED, check_told
from tests.hardening.upstreams import Asked, chunk, head, truth, upstream, well

ATTEMPTS = 3
STREAMS = [call for call in CALLS if call.endswith("stream")]
LIES = CLOSES | STAYS | WELL_FRAMED
SOME = (
    "no answer", "half a status line", "half a body", "half a chunk", "a negative length",
    "no number for a chunk's size", "TLS", "gzip", "null", "a redirect", "an endless head",
)  # fmt: skip


@pytest.fixture(scope="module")
def pop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HardPop]:
    with hard_pop(tmp_path_factory.mktemp("attempts")) as running:
        yield running


@pytest.mark.parametrize("name", SOME)
async def test_an_upstream_that_lies_once_is_told_of_or_asked_again(
    pop: HardPop, name: str
) -> None:
    """What the client gets is the whole right answer or an error, and never some of each."""
    lied: set[str] = set()

    async def once(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        kind = f"{asked.path} {asked.streams}"
        if kind in lied:
            return await well(asked, writer)
        lied.add(kind)
        writer.write(LIES[name](truth(asked)))
        return name not in CLOSES

    async with upstream(once) as lying:
        model = pop.add(lying.port, attempts=ATTEMPTS)
        for call in ("chat", "chat stream", "completion", "embedding"):
            right = b"0.6" if call == "embedding" else b"Paris"
            answer = await pop.call(call, model)
            if answer.status == 200 and b'"error"' not in answer.body:
                assert answer.body.count(right) == 1
                assert call != "chat stream" or answer.body.count(b"[DONE]") == 1
            else:
                check_told(call, answer)
        assert len(lying.asked) <= ATTEMPTS * 4


@pytest.mark.parametrize("call", STREAMS)
async def test_after_the_first_byte_nobody_is_asked_again(pop: HardPop, call: str) -> None:
    async def begin(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        writer.write(head("content-type: text/event-stream", "transfer-encoding: chunked"))
        writer.write(b"".join(map(chunk, truth(asked).pieces[:3])))
        await writer.drain()
        await asyncio.sleep(0.02)  # so that the end comes by itself
        return False

    async with upstream(begin) as breaking:
        model = pop.add(breaking.port, attempts=ATTEMPTS)
        answer = await pop.call(call, model)
        assert len(breaking.asked) == 1
    assert answer.status == 200
    # A response that failed says once more how far it had come.
    assert answer.body.count(b"Paris") == (2 if call == "responses stream" else 1)
    check_told(call, answer)


@pytest.mark.parametrize("call", CALLS)
async def test_an_upstream_that_always_fails_is_asked_a_bounded_number_of_times(
    pop: HardPop, call: str
) -> None:
    async def drop(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        return False

    async with upstream(drop) as failing:
        model = pop.add(failing.port, attempts=ATTEMPTS)
        answer = await pop.call(call, model)
        # A connection kept from before that turns out to be closed is no attempt.
        assert 1 <= len(failing.asked) <= ATTEMPTS + 1
    check_told(call, answer)
