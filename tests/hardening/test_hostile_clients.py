"""Clients that are slow, endless or silent: each gets its refusal, and nobody else feels it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.hardening.neighbours import undisturbed
from tests.hardening.pops import CALLS, HardPop, body_of, check_error, hard_pop
from tests.hardening.upstreams import Asked, chunk, events_of, head, truth, upstream
from tests.web.raw import PATIENCE_S, Answer, Client, get

MEGABYTE = 2**20
SOON_S = 0.3
BODY_MAX = 4 * MEGABYTE
DOORS = ("/v1/chat/completions", "/v1/messages")
"""One door of each API: refusals by the server itself do not depend on more."""


@pytest.fixture(scope="module")
def pop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HardPop]:
    options = ("--head-wait-s", str(SOON_S), "--body-wait-s", str(SOON_S))
    size = ("--body-bytes-max", str(BODY_MAX))
    with hard_pop(tmp_path_factory.mktemp("hostile"), *options, *size) as running:
        yield running


async def refused(client: Client, path: str) -> tuple[int, str]:
    """The error that this client is told, after which its connection is closed."""
    answer = await client.answer("POST")
    error = check_error(path, answer)
    assert await client.until_closed() == b""
    return answer.status, error["code"]


async def trickle(client: Client, begun: bytes, piece: bytes) -> None:
    """Send the beginning, and then on and on until nobody reads any more."""
    with contextlib.suppress(OSError):
        client.writer.write(begun)
        while not client.writer.transport.is_closing():
            client.writer.write(piece)
            await client.writer.drain()
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def sending(client: Client, begun: bytes, piece: bytes) -> AsyncIterator[None]:
    """Do so meanwhile."""
    task = asyncio.ensure_future(trickle(client, begun, piece))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_two_hundred_slow_heads_end_in_time_and_disturb_nobody(pop: HardPop) -> None:
    async def slow() -> int:
        begun = b"POST /v1/chat/completions HTTP/1.1\r\n"
        async with pop.client() as client, sending(client, begun, b"X: y\r\n"):
            return (await refused(client, "/"))[0]

    before = pop.descriptors()
    with pop.grows_at_most(16 * MEGABYTE):
        async with undisturbed(pop):
            assert set(await asyncio.gather(*[slow() for _ in range(200)])) == {408}
    await pop.descriptors_at_most(before + 4)


@pytest.mark.parametrize("path", DOORS)
async def test_slow_bodies_end_in_time_and_disturb_nobody(pop: HardPop, path: str) -> None:
    async def slow(framing: str, piece: bytes) -> tuple[int, str]:
        begun = get(path, f"Authorization: Bearer {pop.key}", framing).replace(b"GET", b"POST", 1)
        async with pop.client() as client, sending(client, begun, piece):
            return await refused(client, path)

    async with undisturbed(pop):
        outcomes = await asyncio.gather(
            *[slow("Content-Length: 3000000", b" ") for _ in range(50)],
            *[slow("Transfer-Encoding: chunked", b"1\r\n \r\n") for _ in range(50)],
        )
    assert set(outcomes) == {(408, "request_timeout")}


@pytest.mark.parametrize(
    ("begun", "piece"),
    [
        (b"GET / HTTP/1.1\r\nX: ", b"y" * 16384),
        (b"GET /", b"y" * 16384),
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 2000),
        (b"GET / HTTP/1.1\r\n", b": \r\n" * 2000),
        (b"", b"G" * 16384),
    ],
    ids=["one field", "a target", "many fields", "nameless fields", "a method"],
)
async def test_an_endless_head_is_refused_by_its_size(
    pop: HardPop, begun: bytes, piece: bytes
) -> None:
    async def endless() -> None:
        async with pop.client() as client, sending(client, begun, piece):
            assert await refused(client, "/") == (431, "head_too_large")

    with pop.grows_at_most(24 * MEGABYTE):
        async with undisturbed(pop):
            await asyncio.gather(*[endless() for _ in range(60)])


async def test_a_thousand_short_fields_are_refused_by_their_number(pop: HardPop) -> None:
    async with pop.client() as client:
        await client.send(get("/healthz", *[f"X{n}: y" for n in range(1000)]))
        assert await refused(client, "/") == (431, "head_too_large")


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize("announced", [BODY_MAX + 1, 100 * MEGABYTE, 10**17])
async def test_a_body_that_is_announced_too_large_is_refused_unread(
    pop: HardPop, path: str, announced: int
) -> None:
    length = f"Content-Length: {announced}"
    begun = get(path, f"Authorization: Bearer {pop.key}", length).replace(b"GET", b"POST", 1)

    async def insist() -> None:
        async with pop.client() as client, sending(client, begun, b" " * MEGABYTE):
            answer = await client.answer("POST")
            assert answer.status == 413
            assert check_error(path, answer)["code"] == "body_too_large"

    with pop.grows_at_most(24 * MEGABYTE):
        async with undisturbed(pop):
            await asyncio.gather(*[insist() for _ in range(20)])


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize(
    ("piece", "status"),
    [
        (b"10000\r\n" + b" " * 65536 + b"\r\n", 413),
        (b"1\r\n \r\n" * 4096, 400),
        (b"1;" + b"x" * 1000 + b"\r\n \r\n", 400),
        (b"7fffffff\r\n", 413),
    ],
    ids=["large chunks", "tiny chunks", "long extensions", "a huge chunk"],
)
async def test_an_endless_body_in_chunks_is_refused(
    pop: HardPop, path: str, piece: bytes, status: int
) -> None:
    coding = "Transfer-Encoding: chunked"
    begun = get(path, f"Authorization: Bearer {pop.key}", coding).replace(b"GET", b"POST", 1)

    async def endless() -> None:
        async with (
            pop.client() as client,
            sending(client, begun, piece * (4 if status == 400 else 1)),
        ):
            answer = await client.answer("POST")
            assert answer.status in {status, 408}, answer
            check_error(path, answer)

    with pop.grows_at_most(96 * MEGABYTE):
        async with undisturbed(pop):
            await asyncio.gather(*[endless() for _ in range(8)])


@pytest.mark.parametrize("length", ["3", str(BODY_MAX + 1)], ids=["slow", "too large"])
async def test_a_refusal_that_ends_the_connection_says_so(pop: HardPop, length: str) -> None:
    """Else a client would send its next request into a connection that closes under it."""
    fields = (f"Authorization: Bearer {pop.key}", f"Content-Length: {length}")
    async with pop.client() as client:
        await client.send(get("/v1/messages", *fields).replace(b"GET", b"POST", 1))
        answer = await client.answer("POST")
        assert await client.until_closed() == b""
    assert answer.headers.get("connection") == "close"


async def test_nobody_without_a_key_has_a_body_waited_for(pop: HardPop) -> None:
    async with pop.client() as client:
        await client.send(get("/v1/messages", "Content-Length: 9999").replace(b"GET", b"POST", 1))
        answer = await client.answer("POST")
    assert answer.status == 401
    assert check_error("/v1/messages", answer)["type"] == "authentication_error"


async def test_a_thousand_requests_in_one_write_are_answered_in_order(pop: HardPop) -> None:
    count = 1000
    async with undisturbed(pop), pop.client() as client:
        wanted = ["/healthz" if n % 3 else f"/v1/models/none-{n}" for n in range(count)]
        key = f"Authorization: Bearer {pop.key}"
        client.writer.write(b"".join(get(path, key) for path in wanted))
        for path in wanted:
            answer = await client.answer()
            assert answer.status == (200 if path == "/healthz" else 404)
            assert path == "/healthz" or path[-4:].encode() in answer.body


async def test_what_is_pipelined_behind_a_stream_is_answered_after_it(pop: HardPop) -> None:
    go_on = asyncio.Event()

    async def hold(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        pieces = [chunk(each) for each in truth(asked).pieces]
        writer.write(head("content-type: text/event-stream", "transfer-encoding: chunked"))
        writer.write(pieces[0] + pieces[1])
        await go_on.wait()
        writer.write(b"".join(pieces[2:]) + chunk(b""))
        return True

    async with upstream(hold) as slow, pop.client() as client:
        first = pop.post(CALLS["chat stream"][0], body_of("chat stream", pop.add(slow.port)))
        second = pop.post(CALLS["chat"][0], body_of("chat", "echo"))
        await client.send(first + second + get("/healthz"))
        async with asyncio.timeout(PATIENCE_S):
            begun = await client.reader.readuntil(b"Paris")
        assert begun.count(b"HTTP/1.1 200") == 1
        go_on.set()
        async with asyncio.timeout(PATIENCE_S):
            rest = await client.reader.readuntil(b'{"status":"ok"}')
    whole = begun + rest
    marks = [b"[DONE]", b"\r\n0\r\n\r\n", b'"chat.completion"', b'{"status":"ok"}']
    assert sorted(map(whole.index, marks)) == list(map(whole.index, marks))


async def test_a_half_closed_client_is_gone_and_its_upstream_is_left(pop: HardPop) -> None:
    begun, left = asyncio.Event(), asyncio.Event()

    async def endless(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        begun.set()
        try:
            writer.write(head("content-type: text/event-stream", "transfer-encoding: chunked"))
            while not writer.transport.is_closing():
                writer.write(chunk(truth(asked).pieces[1]))
                await writer.drain()
                await asyncio.sleep(0.001)
        finally:
            left.set()
        return False

    async with upstream(endless) as slow, pop.client() as client:
        model = pop.add(slow.port)
        await client.send(pop.post(CALLS["chat stream"][0], body_of("chat stream", model)))
        async with asyncio.timeout(PATIENCE_S):
            await begun.wait()
            client.writer.write_eof()
            await left.wait()
            await client.until_closed()


async def test_clients_that_read_nothing_hold_their_upstream_back_and_little_memory(
    pop: HardPop,
) -> None:
    sent = 0

    async def flood(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        nonlocal sent
        writer.write(head("content-type: text/event-stream", "transfer-encoding: chunked"))
        piece = chunk(truth(asked).pieces[1] * 64)
        while not writer.transport.is_closing():
            writer.write(piece)
            sent += len(piece)
            await writer.drain()
        return False

    clients = 8
    before = pop.descriptors()
    async with upstream(flood) as fast, contextlib.AsyncExitStack() as stack:
        model = pop.add(fast.port)
        ask = pop.post(CALLS["chat stream"][0], body_of("chat stream", model))
        with pop.grows_at_most(clients * 3 * MEGABYTE):
            async with undisturbed(pop):
                for _ in range(clients):
                    client = await stack.enter_async_context(pop.client(limit=1024))
                    await client.send(ask)
                was = -1
                async with asyncio.timeout(PATIENCE_S):
                    while was != sent or not sent:
                        was = sent
                        await asyncio.sleep(0.1)
    await pop.descriptors_at_most(before + 4)


async def test_a_client_that_asks_on_and_on_and_reads_nothing_is_no_longer_read(
    pop: HardPop,
) -> None:
    asked = 0
    many = get("/healthz") * 1000

    async def ask_on(client: Client) -> None:
        nonlocal asked
        while True:
            client.writer.write(many)
            await client.writer.drain()
            asked += len(many)

    with pop.grows_at_most(8 * MEGABYTE):
        async with undisturbed(pop), pop.client(limit=1024) as client:
            asking = asyncio.ensure_future(ask_on(client))
            was = -1
            while was != asked or not asked:
                was = asked
                await asyncio.sleep(0.1)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)


async def test_what_is_not_http_is_told_so(pop: HardPop) -> None:
    for data in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 8,
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x00" * 1000,
        b"GET / HTTP/1.1\nHost: a\n\n\r\n\r\n",
        b"EHLO me\r\n\r\n",
    ):
        async with pop.client() as client:
            await client.send(data)
            assert await refused(client, "/") == (400, "invalid_request")


BAD_FIELDS = (
    b"X: \xff\xfe", b"\xc3\xa9: y", b"X: a\x00b", b"X: a\x01b", b"X: a\rb", b"X : y", b" X: y",
    b"X: \x7f", b"Content-Length: 5\r\nContent-Length: 6", b"Transfer-Encoding: gzip",
    b"Host: b", b"Authorization: Bearer b", b"X-Api-Key: a\r\nX-Api-Key: b",
)  # fmt: skip


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize("fields", BAD_FIELDS)
async def test_a_head_with_odd_bytes_is_refused_or_read_as_they_stand(
    pop: HardPop, path: str, fields: bytes
) -> None:
    body = json.dumps({"model": "echo", "max_tokens": 4, **CALLS["chat"][1]}).encode()
    request = pop.post(path, body).replace(b"Host:", fields + b"\r\nHost:", 1)
    async with pop.client() as client:
        answer: Answer = await client.ask(request, "POST")
    if fields == b"X: \xff\xfe":
        assert answer.status == 200
    else:
        assert answer.status == 400
        # A head that can't be read says nothing of its path, so its error has the common shape.
        assert check_error("/", answer)["code"] == "invalid_request"


async def test_a_stream_whose_client_comes_and_goes_leaves_nothing(pop: HardPop) -> None:
    before = pop.descriptors()

    async def visit(number: int) -> None:
        async with pop.client() as client:
            await client.send(
                pop.post(CALLS["chat stream"][0], body_of("chat stream", "echo", max_tokens=200))
            )
            if number % 3:
                await client.reader.read(1 + 40 * number)

    async with undisturbed(pop):
        for start in range(0, 120, 30):
            await asyncio.gather(*[visit(number) for number in range(start, start + 30)])
    await pop.descriptors_at_most(before + 4)
    answer = await pop.call("chat stream", "echo")
    assert b"[DONE]" in events_of(answer)[-2] + events_of(answer)[-1]
