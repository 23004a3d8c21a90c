"""The simulated Door keeps the rules of the port, and catches handlers that do not."""

import asyncio
import json

import pytest

from littoral.terms.errors import (
    EngineLostError,
    KeyMissingError,
    KeyRejectedError,
    NotAllowedError,
    QueueFullError,
    UnknownModelError,
)
from littoral.terms.ids import ModelName
from littoral.terms.ports import Answer, Door, Status
from littoral.terms.values import Ask, Kind
from tests.web.fake_door import (
    CALLERS,
    CHAT_MODEL,
    DONE,
    EMBED_MODEL,
    KEY,
    NARROW_KEY,
    FakeAnswer,
    FakeDoor,
    FakeStatus,
    Script,
)


def ask(kind: Kind = Kind.CHAT, *, stream: bool = True, model: ModelName = CHAT_MODEL) -> Ask:
    return Ask(api="test", kind=kind, model=model, body={}, stream=stream)


USER = CALLERS[KEY]


def test_it_has_the_shape_of_the_ports() -> None:
    door: Door = FakeDoor()
    status: Status = FakeStatus()
    answer: Answer = FakeAnswer(Script(), [], 1)
    assert door.models(USER)
    assert status.ready()[0]
    assert answer.outcome()[0].total_tokens > 0


@pytest.mark.parametrize("kind", [Kind.CHAT, Kind.COMPLETE])
async def test_a_stream_is_whole_events_with_usage_before_done(kind: Kind) -> None:
    async with FakeDoor().answer(ask(kind), USER) as answer:
        chunks = [chunk async for chunk in answer.chunks]
        assert chunks[-1] == DONE
        assert "usage" in json.loads(chunks[-2].removeprefix(b"data: "))
        assert all(chunk.startswith(b"data: ") and chunk.endswith(b"\n\n") for chunk in chunks)
        await answer.seal()


@pytest.mark.parametrize("kind", list(Kind))
async def test_a_body_is_one_json_value_with_usage(kind: Kind) -> None:
    async with FakeDoor().answer(ask(kind, stream=False), USER) as answer:
        chunks = [chunk async for chunk in answer.chunks]
        assert len(chunks) == 1
        assert json.loads(chunks[0])["usage"]["prompt_tokens"] > 0
        await answer.seal()


async def test_it_refuses_as_a_door_does() -> None:
    door = FakeDoor()
    with pytest.raises(KeyMissingError):
        door.authenticate(None)
    with pytest.raises(KeyRejectedError):
        door.authenticate("nope")
    for refused, model, key in (
        (UnknownModelError, ModelName("nope"), KEY),
        (NotAllowedError, CHAT_MODEL, NARROW_KEY),
    ):
        with pytest.raises(refused):
            async with door.answer(ask(model=model), CALLERS[key]):
                pass
    door.script = Script(refuse=QueueFullError("full"))
    with pytest.raises(QueueFullError):
        async with door.answer(ask(), USER):
            pass


async def test_leaving_without_a_seal_is_a_client_that_left() -> None:
    door = FakeDoor()
    async with door.answer(ask(), USER):
        pass
    assert door.answers[0].abandoned.is_set()


async def test_sealing_early_or_twice_and_sending_late_fail_the_test() -> None:
    async with FakeDoor().answer(ask(Kind.EMBED, model=EMBED_MODEL, stream=False), USER) as answer:
        with pytest.raises(AssertionError):
            await answer.seal()
        async for chunk in answer.chunks:
            answer.sent(chunk)
        await answer.seal()
        with pytest.raises(AssertionError):
            await answer.seal()
        with pytest.raises(AssertionError):
            answer.sent(b"late")


async def test_it_breaks_and_waits_where_its_script_says() -> None:
    door = FakeDoor(Script(fail_after=2, error=EngineLostError("died"), hold_at=1))
    seen: list[bytes] = []

    async def read() -> None:
        async with door.answer(ask(), USER) as answer:
            async for chunk in answer.chunks:
                seen.append(chunk)  # noqa: PERF401 - one by one, so that what came is seen

    reading = asyncio.ensure_future(read())
    await door.script.held.wait()
    assert len(seen) == 1
    door.script.release.set()
    with pytest.raises(EngineLostError):
        await reading
    assert len(seen) == 2
