"""Who may ask a PoP's listener for other PoPs, and what of a request is believed there."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import h11
import pytest

from littoral.node.neighbours import Admission
from littoral.terms.ids import ModelName
from littoral.terms.values import KeyLimits
from littoral.trust.receipts import stated
from tests.certificates import Authority, member
from tests.fabric.pops import FAR, FAR_ECHO, Side, side
from tests.hardening.pops import body_of, check_error
from tests.web.raw import PATIENCE_S, Answer, get, post

GATEWAY = member("pop-000000000000000a")
BEFORE = "pop-000000000000000b"
CHAT = "/v1/chat/completions"
SCOPE = f"littoral-scope: {'5' * 32}"


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[Side]:
    async with side(tmp_path / "serving", Authority(tmp_path)) as running:
        running.add(FAR_ECHO)
        yield running


def code(answer: Answer) -> str:
    return str(json.loads(answer.body)["error"]["code"])


async def ask(serving: Side, *fields: str, **more: object) -> Answer:
    """A request of the gateway's."""
    tls = serving.authority.client(GATEWAY.name)
    return await serving.ask_as(tls, post(body_of("chat", FAR, **more), CHAT, *fields))


async def test_a_member_needs_no_key(serving: Side) -> None:
    answer = await ask(serving, SCOPE, f"littoral-via: {BEFORE}, {GATEWAY.pop}")
    assert answer.status == 200, answer
    found = await serving.get(f"/v1/receipts/{answer.headers['littoral-receipt']}")
    assert stated(found.body).key.startswith("p")
    assert len(stated(found.body).key) == 13


@pytest.mark.parametrize("names", [(), ("spiffe://elsewhere/x",), (GATEWAY.name, "spiffe://b/c")])
async def test_who_shows_no_member_s_name_may_only_join(
    serving: Side, names: tuple[str, ...]
) -> None:
    tls, key = serving.authority.client(*names), serving.pop.keyring.local_key
    bearer = f"Authorization: Bearer {key}"
    chat = await serving.ask_as(tls, post(body_of("chat", FAR), CHAT, bearer))
    assert (chat.status, code(chat)) == (401, "not_a_member")
    assert (await serving.ask_as(tls, get("/v1/models", bearer), "GET")).status == 401
    assert (await serving.ask_as(tls, get("/healthz"), "GET")).status == 401
    joined = await serving.ask_as(tls, post(b"please", "/fabric/join"))
    assert (joined.status, joined.body) == (200, b"welcome please")


async def test_who_was_named_by_somebody_else_gets_no_connection(
    serving: Side, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger").client(GATEWAY.name)
    stranger.load_verify_locations(serving.authority.file)
    with pytest.raises((ssl.SSLError, OSError, h11.RemoteProtocolError)):
        await serving.ask_as(stranger, get("/v1/models"), "GET")


async def test_a_certificate_that_runs_out_ends_its_connection(serving: Side) -> None:
    client = await serving.open_as(serving.authority.client(GATEWAY.name, valid_s=2))
    first = await client.ask(get("/v1/models"))
    assert first.status == 200
    async with asyncio.timeout(PATIENCE_S):
        while (answer := await client.ask(get("/v1/models"))).status == 200:
            await asyncio.sleep(0.02)
    assert (answer.status, code(answer)) == (401, "not_a_member")
    assert await client.until_closed() == b""


async def test_whom_the_policy_does_not_admit_is_refused_whatever_key_it_has(
    serving: Side,
) -> None:
    serving.admitted[GATEWAY] = None
    answer = await ask(serving, f"Authorization: Bearer {serving.pop.keyring.local_key}")
    assert (answer.status, check_error(CHAT, answer)["code"]) == (403, "permission_denied")


async def test_whom_it_admits_gets_its_models_and_no_others(serving: Side) -> None:
    serving.admitted[GATEWAY] = Admission(models=(ModelName("another"),))
    assert (await ask(serving)).status == 403
    serving.admitted[GATEWAY] = Admission(models=(FAR,))
    assert (await ask(serving)).status == 200


async def test_its_callers_spend_its_limits_together(serving: Side) -> None:
    serving.admitted[GATEWAY] = Admission(KeyLimits(requests_per_minute=2))
    answers = [await ask(serving, f"littoral-scope: {n:032x}") for n in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]


async def test_nobody_is_an_operator(serving: Side) -> None:
    tls = serving.authority.client(GATEWAY.name)
    assert (await serving.ask_as(tls, get("/metrics"), "GET")).status == 403


async def test_what_one_caller_was_answered_serves_no_other(serving: Side) -> None:
    scopes = [f"littoral-scope: {n:032x}" for n in range(2)]
    first, again = [await ask(serving, scopes[0], temperature=0) for _ in range(2)]
    other = await ask(serving, scopes[1], temperature=0)
    assert "fwd" in first.headers["cache-status"]
    assert "hit" in again.headers["cache-status"]
    assert "fwd" in other.headers["cache-status"]
    tls, path = serving.authority.client(GATEWAY.name), "/v1/receipts/"
    receipt = path + first.headers["littoral-receipt"]
    theirs, others = [await serving.ask_as(tls, get(receipt, each), "GET") for each in scopes]
    assert (theirs.status, others.status) == (200, 404)


@pytest.mark.parametrize(
    ("via", "status", "said"),
    [
        ("{own}, {gateway}", 508, "loop_detected"),
        (f"{BEFORE}, {BEFORE}, {BEFORE}, {{gateway}}", 508, "loop_detected"),
        (BEFORE, 400, "invalid_request"),
        ("anything", 400, "invalid_request"),
    ],
)
async def test_a_request_does_not_go_in_circles(
    serving: Side, via: str, status: int, said: str
) -> None:
    field = f"littoral-via: {via.format(own=serving.pop.pop_id, gateway=GATEWAY.pop)}"
    answer = await ask(serving, field)
    assert (answer.status, code(answer)) == (status, said)


@pytest.mark.parametrize("more", [{}, {"temperature": 0}])
async def test_a_request_whose_time_is_over_is_not_begun_and_one_without_enough_is_ended(
    serving: Side, more: dict[str, object]
) -> None:
    over = await ask(serving, "littoral-deadline-ms: 0")
    assert (over.status, code(over)) == (504, "deadline_over")
    more |= {"echo": {"tokens": 1000, "interval_ms": 1000}}
    late = await ask(serving, "littoral-deadline-ms: 30", **more)
    assert (late.status, code(late)) == (504, "deadline_over")
    await serving.until(in_flight=0)


@pytest.mark.parametrize("field", ["littoral-scope: X", "littoral-deadline-ms: soon"])
async def test_what_is_malformed_is_refused(serving: Side, field: str) -> None:
    assert (await ask(serving, field)).status == 400


async def test_at_the_listener_for_clients_those_fields_mean_nothing(serving: Side) -> None:
    via = f"littoral-via: {serving.pop.pop_id}"
    fields = (via, "littoral-deadline-ms: 0", "littoral-scope: X")
    answer = await serving.ask(CHAT, body_of("chat", FAR), *fields)
    assert answer.status == 200
