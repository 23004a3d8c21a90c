"""A model of this machine that answers when no upstream can."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from littoral.terms.ids import ModelName
from littoral.trust.digests import salted
from tests.hardening.pops import CALLS, HardPop, body_of, check_error, hard_pop
from tests.hardening.upstreams import Asked, head, upstream


@pytest.fixture(scope="module")
def pop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HardPop]:
    with hard_pop(tmp_path_factory.mktemp("stand-in")) as running:
        yield running


async def down(asked: Asked, writer: asyncio.StreamWriter) -> bool:
    writer.write(head("content-length: 0", status="503 Service Unavailable"))
    return True


@pytest.mark.parametrize("call", ["chat", "chat stream", "completion", "embedding", "messages"])
@pytest.mark.parametrize("more", [{}, {"temperature": 0}])
async def test_it_answers_and_head_and_receipt_say_so(
    pop: HardPop, call: str, more: dict[str, object]
) -> None:
    async with upstream(down) as running:
        model = pop.add(running.port, fallbacks=("echo",))
        answer = await pop.call(call, model, **more)
        assert answer.status == 200, answer
        assert answer.headers["littoral-model"] == "echo"
        assert answer.headers["littoral-source"] == "echo"
        receipt = await pop.receipt(answer)
        assert (receipt.asked, receipt.model.name) == (model, "echo")
        again = await pop.call(call, model, **more)
        assert again.headers["littoral-source"] == "echo", "it is not kept as the other's answer"


async def limited(asked: Asked, writer: asyncio.StreamWriter) -> bool:
    fields = ("retry-after: 600", "content-length: 0")
    writer.write(head(*fields, status="429 Too Many Requests"))
    return True


async def test_it_answers_also_where_it_is_known_at_once_that_no_upstream_can(
    pop: HardPop,
) -> None:
    async with upstream(limited) as running:
        model = pop.add(running.port, fallbacks=("echo",))
        for call in ("chat", "chat stream") * 3:
            assert (await pop.call(call, model)).headers["littoral-model"] == "echo"
        assert len(running.asked) == 1, "it is left alone for as long as it said"


async def test_its_receipt_is_of_the_request_as_it_was_sent(pop: HardPop) -> None:
    async with upstream(down) as running:
        body = body_of("chat", pop.add(running.port, fallbacks=("echo",)))
        answer = await pop.ask(CALLS["chat"][0], body)
        receipt = await pop.receipt(answer)
        assert receipt.req == salted(bytes.fromhex(answer.headers["littoral-salt"]), body)


async def test_it_is_asked_after_the_upstreams_before_it_and_nothing_after_it(
    pop: HardPop,
) -> None:
    async with upstream(down) as first, upstream(down) as second, upstream() as third:
        others = (pop.add(second.port), "echo", pop.add(third.port))
        model = pop.add(first.port, fallbacks=others)
        answer = await pop.call("chat", model)
        assert answer.headers["littoral-model"] == "echo"
        assert (len(first.asked), len(second.asked), len(third.asked)) == (1, 1, 0)


async def test_all_who_wait_for_one_answer_get_it(pop: HardPop) -> None:
    fail = asyncio.Event()

    async def late(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        await fail.wait()
        return await down(asked, writer)

    async with upstream(late) as running:
        model = pop.add(running.port, fallbacks=("echo",))
        asking = [asyncio.create_task(pop.call("chat", model, temperature=0)) for _ in range(5)]
        await running.until_asked(1)
        fail.set()
        answers = await asyncio.gather(*asking)
        assert {answer.status for answer in answers} == {200}
        assert {answer.headers["littoral-model"] for answer in answers} == {"echo"}


async def test_a_callers_own_mistake_is_told_as_it_is(pop: HardPop) -> None:
    refusal = json.dumps({"error": {"message": "no such role", "type": "invalid"}}).encode()

    async def wrong(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        length = f"content-length: {len(refusal)}"
        fields = ("content-type: application/json", length)
        writer.write(head(*fields, status="400 Bad Request") + refusal)
        return True

    async with upstream(wrong) as running:
        answer = await pop.call("chat", pop.add(running.port, fallbacks=("echo",)))
        assert answer.status == 400
        assert b"no such role" in answer.body


async def test_after_the_first_byte_a_failure_is_one(pop: HardPop) -> None:
    async def broken(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        event = b'data: {"choices":[{"index":0,"delta":{"content":"He"}}]}\n\n'
        writer.write(head("content-type: text/event-stream", "transfer-encoding: chunked"))
        writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        return False

    async with upstream(broken) as running:
        answer = await pop.call("chat stream", pop.add(running.port, fallbacks=("echo",)))
        assert "littoral-model" not in answer.headers
        assert b'"error"' in answer.body


async def test_a_key_for_the_model_alone_may_be_answered_by_it(pop: HardPop) -> None:
    async with upstream(down) as running:
        model = pop.add(running.port, fallbacks=("echo",))
        key = pop.new_key("--model", model)
        path = CALLS["chat"][0]
        assert (await pop.ask_as(key, path, body_of("chat", model))).status == 200
        refused = await pop.ask_as(key, path, body_of("chat", "echo"))
        assert check_error(path, refused)["code"] == "permission_denied"


async def test_workers_hand_such_requests_to_who_has_the_models(tmp_path: Path) -> None:
    with hard_pop(tmp_path, "--workers", "2") as pop:
        async with upstream(down) as running:
            model = ModelName(pop.add(running.port, fallbacks=("echo",)))
            for _ in range(4):
                assert (await pop.call("chat", model)).headers["littoral-model"] == "echo"
