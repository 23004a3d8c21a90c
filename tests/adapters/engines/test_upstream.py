"""An upstream that answers well, badly, or not at all."""

import asyncio
import dataclasses
import datetime as dt
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from littoral.terms.errors import (
    BadRequestError,
    ConfigError,
    LittoralError,
    QueueFullError,
    UpstreamFailedError,
    UpstreamTimeoutError,
)
from littoral.terms.ids import ModelName
from littoral.terms.values import Down, EngineKind, Kind, ModelEntry, Ready, UpstreamTarget
from tests.adapters.engines.running import Running, running, text_of
from tests.adapters.http.test_client import request_of

KEY = "sk-very-secret-key"
ASKED: dict[str, object] = {"messages": [{"role": "user", "content": "hi"}]}
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'


def reply(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def streamed(*pieces: bytes) -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
    return head + b"\r\n" + chunks + b"0\r\n\r\n"


@dataclasses.dataclass
class Upstream:
    """What the server answers, and what it was asked."""

    url: str = ""
    answer: bytes = reply(200, b'{"choices":[]}')
    models: bytes = reply(200, b'{"data":[]}')
    seen: list[bytes] = dataclasses.field(default_factory=list)

    @property
    def last_body(self) -> dict[str, object]:
        decoded = json.loads(self.seen[-1].partition(b"\r\n\r\n")[2])
        assert isinstance(decoded, dict)
        return decoded


@asynccontextmanager
async def upstream_at(
    port: int = 0, context: ssl.SSLContext | None = None
) -> AsyncIterator[Upstream]:
    upstream = Upstream()
    writers: list[asyncio.StreamWriter] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            while True:
                request = await request_of(reader)
                if request.startswith(b"GET /v1/models "):
                    writer.write(upstream.models)
                else:
                    upstream.seen.append(request)
                    writer.write(upstream.answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(handler, "127.0.0.1", port, ssl=context)
    scheme = "https" if context else "http"
    upstream.url = f"{scheme}://localhost:{server.sockets[0].getsockname()[1]}/v1"
    if not context:
        upstream.url = upstream.url.replace("localhost", "127.0.0.1")
    async with server:
        yield upstream
        for writer in writers:
            writer.transport.abort()


def entry_for(url: str, **target: Any) -> ModelEntry:
    return ModelEntry(
        name=ModelName("afar"),
        engine=EngineKind.UPSTREAM,
        kinds=(Kind.CHAT, Kind.COMPLETE, Kind.EMBED),
        context_tokens=1000,
        upstreams=(UpstreamTarget(url, "their-name", **({"key_env": "KEY"} | target)),),
    )


@asynccontextmanager
async def engine_at(upstream: Upstream, folder: Path) -> AsyncIterator[Running]:
    async with running(entry_for(upstream.url), folder, secrets={"KEY": KEY}) as subject:
        yield subject


async def test_the_key_and_their_name_go_out_and_the_rest_is_untouched(tmp_path: Path) -> None:
    async with upstream_at() as upstream, engine_at(upstream, tmp_path) as subject:
        upstream.answer = reply(200, b'{"choices":  []}')
        async with subject.engine.open(subject.call({**ASKED, "x": [1]}, Kind.CHAT)) as chunks:
            assert [chunk async for chunk in chunks] == [b'{"choices":  []}']
        assert upstream.last_body == {**ASKED, "x": [1], "model": "their-name", "stream": False}
        head = upstream.seen[-1]
        assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
        assert f"authorization: Bearer {KEY}".encode() in head


async def test_an_azure_key_goes_in_its_own_header(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(f"{KEY}\n")
    async with upstream_at() as upstream:
        entry = entry_for(upstream.url, key_file=str(key_file), key_header="api-key")
        async with running(entry, tmp_path) as subject:
            await subject.body(ASKED)
        assert f"api-key: {KEY}\r\n".encode() in upstream.seen[-1]
        assert b"authorization" not in upstream.seen[-1]


async def test_a_stream_passes_as_whole_events_and_asks_for_usage(tmp_path: Path) -> None:
    async with upstream_at() as upstream, engine_at(upstream, tmp_path) as subject:
        upstream.answer = streamed(
            EVENT[:9], EVENT[9:] + EVENT[:20], EVENT[20:], b"data: [DONE]\n\n"
        )
        events = await subject.events({**ASKED, "stream_options": {"include_usage": False}})
        assert text_of(events) == "hihi"
        assert upstream.last_body["stream_options"] == {"include_usage": True}


FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'


@pytest.mark.parametrize("ending", [FINISH, b"data: [DONE]\n"])
async def test_a_missing_closing_mark_is_added(tmp_path: Path, ending: bytes) -> None:
    async with upstream_at() as upstream, engine_at(upstream, tmp_path) as subject:
        upstream.answer = streamed(EVENT + ending)
        assert text_of(await subject.events(ASKED)) == "hi"


async def test_a_stream_that_ends_without_saying_so_is_an_error(tmp_path: Path) -> None:
    async with upstream_at() as upstream, engine_at(upstream, tmp_path) as subject:
        upstream.answer = streamed(EVENT)
        with pytest.raises(UpstreamFailedError, match="in the middle"):
            await subject.events(ASKED)


@pytest.mark.parametrize("body", [b"", b"{", b'{"error":{"message":"no"}}', b"[]", b"\xff"])
async def test_a_200_that_is_no_answer_is_an_error(tmp_path: Path, body: bytes) -> None:
    async with upstream_at() as upstream, engine_at(upstream, tmp_path) as subject:
        upstream.answer = reply(200, body)
        with pytest.raises(UpstreamFailedError, match="something else than an answer"):
            await subject.body(ASKED)


async def test_a_stream_that_breaks_off_is_an_error(tmp_path: Path) -> None:
    async with upstream_at() as upstream, engine_at(upstream, tmp_path) as subject:
        upstream.answer = reply(200, b"", "transfer-encoding: chunked").replace(
            b"content-length: 0\r\n", b""
        )
        upstream.answer += b"%x\r\n%b\r\nnonsense" % (len(EVENT), EVENT)
        with pytest.raises(UpstreamFailedError):
            await subject.events(ASKED)


async def test_an_error_inside_a_stream_is_an_error(tmp_path: Path) -> None:
    async with upstream_at() as upstream, engine_at(upstream, tmp_path) as subject:
        upstream.answer = streamed(EVENT, b'data: {"error":{"message":"out of memory"}}\n\n')
        with pytest.raises(UpstreamFailedError, match="out of memory"):
            await subject.events(ASKED)


async def test_an_answer_that_is_no_stream_is_an_error(tmp_path: Path) -> None:
    async with upstream_at() as upstream, engine_at(upstream, tmp_path) as subject:
        upstream.answer = reply(200, b"{}", "content-type: application/json")
        with pytest.raises(UpstreamFailedError, match="without streaming"):
            await subject.events(ASKED)


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (400, BadRequestError, "maximum context length is 10"),
        (422, BadRequestError, "maximum context length is 10"),
        (401, UpstreamFailedError, "rejected this PoP's key"),
        (403, UpstreamFailedError, "rejected this PoP's key"),
        (404, UpstreamFailedError, "no such model"),
        (429, QueueFullError, "limits this PoP"),
        (500, UpstreamFailedError, "answered 500"),
        (503, UpstreamFailedError, "answered 503"),
        (504, UpstreamTimeoutError, "timed out"),
    ],
)
async def test_a_status_says_whose_fault_it_is(
    tmp_path: Path, status: int, error: type[LittoralError], says: str
) -> None:
    said = json.dumps({"error": {"message": f"maximum context length is 10 ({KEY})"}}).encode()
    for ask in (Running.body, Running.events):  # each of a fresh engine, which knows no limit yet
        async with upstream_at() as upstream, engine_at(upstream, tmp_path) as subject:
            upstream.answer = reply(status, said, "retry-after: 17")
            with pytest.raises(error, match=says) as caught:
                await ask(subject, ASKED)
            assert KEY not in str(caught.value)
            assert KEY not in repr(caught.value.details)
            if status in {429, 503}:
                assert caught.value.retry_after_s == 17


@pytest.mark.parametrize("said", ["²", "Wed, 21 Oct 2026 07:28:00 GMT", "-1", "1e9"])
async def test_a_retry_after_that_is_no_number_of_seconds_is_not_one(
    tmp_path: Path, said: str
) -> None:
    async with upstream_at() as upstream, engine_at(upstream, tmp_path) as subject:
        answer = reply(429, b"{}", f"retry-after: {said}")
        upstream.answer = answer.decode().encode("latin-1")
        with pytest.raises(QueueFullError) as caught:
            await subject.body(ASKED)
        assert caught.value.retry_after_s == 5


async def test_an_upstream_that_is_gone_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("littoral.adapters.engines.upstream._PAUSE_MIN_S", 0.02)
    async with upstream_at() as upstream:
        url = upstream.url
    port = int(url.split(":")[2].split("/")[0])
    async with running(entry_for(url), tmp_path, secrets={"KEY": KEY}, ready=False) as subject:
        await subject.until(lambda: any(isinstance(state, Down) for state in subject.states))
        down = subject.states[-1]
        assert isinstance(down, Down)
        assert down.retrying
        async with upstream_at(port) as upstream:
            await subject.until_ready()
            assert await subject.body(ASKED) == {"choices": []}
        with pytest.raises(UpstreamFailedError):
            await subject.body(ASKED)
        await subject.until(lambda: isinstance(subject.states[-1], Down))
        async with upstream_at(port):
            await subject.until_ready(times=2)


async def test_a_rejected_or_missing_key_keeps_it_down(tmp_path: Path) -> None:
    async with upstream_at() as upstream:
        upstream.models = reply(401, b"{}")
        for secrets, says in (({"KEY": KEY}, "rejected"), ({}, "environment variable KEY")):
            entry = entry_for(upstream.url)
            async with running(entry, tmp_path, secrets=secrets, ready=False) as subject:
                await subject.until(lambda s=subject: any(isinstance(x, Down) for x in s.states))  # type: ignore[misc]
                down = next(state for state in subject.states if isinstance(state, Down))
                assert says in str(down.error)


async def test_a_server_without_a_list_of_models_is_ready(tmp_path: Path) -> None:
    async with upstream_at() as upstream:
        upstream.models = reply(404, b"")
        async with running(entry_for(upstream.url), tmp_path, secrets={"KEY": KEY}) as subject:
            info = subject.readies[-1].info
            assert info.build == "upstream their-name"
            assert info.device == upstream.url.removeprefix("http://").removesuffix("/v1")
            assert await subject.engine.count(subject.call(ASKED, Kind.CHAT)) is None


async def test_an_entry_that_names_no_upstream_is_refused(tmp_path: Path) -> None:
    entry = dataclasses.replace(entry_for("http://x/v1"), upstreams=())
    with pytest.raises(ConfigError):
        async with running(entry, tmp_path):
            pass


def certificate_for_localhost(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server context with a self-signed certificate, and the certificate's file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, key_file)
    return context, cert_file


async def test_tls_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, cert_file = certificate_for_localhost(tmp_path)
    async with upstream_at(context=context) as upstream:
        async with running(
            entry_for(upstream.url), tmp_path, secrets={"KEY": KEY}, ready=False
        ) as subject:
            await subject.until(lambda: any(isinstance(state, Down) for state in subject.states))
            assert not any(isinstance(state, Ready) for state in subject.states)
        monkeypatch.setenv("SSL_CERT_FILE", str(cert_file))
        async with engine_at(upstream, tmp_path) as subject:
            assert await subject.body(ASKED) == {"choices": []}
