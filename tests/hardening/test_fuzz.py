"""Bytes that nobody chose, from clients and from upstreams: always an answer, never a defect."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import h11
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from littoral.terms.values import ToolSupport
from tests.hardening.ambiguous import transmissions
from tests.hardening.pops import CALLS, HardPop, check_error, hard_pop
from tests.hardening.test_odd_answers import TOOLS, check_no_defect
from tests.hardening.upstreams import Asked, head, plain, truth, upstream
from tests.web.raw import Client
from tests.web.test_hostile import check_answers

QUIET = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]
"""Without shrinking: a PoP that a test has brought down would be asked a thousand times more."""

SOON_S = 0.1


@pytest.fixture(scope="module")
def pop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HardPop]:
    waits = ("--head-wait-s", str(SOON_S), "--body-wait-s", str(SOON_S))
    with hard_pop(tmp_path_factory.mktemp("fuzz"), *waits) as running:
        yield running


async def transmit(pop: HardPop, data: bytes) -> bytes:
    """Send it, and a last request that asks to close; everything that comes back."""
    async with pop.client() as client:
        client.writer.write(data + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return await client.until_closed()


@settings(max_examples=40, suppress_health_check=QUIET, phases=PHASES)
@given(st.lists(transmissions(), min_size=4, max_size=12))
async def test_whatever_a_client_sends_is_answered_or_ended(
    pop: HardPop, clients: list[bytes]
) -> None:
    key = b"Authorization: Bearer " + pop.key.encode()
    # What answers a HEAD is framed otherwise, and who reads a fuzzed connection can't know of it.
    clients = [data.replace(b"HEAD ", b"PUT ") for data in clients]
    addressed = [
        data.replace(b"/p ", path.encode() + b" ").replace(b"Host: a", key + b"\r\nHost: a")
        for data, path in zip(clients, [path for path, _ in CALLS.values()] * 2, strict=False)
    ]
    for received in await asyncio.gather(*[transmit(pop, data) for data in addressed]):
        check_answers(received)
        assert b"met a defect" not in received
    await pop.check_alive()


NAMES = st.sampled_from(
    [
        "model", "messages", "role", "content", "stream", "stream_options", "include_usage",
        "tools",
        "type", "function", "name", "parameters", "tool_choice", "tool_calls", "max_tokens", "stop",
        "n", "seed", "temperature", "logit_bias", "logprobs", "top_logprobs", "response_format",
        "json_schema", "schema", "prompt", "input", "encoding_format", "dimensions", "system",
        "metadata", "thinking", "instructions", "text", "format", "reasoning", "store", "user",
        "id",
        "arguments", "call_id", "output", "tool_use_id", "is_error", "image_url", "url", "best_of",
    ]
)  # fmt: skip
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.integers(-1, 3),
    st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8), st.just("echo"),
    st.sampled_from(["user", "assistant", "tool", "function", "text", "auto", "\ud800"]),
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=12,
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "tool", "x"])},
        optional={"content": VALUES, "tool_calls": VALUES, "name": VALUES, "tool_call_id": VALUES},
    ),
    max_size=3,
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """One of the calls, with some of its members changed and others added."""
    call = draw(st.sampled_from(list(CALLS)))
    body: dict[str, Any] = {"model": "echo", "max_tokens": 4, **CALLS[call][1]}
    if "messages" in body and draw(st.booleans()):
        body["messages"] = draw(MESSAGES)
    body |= draw(st.dictionaries(NAMES, VALUES, max_size=3))
    return call, body


@settings(max_examples=60, suppress_health_check=QUIET, phases=PHASES)
@given(st.lists(bodies(), min_size=6, max_size=12))
async def test_whatever_a_body_holds_is_answered_in_the_shape_of_its_api(
    pop: HardPop, asks: list[tuple[str, dict[str, Any]]]
) -> None:
    answers = await asyncio.gather(
        *[pop.ask(CALLS[call][0], json.dumps(body).encode()) for call, body in asks]
    )
    for (call, body), answer in zip(asks, answers, strict=True):
        assert answer.status in {200, 400, 404, 503}, (call, body, answer)
        if answer.status != 200:
            check_error(CALLS[call][0], answer)
        assert b"met a defect" not in answer.body


PIECES = st.one_of(
    st.binary(max_size=4),
    st.sampled_from(
        [
            b"\r\n", b"\n\n", b"\r\n\r\n", b"0\r\n\r\n", b"data: ", b"data: [DONE]\n\n", b"{", b"}",
            b"null", b"-1", b"ffffffff", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
            b"transfer-encoding: chunked\r\n", b"content-length: 3\r\n", b'"error":{},', b": x\n\n",
            b'"choices":null,', b"event: error\n", b'\\ud800', b"\x00", b"\xff",
            b"id: 1\nretry: 1\n",
            b"connection: close\r\n", b"500", b"404", b"204",
        ]
    ),
)  # fmt: skip
CHANGES = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 40), PIECES, st.integers(0, 3)),
    min_size=1,
    max_size=4,
)
"""Where, as a share of the answer; how many bytes go; what comes instead, how many times."""


def changed(data: bytes, changes: list[tuple[float, int, bytes, int]]) -> bytes:
    for place, gone, new, times in changes:
        at = int(place * len(data))
        data = data[:at] + new * times + data[at + gone :]
    return data


def unframed(asked: Asked) -> bytes:
    """The right answer, ended by the end of the connection: changes hit what it says."""
    true = truth(asked)
    return head(f"content-type: {true.type}") + true.body


@pytest.mark.parametrize(
    "wire", [lambda asked: plain(truth(asked)), unframed], ids=["framed", "not"]
)
@settings(max_examples=40, suppress_health_check=QUIET, phases=PHASES)
@given(changes=CHANGES, cut=st.floats(0, 1))
async def test_whatever_an_upstream_sends_is_passed_on_or_told(
    pop: HardPop, wire: Any, changes: list[tuple[float, int, bytes, int]], cut: float
) -> None:
    async def fuzzed(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        data = changed(wire(asked), changes)
        at = int(cut * len(data))
        writer.write(data[:at])
        await asyncio.sleep(0)
        writer.write(data[at:])
        return False

    async with upstream(fuzzed) as odd:
        model = pop.add(odd.port)
        answers = await asyncio.gather(*[pop.call(call, model) for call in CALLS])
    for call, answer in zip(CALLS, answers, strict=True):
        assert answer.status == 200 or check_error(CALLS[call][0], answer)
        assert b"met a defect" not in answer.body, call


SAID = st.sampled_from(
    [
        "id", "object", "created", "model", "choices", "index", "delta", "message", "role",
        "content",
        "tool_calls", "function", "name", "arguments", "finish_reason", "stop_reason", "usage",
        "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "text",
        "cached_tokens", "logprobs", "error", "data", "embedding", "type", "refusal", "__verbose",
    ]
)  # fmt: skip
WORDS = st.sampled_from(
    ['{"name": "look", "arguments": {}}', "<tool_call>", "stop", "length", "tool_calls"]
)
ANSWERS = st.recursive(
    LEAVES | WORDS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(SAID, inner, max_size=4)),
    max_leaves=10,
)
CHOICES = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(-1, 3) | ANSWERS,
        "delta": st.dictionaries(SAID, ANSWERS, max_size=3),
        "message": st.dictionaries(SAID, ANSWERS, max_size=3),
        "finish_reason": WORDS | st.none() | ANSWERS,
        "text": WORDS,
    },
)
EVENTS = st.one_of(
    st.dictionaries(SAID, ANSWERS, max_size=4),
    st.fixed_dictionaries(
        {"choices": st.lists(CHOICES, max_size=2)},
        optional={"usage": ANSWERS, "id": ANSWERS, "created": ANSWERS},
    ),
)


@pytest.mark.parametrize("tools", [ToolSupport.NATIVE, ToolSupport.PROMPTED])
@settings(max_examples=40, suppress_health_check=QUIET, phases=PHASES)
@given(events=st.lists(EVENTS, min_size=1, max_size=4), done=st.booleans())
async def test_whatever_the_events_of_an_upstream_say_is_passed_on_or_told(
    pop: HardPop, tools: ToolSupport, events: list[dict[str, Any]], done: bool
) -> None:
    said = [json.dumps(event).encode() for event in events]

    async def say(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        if asked.streams:
            writer.write(head("content-type: text/event-stream"))
            writer.write(b"".join(b"data: %b\n\n" % each for each in said))
            writer.write(b"data: [DONE]\n\n" if done else b"")
        else:
            writer.write(head("content-type: application/json") + said[0])
        return False

    async with upstream(say) as odd:
        model = pop.add(odd.port, tools=tools)
        offered = TOOLS if tools is ToolSupport.PROMPTED else dict.fromkeys(CALLS)
        answers = await asyncio.gather(
            *[
                pop.call(call, model, **({} if tool is None else {"tools": [tool]}))
                for call, tool in offered.items()
            ]
        )
    for call, answer in zip(offered, answers, strict=True):
        check_no_defect(call, answer)


@settings(max_examples=25, suppress_health_check=QUIET, phases=PHASES)
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=3))
async def test_noise_from_an_upstream_is_an_upstream_that_failed(
    pop: HardPop, noise: list[bytes]
) -> None:
    async def noisy(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        for each in noise:
            writer.write(each)
            await asyncio.sleep(0)
        return False

    async with upstream(noisy) as odd:
        model = pop.add(odd.port)
        for call in ("chat", "messages stream"):
            answer = await pop.call(call, model)
            assert answer.status in {502, 504}
            check_error(CALLS[call][0], answer)


async def test_a_client_that_was_told_off_can_be_understood_by_another_implementation(
    pop: HardPop,
) -> None:
    """The checks above stand on h11's reading: it does notice an answer that is cut off."""
    reader = asyncio.StreamReader()
    reader.feed_data(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc")
    reader.feed_eof()
    with pytest.raises(h11.RemoteProtocolError):
        await Client(reader, None).answer()  # type: ignore[arg-type]  # it only reads
