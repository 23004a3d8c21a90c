"""A PoP that can't be dialled, and answers over the connections that it holds to another one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from littoral.adapters.clock import SystemClock
from littoral.adapters.http.words import AnswerHead, Deadlines, HttpError
from littoral.node.fabric.holding import Holding
from littoral.node.fabric.relaying import HOLD, HOLDING, PING
from littoral.routing.fleet import Fleet, Known, PopState
from littoral.terms.facts import PopHeld, RequestRelayed
from littoral.terms.limits import HOLD_AGE_S, HOLD_IDLE
from littoral.terms.values import SECOND, Instant, UpstreamTarget
from littoral.trust.receipts import Receipt, stated
from tests.certificates import Authority, member
from tests.fabric.pops import APIS, FAR, FAR_ECHO, Side, side
from tests.hardening.pops import CALLS, body_of, parted
from tests.hardening.upstreams import Asked, chunk, head, truth, upstream
from tests.web.raw import PATIENCE_S, Answer, post

CHAT = "/v1/chat/completions"
LONG = {"echo": {"tokens": 100_000, "interval_ms": 20}}
NOBODY = member("pop-00000000000000ff")
STRANGER = member("pop-00000000000000ee", "own-00000000000000bb")


class Later(SystemClock):
    """A clock that can be put forward."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0

    def now(self) -> Instant:
        return Instant(super().now() + self.ahead)


class Told:
    """Hears of one answer."""

    def __init__(self) -> None:
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def head(self, head: AnswerHead) -> None:
        self.status.set_result(head.status)

    def data(self, data: bytes) -> None:
        pass

    def end(self) -> None:
        pass

    def lost(self, error: HttpError) -> None:
        self.status.set_exception(error)


class Held:
    """One that holds connections."""

    def __init__(self, pop: Side, relays: tuple[Side, ...]) -> None:
        self.fleet = Fleet({each.member.pop: known(each) for each in relays})
        self.changes = 0
        self.clock = Later()
        assert pop.pop.neighbours is not None
        self.holding = Holding(
            pop.member,
            lambda: self.fleet,
            {each.member.pop: 0.1 * number for number, each in enumerate(relays, 1)},
            pop.pop.neighbours.adopt,
            lambda _: pop.shown[-1],
            self.clock,
            self._changed,
        )
        self.task = asyncio.create_task(self.holding.go_on())

    def stop(self) -> None:
        """Hold nothing anew."""
        self.task.cancel()

    def _changed(self) -> None:
        self.changes += 1

    async def until(self, *relays: Side) -> None:
        """These have connections of it, the nearest first."""
        async with asyncio.timeout(PATIENCE_S):
            while self.holding.relays != tuple(each.member.pop for each in relays):
                self.holding.moved.set()
                await asyncio.sleep(0.01)


def known(pop: Side, *, alive: bool = True, draining: bool = False) -> Known:
    state = PopState(pop.member.pop, 1, 1, url=pop.url, draining=draining)
    return Known(pop.member, state, Instant(0), alive)


@asynccontextmanager
async def holding(pop: Side, *relays: Side) -> AsyncIterator[Held]:
    held = Held(pop, relays)
    try:
        await held.until(*relays[:2])
        yield held
    finally:
        held.stop()
        await asyncio.gather(held.task, return_exceptions=True)


