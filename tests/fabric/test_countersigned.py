"""Answers of other PoPs, and the receipts that they come with."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from littoral.adapters.identity import PUBLIC_KEY_FILE
from littoral.node.scribe import Scribe, Told
from littoral.terms.errors import LittoralError
from littoral.terms.values import UpstreamTarget
from littoral.trust.digests import salted
from littoral.trust.issuing import Draft
from littoral.trust.receipts import decode_document, frame, in_field, stated
from tests.certificates import Authority, member
from tests.cli.test_keys import run
from tests.fabric.pops import FAR, FAR_ECHO, Side, side
from tests.hardening.pops import CALLS, body_of, check_error
from tests.hardening.upstreams import Asked, Upstream, chunk, head, truth, upstream
from tests.trust.made import SALT, SIGNER, draft, sealed
from tests.web.raw import PATIENCE_S, Answer, post

CHAT = "/v1/chat/completions"
LIAR = member(SIGNER.pop_id)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def gateway(tmp_path: Path, authority: Authority) -> AsyncIterator[Side]:
    async with side(tmp_path / "gateway", authority) as running:
        yield running


@pytest.fixture
async def serving(tmp_path: Path, authority: Authority, gateway: Side) -> AsyncIterator[Side]:
    async with side(tmp_path / "serving", authority) as running:
        running.add(FAR_ECHO)
        gateway.offer(running.target())
        yield running


async def document_of(side: Side, answer: Answer) -> bytes:
    found = await side.get(f"/v1/receipts/{answer.headers['littoral-receipt']}")
    assert found.status == 200
    return found.body


@pytest.mark.parametrize("call", list(CALLS))
async def test_the_receipt_names_the_other_pop_s_and_the_command_proves_both(
    gateway: Side, serving: Side, tmp_path: Path, call: str
) -> None:
    path, body = CALLS[call][0], body_of(call, FAR)
    answer = await gateway.ask(path, body, "littoral-nonce: mine")
    document = await document_of(gateway, answer)
    receipt = stated(document)
    assert receipt.source.value == answer.headers["littoral-source"] == "neighbour"
    assert receipt.pop == gateway.pop.pop_id
    assert receipt.parent is not None
    assert receipt.parent.pop == serving.pop.pop_id
    beside = decode_document(document).parent
    assert beside is not None
    theirs = stated(beside.encode())
    assert (theirs.rid, theirs.client_nonce) == (receipt.parent.rid, "mine")
    assert theirs.source.value == "echo"
    assert theirs.req == salted(beside.salt, body)
    assert (receipt.n_in, receipt.n_out) == (theirs.n_in, theirs.n_out)
    assert answer.body.count(b": littoral-receipt ") == call.endswith("stream")

    for name, data in {"answer": answer.body, "receipt": document, "request": body}.items():
        (tmp_path / name).write_bytes(data)
    arguments = ["verify", str(tmp_path / "answer"), "--request", str(tmp_path / "request")]
    if not call.endswith("stream"):
        arguments += ["--receipt", str(tmp_path / "receipt")]
    keys = [str(each.pop.home.path / PUBLIC_KEY_FILE) for each in (gateway, serving)]
    words = f"{serving.pop.pop_id}, whose receipt {theirs.rid} is countersigned"
    for trusted, standing in ((keys, "proven"), (keys[:1], "claimed")):
        trust = [word for key in trusted for word in ("--trust", key)]
        result = run(tmp_path, *arguments, *trust)
        assert result.exit_code == 0, result.stdout
        (line,) = [each for each in result.stdout.splitlines() if words in each]
        assert line.split()[:2] == [standing, "neighbour"]


async def test_a_handler_countersigns_what_it_has_translated(gateway: Side, serving: Side) -> None:
    gateway.offer(UpstreamTarget(serving.target().base_url, FAR, peer=serving.member.name))
    for call in ("messages", "messages stream"):
        answer = await gateway.ask(CALLS[call][0], body_of(call, FAR))
        receipt = stated(await document_of(gateway, answer))
        assert receipt.source.value == "neighbour"
        assert receipt.parent is not None
        assert receipt.parent.pop == serving.pop.pop_id


async def test_two_gateways_on_the_way_each_countersign_the_next(
    gateway: Side, serving: Side, tmp_path: Path, authority: Authority
) -> None:
    async with side(tmp_path / "first", authority) as first:
        first.offer(gateway.target())
        answer = await first.ask(CHAT, body_of("chat", FAR))
        document = await document_of(first, answer)
        beside = decode_document(document).parent
        assert beside is not None
        middle = stated(beside.encode())
        assert middle.pop == gateway.pop.pop_id
        assert middle.parent is not None
        assert middle.parent.pop == serving.pop.pop_id
        assert beside.parent is None


async def test_receipts_made_together_are_kept_with_what_lies_beside_each(
    gateway: Side, serving: Side
) -> None:
    bodies = [body_of("chat", model) for model in (FAR, "echo") * 8]
    answers = await asyncio.gather(*(gateway.ask(CHAT, body) for body in bodies))
    for answer in answers:
        document = decode_document(await document_of(gateway, answer))
        far = answer.headers["littoral-source"] == "neighbour"
        assert (document.parent is not None) is far


async def test_who_leaves_while_its_receipt_is_made_is_no_defect(
    tmp_path: Path,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    written, told = asyncio.Event(), asyncio.Event()
    write, tell = Scribe.write, Scribe._tell

    def noted(self: Scribe, made: Draft, hears: Told | None = None) -> None:
        write(self, made, hears)
        written.set()

    def over(self: Scribe, hears: Told, said: bytes | LittoralError) -> None:
        tell(self, hears, said)
        told.set()

    async with side(tmp_path / "serving", authority) as serving, upstream() as running:
        serving.add_upstream(running.port)
        tls = authority.client(LIAR.name)
        request = post(body_of("chat", FAR), CHAT)
        monkeypatch.setattr("littoral.node.scribe.RECEIPT_BATCH_S", 0.5)
        assert (await serving.ask_as(tls, request)).status == 200
        monkeypatch.setattr(Scribe, "write", noted)
        monkeypatch.setattr(Scribe, "_tell", over)
        client = await serving.open_as(tls)
        await client.send(request)
        await written.wait()
        client.leave()
        async with asyncio.timeout(PATIENCE_S):
            await told.wait()
        assert serving.pop.neighbours is not None
        assert not serving.pop.neighbours.connections
        assert "defect" not in caplog.text


# --- what is no receipt of it ---


@asynccontextmanager
async def liar(
    authority: Authority, document: bytes, salt: str = SALT.hex()
) -> AsyncIterator[tuple[Upstream, UpstreamTarget]]:
    """A PoP that answers rightly, and sends this for a receipt."""

    async def play(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        true = truth(asked)
        if asked.streams:
            writer.write(
                head(
                    "content-type: text/event-stream",
                    f"littoral-salt: {salt}",
                    "transfer-encoding: chunked",
                )
            )
            last = frame(document) if document else b""
            writer.write(b"".join(map(chunk, [*true.pieces, *([last] if last else []), b""])))
        else:
            writer.write(
                head(
                    "content-type: application/json",
                    f"littoral-salt: {salt}",
                    f"littoral-receipt-document: {in_field(document)}",
                    f"content-length: {len(true.body)}",
                )
                + true.body
            )
        return True

    async with upstream(play, authority.server(LIAR.name)) as running:
        url = f"https://127.0.0.1:{running.port}/v1"
        yield running, UpstreamTarget(url, FAR, peer=LIAR.name)


FALSE = {
    "none": b"",
    "of another request": sealed(draft(nonce="")).document,
    "of another PoP": sealed(draft(), seq=3).document.replace(b"keyid", b"keyie"),
    "not a receipt": b"{}",
}


@pytest.mark.parametrize("false", list(FALSE))
async def test_a_body_without_its_own_receipt_is_had_from_another(
    gateway: Side, serving: Side, authority: Authority, false: str
) -> None:
    async with liar(authority, FALSE[false]) as (running, target):
        gateway.offer(target, attempts=1)
        alone = await gateway.ask(CHAT, body_of("chat", FAR))
        assert alone.status == 502
        assert "receipt" in str(check_error(CHAT, alone)["message"])
        gateway.offer(target, serving.target())
        while len(running.asked) < 2:
            answer = await gateway.ask(CHAT, body_of("chat", FAR))
            assert answer.status == 200
            assert stated(await document_of(gateway, answer)).parent is not None


@pytest.mark.parametrize("false", list(FALSE))
async def test_a_stream_without_its_own_receipt_ends_with_an_honest_error(
    gateway: Side, authority: Authority, false: str
) -> None:
    async with liar(authority, FALSE[false]) as (_, target):
        gateway.offer(target)
        answer = await gateway.ask(CHAT, body_of("chat stream", FAR))
        *_, last = answer.body.strip().split(b"\n\n")
        assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "upstream_failed"
        assert b": littoral-receipt" not in answer.body


async def test_an_answer_that_no_receipt_can_follow_is_none_from_its_head_on(
    gateway: Side, serving: Side, authority: Authority
) -> None:
    async with liar(authority, b"", salt="none") as (running, target):
        gateway.offer(target, serving.target())
        while not running.asked:
            answer = await gateway.ask(CHAT, body_of("chat stream", FAR))
            assert answer.status == 200
            assert b'"error"' not in answer.body
