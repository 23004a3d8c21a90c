"""Upstreams that lie: whoever asked hears of it clearly, and nobody else hears anything."""

import asyncio
import gzip
import json
from collections.abc import Callable, Iterator

import pytest

from tests.hardening.neighbours import undisturbed
from tests.hardening.pops import CALLS, HardPop, check_error, hard_pop, is_anthropic
from tests.hardening.upstreams import (
    Asked,
    Truth,
    chunk,
    events_of,
    head,
    plain,
    truth,
    upstream,
    well,
)
from tests.web.raw import Answer

Lie = Callable[[Truth], bytes]

JSON_HEAD = head("content-type: application/json", "content-length: 7")


@pytest.fixture(scope="module")
def pop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HardPop]:
    with hard_pop(tmp_path_factory.mktemp("lying")) as running:
        yield running


def sized(length: object, true: Truth, *fields: str) -> bytes:
    return head(f"content-type: {true.type}", f"content-length: {length}", *fields) + true.body


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def in_chunks(true: Truth) -> bytes:
    return head(f"content-type: {true.type}", "transfer-encoding: chunked")


CLOSES: dict[str, Lie] = {
    "a length that is too large": lambda true: sized(len(true.body) + 100, true),
    "no answer": lambda true: b"",
    "half a status line": lambda true: b"HTTP/1.1 2",
    "half a head": lambda true: b"HTTP/1.1 200 OK\r\ncontent-ty",
    "half a body": lambda true: half(plain(true)) if len(true.pieces) == 1 else
        in_chunks(true) + chunk(half(true.body)),
    "half a chunk": lambda true: in_chunks(true) + chunk(true.body)[: len(true.body) // 2],
    "half of a body without a length":
        lambda true: head(f"content-type: {true.type}") + half(true.body),
    "a head and no body": in_chunks,
}  # fmt: skip
"""What the upstream writes before it closes."""

STAYS: dict[str, Lie] = {
    "a length that is too small": lambda true: sized(len(true.body) // 2, true),
    "a negative length": lambda true: sized(-5, true),
    "a length that is none": lambda true: sized("12a", true),
    "a length with a sign": lambda true: sized(f"+{len(true.body)}", true),
    "a length over all bounds": lambda true: sized("9" * 30, true),
    "two lengths that differ":
        lambda true: sized(len(true.body), true, f"content-length: {len(true.body) // 2}"),
    "a length and chunks":
        lambda true: sized(len(true.body), true, "transfer-encoding: chunked"),
    "no number for a chunk's size": lambda true: in_chunks(true) + b"zz\r\n" + true.body,
    "a chunk's size over all bounds": lambda true: in_chunks(true) + b"f" * 17 + b"\r\nabc",
    "a chunk that is longer than its size":
        lambda true: in_chunks(true) + b"5\r\n" + true.body + b"\r\n0\r\n\r\n",
    "TLS": lambda true: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "SSH": lambda true: b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/0.9": lambda true: b"<html>hello</html>\n",
    "HTTP/2": lambda true: b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64",
    "a version there is not": lambda true: plain(true).replace(b"HTTP/1.1", b"HTTP/7.3", 1),
    "a status there is not": lambda true: plain(true).replace(b"200", b"20", 1),
    "a field without a name": lambda true: head(": x", "content-length: 2") + b"{}",
    "a line that is no field": lambda true: head("nonsense", "content-length: 2") + b"{}",
    "a folded field": lambda true: head("a: b\r\n c", "content-length: 2") + b"{}",
    "a NUL in a field": lambda true: head("a: b\x00c", "content-length: 2") + b"{}",
    "an endless head": lambda true: b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 50_000,
    "an endless field": lambda true: b"HTTP/1.1 200 OK\r\na: " + b"b" * 500_000,
    "an endless reason": lambda true: b"HTTP/1.1 200 " + b"b" * 500_000,
    "endless announcements": lambda true: b"HTTP/1.1 100 Continue\r\n\r\n" * 50_000,
    "another protocol":
        lambda true: head("upgrade: x", "connection: upgrade", status="101 Switching Protocols"),
}  # fmt: skip
"""What the upstream writes, keeping its connection open; nobody can say where it ends."""

WELL_FRAMED: dict[str, Lie] = {
    "a coding that nobody asked for": lambda true: head("transfer-encoding: gzip, chunked")
        + chunk(true.body) + chunk(b""),
    "gzip":
        lambda true: head(f"content-type: {true.type}", "content-encoding: gzip",
            f"content-length: {len(gzip.compress(true.body))}") + gzip.compress(true.body),
    "a redirect":
        lambda true: head("location: http://127.0.0.1:1/v1/x", "content-length: 0", status="302 X"),
    "204 with a body": lambda true: head("content-length: 2", status="204 No Content") + b"{}",
    "a redirect with a body": lambda true: head("location: /", "content-length: 2", status="307 X")
        + b"{}",
    "an empty body": lambda true: head(f"content-type: {true.type}", "content-length: 0"),
    "null": lambda true: head("content-type: application/json", "content-length: 4") + b"null",
    "a list": lambda true: head("content-type: application/json", "content-length: 2") + b"[]",
    "an error with 200":
        lambda true: JSON_HEAD.replace(b"7", b"25") + b'{"error":{"message":"a"}}',
    "no JSON": lambda true: JSON_HEAD + b"{'a': 1",
    "no UTF-8": lambda true: JSON_HEAD + b'{"a":\xff}',
    "a page":
        lambda true: head("content-type: text/html", "content-length: 24")
        + b"<html>\n\n<p>no</p></html>",
}  # fmt: skip
"""Answers that end where they say, and are none."""


def check_told(call: str, answer: Answer) -> None:
    """A failure before anything was said: an answer with a status; after it, the last event."""
    check_failed(call, answer)
    if answer.status != 200:
        assert answer.status in {502, 504}, (call, answer)
        assert check_error(CALLS[call][0], answer)["fault"] == "peer"


def check_failed(call: str, answer: Answer) -> None:
    """As `check_told`, whoever of the upstream and its reader gave it up."""
    path, body = CALLS[call]
    if not body.get("stream") or answer.status != 200:
        assert answer.status in {500, 502, 504}, (call, answer)
        check_error(path, answer)
        return
    events = events_of(answer)
    assert b"[DONE]" not in events[-1], (call, answer.body)
    data = json.loads(events[-1].partition(b"data:")[2])
    error = data["response"]["error"] if "response" in data else data.get("error", data)
    assert error["message"], call
    assert error["code"], call
    if is_anthropic(path):
        assert events[-1].startswith(b"event: error\n")
        assert data["type"] == "error"


async def check_lie(pop: HardPop, lie: Lie, *, closes: bool = False, framed: bool = False) -> None:
    async def play(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        writer.write(lie(truth(asked)))
        return not closes

    before = pop.descriptors()
    async with upstream(play) as lying:
        model = pop.add(lying.port)
        async with undisturbed(pop):
            answers = await asyncio.gather(*[pop.call(call, model) for call in CALLS])
        if not framed:
            lying.check_used_once()
        lying.play = well  # it comes to its senses: nothing of the lie is left anywhere
        for call in ("chat", "chat stream"):
            after = await pop.call(call, model)
            assert after.status == 200
            assert b"Paris" in after.body
    for call, answer in zip(CALLS, answers, strict=True):
        check_told(call, answer)
    await pop.descriptors_at_most(before + 4)


@pytest.mark.parametrize("name", CLOSES)
async def test_an_upstream_that_closes_and_sent(pop: HardPop, name: str) -> None:
    await check_lie(pop, CLOSES[name], closes=True)


@pytest.mark.parametrize("name", STAYS)
async def test_an_upstream_that_can_not_be_read_and_sends(pop: HardPop, name: str) -> None:
    await check_lie(pop, STAYS[name])


@pytest.mark.parametrize("name", WELL_FRAMED)
async def test_an_upstream_whose_answer_is_none_but(pop: HardPop, name: str) -> None:
    await check_lie(pop, WELL_FRAMED[name], framed=True)


NO_STREAMS = {
    "a page": ("text/html", b"<html>\n\n<p>no</p>\n\n</html>"),
    "a text": ("text/plain", b"data: {}\n\n"),
    "bytes": ("application/octet-stream", b"\x00\n\n\x01\n\n"),
    "JSON": ("application/json", b'{"choices":[]}\n\n'),
}


@pytest.mark.parametrize("name", NO_STREAMS)
async def test_what_is_no_stream_of_events_is_refused_before_a_byte_of_it(
    pop: HardPop, name: str
) -> None:
    kind, body = NO_STREAMS[name]

    async def play(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        writer.write(head(f"content-type: {kind}", f"content-length: {len(body)}") + body)
        return True

    async with upstream(play) as lying:
        model = pop.add(lying.port)
        for call in CALLS:
            if call.endswith("stream"):
                answer = await pop.call(call, model)
                assert answer.status == 502, answer
                check_told(call, answer)
