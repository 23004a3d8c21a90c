"""Requests under way at a PoP that seems gone: they end only where it does not answer itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from littoral.adapters.upstreams.upstreams import Upstreams
from littoral.node.fabric import parting
from littoral.node.fabric.parting import Parting
from littoral.node.fabric.relaying import Relaying
from littoral.routing.fleet import Fleet, Known, PopState
from littoral.terms.errors import UpstreamFailedError
from littoral.terms.ids import PopId
from littoral.terms.values import Instant
from littoral.trust.members import Member
from tests.fabric_made import Pop

POP = Pop(1)


class Both:
    """Stands in for the ways of requests, one's own and those passed on, and of questions."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.answers = True
        self.asked = asyncio.Semaphore(0)

    def lose(self, pop: PopId, why: str, silent_s: float = 0) -> None:
        self.told.append(f"{why}, {silent_s:g} s")

    def regain(self, pop: PopId) -> None:
        self.told.append(f"{pop} is back")

    def cut(self, pop: PopId) -> None:
        self.told.append(f"{pop} was cut")

    async def ping(self, _: Known) -> None:
        self.asked.release()
        if not self.answers:
            raise UpstreamFailedError("it does not answer")


def fleet(*, alive: bool) -> Fleet:
    state = PopState(POP.id, 1, 1, url="https://10.0.0.1:7401")
    return Fleet({POP.id: Known(Member.of_name(POP.name()), state, Instant(0), alive)})


@asynccontextmanager
async def seen(both: Both) -> AsyncIterator[Parting]:
    """A PoP that was seen, and is watched."""
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        made = Parting(cast("Upstreams", both), cast("Relaying", both), both.ping, tasks)
        made.look(fleet(alive=True))
        both.told.clear()
        yield made
        made.close()


async def test_what_is_under_way_at_one_that_answers_goes_on_until_it_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parting, "STILL_S", 0.05)
    both = Both()
    async with seen(both) as watched:
        watched.look(fleet(alive=False))
        await both.asked.acquire()
        await both.asked.acquire()
        assert not both.told
        both.answers = False
        while not both.told:
            await both.asked.acquire()
            await asyncio.sleep(0)
    assert both.told == 2 * [f"{POP.id} is gone, 0.05 s"]


async def test_nobody_is_asked_any_more_once_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parting, "STILL_S", 0.05)
    both = Both()
    async with seen(both) as watched:
        watched.look(fleet(alive=False))
        await both.asked.acquire()
        watched.look(fleet(alive=True))
        assert both.told == 2 * [f"{POP.id} is back"]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await both.asked.acquire()


async def test_of_one_that_is_no_member_any_more_or_shut_out_it_ends_without_a_question() -> None:
    both = Both()
    async with seen(both) as watched:
        watched.look(Fleet({}))
        watched.shut_out([POP.id])
    assert both.told == [
        *2 * [f"{POP.id} is gone, 1 s"],
        f"{POP.id} was shut out, 0 s",
        f"{POP.id} was cut",
    ]
    assert both.asked.locked()
