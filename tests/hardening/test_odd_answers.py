"""Upstreams that say what nobody expects, in answers, events and errors that are well framed."""

import asyncio
import itertools
from collections.abc import Iterator, Mapping

import pytest

from littoral.terms.limits import RETRY_AFTER_MAX_S
from littoral.terms.values import ToolSupport
from tests.hardening.pops import CALLS, HardPop, check_error, hard_pop
from tests.hardening.upstreams import Asked, Play, chunk, head, truth, upstream
from tests.web.raw import Answer

MEGABYTE = 2**20
IN_CHUNKS = head("content-type: text/event-stream", "transfer-encoding: chunked")


@pytest.fixture(scope="module")
def pop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HardPop]:
    with hard_pop(tmp_path_factory.mktemp("odd")) as running:
        yield running


ODD_BODIES = (
    b'{"error":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"error":{"message":"\xff\xfe"}}', b"\xff", b"[" * 200_000,
    b'{"error":{"message":"\\ud800"}}',
    b'{"error":"' + b"x" * MEGABYTE + b'"}', b'{"error":{"message":["a"]}}', b'{"message":null}',
    b'{"error":{"message":"a\\r\\nset-cookie: b"}}', b"9" * 100_000, b'{"error":{"error":{}}}', b"",
)  # fmt: skip


@pytest.mark.parametrize("number", range(len(ODD_BODIES)))
async def test_an_error_of_an_upstream_may_say_anything(pop: HardPop, number: int) -> None:
    body = ODD_BODIES[number]

    async def refuse(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        fields = (f"content-length: {len(body)}", f"retry-after: {next(waits)}")
        writer.write(head(*fields, status=f"{status} X") + body)
        return True

    waits = itertools.cycle(["9" * 400, "-1", "1e9", "", "7"])
    async with upstream(refuse) as odd:
        model = pop.add(odd.port)
        for status in (400, 401, 403, 404, 408, 413, 422, 429, 500, 503, 599):
            for call in ("chat", "messages stream"):
                answer = await pop.call(call, model)
                assert answer.status in {400, 502, 503, 504}, answer
                error = check_error(CALLS[call][0], answer)
                assert len(answer.body) < 4096
                assert error["fault"] != "caller" or status in {400, 413, 422}
                assert 0 <= int(answer.headers.get("retry-after", "0")) <= RETRY_AFTER_MAX_S


DEEP = b"[" * 100_000 + b"]" * 100_000
ODD_EVENTS = (
    b'{"choices":[{"index":0,"delta":{"content":"\xff\xfe"}}]}',
    b'{"choices":[{"index":0,"delta":{"content":"\\ud800"}}]}',
    b'{"choices":[{"index":0,"delta":' + DEEP + b"}]}", b'{"choices":' + DEEP + b"}", DEEP,
    b'{"choices":[{"index":99999999999999999999999,"delta":{"content":"a"}}]}',
    b'{"choices":[{"index":-1,"delta":{"content":7}}]}', b'{"choices":{"a":1}}', b'{"choices":[1]}',
    b'{"choices":[],"usage":{"prompt_tokens":1e400,"completion_tokens":-5}}', b"null", b"7", b'"a"',
    b'{"choices":[],"usage":{"prompt_tokens":-7,"completion_tokens":99999999999999999999}}',
    b'{"choices":[],"usage":[]}', b'{"usage":{"prompt_tokens":"a"}}', b"{", b"", b"\x00", b"NaN",
    b'{"choices":[{"delta":{"tool_calls":[{"index":1000000000,"function":{"name":"f"}}]}}]}',
    b'{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"{"}}]},"finish_reason":""}]}',
    b'{"choices":[{"index":0,"delta":{},"finish_reason":"\\u0000made up"}]}',
    b'{"choices":[{"delta":null,"finish_reason":null}],"created":1e999,"model":null,"id":[]}',
    b'{"id":"a","id":"b","choices":[],"choices":[{"index":0,"delta":{"content":"twice"}}]}',
)  # fmt: skip


def saying(odd: bytes) -> Play:
    """The right answer, with this within a stream, and this alone where none is asked for."""

    async def say(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        if asked.streams:
            middle = chunk(b"data: " + odd + b"\n\n")
            pieces = [chunk(each) for each in truth(asked).pieces]
            writer.write(IN_CHUNKS + b"".join([*pieces[:2], middle, *pieces[2:], chunk(b"")]))
        else:
            writer.write(head(f"content-length: {len(odd)}", "content-type: application/json"))
            writer.write(odd)
        return True

    return say


def check_no_defect(call: str, answer: Answer) -> None:
    assert answer.status in {200, 500, 502}, (call, answer)
    if answer.status != 200:
        assert check_error(CALLS[call][0], answer)["code"] != "internal", call
    assert b"met a defect" not in answer.body, call


@pytest.mark.parametrize("number", range(len(ODD_EVENTS)))
async def test_an_event_or_a_body_may_hold_anything(pop: HardPop, number: int) -> None:
    """It is passed on, or it is an error of the upstream's; it is never a defect of ours."""
    async with upstream(saying(ODD_EVENTS[number])) as babbling:
        model = pop.add(babbling.port)
        answers = await asyncio.gather(*[pop.call(call, model) for call in CALLS])
    for call, answer in zip(CALLS, answers, strict=True):
        check_no_defect(call, answer)


_PARAMETERS = {"type": "object", "properties": {}}
_FUNCTION = {"name": "look", "parameters": _PARAMETERS}
TOOLS: Mapping[str, object] = {
    "chat": {"type": "function", "function": _FUNCTION},
    "chat stream": {"type": "function", "function": _FUNCTION},
    "messages": {"name": "look", "input_schema": _PARAMETERS},
    "messages stream": {"name": "look", "input_schema": _PARAMETERS},
    "responses": {"type": "function", **_FUNCTION},
    "responses stream": {"type": "function", **_FUNCTION},
}


@pytest.mark.parametrize("number", range(len(ODD_EVENTS)))
async def test_calls_of_tools_are_looked_for_in_anything(pop: HardPop, number: int) -> None:
    async with upstream(saying(ODD_EVENTS[number])) as babbling:
        model = pop.add(babbling.port, tools=ToolSupport.PROMPTED)
        answers = await asyncio.gather(
            *[pop.call(call, model, tools=[tool]) for call, tool in TOOLS.items()]
        )
    for call, answer in zip(TOOLS, answers, strict=True):
        check_no_defect(call, answer)
