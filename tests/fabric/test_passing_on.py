"""A request that one PoP passes on to another."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from littoral.adapters.upstreams.words import Errand
from littoral.terms.ids import ModelName, PopId
from littoral.terms.values import UpstreamTarget
from tests.certificates import Authority, member
from tests.fabric.pops import FAR, FAR_ECHO, Side, side
from tests.hardening.pops import CALLS, body_of, check_error, parted
from tests.hardening.upstreams import Asked, Upstream, chunk, head, held, truth, upstream
from tests.web.raw import Answer

CHAT = "/v1/chat/completions"
LONG = {"echo": {"tokens": 100_000, "interval_ms": 20}}
THIRD = member("pop-0000000000000003")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def two(tmp_path: Path, authority: Authority) -> AsyncIterator[tuple[Side, Side]]:
    """A gateway, and the PoP that answers for it."""
    async with (
        side(tmp_path / "gateway", authority) as gateway,
        side(tmp_path / "serving", authority) as serving,
    ):
        gateway.offer(serving.target())
        yield gateway, serving


@asynccontextmanager
async def stub(authority: Authority) -> AsyncIterator[tuple[Upstream, UpstreamTarget]]:
    """A neighbour that answers every request with 503, and shows what it was sent."""

    async def play(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        writer.write(head("content-length: 0", status="503 Service Unavailable"))
        return True

    async with upstream(play, authority.server(THIRD.name)) as running:
        yield running, UpstreamTarget(f"https://127.0.0.1:{running.port}/v1", FAR, peer=THIRD.name)


def fields_of(asked: Asked) -> dict[str, str]:
    lines = asked.raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}


def own_bytes(answer: Answer) -> bytes:
    streams = answer.headers["content-type"].startswith("text/event-stream")
    return parted(answer)[0] if streams else answer.body


async def test_every_api_is_answered_with_the_other_pop_s_own_bytes(
    tmp_path: Path, authority: Authority
) -> None:
    async with two(tmp_path, authority) as (gateway, serving), upstream() as running:
        serving.add_upstream(running.port)
        for call in ("chat", "chat stream", "completion", "completion stream", "embedding"):
            path, body = CALLS[call][0], body_of(call, FAR)
            here, there = await gateway.ask(path, body), await serving.ask(path, body)
            assert here.status == there.status == 200, (call, here, there)
            assert own_bytes(here) == own_bytes(there), call
            assert here.headers["content-type"] == there.headers["content-type"]
            assert here.headers["littoral-source"] == "neighbour"
            assert here.headers["littoral-pop"] == gateway.pop.pop_id
            assert "littoral-receipt-document" not in here.headers


async def test_every_api_is_answered_also_where_the_other_pop_translates(
    tmp_path: Path, authority: Authority
) -> None:
    async with two(tmp_path, authority) as (gateway, serving):
        serving.add(FAR_ECHO)
        for call, (path, _) in CALLS.items():
            here = await gateway.ask(path, body_of(call, FAR))
            assert (here.status, here.headers["littoral-source"]) == (200, "neighbour"), call
        models = json.loads((await gateway.get("/v1/models")).body)["data"]
        assert FAR in {model["id"] for model in models}


async def test_a_handler_of_the_gateway_asks_the_same_way(
    tmp_path: Path, authority: Authority
) -> None:
    async with two(tmp_path, authority) as (gateway, serving):
        serving.add(FAR_ECHO)
        gateway.offer(UpstreamTarget(serving.target().base_url, FAR, peer=serving.member.name))
        for call in ("messages", "messages stream", "responses stream"):  # which it translates
            here = await gateway.ask(CALLS[call][0], body_of(call, FAR))
            assert (here.status, here.headers["littoral-source"]) == (200, "neighbour"), here


async def test_a_client_that_leaves_frees_the_other_pop_at_once(
    tmp_path: Path, authority: Authority
) -> None:
    async with two(tmp_path, authority) as (gateway, serving):
        serving.add(FAR_ECHO)
        client = await gateway.open()
        await client.send(gateway.request(CHAT, body_of("chat stream", FAR, **LONG)))
        await client.until(b"data: ")
        await serving.until(in_flight=1)
        client.leave()
        left = time.monotonic()
        await serving.until(in_flight=0)
        assert time.monotonic() - left < 0.2


async def test_a_server_that_shows_another_name_is_not_asked(
    tmp_path: Path, authority: Authority
) -> None:
    async with two(tmp_path, authority) as (gateway, serving):
        serving.add(FAR_ECHO)
        gateway.offer(serving.target(peer=THIRD.name))
        answer = await gateway.ask(CHAT, body_of("chat", FAR))
        error = check_error(CHAT, answer)
        assert (answer.status, error["code"]) == (502, "upstream_failed")
        assert serving.member.name in error["message"]


async def test_one_that_is_not_there_is_replaced_by_another(
    tmp_path: Path, authority: Authority
) -> None:
    async with two(tmp_path, authority) as (gateway, serving), stub(authority) as (third, target):
        serving.add(FAR_ECHO)
        nobody = serving.target(peer=member("pop-0000000000000004").name, port=1)
        first = [replace(each, weight=100) for each in (nobody, target)]  # the choice is by chance
        gateway.offer(*first, serving.target())
        for call in ("chat", "chat stream") * 3:
            assert (await gateway.ask(CHAT, body_of(call, FAR))).status == 200
        assert third.asked


async def test_one_that_dies_after_the_first_byte_leaves_an_honest_error(
    tmp_path: Path, authority: Authority
) -> None:
    async with side(tmp_path / "gateway", authority) as gateway, held() as (running, _):
        async with side(tmp_path / "serving", authority) as serving:
            serving.add_upstream(running.port)
            gateway.offer(serving.target())
            client = await gateway.open()
            await client.send(gateway.request(CHAT, body_of("chat stream", FAR)))
            await client.until(b"data: ")
        answer = await client.answer()
        assert b'"error"' in answer.body
        assert b"littoral-receipt" not in answer.body
        client.leave()


async def test_the_way_so_far_the_time_left_and_the_nonce_go_along_and_no_key(
    tmp_path: Path, authority: Authority
) -> None:
    async with (
        side(tmp_path / "gateway", authority) as gateway,
        stub(authority) as (third, target),
    ):
        gateway.offer(target, attempts=1, total_s=60)
        extra = ("littoral-nonce: mine", "cache-control: max-age=5", "littoral-scope: X")
        keys = [gateway.key(), gateway.key()]
        for key in (keys[0], keys[0], keys[1]):
            await gateway.ask(CHAT, body_of("chat", FAR), *extra, key=key)
        one, again, other = [fields_of(asked) for asked in third.asked]
        assert one["littoral-via"] == gateway.pop.pop_id
        assert one["littoral-nonce"] == "mine"
        assert 50_000 < int(one["littoral-deadline-ms"]) <= 60_000
        assert "authorization" not in one
        assert "cache-control" not in one
        assert not any(key.encode() in asked.raw for asked in third.asked for key in keys)
        assert len(one["littoral-scope"]) == 32
        assert one["littoral-scope"] == again["littoral-scope"] != other["littoral-scope"]


@asynccontextmanager
async def chain(tmp_path: Path, authority: Authority) -> AsyncIterator[tuple[Side, Side]]:
    """Two PoPs that pass on to each other, and have nobody else."""
    async with two(tmp_path, authority) as (one, other):
        other.offer(one.target())
        yield one, other


async def test_a_request_does_not_go_back_to_where_it_was(
    tmp_path: Path, authority: Authority
) -> None:
    async with chain(tmp_path, authority) as (one, other), stub(authority) as (third, target):
        answer = await one.ask(CHAT, body_of("chat", FAR))
        assert answer.status == 502
        other.offer(one.target(), target, attempts=1)
        await one.ask(CHAT, body_of("chat", FAR))
        assert fields_of(third.asked[0])["littoral-via"] == f"{one.pop.pop_id}, {other.pop.pop_id}"


async def test_the_injected_order_decides_who_is_asked(
    tmp_path: Path, authority: Authority
) -> None:
    async with stub(authority) as (third, target), side(tmp_path / "serving", authority) as serving:
        serving.add(FAR_ECHO)
        order = [THIRD.pop, serving.member.pop]

        def rank(errand: Errand, model: ModelName, spin: int) -> list[PopId]:
            assert errand.model == model == FAR
            assert 0 <= spin < 2**64
            return order

        async with side(tmp_path / "gateway", authority, rank=rank) as gateway:
            gateway.offer(serving.target(), target)
            for asked in range(1, 4):
                assert (await gateway.ask(CHAT, body_of("chat", FAR))).status == 200
                assert len(third.asked) == asked
            order.reverse()
            assert (await gateway.ask(CHAT, body_of("chat", FAR))).status == 200
            assert len(third.asked) == 3


class Noted:
    """Remembers what became of what was sent where."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def follow(self, errand: Errand, model: ModelName, pop: PopId) -> "Noted.Sent":
        assert errand.model == model == FAR
        self.heard.append((pop, "sent"))
        return Noted.Sent(self, pop)

    @dataclass
    class Sent:
        noted: "Noted"
        pop: PopId
        why: str = "its nearness"

        def began(self) -> None:
            self.noted.heard.append((self.pop, "began"))

        def ended(self) -> None:
            self.noted.heard.append((self.pop, "ended"))


