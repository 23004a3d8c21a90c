"""What went wrong is told and logged without the keys and texts that it went wrong with.

The log of the PoP is read after every test of this folder (`clean_log`); here are the ways in which
a secret would most easily come into it, or to somebody whom it is not for.
"""

import asyncio
import json
from collections.abc import Iterator

import pytest

from tests.hardening.pops import CALLS, PROMPT, UPSTREAM_KEY, HardPop, body_of, hard_pop
from tests.hardening.upstreams import Asked, chunk, head, truth, upstream
from tests.web.raw import get, post


@pytest.fixture(scope="module")
def pop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HardPop]:
    with hard_pop(tmp_path_factory.mktemp("secrets"), "--head-wait-s", "0.1") as running:
        yield running


async def test_a_key_in_the_wrong_place_is_not_repeated_in_the_log(pop: HardPop) -> None:
    key = pop.key
    body = body_of("chat", "echo", max_tokens=4)
    path = CALLS["chat"][0]
    for data in (
        get(f"/{key}"),
        get(f"/healthz?key={key}"),
        get(f"/v1/models/{key}", f"Authorization: Bearer {key}"),
        get("/v1/models", f"Authorization: Bearer {key}x"),
        get("/v1/models", f"Authorization: {key}", f"X-{key}: {key}"),
        get(f"http://{key}@a/v1/models", f"Cookie: {key}"),
        post(body, path, f"Authorization: Bearer {key}", f"Littoral-Nonce: {PROMPT}"),
        post(body, path, f"Authorization: Bearer {key}", f"Authorization: Bearer {key}"),
        post(json.dumps({"model": key, key: PROMPT}).encode(), path, f"X-Api-Key: {key}"),
        post(PROMPT.encode(), path, f"X-Api-Key: {key}"),
        post(b"{", path, f"X-Api-Key: {key}\x00"),
        b"%b / HTTP/1.1\r\n\r\n" % key.encode(),
        b"\x16\x03\x01" + key.encode(),
        f"POST {path} HTTP/1.1\r\nAuthorization: Bearer {key}\r\nX: ".encode(),
    ):
        async with pop.client() as client:
            answer = await client.ask(data, "GET")
            assert answer.status in {200, 400, 401, 404, 408}


@pytest.mark.parametrize("status", [400, 401, 404, 422, 429, 500, 503])
async def test_a_key_that_an_upstream_repeats_goes_to_nobody(pop: HardPop, status: int) -> None:
    async def repeat(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        assert f"authorization: Bearer {UPSTREAM_KEY}".encode() in asked.raw
        said = f"not with {UPSTREAM_KEY}, {'x' * 460} {UPSTREAM_KEY}: {PROMPT}"
        body = json.dumps({"error": {"message": said, "code": UPSTREAM_KEY}}).encode()
        fields = (f"content-length: {len(body)}", f"x-key: {UPSTREAM_KEY}")
        writer.write(head(*fields, status=f"{status} {UPSTREAM_KEY}") + body)
        return True

    async with upstream(repeat) as telling:
        model = pop.add(telling.port)
        for call in CALLS:
            answer = await pop.call(call, model)
            assert answer.status >= 400
            assert UPSTREAM_KEY not in answer.body.decode()
            assert UPSTREAM_KEY[:12] not in answer.body.decode()
            assert UPSTREAM_KEY not in str(answer.headers)


async def test_a_key_that_an_upstream_repeats_within_a_stream_goes_to_nobody(pop: HardPop) -> None:
    async def repeat(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        said = json.dumps({"error": {"message": f"{UPSTREAM_KEY} is spent: {PROMPT}"}}).encode()
        writer.write(head("content-type: text/event-stream", "transfer-encoding: chunked"))
        writer.write(b"".join(map(chunk, truth(asked).pieces[:2])))
        writer.write(chunk(b"data: " + said + b"\n\n"))
        return False

    async with upstream(repeat) as telling:
        model = pop.add(telling.port)
        for call in CALLS:
            if call.endswith("stream"):
                answer = await pop.call(call, model)
                assert UPSTREAM_KEY not in answer.body.decode()


async def test_the_callers_key_and_head_never_reach_an_upstream(pop: HardPop) -> None:
    async with upstream() as seen:
        model = pop.add(seen.port)
        for call in CALLS:
            fields = ("Cookie: a=b", "X-Api-Key: mine", "X-Forwarded-For: c", "Proxy-X: d")
            answer = await pop.ask(CALLS[call][0], body_of(call, model), *fields)
            assert answer.status == 200
    for asked in seen.asked:
        for never in (pop.key, "cookie", "mine", "x-forwarded-for", "proxy-x"):
            assert never.encode() not in asked.raw.partition(b"\r\n\r\n")[0]
        assert pop.key.encode() not in asked.raw


async def test_the_key_of_an_upstream_follows_no_redirect(pop: HardPop) -> None:
    async with upstream() as elsewhere:

        async def redirect(asked: Asked, writer: asyncio.StreamWriter) -> bool:
            to = f"location: http://127.0.0.1:{elsewhere.port}{asked.path}"
            writer.write(head(to, "content-length: 0", status="307 Temporary Redirect"))
            return True

        async with upstream(redirect) as sending:
            model = pop.add(sending.port)
            for call in CALLS:
                assert (await pop.call(call, model)).status == 502
        assert elsewhere.connections == 0
