"""Who lies, steals or is shut out: nothing is believed that is not signed, and all hear of it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import pytest

from littoral.adapters.clock import SystemClock
from littoral.adapters.identity import Identity, open_identity
from littoral.adapters.owner import FabricFiles
from littoral.routing.fleet import ModelState, PopState, decoded, encoded
from littoral.terms.ids import ModelName, PopId
from littoral.terms.values import Kind
from littoral.trust import records
from littoral.trust.records import Record, RecordKind
from tests.conftest import ROOT
from tests.faults.conftest import Measured
from tests.faults.network import UNAVAILABLE, Host, network
from tests.faults.pops import Fabric, Pop, Stream, fabric, until

pytestmark = pytest.mark.skipif(bool(UNAVAILABLE), reason=UNAVAILABLE)

STATE_PORT: Final = 7402
_RECORD: Final = msgspec.msgpack.Encoder()


@pytest.fixture(scope="module")
def pops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fabric]:
    """A gateway that has no model, two PoPs that have it, and hosts for who comes later."""
    with (
        network("gateway", "one", "other", "thief", "late") as hosts,
        fabric(tmp_path_factory.mktemp("members"), hosts) as made,
    ):
        gateway = made.found("gateway")
        made.joined("one", "other", by=gateway, models=("far",))
        made.settled()
        yield made


class Intruder:
    """A member in a process of its own (intruder.py)."""

    def __init__(self, host: Host, home: Path, *seeds: Pop) -> None:
        named = [f"{pop.host.address}:{STATE_PORT}" for pop in seeds]
        listens = f"{host.address}:{STATE_PORT}"
        command = (sys.executable, "-m", "tests.faults.intruder", str(home), listens, *named)
        self.files = FabricFiles(home)
        self.identity: Identity = open_identity(home, SystemClock())
        self.process = subprocess.Popen(
            host.command(*command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def do(self, *command: str) -> list[str]:
        """Have it do something."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the intruder is gone"
        return list(json.loads(line))

    def state_of(self, pop: PopId) -> bytes:
        """What a PoP says now, as it signed it."""
        key, found = f"littoral/{records.topic(RecordKind.STATE, pop)}", list[str]()

        def asked() -> bool:
            found.extend(self.do("get", key))
            return bool(found)

        until(asked, what=f"{pop} answers")
        return bytes.fromhex(found[-1])

    def say(self, topic: str, record: bytes) -> None:
        """Put this there."""
        self.do("put", f"littoral/{topic}", record.hex())

    def end(self) -> None:
        """Leave."""
        self.process.communicate(timeout=20)


def joined_only(
    pops: Fabric, name: str, ticket: str, home: Path
) -> subprocess.CompletedProcess[str]:
    """`littoral join TICKET --only` on a host."""
    words = (sys.executable, "-m", "littoral.cli", "join", ticket, "--only", "--home", str(home))
    command = pops.hosts[name].command(*words)
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


@contextmanager
def intruding(pops: Fabric) -> Iterator[Intruder]:
    """A member that says what it is told."""
    gateway, home = pops["gateway"], pops.home("thief")
    if not FabricFiles(home).shown():
        assert joined_only(pops, "thief", gateway.invite(issuer=False), home).returncode == 0
    made = Intruder(pops.hosts["thief"], home, gateway)
    try:
        yield made
    finally:
        made.end()


def has_warm_echo(pop: Pop, other: Pop) -> bool:
    """Whether another PoP has loaded the echo model, as a PoP sees it."""
    models = {each["name"]: each["warmth"] for each in pop.row(other)["models"]}
    return bool(models["echo"] == "warm")


def rejected(pop: Pop, reason: str) -> float:
    return pop.metric("littoral_fabric_records_rejected_total", reason=reason)


def altered(record: bytes, **changes: object) -> bytes:
    """A state of somebody else with other words in it, and the signature of the true ones."""
    true = records.decoded(record)
    state = msgspec.structs.replace(decoded(true.payload), **changes)
    payload = encoded(state)
    return _RECORD.encode(Record(true.kind, true.pop, payload, true.public_key, true.signature))


