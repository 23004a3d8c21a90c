"""A server that opens the connections itself, and is asked over them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from littoral.adapters.http.held import Held, HeldHop, turned
from littoral.adapters.http.hop import Hop
from littoral.adapters.http.line import Dialler, Line
from littoral.adapters.http.watch import Watch
from littoral.adapters.http.words import (
    AnswerHead,
    ConnectFailedError,
    ConnectionLostError,
    Deadlines,
    HttpError,
    MalformedError,
    Origin,
    WaitedTooLongError,
)
from tests.web.raw import PATIENCE_S

TURN = b"POST /hold HTTP/1.1\r\nhost: x\r\nupgrade: it\r\n\r\n"
TURNED = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: it\r\n\r\n"
ASK = b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n"
SHORT = Deadlines(0.05, PATIENCE_S, PATIENCE_S)
LONG = Deadlines(PATIENCE_S, PATIENCE_S, PATIENCE_S)


class Asked:
    """Hears of one answer."""

    def __init__(self) -> None:
        self.body = b""
        self.over: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def head(self, head: AnswerHead) -> None:
        assert head.status == 200

    def data(self, data: bytes) -> None:
        self.body += data

    def end(self) -> None:
        self.over.set_result(self.body)

    def lost(self, error: HttpError) -> None:
        self.over.set_exception(error)

    async def answer(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.over


class Scene:
    """Who asks: it takes connections, and answers the request for the change with these bytes."""

    def __init__(self, tasks: asyncio.TaskGroup, answer: bytes) -> None:
        self.loop = asyncio.get_running_loop()
        self.watch = Watch(self.loop)
        self.held = Held()
        self.line = Line(Origin(), self.watch, tasks.create_task, held=self.held)
        self.answer = answer
        self.port = 0

    def ask(self, number: int, deadlines: Deadlines = LONG) -> Asked:
        asked = Asked()
        self.line.ask(ASK % number, b"", asked, deadlines)
        return asked

    async def opened(self) -> "Answering":
        """Another connection of the server's."""
        hop = await Dialler(Origin(host="127.0.0.1", port=self.port), self.watch, None).dial(5)
        transport, asked = await turned(hop, TURN, PATIENCE_S)
        answering = Answering(transport)
        transport.set_protocol(answering)
        if asked:
            answering.data_received(asked)
        return answering

    async def until(self, opened: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.held.open != opened:
                await asyncio.sleep(0.001)


class _Taking(asyncio.Protocol):
    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        scene, transport = self._scene, self._transport
        assert data == TURN
        transport.write(scene.answer)
        if scene.answer is not TURNED:
            return
        hop = HeldHop(scene.loop, scene.watch, scene.line, scene.held.gone)
        transport.set_protocol(hop)
        hop.connection_made(transport)
        scene.held.bring(hop)


class Answering(asyncio.Protocol):
    """Who answers, on one connection that it has opened."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.asked: list[bytes] = []
        self.waits = False
        """Answer nothing by itself."""

    def data_received(self, data: bytes) -> None:
        self.asked.append(data.split()[1])
        if not self.waits:
            self.say(self.asked[-1])

    def say(self, body: bytes) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    async def until(self, asked: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.asked) < asked:
                await asyncio.sleep(0.001)


@asynccontextmanager
async def scene(answer: bytes = TURNED) -> AsyncIterator[Scene]:
    async with asyncio.TaskGroup() as tasks:
        made = Scene(tasks, answer)
        listener = await made.loop.create_server(lambda: _Taking(made), "127.0.0.1", 0)
        made.port = listener.sockets[0].getsockname()[1]
        try:
            yield made
        finally:
            made.line.close()
            made.held.cut()
            made.watch.close()
            listener.close()
            await made.until(0)


async def test_requests_go_over_the_connection_that_the_server_holds_one_after_the_other() -> None:
    async with scene() as made:
        answering = await made.opened()
        for number in range(3):
            assert await made.ask(number).answer() == b"/%d" % number
        assert answering.asked == [b"/0", b"/1", b"/2"]
        assert made.line.connections_made == 1


async def test_who_finds_none_free_gets_the_first_that_is_freed_or_opened() -> None:
    async with scene() as made:
        first = await made.opened()
        first.waits = True
        one, two, three = made.ask(1), made.ask(2), made.ask(3)
        await first.until(1)
        second = await made.opened()
        assert await two.answer() == b"/2"
        assert await three.answer() == b"/3"
        assert second.asked == [b"/2", b"/3"]
        first.say(b"at last")
        assert await one.answer() == b"at last"


async def test_what_is_asked_right_behind_the_change_is_not_lost() -> None:
    async with scene() as made:
        first = await made.opened()
        first.waits = True
        made.ask(1)
        waiting = made.ask(2)  # it is written as soon as the change has been
        await made.opened()
        assert await waiting.answer() == b"/2"


async def test_nobody_waits_for_a_server_that_holds_nothing() -> None:
    async with scene() as made:
        with pytest.raises(ConnectFailedError, match="holds no connection"):
            await made.ask(1).answer()
        answering = await made.opened()
        answering.waits = True
        one, two = made.ask(1), made.ask(2)
        await answering.until(1)
        answering.transport.abort()
        for each in (one, two):
            with pytest.raises(ConnectFailedError, match="holds no connection"):
                await each.answer()


async def test_who_waits_too_long_is_told_so_and_takes_no_connection_along() -> None:
    async with scene() as made:
        answering = await made.opened()
        answering.waits = True
        one, two = made.ask(1), made.ask(2, SHORT)
        with pytest.raises(WaitedTooLongError, match="to connect"):
            await two.answer()
        answering.waits = False
        answering.say(b"1")
        assert await one.answer() == b"1"
        assert await made.ask(3).answer() == b"/3"


async def test_one_that_was_closed_while_nobody_used_it_is_passed_over() -> None:
    async with scene() as made:
        gone, stays = await made.opened(), await made.opened()
        await made.until(2)
        gone.transport.abort()
        await made.until(1)
        assert await made.ask(1).answer() == b"/1"
        assert stays.asked == [b"/1"]


async def test_a_cancelled_request_closes_its_connection_at_once() -> None:
    async with scene() as made:
        answering = await made.opened()
        answering.waits = True
        asked = Asked()
        call = made.line.ask(ASK % 1, b"", asked, LONG)
        await answering.until(1)
        call.cancel(asked)
        await made.until(0)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", ConnectionLostError),
        (b"SMTP ready\r\n\r\n", MalformedError),
        (b"HTTP/1.1 101 Switching\r\nx: " + b"x" * 100_000, MalformedError),
    ],
)
async def test_whatever_is_no_change_is_refused(answer: bytes, kind: type[HttpError]) -> None:
    async with scene(answer) as made:
        with pytest.raises(kind):
            await made.opened()


class Sudden:
    """A transport whose other end answers and closes in one."""

    def set_protocol(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol

    def write(self, _: bytes) -> None:
        self._protocol.data_received(TURNED)
        self._protocol.connection_lost(None)

    def abort(self) -> None:
        raise AssertionError("it is closed")


async def test_one_that_is_closed_right_behind_the_change_is_lost() -> None:
    loop = asyncio.get_running_loop()
    hop = Hop(loop, Watch(loop))
    hop.transport = cast("asyncio.Transport", Sudden())
    with pytest.raises(ConnectionLostError):
        await turned(hop, TURN, PATIENCE_S)
