"""Requests come in, answers go out."""

import asyncio
import re

import h11
import pytest

from littoral.terms.errors import ConflictError, LoadingError
from littoral.web.http import Request, Responder
from tests.web.raw import chunked, echo, get, post, serving


async def test_a_request_is_answered_and_the_connection_is_kept() -> None:
    async with serving(echo) as served:
        client = await served.client()
        first = await client.ask(get("/a?b=c"))
        second = await client.ask(post(b"hello", "/d"))
    assert (first.status, first.body) == (200, b"GET /a?b=c 0 ")
    assert second.body == b"POST /d? 5 hello"


async def test_every_answer_has_a_date_and_its_own_request_id_twice() -> None:
    async with serving(echo) as served:
        client = await served.client()
        answers = [await client.ask(get()) for _ in range(2)]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 2
    for answer in answers:
        assert re.fullmatch("req_[0-9a-f]{24}", answer.headers["x-request-id"])
        assert answer.headers["request-id"] == answer.headers["x-request-id"]
        assert answer.headers["date"].endswith("GMT")


async def test_the_handler_knows_the_id_that_the_answer_says() -> None:
    async def tell(request: Request, responder: Responder) -> None:
        await responder.send(200, {}, request.id.encode())

    async with serving(tell) as served:
        answer = await (await served.client()).ask(get())
    assert answer.body.decode() == answer.headers["x-request-id"]


async def test_pipelined_requests_are_answered_in_order_one_at_a_time() -> None:
    running = 0

    async def slow_first(request: Request, responder: Responder) -> None:
        nonlocal running
        running += 1
        assert running == 1
        for _ in range(3 if request.path == "/0" else 0):
            await asyncio.sleep(0)
        await responder.send(200, {}, request.path.encode() + request.body)
        running -= 1

    async with serving(slow_first) as served:
        client = await served.client()
        requests = [post(b"x" * n, f"/{n}") if n % 2 else get(f"/{n}") for n in range(40)]
        await client.send(b"".join(requests))
        bodies = [(await client.answer()).body for _ in requests]
        assert not served.defects
    assert bodies == [f"/{n}".encode() + b"x" * (n if n % 2 else 0) for n in range(40)]


async def test_a_body_in_chunks_is_joined_and_its_trailers_are_dropped() -> None:
    async with serving(echo) as served:
        client = await served.client()
        answer = await client.ask(chunked(b"one ", b"two", trailers=b"Checksum: 1\r\n"), "POST")
        after = await client.ask(get("/next"))
    assert answer.body == b"POST /? 7 one two"
    assert after.body == b"GET /next? 0 "


async def test_a_request_that_arrives_byte_by_byte_is_understood() -> None:
    data = get("/slow") + chunked(b"abc", b"de") + post(b"xyz")
    async with serving(echo) as served:
        client = await served.client()
        for at in range(len(data)):
            await client.send(data[at : at + 1])
            await asyncio.sleep(0)
        bodies = [(await client.answer()).body for _ in range(3)]
    assert bodies == [b"GET /slow? 0 ", b"POST /? 5 abcde", b"POST /? 3 xyz"]


async def test_an_empty_line_before_a_request_is_forgiven_once() -> None:
    async with serving(echo) as served:
        client = await served.client()
        assert (await client.ask(b"\r\n" + get())).status == 200
        assert (await client.ask(b"\r\n\r\n" + get())).status == 400


async def test_expect_100_continue_is_answered_before_the_body_is_sent() -> None:
    async with serving(echo) as served:
        client = await served.client()
        head, body = post(b"12345", "/", "Expect: 100-continue").split(b"\r\n\r\n")
        await client.send(head + b"\r\n\r\n")
        async with asyncio.timeout(5):
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        answer = await client.ask(body, "POST")
    assert answer.body.endswith(b"12345")


async def test_head_gets_the_head_of_what_get_would_get() -> None:
    async with serving(echo) as served:
        client = await served.client()
        answer = await client.ask(b"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n", "HEAD")
        assert answer.headers["content-length"] == str(len(b"HEAD /a? 0 "))
        assert answer.body == b""
        assert (await client.ask(get())).status == 200


async def stream(request: Request, responder: Responder) -> None:
    await responder.start(200, {"content-type": "text/event-stream"})
    for word in (b"one", b"", b"two"):
        await responder.write(word)
    await responder.end()


async def test_a_stream_is_one_chunk_for_each_write() -> None:
    async with serving(stream) as served:
        client = await served.client()
        await client.send(get() + get())
        async with asyncio.timeout(5):
            await client.reader.readuntil(b"\r\n\r\n")
            assert await client.reader.readuntil(b"0\r\n\r\n") == (
                b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
            )
        assert (await client.answer()).body == b"onetwo"


