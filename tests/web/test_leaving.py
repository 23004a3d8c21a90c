"""A client that leaves stops the work at once, whatever the work is doing."""

import asyncio
import time

import pytest

from littoral.web.http import Request, Responder
from tests.web.raw import PATIENCE_S, Served, get, post, serving

PROMISE_S = 0.010


class Work:
    """A handler that says when it started and when it was stopped."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.stopped = asyncio.Event()
        self.stopped_at = 0.0

    async def wait(self, request: Request, responder: Responder) -> None:
        await self._until_stopped(asyncio.Event().wait())

    async def stream(self, request: Request, responder: Responder) -> None:
        await responder.start(200, {})
        await responder.write(b"first")
        await self._until_stopped(asyncio.Event().wait())

    async def flood(self, request: Request, responder: Responder) -> None:
        await responder.start(200, {})

        async def write() -> None:
            while True:
                async with asyncio.timeout(PATIENCE_S):
                    await responder.write(b"x" * 65536)

        await self._until_stopped(write())

    async def _until_stopped(self, work: object) -> None:
        self.begun.set()
        try:
            await work  # type: ignore[misc]  # any awaitable
        finally:
            self.stopped_at = time.monotonic()
            self.stopped.set()


async def until_stuck(served: Served) -> None:
    """Return when the only client has taken nothing for many turns of the loop."""
    connection = next(iter(served.server._service.connections))
    turns = 0
    while turns < 100:
        await asyncio.sleep(0)
        paused = connection._writing_paused is not None  # type: ignore[attr-defined]  # real class
        turns = turns + 1 if paused else 0


@pytest.mark.parametrize("kind", ["wait", "stream", "flood"])
@pytest.mark.parametrize("way", ["closing", "resetting", "shutting down"])
async def test_the_handler_is_cancelled_within_ten_milliseconds(kind: str, way: str) -> None:
    taken: list[float] = []
    for _ in range(5):
        work = Work()
        async with serving(getattr(work, kind)) as served:
            client = await served.client(limit=1024)
            await client.send(post(b"a prompt"))
            async with asyncio.timeout(PATIENCE_S):
                await work.begun.wait()
                if kind == "flood":
                    await until_stuck(served)
                left_at = time.monotonic()
                match way:
                    case "closing":
                        client.writer.close()
                    case "resetting":
                        client.leave()
                    case _:
                        client.writer.write_eof()
                await work.stopped.wait()
            taken.append(work.stopped_at - left_at)
            assert not served.defects
    assert min(taken) < PROMISE_S


async def test_a_request_whose_client_has_left_already_never_begins_or_is_cancelled() -> None:
    bodies: list[int] = []

    async def never(request: Request, responder: Responder) -> None:
        await asyncio.Event().wait()

    async with serving(never) as served:
        for _ in range(50):
            client = await served.client()
            client.writer.write(post(b"x" * 100))
            client.writer.close()
        async with asyncio.timeout(PATIENCE_S):
            await served.server._service.all_gone.wait()
        bodies.append(served.server._service.bodies_bytes)
    assert bodies == [0]


async def test_writing_to_a_client_that_left_is_no_defect() -> None:
    left = asyncio.Event()
    tried = asyncio.Event()

    async def stubborn(request: Request, responder: Responder) -> None:
        try:
            await responder.start(200, {})
            await asyncio.Event().wait()
        finally:
            left.set()
            try:
                await responder.write(b"still here?")
            except ConnectionResetError:
                tried.set()
                raise

    async with serving(stubborn) as served:
        client = await served.client()
        await client.send(get())
        await client.reader.readuntil(b"\r\n\r\n")
        client.leave()
        async with asyncio.timeout(PATIENCE_S):
            await tried.wait()
            await served.server._service.all_gone.wait()
        assert not served.defects


async def test_others_go_on_when_one_leaves() -> None:
    proceed = asyncio.Event()

    async def work(request: Request, responder: Responder) -> None:
        await responder.start(200, {})
        await responder.write(b"a")
        await proceed.wait()
        await responder.write(b"b")
        await responder.end()

    async with serving(work) as served:
        clients = [await served.client() for _ in range(10)]
        for client in clients:
            await client.send(get())
        for client in clients[::2]:
            await client.reader.readuntil(b"a\r\n")
            client.leave()
        proceed.set()
        for client in clients[1::2]:
            assert (await client.answer()).body == b"ab"