class Three:
    """A gateway, a relay, and a PoP that holds connections to the relay alone."""

    def __init__(self, gateway: Side, relay: Side, far: Side, held: Held) -> None:
        self.gateway, self.relay, self.far, self.held = gateway, relay, far, held
        self.target = far.relayed_by(relay)

    async def vanish(self) -> None:
        """The far PoP holds nothing from now on."""
        self.held.stop()
        assert self.far.pop.neighbours is not None
        await self.far.pop.neighbours.drain(0)

    def connections(self) -> int:
        return len(self.open())

    def open(self) -> frozenset[object]:
        assert self.far.pop.neighbours is not None
        return frozenset(self.far.pop.neighbours._service.connections)

    async def until(self, *relayed: str) -> None:
        """Requests that were passed on are over, in these ways."""
        async with asyncio.timeout(PATIENCE_S):
            while self.outcomes() != list(relayed):
                await asyncio.sleep(0.001)

    def holds(self) -> list[bool]:
        return [fact.held for fact in self.relay.relayed if isinstance(fact, PopHeld)]

    def outcomes(self) -> list[str]:
        return [fact.outcome for fact in self.relay.relayed if isinstance(fact, RequestRelayed)]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def three(tmp_path: Path, authority: Authority) -> AsyncIterator[Three]:
    async with (
        side(tmp_path / "gateway", authority) as gateway,
        side(tmp_path / "relay", authority) as relay,
        side(tmp_path / "far", authority) as far,
        holding(far, relay) as held,
    ):
        made = Three(gateway, relay, far, held)
        gateway.offer(made.target)
        yield made


def own_bytes(answer: Answer) -> bytes:
    streams = answer.headers["content-type"].startswith("text/event-stream")
    return parted(answer)[0] if streams else answer.body


async def receipt_of(pop: Side, answer: Answer) -> Receipt:
    found = await pop.get(f"/v1/receipts/{answer.headers['littoral-receipt']}")
    assert found.status == 200, found
    return stated(found.body)


def newest(pop: Side) -> Receipt | None:
    """The latest receipt that it has made."""
    made = pop.pop.keyring._store.receipts.newest(1)
    return stated(made[0].document) if made else None


async def test_every_api_is_answered_with_the_held_pop_s_own_bytes_and_receipt(
    three: Three,
) -> None:
    async with upstream() as running:
        three.far.add_upstream(running.port)
        for call in ("chat", "chat stream", "completion", "completion stream", "embedding"):
            path, body = CALLS[call][0], body_of(call, FAR)
            here, there = await three.gateway.ask(path, body), await three.far.ask(path, body)
            assert here.status == there.status == 200, (call, here, there)
            assert own_bytes(here) == own_bytes(there), call
            assert here.headers["littoral-source"] == "neighbour"
            receipt = await receipt_of(three.gateway, here)
            assert receipt.parent is not None, call
            assert receipt.parent.pop == three.far.pop.pop_id, call
    assert three.outcomes() == ["answered"] * 5
    assert newest(three.relay) is None


async def test_whoever_asks_is_known_by_its_own_name_as_if_it_had_dialled(three: Three) -> None:
    three.far.add(FAR_ECHO)
    key = three.gateway.key()
    relayed = await three.gateway.ask(CHAT, body_of("chat", FAR), key=key)
    by_relay = newest(three.far)
    three.gateway.offer(three.far.target())
    dialled = await three.gateway.ask(CHAT, body_of("chat", FAR), key=key)
    directly = newest(three.far)
    assert relayed.status == dialled.status == 200
    assert by_relay is not None
    assert directly is not None
    assert by_relay.rid != directly.rid
    assert by_relay.key == directly.key
    three.gateway.offer(three.target)
    three.far.admitted[three.gateway.member] = None
    refused = await three.gateway.ask(CHAT, body_of("chat", FAR), key=three.gateway.key())
    assert refused.status == 502
    assert "does not admit this" in refused.body.decode()


async def test_the_relay_itself_asks_over_what_it_holds(three: Three) -> None:
    three.far.add(FAR_ECHO)
    peer = three.far.member.name
    three.relay.offer(UpstreamTarget("https://far/v1", FAR, peer=peer, apis=APIS, through=peer))
    answer = await three.relay.ask(CHAT, body_of("chat stream", FAR))
    assert answer.status == 200
    receipt = await receipt_of(three.relay, answer)
    assert receipt.parent is not None
    assert receipt.parent.pop == three.far.pop.pop_id
    assert three.outcomes() == []


async def test_a_client_that_leaves_is_left_by_the_held_pop_too(three: Three) -> None:
    three.far.add(FAR_ECHO)
    client = await three.gateway.open()
    await client.send(three.gateway.request(CHAT, body_of("chat stream", FAR, **LONG)))
    await client.until(b"data: ")
    await three.far.until(1)
    client.leave()
    await three.far.until(0)
    await three.until("left")
    assert (await three.gateway.ask(CHAT, body_of("chat", FAR))).status == 200


