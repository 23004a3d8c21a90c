"""More connections than anybody needs, and more than the machine has descriptors for."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from littoral.terms.limits import CONNECTIONS_MAX
from tests.hardening.neighbours import undisturbed
from tests.hardening.pops import CALLS, HardPop, body_of, check_error, hard_pop
from tests.hardening.upstreams import upstream
from tests.web.raw import PATIENCE_S, get

IDLE_BYTES_MAX = 12 * 1024
"""Of the PoP's memory for one idle connection; measured at about 1.5 KB."""

ROOM = 10
"""Places that are not taken by idle connections."""

BESIDE = 2
"""Places of these that the keeper and the stream beside it have."""

OTHERS = 4
"""Descriptors of the PoP beside those of idle connections: the two, and their upstreams'."""

FILES_MAX = 96
FILES_SPARE = 500
"""For everything in this process that is no idle connection."""


@pytest.fixture
def files() -> Iterator[int]:
    """Let this process open as many files as it ever may; how many those are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def healthy(pop: HardPop) -> None:
    async with pop.client() as client:
        assert (await client.ask(get("/healthz"))).status == 200


@contextlib.asynccontextmanager
async def idle(pop: HardPop, count: int) -> AsyncIterator[list[socket.socket]]:
    """So many connections, all of them taken, on which nothing is said."""
    opened: list[socket.socket] = []
    try:
        while len(opened) < count:
            more = min(500, count - len(opened))
            opened += [socket.create_connection(("127.0.0.1", pop.port)) for _ in range(more)]
            await healthy(pop)  # they are taken in order: those before it are taken
        yield opened
    finally:
        for each in opened:
            each.close()


async def check_full(pop: HardPop) -> None:
    """The places that are left are given, each once; whoever comes after them is told."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(ROOM - BESIDE):
            client = await stack.enter_async_context(pop.client())
            assert (await client.ask(get("/healthz"))).status == 200
        for _ in range(20):
            async with pop.client() as refused:
                answer = await refused.answer()
                assert answer.status == 503
                assert check_error("/", answer)["code"] == "machine_overloaded"
                assert int(answer.headers["retry-after"]) > 0
                assert await refused.until_closed() == b""


async def test_ten_thousand_idle_connections_cost_little_and_disturb_nobody(
    tmp_path: Path, files: int
) -> None:
    """As many as the system grants descriptors for, where it grants fewer."""
    most = min(CONNECTIONS_MAX, files - FILES_SPARE)
    with hard_pop(tmp_path, "--connections-max", str(most)) as pop:
        await pop.check_alive()
        before, before_files = pop.memory_bytes(), pop.descriptors()
        async with undisturbed(pop), pop.client() as keeper:
            assert (await keeper.ask(get("/healthz"))).status == 200
            async with idle(pop, most - ROOM):
                assert (pop.memory_bytes() - before) / most < IDLE_BYTES_MAX
                await pop.descriptors_at_most(before_files + most - ROOM + OTHERS)
                answer = await keeper.ask(
                    pop.post(CALLS["chat"][0], body_of("chat", "echo", max_tokens=4)), "POST"
                )
                assert answer.status == 200
                await check_full(pop)
                began_s = pop.cpu_s()
                await asyncio.sleep(0.5)
                assert pop.cpu_s() - began_s < 0.4, "idle connections keep a processor busy"
            await pop.descriptors_at_most(before_files + 8)
            await healthy(pop)


@pytest.fixture
def pop(tmp_path: Path) -> Iterator[HardPop]:
    with hard_pop(tmp_path, files_max=FILES_MAX) as running:
        yield running


async def test_a_model_that_can_not_be_started_for_want_of_descriptors_is_said_so(
    pop: HardPop,
) -> None:
    """Starting an engine reads files; what fails there ends the start, not the PoP."""
    async with pop.client() as keeper:
        ask = pop.post(CALLS["chat"][0], body_of("chat", "echo", max_tokens=4))
        assert (await keeper.ask(get("/healthz"))).status == 200
        with pop.without_descriptors():
            answer = await keeper.ask(ask, "POST")
            assert answer.status == 503
            assert check_error(CALLS["chat"][0], answer)["code"] == "engine_start_failed"
        async with upstream() as good:  # `echo` itself is tried again after some seconds
            assert (await pop.call("chat", pop.add(good.port))).status == 200


async def test_a_pop_without_descriptors_goes_on_and_recovers(pop: HardPop, files: int) -> None:
    async with upstream() as good, pop.client() as keeper, undisturbed(pop):
        model = pop.add(good.port)
        assert (await keeper.ask(get("/healthz"))).status == 200
        for _ in range(5):
            crowd = [socket.create_connection(("127.0.0.1", pop.port)) for _ in range(300)]
            try:
                assert (await keeper.ask(get("/healthz"))).status == 200
                for call in ("chat", "messages stream"):
                    ask = pop.post(CALLS[call][0], body_of(call, model))
                    answer = await keeper.ask(ask, "POST")
                    assert answer.status in {200, 502, 503}, answer
                    if answer.status != 200:
                        check_error(CALLS[call][0], answer)
                began_s = pop.cpu_s()
                await asyncio.sleep(0.3)
                assert pop.cpu_s() - began_s < 0.25, "waiting for a descriptor keeps it busy"
            finally:
                for each in crowd:
                    each.close()
            await pop.descriptors_at_most(FILES_MAX // 2)
            await healthy(pop)
            async with asyncio.timeout(PATIENCE_S):
                while (await pop.call("chat", model)).status != 200:
                    await asyncio.sleep(0.05)
    assert len(pop.log.read_text().splitlines()) < 100