def test_what_is_said_in_another_ones_name_changes_nothing_and_is_told(pops: Fabric) -> None:
    gateway, one, other = pops["gateway"], pops["one"], pops["other"]
    with intruding(pops) as thief:
        topic = records.topic(RecordKind.STATE, PopId(one.id))
        old = thief.state_of(PopId(one.id))
        before = gateway.row(one)
        own = encoded(PopState(thief.identity.pop_id, 1, 1))
        forged = {
            "malformed": b"nothing",
            "signature": altered(old, seq=2**40, draining=True),
            "misplaced": records.signed(RecordKind.STATE, own, thief.identity),
        }
        for reason, record in forged.items():
            counted = rejected(gateway, reason)
            thief.say(topic, record)
            until(lambda: rejected(gateway, reason) == counted + 1, what=reason)  # noqa: B023
            gateway.until_said(topic, f"rejected ({reason})")
            other.until_said(topic, f"rejected ({reason})")
        one.chat(model="echo")  # now that it is loaded, it says another state
        until(lambda: has_warm_echo(gateway, one))
        thief.say(topic, old)
        counted = rejected(gateway, "malformed")
        thief.say(records.topic(RecordKind.CARD, PopId(one.id)), b"nothing")
        until(lambda: rejected(gateway, "malformed") == counted + 1, what="all was heard")
        after = gateway.row(one)
        assert has_warm_echo(gateway, one)
        assert after["reach"] == "direct"
        assert after["status"] == before["status"]


def test_one_who_gives_another_ones_address_for_its_own_gets_nothing(pops: Fabric) -> None:
    gateway, one = pops["gateway"], pops["one"]
    with intruding(pops) as thief:
        pop, own = thief.identity.pop_id, thief.files.own()
        assert own is not None
        card = records.Card(2, 1, tuple(thief.files.shown()[:2]))
        model = ModelState(ModelName("stolen"), (Kind.CHAT,), apis=("chat.completions",))
        state = PopState(pop, 2, 1, url=f"https://{one.host.address}:7401", models=(model,))
        thief.do("alive", f"littoral/alive/{pop}/x")
        for kind, payload in (
            (RecordKind.CARD, card.encoded()),
            (RecordKind.STATE, encoded(state)),
        ):
            thief.say(records.topic(kind, pop), records.signed(kind, payload, thief.identity))
        until(lambda: any(row["pop"] == pop for row in gateway.shown()["pops"] if row["url"]))
        status, _, answer = gateway.chat(model="stolen")
        assert status == 502
        assert one.id in answer["error"]["message"]
        assert f"and not {own.member.name}" in answer["error"]["message"]


def test_a_ticket_is_good_for_one_and_whoever_stole_it_is_refused(pops: Fabric) -> None:
    gateway = pops["gateway"]
    ticket = gateway.invite()
    late = pops.start("late", "join", ticket, models=("late",))
    late.ready()
    pops.settled()
    gateway.forget()
    home = pops.home("stolen")
    stolen = joined_only(pops, "thief", ticket, home)
    assert stolen.returncode != 0
    assert "used" in stolen.stderr
    assert not (home / "fabric" / "tls.pem").exists()
    gateway.until_said("was refused a certificate (join: used_up)")
    assert gateway.reaches(late)
    assert late.reaches(gateway)


def test_one_that_is_revoked_is_shut_out_everywhere_at_once_on_what_is_open_too(
    pops: Fabric, measured: Measured
) -> None:
    gateway, late = pops["gateway"], pops["late"]
    others = [pops["one"], pops["other"]]
    asked_of_it, asked_by_it = Stream(gateway, model="late"), Stream(late, model="far")
    for stream in (asked_of_it, asked_by_it):
        stream.read_events(2)
    gateway.say("revoke", late)
    out_s = until(lambda: not any(pop.row(late).get("url") for pop in (gateway, *others)))
    ended_s = until(lambda: asked_of_it.read_rest() and asked_by_it.read_rest())
    measured("out everywhere", out_s)
    measured("what was open ended", ended_s)
    assert out_s + ended_s < 2
    for stream in (asked_of_it, asked_by_it):
        assert b"littoral-receipt" not in stream.text
        assert b'"error"' in stream.text
    gateway.until_said(late.id, "is revoked")
    for pop in others:
        pop.until_said(late.id, "is gone (it is not admitted any more)")
    assert gateway.chat(model="late")[0] == 404
    assert late.chat(model="far")[0] != 200
    assert gateway.chat(model="far")[0] == 200
