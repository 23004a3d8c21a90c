"""Identical requests that a handler answers: what those who join get when it goes wrong."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from littoral.adapters.clock import SystemClock
from littoral.adapters.store import open_store
from littoral.node.config import load_config
from littoral.node.keyring import Keyring, budget_board
from littoral.node.onward import Onward
from littoral.node.relay.build import hot_state, keeping_on, upstreams_on
from littoral.node.relay.desk import Desk
from littoral.node.relay.relay import Relay
from littoral.node.relay.standing import Work
from littoral.node.relay.ways import Ways
from littoral.node.scribe import Scribe
from littoral.terms.errors import EngineLostError, LittoralError, RateLimitedError
from littoral.terms.facts import Fact
from littoral.terms.ids import ModelName
from littoral.terms.values import KeyLimits, ModelEntry
from littoral.trust.issuing import Issuer
from littoral.trust.keys import KEY_RANDOM_BYTES, Grant, make_key
from littoral.web.head import Head, read_head
from littoral.web.hot import Reply, Underway
from littoral.web.http import Request, Responder
from tests.trust.made import SIGNER, draft

CLOCK = SystemClock()
BODY = json.dumps(
    {"model": "tiny", "temperature": 0, "messages": [{"role": "user", "content": "Hello"}]}
).encode()
ANSWER = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"Hello."}}]}'


class Models:
    """One model, of an engine on this machine."""

    def __init__(self) -> None:
        self.only = draft().model

    def entry(self, name: ModelName) -> ModelEntry:
        assert name == self.only.name
        return self.only

    def fallbacks(self, entry: ModelEntry) -> tuple[ModelEntry, ...]:
        return ()


class Line:
    """A client's connection: keeps what it is sent."""

    def __init__(self) -> None:
        self.sent = b""
        self.complete: bool | None = None

    def put(self, data: bytes) -> None:
        self.sent += data

    async def settled(self) -> None:
        return

    def last_answer(self) -> bool:
        return False

    def date(self) -> str:
        return "Wed, 25 Nov 2026 00:00:00 GMT"

    def let_go(self) -> asyncio.Transport:
        raise AssertionError("nobody changes the protocol")

    def replied(self, *, complete: bool) -> None:
        self.complete = complete

    @property
    def status(self) -> int:
        return int(self.sent.split(b" ", 2)[1])


class Scene:
    """A relay in front of a handler that works when, and as, a test says."""

    def __init__(self, stack: ExitStack, home: Path, tasks: asyncio.TaskGroup) -> None:
        config = load_config({"home": str(home), "cache_memory_bytes": 2**20}, {})
        store = stack.enter_context(open_store(home))
        board = stack.enter_context(budget_board(home))
        facts: list[Fact] = []
        hot = stack.enter_context(
            hot_state(config, home, worker=0, workers=1, clock=CLOCK, observe=facts.append)
        )
        self.keyring = Keyring(store, CLOCK, board, alone=True)
        self.store = store
        loop = asyncio.get_running_loop()
        self.defects: list[BaseException] = []
        scribe = Scribe(store.receipts, Issuer(SIGNER), loop, facts.append, self.defects.append)
        self.handled: list[asyncio.Future[LittoralError | None]] = []
        upstreams = upstreams_on(hot, spawn=tasks.create_task, clock=CLOCK, observe=facts.append)
        models, keeping = Models(), keeping_on(config, hot, CLOCK, wishes=None)
        self.relay = Relay(
            authenticate=self.keyring.authenticate,
            host=models,
            desk=Desk(
                pop=SIGNER.pop_id,
                keyring=self.keyring,
                scribe=scribe,
                clock=CLOCK,
                observe=facts.append,
            ),
            ways=Ways(
                host=models,
                upstreams=upstreams,
                keeping=keeping,
                peers=None,
                onward=Onward(SIGNER.pop_id, SIGNER),
            ),
            keeping=keeping,
            handler=lambda _: self._handle,
            work=Work(tasks.create_task, self.defects.append),
        )

    async def _handle(self, _: Request, responder: Responder) -> None:
        self.handled.append(asyncio.get_running_loop().create_future())
        error = await self.handled[-1]
        if error is not None:
            raise error
        await responder.send(200, {"content-type": "application/json"}, ANSWER)

    def key(self, limits: KeyLimits | None = None) -> str:
        record, token = make_key(
            CLOCK.random_bytes(KEY_RANDOM_BYTES),
            name=f"key {len(self.store.keys.list())}",
            unix_s=1,
            grant=Grant(tenant="ours", limits=limits or KeyLimits()),
        )
        self.store.keys.add(record)
        return token

    def ask(self, key: str) -> tuple[Line, Underway | None]:
        line, head = Line(), head_of(key)
        return line, self.relay.take(head, BODY, Reply(line, "req_1", head))


def head_of(key: str) -> Head:
    return read_head(
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: pop\r\nauthorization: Bearer {key}\r\n"
        f"content-length: {len(BODY)}\r\n\r\n".encode(),
        headers_max=10,
    )


async def turns() -> None:
    """Let everything that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    with ExitStack() as stack:
        async with asyncio.TaskGroup() as tasks:
            scene = Scene(stack, tmp_path, tasks)
            yield scene
            for each in scene.handled:
                each.cancel()


async def test_a_refusal_for_ones_limits_is_not_that_of_the_others(scene: Scene) -> None:
    lines = [scene.ask(scene.key())[0] for _ in range(3)]
    await turns()
    assert len(scene.handled) == 1, "the others joined"
    scene.handled[0].set_result(RateLimitedError("60 requests per minute are used"))
    await turns()
    assert [line.complete for line in lines] == [True, None, None]
    assert lines[0].status == 429
    assert len(scene.handled) == 2, "the second asks by itself, and the third joins it"
    scene.handled[1].set_result(None)
    await turns()
    for line in lines[1:]:
        assert line.status == 200
        assert line.sent.count(ANSWER) == 1
    assert b"collapsed" not in lines[1].sent
    assert b"collapsed" in lines[2].sent
    assert scene.defects == []


async def test_any_other_failure_is_everybodys(scene: Scene) -> None:
    lines = [scene.ask(scene.key())[0] for _ in range(3)]
    await turns()
    scene.handled[0].set_result(EngineLostError("there is no room for the model"))
    await turns()
    assert len({line.status for line in lines}) == 1
    assert len(scene.handled) == 1


async def test_who_asks_anew_and_leaves_is_not_answered(scene: Scene) -> None:
    first, _ = scene.ask(scene.key())
    second, live = scene.ask(scene.key())
    await turns()
    scene.handled[0].set_result(RateLimitedError("60 requests per minute are used"))
    await turns()
    assert live is not None
    live.gone()
    await turns()
    assert scene.handled[1].cancelled()
    assert first.status == 429
    assert second.sent == b""
    assert not scene.relay.legs


async def test_who_has_no_room_itself_is_refused_when_it_asks_anew(scene: Scene) -> None:
    first, _ = scene.ask(scene.key())
    second, _ = scene.ask(scene.key(KeyLimits(requests_per_minute=1)))
    await turns()
    scene.handled[0].set_result(RateLimitedError("60 requests per minute are used"))
    await turns()
    scene.handled[1].set_result(RateLimitedError("1 request per minute is used"))
    await turns()
    assert (first.status, second.status) == (429, 429)
    assert not scene.relay.legs
