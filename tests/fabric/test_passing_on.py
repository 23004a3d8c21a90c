"""A request that one PoP passes on to another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.certificates import Authority
from tests.fabric.pops import FAR, FAR_ECHO, Side, side
from tests.hardening.pops import CALLS, body_of


@asynccontextmanager
async def two(tmp_path: Path) -> AsyncIterator[tuple[Side, Side]]:
    """A gateway, and the PoP that answers for it."""
    authority = Authority(tmp_path)
    async with (
        side(tmp_path / "gateway", authority) as gateway,
        side(tmp_path / "serving", authority) as serving,
    ):
        serving.add(FAR_ECHO)
        gateway.offer(serving.target())
        yield gateway, serving


async def test_every_api_is_answered_as_the_other_pop_answers_it(tmp_path: Path) -> None:
    async with two(tmp_path) as (gateway, serving):
        for call, (path, _) in CALLS.items():
            body = body_of(call, FAR)
            here, there = await gateway.ask(path, body), await serving.ask(path, body)
            assert here.status == there.status == 200, (call, here, there)
            assert here.headers["littoral-source"] == "neighbour", call
            assert here.headers["littoral-pop"] == gateway.pop.pop_id
            assert there.headers["littoral-source"] == "echo"
            assert here.headers["content-type"] == there.headers["content-type"]