async def test_a_client_that_reads_nothing_stops_the_held_pop_and_then_has_every_byte(
    three: Three,
) -> None:
    pieces, mark = 200, b"data: xxx"
    piece = mark + b"x" * 400_000 + b"\n\n"
    sent = 0

    async def play(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        nonlocal sent
        writer.write(head("content-type: text/event-stream", "transfer-encoding: chunked"))
        for event in (*[piece] * pieces, *truth(asked).pieces):
            writer.write(chunk(event))
            await writer.drain()
            sent += 1
        writer.write(chunk(b""))
        return True

    async with upstream(play) as running:
        three.far.add_upstream(running.port)
        client = await three.gateway.open()
        await client.send(three.gateway.request(CHAT, body_of("chat stream", FAR)))
        before = -1
        while before != sent or not sent:
            before = sent
            await asyncio.sleep(0.5)
        assert sent < pieces, "it goes on without anybody who reads"
        read = bytearray()
        async with asyncio.timeout(PATIENCE_S):
            while not read.endswith(b"\n0\r\n\r\n"):
                read += await client.reader.read(1_000_000)
        assert read.count(mark) == pieces
        client.leave()


async def test_a_held_pop_that_vanishes_is_lost_and_another_one_answers(
    three: Three, tmp_path: Path, authority: Authority
) -> None:
    three.far.add(FAR_ECHO)
    client = await three.gateway.open()
    await client.send(three.gateway.request(CHAT, body_of("chat stream", FAR, **LONG)))
    await client.until(b"data: ")
    await three.vanish()
    broken = await client.answer("POST")
    assert b'"error"' in broken.body
    client.leave()
    await three.until("lost")
    alone = await three.gateway.ask(CHAT, body_of("chat", FAR))
    assert alone.status == 502
    async with side(tmp_path / "other", authority) as other:
        other.add(FAR_ECHO)
        three.gateway.offer(three.target, other.target())
        for _ in range(4):
            answer = await three.gateway.ask(CHAT, body_of("chat", FAR))
            assert answer.status == 200
    assert three.holds() == [True, False]


async def test_what_a_held_pop_was_asked_ends_when_the_fabric_says_that_it_is_gone(
    three: Three,
) -> None:
    three.far.add(FAR_ECHO)
    client = await three.gateway.open()
    await client.send(three.gateway.request(CHAT, body_of("chat stream", FAR, **LONG)))
    await client.until(b"data: ")
    assert not three.relay.relaying.none.is_set()
    three.relay.relaying.lose(three.far.member.pop, "it is gone", 0)
    assert b'"error"' in (await client.answer("POST")).body
    client.leave()
    assert three.relay.relaying.none.is_set()
    assert (await three.gateway.ask(CHAT, body_of("chat", FAR))).status == 502
    three.relay.relaying.regain(three.far.member.pop)
    three.relay.relaying.cut(three.far.member.pop)
    async with asyncio.timeout(PATIENCE_S):
        while three.holds() != [True, False, True]:
            await asyncio.sleep(0.001)


async def test_connections_grow_with_use_and_only_then(three: Three) -> None:
    three.far.add(FAR_ECHO)
    async with asyncio.timeout(PATIENCE_S):
        while three.connections() < HOLD_IDLE:  # they are opened one after another
            await asyncio.sleep(0.001)
    assert three.connections() == HOLD_IDLE
    request = three.gateway.request(CHAT, body_of("chat stream", FAR, **LONG))
    clients = [await three.gateway.open() for _ in range(7)]
    for client in clients:
        await client.send(request)
        await client.until(b"data: ")
    assert 7 < three.connections() <= 16
    for client in clients:
        client.leave()


async def test_connections_are_replaced_before_a_certificate_on_them_runs_out(
    three: Three,
) -> None:
    three.far.add(FAR_ECHO)
    before = three.open()
    client = await three.gateway.open()
    await client.send(three.gateway.request(CHAT, body_of("chat stream", FAR, **LONG)))
    await client.until(b"data: ")
    three.held.clock.ahead = int(HOLD_AGE_S) * SECOND
    three.held.holding.moved.set()
    async with asyncio.timeout(PATIENCE_S):
        while len(three.open() & before) != 1 or three.connections() != HOLD_IDLE + 1:
            await asyncio.sleep(0.001)
    await client.until(b"data: ")  # what is under way goes on where it is
    client.leave()
    assert three.holds() == [True]


async def test_a_relay_asks_for_nothing_but_what_it_passes_on(three: Three) -> None:
    told, path = Told(), b"/fabric/renew"
    line = three.relay.relaying.line(three.far.member.pop)
    head = b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n" % path
    line.ask(head, b"", told, Deadlines())
    async with asyncio.timeout(PATIENCE_S):
        assert await told.status == 404


async def test_another_relay_is_found_when_one_goes(tmp_path: Path, authority: Authority) -> None:
    async with AsyncExitStack() as stack:
        relays = [
            await stack.enter_async_context(side(tmp_path / f"relay-{number}", authority))
            for number in range(3)
        ]
        far = await stack.enter_async_context(side(tmp_path / "far", authority))
        held = await stack.enter_async_context(holding(far, *relays))
        first, second, third = relays
        assert first.pop.neighbours is not None
        await first.pop.neighbours.drain(0)
        held.fleet = held.fleet.heard(known(first, alive=False)).left(first.member.pop)
        await held.until(second, third)
        state = PopState(second.member.pop, 1, 2, url=second.url, draining=True)
        held.fleet = held.fleet.heard(Known(second.member, state, Instant(0)))
        await held.until(third)
        assert held.changes
        async with asyncio.timeout(PATIENCE_S):
            while second.pop.neighbours is None or second.pop.neighbours.connections:
                await asyncio.sleep(0.001)
        said = [fact.held for fact in second.relayed if isinstance(fact, PopHeld)]
        assert said == [True, False], "one that drains is left, and left alone"


@pytest.mark.parametrize(
    ("path", "fields", "status", "said"),
    [
        (CHAT, (f"littoral-to: {NOBODY.pop}",), 502, "holds no connection"),
        ("/fabric/renew", ("littoral-to: FAR",), 400, "nothing is passed on to"),
        ("/fabric/join", ("littoral-to: FAR",), 400, "nothing is passed on to"),
        (CHAT, ("littoral-to: FAR", "littoral-via: VIA"), 508, "there already"),
        (HOLD, (), 400, "a connection is held with"),
    ],
)
async def test_what_is_not_passed_on_is_refused(
    three: Three, path: str, fields: tuple[str, ...], status: int, said: str
) -> None:
    far, own = three.far.pop.pop_id, three.gateway.member
    named = [each.replace("FAR", far).replace("VIA", f"{far}, {own.pop}") for each in fields]
    request = post(body_of("chat", FAR), path, *named)
    answer = await three.relay.ask_as(three.gateway.shown[-1], request)
    assert answer.status == status, answer
    assert said in answer.body.decode()


async def test_no_other_owner_s_pop_is_held_and_none_is_who_it_says_when_it_dials(
    three: Three, authority: Authority
) -> None:
    stranger = authority.client(STRANGER.name)
    refused = await three.relay.ask_as(stranger, post(b"", HOLD, f"upgrade: {HOLDING}"))
    assert refused.status == 403
    three.far.add(FAR_ECHO)
    three.far.admitted[STRANGER] = None
    body = body_of("chat", FAR)
    pretends = post(body, CHAT, f"littoral-for: {three.gateway.member.name}")
    assert (await three.far.ask_as(stranger, pretends)).status == 403


async def test_a_ping_goes_through_and_back(three: Three) -> None:
    request = post(b"hello", PING, f"littoral-to: {three.far.pop.pop_id}")
    answer = await three.relay.ask_as(three.gateway.shown[-1], request)
    assert (answer.status, answer.body) == (200, b"welcome hello")
    assert three.outcomes() == ["answered"]