async def test_what_was_sent_is_followed_to_its_end(tmp_path: Path, authority: Authority) -> None:
    noted = Noted()
    async with (
        side(tmp_path / "gateway", authority, follow=noted.follow) as gateway,
        side(tmp_path / "serving", authority) as serving,
        stub(authority) as (_, target),
    ):
        serving.add(FAR_ECHO)
        pop, third = serving.pop.pop_id, THIRD.pop
        for targets, call, heard in (
            ([serving.target()], "chat stream", [(pop, "sent"), (pop, "began"), (pop, "ended")]),
            ([serving.target()], "chat", [(pop, "sent"), (pop, "ended")]),
            ([target], "chat", [(third, "sent"), (third, "ended")]),
        ):
            gateway.offer(*targets, attempts=1)
            await gateway.ask(CHAT, body_of(call, FAR))
            assert noted.heard == heard
            noted.heard.clear()
        gateway.offer(serving.target())
        client = await gateway.open()
        await client.send(gateway.request(CHAT, body_of("chat stream", FAR, **LONG)))
        await client.until(b"data: ")
        client.leave()
        await serving.until(in_flight=0)
        assert noted.heard == [(pop, "sent"), (pop, "began"), (pop, "ended")]


async def test_identical_requests_are_one_for_the_other_pop_and_their_answer_is_kept(
    tmp_path: Path, authority: Authority
) -> None:
    async with two(tmp_path, authority) as (gateway, serving), held() as (running, go_on):
        serving.add_upstream(running.port)
        body = body_of("chat stream", FAR, temperature=0)
        asking = [asyncio.create_task(gateway.ask(CHAT, body)) for _ in range(3)]
        await running.until_asked(1)
        go_on.set()
        answers = await asyncio.gather(*asking)
        assert sorted(each.headers["littoral-source"] for each in answers) == [
            "cache",
            "cache",
            "neighbour",
        ]
        assert len({own_bytes(each) for each in answers}) == 1
        again = await gateway.ask(CHAT, body)
        assert again.headers["littoral-source"] == "cache"
        assert len(running.asked) == 1


