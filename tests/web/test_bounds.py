"""Every bound holds, says so in the API's shape, and frees the connection."""

import asyncio
import json
import socket

import pytest

from littoral.terms.errors import KeyRejectedError
from littoral.web.http import HttpBounds, Request, Responder
from tests.web.raw import PATIENCE_S, Answer, Client, chunked, echo, get, post, serving

SOON = 0.05


def code_of(answer: Answer) -> tuple[int, str]:
    return answer.status, json.loads(answer.body)["error"]["code"]


async def test_a_head_over_its_bytes_is_431_and_the_end() -> None:
    async with serving(echo, bounds=HttpBounds(head_bytes_max=1000)) as served:
        for data in (get("/", "X: " + "a" * 2000), b"GET / HTTP/1.1\r\nX: " + b"a" * 2000):
            client = await served.client()
            assert code_of(await client.ask(data)) == (431, "head_too_large")
            assert await client.until_closed() == b""


async def test_a_head_just_within_its_bytes_is_taken_in_one_piece_or_many() -> None:
    data = get("/", "X: a")
    async with serving(echo, bounds=HttpBounds(head_bytes_max=len(data))) as served:
        client = await served.client()
        assert (await client.ask(data)).status == 200
        for part in (data[:10], data[10:]):
            await client.send(part)
            await asyncio.sleep(0)
        assert (await client.answer()).status == 200


async def test_one_header_field_too_many_is_431() -> None:
    async with serving(echo, bounds=HttpBounds(headers_max=3)) as served:
        client = await served.client()
        assert (await client.ask(get("/", "A: 1", "B: 2"))).status == 200
        assert code_of(await client.ask(get("/", "A: 1", "B: 2", "C: 3")))[0] == 431


async def test_an_announced_body_over_its_bytes_is_413_before_it_is_sent() -> None:
    async with serving(echo, bounds=HttpBounds(body_bytes_max=10)) as served:
        client = await served.client()
        head = post(b"x" * 11, "/", "Expect: 100-continue").split(b"\r\n\r\n")[0]
        answer = await client.ask(head + b"\r\n\r\n", "POST")
        assert code_of(answer) == (413, "body_too_large")
        assert not answer.informational
        whole = await served.client()
        assert code_of(await whole.ask(post(b"x" * 11), "POST"))[0] == 413
        assert (await (await served.client()).ask(post(b"x" * 10), "POST")).status == 200


async def test_a_client_that_sends_on_regardless_can_still_read_the_413() -> None:
    body = b"x" * 8_000_000
    async with serving(echo, bounds=HttpBounds(body_bytes_max=10)) as served:
        client = await served.client()
        client.writer.write(post(body))
        assert code_of(await client.answer("POST"))[0] == 413


async def test_a_body_in_chunks_over_its_bytes_is_413() -> None:
    async with serving(echo, bounds=HttpBounds(body_bytes_max=10)) as served:
        client = await served.client()
        assert (await client.ask(chunked(b"x" * 10), "POST")).status == 200
        assert code_of(await client.ask(chunked(b"x" * 9, b"yz"), "POST"))[0] == 413


async def test_all_bodies_together_are_bounded_and_given_back() -> None:
    release = asyncio.Event()

    async def hold(request: Request, responder: Responder) -> None:
        await release.wait()
        await responder.send(200, {}, b"")

    bounds = HttpBounds(body_bytes_max=1000, bodies_bytes_max=1500)
    async with serving(hold, bounds=bounds) as served:
        first, second, third = [await served.client() for _ in range(3)]
        await first.send(post(b"x" * 1000))
        head, body = post(b"y" * 1000).split(b"\r\n\r\n")
        await second.send(head + b"\r\n\r\n" + body[:999])
        answer = await second.answer("POST")
        assert code_of(answer) == (503, "machine_overloaded")
        assert "this machine's limit" in json.loads(answer.body)["error"]["message"]
        release.set()
        assert (await first.answer("POST")).status == 200
        await third.send(head + b"\r\n\r\n")
        await third.send(body)
        assert (await third.answer("POST")).status == 200


async def test_a_body_that_is_broken_off_is_given_back() -> None:
    async with serving(echo) as served:
        client = await served.client()
        await client.send(post(b"x" * 1000)[:-1])
        async with asyncio.timeout(PATIENCE_S):
            while served.server._service.bodies_bytes < 999:
                await asyncio.sleep(0)
            client.leave()
            await served.server._service.all_gone.wait()
        assert served.server._service.bodies_bytes == 0


async def test_a_slow_head_is_408_however_busily_it_trickles() -> None:
    async with serving(echo, bounds=HttpBounds(head_wait_s=SOON)) as served:
        client = await served.client()
        await client.send(b"GET / HTTP/1.1\r\n")
        answer = await trickling(client, b"X: y\r\n")
    assert code_of(answer) == (408, "request_timeout")


async def test_a_slow_body_is_408_however_busily_it_trickles() -> None:
    async with serving(echo, bounds=HttpBounds(body_wait_s=SOON)) as served:
        client = await served.client()
        await client.send(post(b"x" * 1_000_000)[:200])
        answer = await trickling(client, b"x")
    assert code_of(answer) == (408, "request_timeout")


async def trickling(client: Client, data: bytes) -> Answer:
    """Send on until there is an answer."""
    answering = asyncio.ensure_future(client.answer("POST"))
    while not answering.done():
        client.writer.write(data)
        await asyncio.wait([answering], timeout=0.002)
    return answering.result()