async def test_a_stream_for_head_has_no_body() -> None:
    async with serving(stream) as served:
        client = await served.client()
        answer = await client.ask(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", "HEAD")
        assert answer.body == b""
        assert (await client.ask(get())).body == b"onetwo"


async def test_a_stream_to_http_1_0_ends_with_the_connection() -> None:
    async with serving(stream) as served:
        client = await served.client()
        await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        data = await client.until_closed()
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert body == b"onetwo"


async def test_each_write_leaves_at_once() -> None:
    proceed = asyncio.Event()

    async def in_two(request: Request, responder: Responder) -> None:
        await responder.start(200, {})
        await responder.write(b"first")
        await proceed.wait()
        await responder.write(b"second")
        await responder.end()

    async with serving(in_two) as served:
        client = await served.client()
        await client.send(get())
        async with asyncio.timeout(5):
            await client.reader.readuntil(b"first\r\n")
            proceed.set()
            await client.reader.readuntil(b"second\r\n")


async def test_connection_close_is_honoured_and_said() -> None:
    async with serving(echo) as served:
        client = await served.client()
        answer = await client.ask(get("/", "Connection: close"))
        assert answer.headers["connection"] == "close"
        assert await client.until_closed() == b""


async def test_a_large_body_both_ways_arrives_whole() -> None:
    body = bytes(range(256)) * 4096 * 4
    async with serving(echo) as served:
        client = await served.client()
        sending = asyncio.gather(client.send(post(body)), client.answer("POST"))
        _, answer = await sending
    assert answer.body.endswith(body)


async def test_an_error_of_ours_becomes_an_answer_and_the_connection_goes_on() -> None:
    async def refuse(request: Request, responder: Responder) -> None:
        raise LoadingError("it loads", retry_after_s=1.2, details={"progress": 0.5})

    async with serving(refuse) as served:
        client = await served.client()
        openai = await client.ask(get("/v1/chat/completions"))
        anthropic = await client.ask(get("/v1/messages"))
        assert not served.defects
    assert (openai.status, openai.headers["retry-after"]) == (503, "2")
    assert b'"server_error"' in openai.body
    assert b'"overloaded_error"' in anthropic.body
    assert anthropic.headers["request-id"].encode() in anthropic.body


async def test_a_defect_is_reported_and_says_nothing_of_itself_to_the_client() -> None:
    async def broken(request: Request, responder: Responder) -> None:
        raise KeyError("the secret")

    async with serving(broken) as served:
        client = await served.client()
        answer = await client.ask(get())
        again = await client.ask(get())
        assert [str(each) for each in served.defects] == ["'the secret'"] * 2
    assert (answer.status, again.status) == (500, 500)
    assert b"secret" not in answer.body


async def test_an_error_after_the_start_cuts_the_stream_visibly() -> None:
    async def breaks(request: Request, responder: Responder) -> None:
        await responder.start(200, {})
        await responder.write(b"half")
        raise ConflictError("it broke")

    async with serving(breaks) as served:
        client = await served.client()
        await client.send(get())
        data = await client.until_closed()
    assert data.endswith(b"4\r\nhalf\r\n")


async def test_a_handler_that_forgets_to_end_is_a_defect_and_cuts_the_stream() -> None:
    async def forgets(request: Request, responder: Responder) -> None:
        await responder.start(200, {})
        await responder.write(b"half")

    async with serving(forgets) as served:
        client = await served.client()
        await client.send(get())
        assert (await client.until_closed()).endswith(b"half\r\n")
        assert len(served.defects) == 1


async def test_a_handler_that_never_answers_is_a_defect_with_an_answer() -> None:
    async def silent(request: Request, responder: Responder) -> None:
        return

    async with serving(silent) as served:
        assert (await (await served.client()).ask(get())).status == 500
        assert len(served.defects) == 1


async def test_a_header_with_a_line_end_never_leaves() -> None:
    async def splits(request: Request, responder: Responder) -> None:
        await responder.send(200, {"x": "a\r\nset-cookie: b"}, b"")

    async with serving(splits) as served:
        answer = await (await served.client()).ask(get())
        assert answer.status == 500
        assert "set-cookie" not in answer.headers
        assert isinstance(served.defects[0], ValueError)


async def test_a_handler_can_not_frame_by_itself() -> None:
    async def frames(request: Request, responder: Responder) -> None:
        await responder.send(200, {"content-length": "3"}, b"abcdef")

    async with serving(frames) as served:
        assert (await (await served.client()).ask(get())).status == 500


async def test_answers_without_a_body_are_framed_as_such() -> None:
    async def nothing(request: Request, responder: Responder) -> None:
        await responder.send(204, {}, b"")

    async with serving(nothing) as served:
        client = await served.client()
        answer = await client.ask(get())
        assert "content-length" not in answer.headers
        assert (await client.ask(get())).status == 204


async def test_an_answer_of_known_length_says_it_and_comes_piece_by_piece() -> None:
    async def tell(request: Request, responder: Responder) -> None:
        await responder.start(206, {"content-type": "text/plain"}, 11)
        if request.method != "HEAD":
            await responder.write(b"hello ")
            await responder.write(b"world")
        await responder.end()

    async with serving(tell) as served:
        client = await served.client()
        whole = await client.ask(get())
        head = await client.ask(get().replace(b"GET", b"HEAD"), "HEAD")
        assert not served.defects
    assert (whole.status, whole.body) == (206, b"hello world")
    assert "transfer-encoding" not in whole.headers
    assert (head.headers["content-length"], head.body) == ("11", b"")


@pytest.mark.parametrize("pieces", [(b"short",), (b"much ", b"too long")])
async def test_an_answer_of_another_length_than_it_said_is_a_defect(
    pieces: tuple[bytes, ...],
) -> None:
    async def lie(_: Request, responder: Responder) -> None:
        await responder.start(200, {}, 8)
        for piece in pieces:
            await responder.write(piece)
        await responder.end()

    async with serving(lie) as served:
        client = await served.client()
        with pytest.raises(h11.RemoteProtocolError):
            await client.ask(get())
        assert len(served.defects) == 1


async def test_what_takes_names_apart_sees_the_path_as_it_came() -> None:
    async def tell(request: Request, responder: Responder) -> None:
        await responder.send(200, {}, f"{request.path} {request.escaped}".encode())

    async with serving(tell) as served:
        client = await served.client()
        escaped = await client.ask(get("/a/b%2Fc?d=%2F"))
        plain = await client.ask(get("/a/b/c"))
    assert (escaped.body, plain.body) == (b"/a/b/c /a/b%2Fc", b"/a/b/c ")