async def test_a_connection_is_opened_before_it_is_needed(
    tmp_path: Path, authority: Authority
) -> None:
    async with two(tmp_path, authority) as (gateway, serving):
        serving.add(FAR_ECHO)
        gateway.pop.upstreams.warm(serving.target())
        assert serving.pop.neighbours is not None
        while not serving.pop.neighbours.connections:
            await asyncio.sleep(0.001)
        assert (await gateway.ask(CHAT, body_of("chat", FAR))).status == 200
        assert serving.pop.neighbours.connections == 1


async def test_one_that_does_not_admit_the_gateway_is_said_to(
    tmp_path: Path, authority: Authority
) -> None:
    async with two(tmp_path, authority) as (gateway, serving):
        serving.add(FAR_ECHO)
        serving.admitted[gateway.member] = None
        error = check_error(CHAT, await gateway.ask(CHAT, body_of("chat", FAR)))
        assert error["code"] == "upstream_failed"
        assert f"{serving.pop.pop_id} does not admit" in error["message"]


async def test_a_renewed_certificate_is_shown_from_then_on(
    tmp_path: Path, authority: Authority
) -> None:
    async with two(tmp_path, authority) as (gateway, serving):
        serving.add(FAR_ECHO)
        for renewed in (False, False, True):
            if renewed:
                gateway.shown.append(authority.client(gateway.member.name))
            assert (await gateway.ask(CHAT, body_of("chat", FAR))).status == 200
        assert gateway.pop.upstreams.connections_made() == 2


async def test_a_stream_that_breaks_off_is_no_answer(tmp_path: Path, authority: Authority) -> None:
    async def play(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        writer.write(head("content-type: text/event-stream", "transfer-encoding: chunked"))
        writer.write(chunk(truth(asked).pieces[0]))
        return False

    async with two(tmp_path, authority) as (gateway, serving), upstream(play) as running:
        serving.add_upstream(running.port)
        answer = await gateway.ask(CHAT, body_of("chat stream", FAR))
        assert b'"error"' in answer.body
        assert b"littoral-receipt" not in answer.body


async def test_clients_of_a_pop_with_several_workers_reach_the_other_one(
    tmp_path: Path, authority: Authority
) -> None:
    async with (
        side(tmp_path / "gateway", authority, settings={"workers": 2}) as gateway,
        side(tmp_path / "serving", authority) as serving,
    ):
        serving.add(FAR_ECHO)
        gateway.offer(serving.target())
        for call in ("chat", "chat stream", "messages"):
            answer = await gateway.ask(CALLS[call][0], body_of(call, FAR))
            assert (answer.status, answer.headers["littoral-source"]) == (200, "neighbour"), answer
        client = await gateway.open()
        await client.send(gateway.request(CHAT, body_of("chat stream", FAR, **LONG)))
        await client.until(b"data: ")
        await serving.until(in_flight=1)
        client.leave()
        await serving.until(in_flight=0)