async def test_a_refused_client_that_never_closes_is_dropped() -> None:
    bounds = HttpBounds(headers_max=1, linger_wait_s=SOON)
    async with serving(echo, bounds=bounds) as served:
        client = await served.client()
        assert code_of(await client.ask(get("/", "A: 1")))[0] == 431
        assert served.server.connections == 1
        async with asyncio.timeout(PATIENCE_S):
            await served.server._service.all_gone.wait()
        assert not served.defects


async def test_an_idle_connection_is_closed_without_a_word() -> None:
    async with serving(echo, bounds=HttpBounds(idle_wait_s=SOON)) as served:
        fresh, used = await served.client(), await served.client()
        assert (await used.ask(get())).status == 200
        assert await fresh.until_closed() == b""
        assert await used.until_closed() == b""


async def test_a_handler_may_take_longer_than_every_wait_for_the_client() -> None:
    served_at_last = asyncio.Event()

    async def slow(request: Request, responder: Responder) -> None:
        await served_at_last.wait()
        await responder.send(200, {}, b"")

    bounds = HttpBounds(head_wait_s=0.02, body_wait_s=0.02, idle_wait_s=0.02, write_wait_s=0.02)
    async with serving(slow, bounds=bounds) as served:
        client, idle = await served.client(), await served.client()
        await client.send(get())
        await idle.until_closed()
        served_at_last.set()
        assert (await client.answer()).status == 200


async def test_a_client_that_reads_nothing_is_dropped_and_holds_little_memory() -> None:
    written = 0
    gone = asyncio.Event()

    async def flood(request: Request, responder: Responder) -> None:
        nonlocal written
        try:
            await responder.start(200, {})
            while True:
                await responder.write(b"x" * 8192)
                written += 8192
        finally:
            gone.set()

    async with serving(flood, bounds=HttpBounds(write_wait_s=SOON)) as served:
        client = await served.client(limit=1024)
        await client.send(get())
        async with asyncio.timeout(PATIENCE_S):
            await gone.wait()
        # What the two kernels' socket buffers took, and little more.
        assert written < 16 * 2**20
        assert not served.defects


async def test_a_client_that_reads_slowly_and_steadily_gets_everything() -> None:
    size = 12 * 2**20

    async def large(request: Request, responder: Responder) -> None:
        await responder.send(200, {}, b"x" * size)

    async with serving(large, bounds=HttpBounds(write_wait_s=0.2)) as served:
        client = await served.client(limit=4096)
        await client.send(get("/", "Connection: close"))
        read = 0
        async with asyncio.timeout(PATIENCE_S):
            while data := await client.reader.read(256 * 1024):
                read += len(data)
                await asyncio.sleep(0)
    assert read > size


async def test_what_is_kept_of_following_requests_is_bounded_and_all_of_it_is_answered() -> None:
    release = asyncio.Event()

    async def hold(request: Request, responder: Responder) -> None:
        await release.wait()
        await responder.send(200, {}, request.path.encode())

    count = 3000
    async with serving(hold, bounds=HttpBounds(pipeline_bytes_max=1000)) as served:
        client = await served.client()
        requests = b"".join(get(f"/{n}", "X: " + "y" * 4000) for n in range(count))
        client.writer.write(requests)
        connection = next(iter(served.server._service.connections))
        async with asyncio.timeout(PATIENCE_S):
            while not connection._reading_paused:  # type: ignore[attr-defined]  # the real class
                await asyncio.sleep(0)
            # However long it goes on: the rest stays with the client.
            for _ in range(1000):
                await asyncio.sleep(0)
        kept = len(connection._kept)  # type: ignore[attr-defined]  # as above
        assert kept <= 1000 + 256_000
        assert client.writer.transport.get_write_buffer_size() > 0
        release.set()
        for n in range(count):
            assert (await client.answer()).body == f"/{n}".encode()


async def test_one_connection_too_many_is_told_and_closed_and_the_rest_go_on() -> None:
    async with serving(echo, bounds=HttpBounds(connections_max=2)) as served:
        first, second = await served.client(), await served.client()
        assert (await first.ask(get())).status == 200
        assert (await second.ask(get())).status == 200
        third = await served.client()
        answer = await third.answer()
        assert code_of(answer) == (503, "machine_overloaded")
        assert answer.headers["retry-after"] == "1"
        assert await third.until_closed() == b""
        assert (await first.ask(get())).status == 200
        first.leave()
        async with asyncio.timeout(PATIENCE_S):
            while served.server.connections > 1:
                await asyncio.sleep(0)
        assert (await (await served.client()).ask(get())).status == 200


async def test_the_gate_refuses_before_a_large_body_is_waited_for() -> None:
    def nobody(method: str, path: str, headers: object) -> None:
        raise KeyRejectedError("the API key is not accepted")

    async with serving(echo, gate=nobody) as served:
        client = await served.client()
        answer = await client.ask(post(b"x" * 100_000)[:500], "POST")
        assert code_of(answer) == (401, "invalid_api_key")
        # A request that is all there goes straight to the handler, which asks by itself.
        assert (await (await served.client()).ask(post(b"x"), "POST")).status == 200


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nbad trailer\r\n\r\n",
    ],
)
async def test_what_is_not_a_request_is_400_and_the_end(data: bytes) -> None:
    async with serving(echo) as served:
        client = await served.client()
        assert code_of(await client.ask(data)) == (400, "invalid_request")
        assert await client.until_closed() == b""
        assert not served.defects


async def test_small_packets_are_not_held_back() -> None:
    seen: list[int] = []

    async def look(request: Request, responder: Responder) -> None:
        connection = next(iter(served.server._service.connections))
        bound = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined]  # real
        with socket.socket(fileno=socket.dup(bound.fileno())) as same:
            seen.append(same.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        await responder.send(200, {}, b"")

    async with serving(look) as served:
        assert (await (await served.client()).ask(get())).status == 200
    assert seen == [1]
