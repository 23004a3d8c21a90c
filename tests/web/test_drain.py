"""Stopping: answers end, the rest is cut, nothing remains."""

import asyncio
import json
import socket

import h11
import pytest

from littoral.adapters.clock import SystemClock
from littoral.web.http import HttpBounds, Request, Responder
from littoral.web.listener import Bind, listening
from littoral.web.service import Answers
from tests.web.raw import PATIENCE_S, echo, get, post, serving


async def test_an_answer_under_way_ends_and_then_the_connection() -> None:
    begun, proceed = asyncio.Event(), asyncio.Event()

    async def work(request: Request, responder: Responder) -> None:
        begun.set()
        await proceed.wait()
        await responder.send(200, {}, b"done")

    async with serving(work) as served:
        client = await served.client()
        await client.send(get())
        await begun.wait()
        draining = asyncio.ensure_future(served.server.drain(PATIENCE_S))
        await asyncio.sleep(0)
        proceed.set()
        answer = await client.answer()
        async with asyncio.timeout(PATIENCE_S):
            await draining
        assert (answer.body, answer.headers["connection"]) == (b"done", "close")
        assert served.server.connections == 0


async def test_idle_connections_close_and_no_new_one_is_accepted() -> None:
    async with serving(echo) as served:
        client = await served.client()
        assert (await client.ask(get())).status == 200
        async with asyncio.timeout(PATIENCE_S / 2):
            await served.server.drain(PATIENCE_S)
        assert await client.until_closed() == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(served.host, served.port)


async def test_a_request_half_sent_is_told_that_the_pop_stops() -> None:
    async with serving(echo) as served:
        client = await served.client()
        await client.send(post(b"x" * 100)[:-50])
        while not served.server.connections:
            await asyncio.sleep(0)
        await client.send(b"y")
        draining = asyncio.ensure_future(served.server.drain(PATIENCE_S))
        answer = await client.answer("POST")
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (503, "draining")
        async with asyncio.timeout(PATIENCE_S):
            await draining


async def test_what_does_not_end_in_time_is_cut_honestly(monkeypatch: pytest.MonkeyPatch) -> None:
    # So that a connection which waits to be aborted, instead of closing by itself, is seen.
    monkeypatch.setattr("littoral.web.listener._LAST_WORDS_S", 10 * PATIENCE_S)
    begun = asyncio.Semaphore(0)

    async def waits(request: Request, responder: Responder) -> None:
        if request.path == "/stream":
            await responder.start(200, {})
            await responder.write(b"half")
        begun.release()
        await asyncio.Event().wait()

    async with serving(waits) as served:
        silent, streaming = await served.client(), await served.client()
        await silent.send(get("/silent"))
        await streaming.send(get("/stream"))
        for _ in range(2):
            await begun.acquire()
        async with asyncio.timeout(PATIENCE_S):
            await served.server.drain(0.01)
        answer = await silent.answer()
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (503, "draining")
        with pytest.raises(h11.RemoteProtocolError):
            await streaming.answer()
        assert served.server.connections == 0
        assert not served.defects


async def test_nothing_remains_when_the_context_is_left_without_a_drain() -> None:
    before = asyncio.all_tasks()

    async def forever(request: Request, responder: Responder) -> None:
        await asyncio.Event().wait()

    async with serving(forever) as served:
        clients = [await served.client() for _ in range(5)]
        for client in clients:
            await client.send(get())
        while len(asyncio.all_tasks()) < len(before) + 6:
            await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", served.port))


async def test_an_error_inside_the_context_comes_out_as_it_is() -> None:
    with pytest.raises(LookupError, match="mine"):
        async with serving(echo):
            raise LookupError("mine")


async def test_cancelling_the_owner_ends_the_server() -> None:
    up = asyncio.Event()

    async def own() -> None:
        server = listening(
            Answers(echo), Bind(), HttpBounds(), clock=SystemClock(), on_defect=lambda _: None
        )
        async with server:
            up.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(own())
    await up.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
