"""What passes through a PoP to an upstream and back: bytes, choices, and who is asked how often."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from littoral.adapters.models import Catalogue, parse_upstream, with_upstream, with_weight
from littoral.terms.ids import ModelName
from littoral.trust.receipts import stated
from tests.hardening.pops import HardPop, body_of, hard_pop, parted
from tests.hardening.upstreams import Asked, Upstream, chunk, head, held, truth, upstream, well
from tests.web.raw import PATIENCE_S

CHAT = "/v1/chat/completions"
MANY = 200
USAGE = {"stream_options": {"include_usage": True}}
"""Asked for by the client itself, so that the PoP neither asks for it nor takes it out."""


@pytest.fixture(scope="module")
def pop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HardPop]:
    with hard_pop(tmp_path_factory.mktemp("relay")) as running:
        yield running


def json_of(event: bytes) -> dict[str, object]:
    data = event.removeprefix(b"data: ").strip()
    return {} if data == b"[DONE]" else dict(json.loads(data))


@pytest.mark.parametrize("call", ["chat", "completion"])
async def test_an_answer_in_one_piece_comes_as_the_upstream_wrote_it(
    pop: HardPop, call: str
) -> None:
    async with upstream() as running:
        answer = await pop.call(call, pop.add(running.port))
        assert answer.body == truth(running.asked[0]).body


@pytest.mark.parametrize("call", ["chat stream", "completion stream"])
async def test_a_stream_is_the_upstreams_byte_for_byte_and_then_its_receipt(
    pop: HardPop, call: str
) -> None:
    async with upstream() as running:
        answer = await pop.call(call, pop.add(running.port), **USAGE)
        own, receipt = parted(answer)
        assert own == truth(running.asked[0]).body
        assert stated(receipt).rid == answer.headers["littoral-receipt"]
        bare = await pop.call(call, pop.add(running.port, receipts=False))
        assert bare.body == truth(running.asked[1]).body
        assert "littoral-receipt" not in bare.headers


async def test_usage_that_only_the_pop_asked_for_is_not_passed_on(pop: HardPop) -> None:
    async with upstream() as running:
        answer = await pop.call("chat stream", pop.add(running.port))
        pieces = truth(running.asked[0]).pieces
    kept = [piece for piece in pieces if json_of(piece).get("choices") != []]
    assert len(kept) == len(pieces) - 1
    assert parted(answer)[0] == b"".join(kept)


async def test_members_of_a_request_keep_their_bytes_but_for_the_models_name(pop: HardPop) -> None:
    async with upstream() as running:
        model = pop.add(running.port)
        body = b'{"model":"%s","extra":[1.50, "\\u00e9"],"messages":[ ]}' % model.encode()
        await pop.ask(CHAT, body)
        assert running.asked[0].body == body.replace(model.encode(), b"theirs")


async def test_an_upstream_may_be_on_a_unix_socket(pop: HardPop, tmp_path: Path) -> None:
    running = Upstream(well)
    socket = tmp_path / "server.sock"
    async with await asyncio.start_unix_server(running.connected, str(socket)):
        name = ModelName("on-a-socket")
        subprocess.run(
            [
                *(sys.executable, "-m", "littoral.cli", "models", "add"),
                *(f"upstream:unix:{socket}:/v1", "--name", name, "--home", str(pop.home)),
            ],
            check=True,
            capture_output=True,
        )
        answer = await pop.call("chat", name)
        assert answer.body == truth(running.asked[0]).body
        running.over = True
        for task in running.tasks:
            task.cancel()


async def test_identical_streams_at_once_are_asked_once_and_each_gets_all_of_it(
    pop: HardPop,
) -> None:
    async with held() as (running, go_on):
        body = body_of("chat stream", pop.add(running.port), temperature=0, **USAGE)
        asking = [asyncio.create_task(pop.ask(CHAT, body)) for _ in range(MANY)]
        await running.until_asked(1)
        late = asyncio.create_task(pop.ask(CHAT, body))  # in the middle of it
        go_on.set()
        answers = await asyncio.gather(*asking, late)
        right = truth(running.asked[0]).body
        assert len(running.asked) == 1
    assert {parted(each)[0] for each in answers} == {right}
    receipts = [stated(parted(each)[1]) for each in answers]
    (first,) = [each for each in receipts if each.origin is None]
    assert {each.origin for each in receipts} == {None, first.rid}
    assert len({each.rid for each in receipts}) == MANY + 1


async def test_who_asked_first_may_leave_and_the_others_get_every_byte_once(pop: HardPop) -> None:
    async with held() as (running, go_on):
        body = body_of("chat stream", pop.add(running.port), temperature=0, **USAGE)
        first = await pop.open()
        await first.send(pop.post(CHAT, body))
        await running.until_asked(1)
        second = await pop.open()
        await second.send(pop.post(CHAT, body))
        right = truth(running.asked[0])
        await second.until(right.pieces[0][:20])
        first.leave()
        third = asyncio.create_task(pop.ask(CHAT, body))
        go_on.set()
        for answer in (await third, await second.answer("POST")):
            assert parted(answer)[0] == right.body
        assert len(running.asked) == 1
        second.leave()


@pytest.mark.parametrize("call", ["chat", "chat stream"])
async def test_when_the_client_leaves_the_upstream_is_left_at_once(pop: HardPop, call: str) -> None:
    left = asyncio.Event()

    async def play(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        if asked.streams:
            writer.write(head("content-type: text/event-stream", "transfer-encoding: chunked"))
            writer.write(chunk(truth(asked).pieces[0]))
        await writer.wait_closed()
        return False

    async def watched(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        reading = asyncio.ensure_future(play(asked, writer))
        reader = writer.transport.get_protocol()._stream_reader  # type: ignore[attr-defined]
        assert await reader.read(1) == b""
        left.set()
        reading.cancel()
        return False

    async with upstream(watched) as running:
        client = await pop.open()
        await client.send(pop.post(CHAT, body_of(call, pop.add(running.port))))
        await running.until_asked(1)
        client.leave()
        async with asyncio.timeout(PATIENCE_S):
            await left.wait()


async def test_the_choice_is_explained_to_whom_asks(pop: HardPop) -> None:
    async with upstream() as one, upstream() as two:
        model = pop.add(one.port)
        second = parse_upstream(f"http://127.0.0.1:{two.port}/v1", model="theirs", weight=3)
        catalogue = Catalogue(pop.home / "models")
        catalogue.change(ModelName(model), lambda entry: with_upstream(entry, second))
        await pop.ask("/v1/models", b"")  # whatever it says, the catalogue is read again
        body = body_of("chat", model)
        silent = await pop.ask(CHAT, body)
        assert "littoral-route" not in silent.headers
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = await pop.ask(CHAT, body, "Littoral-Explain: route")
                route = answer.headers["littoral-route"]
                if f"127.0.0.1:{two.port}: " in route:
                    break
                await asyncio.sleep(0.05)
        standings, _, story = route.partition(" -> ")
        assert f"127.0.0.1:{one.port}: 0 in flight" in standings
        assert "weight 3" in standings
        assert story.endswith(": answered")


async def test_a_drained_upstream_gets_nothing_new_and_what_it_streams_goes_on(
    pop: HardPop,
) -> None:
    async with held() as (old, go_on), upstream() as new:
        model = pop.add(old.port)
        streaming = asyncio.create_task(pop.call("chat stream", model, **USAGE))
        await old.until_asked(1)
        url = f"http://127.0.0.1:{old.port}/v1"
        other = parse_upstream(f"http://127.0.0.1:{new.port}/v1", model="theirs")
        Catalogue(pop.home / "models").change(
            ModelName(model), lambda entry: with_weight(with_upstream(entry, other), url, 0)
        )
        async with asyncio.timeout(PATIENCE_S):
            while not new.asked:  # seen within a second or so
                asking = asyncio.create_task(pop.call("chat", model))
                await asyncio.wait({asking}, timeout=0.2)
                asking.cancel()
        before = len(old.asked)
        for _ in range(8):
            assert (await pop.call("chat", model)).status == 200
        assert len(old.asked) == before
        go_on.set()
        assert parted(await streaming)[0] == truth(old.asked[0]).body


async def test_a_fallback_is_said_in_the_head_and_in_the_receipt(pop: HardPop) -> None:
    async with upstream() as running:
        spare = pop.add(running.port)
        catalogue = Catalogue(pop.home / "models")
        failing = pop.add(1, connect_s=1.0, fallbacks=(spare,))
        assert catalogue.get(failing).fallbacks == (spare,)
        answer = await pop.call("chat stream", failing)
    assert answer.headers["littoral-model"] == spare
    receipt = stated(parted(answer)[1])
    assert (receipt.model.name, receipt.asked) == (spare, failing)
