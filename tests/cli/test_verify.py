"""`littoral verify`, as it is typed: 0 for what is proven by someone trusted, else 1."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from littoral.adapters.clock import SystemClock
from littoral.adapters.identity import PUBLIC_KEY_FILE, open_identity
from littoral.adapters.store import open_store
from littoral.trust.issuing import Issuer
from littoral.trust.receipts import decode_document, frame
from littoral.trust.saved import encode_bundle
from tests.cli.test_keys import app, run
from tests.trust.made import REQUEST, STREAM, draft

BODY = b'{"choices":[{"index":0,"message":{"content":"Paris."}}]}'


@dataclass
class Home:
    """A PoP's home that is here, and an empty one of somebody who only verifies."""

    pop: Path
    empty: Path
    streamed: bytes
    whole: bytes
    whole_id: str

    def file(self, name: str, data: bytes) -> str:
        path = self.empty / name
        path.write_bytes(data)
        return str(path)

    @property
    def key(self) -> str:
        return str(self.pop / PUBLIC_KEY_FILE)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    pop, empty = tmp_path / "pop", tmp_path / "empty"
    pop.mkdir()
    empty.mkdir()
    issuer = Issuer(open_identity(pop, SystemClock()))
    streamed, whole = draft(number=1), draft(number=2, response=BODY)
    with open_store(pop) as store:
        (first,) = store.receipts.append(partial(issuer.issue, [streamed]))
        (second,) = store.receipts.append(partial(issuer.issue, [whole]))
        yield Home(pop, empty, first.document, second.document, second.receipt.rid)


def test_a_saved_stream_is_accepted_where_its_pop_lives(home: Home) -> None:
    file = home.file("answer", STREAM + frame(home.streamed))
    result = run(home.pop, "verify", file)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "receipt rcpt_" + "0" * 31 + "1"
    assert lines[-1] == "accepted"
    assert [line.split()[0] for line in lines[1:6]] == [
        "proven",
        "proven",
        "absent",
        "proven",
        "proven",
    ]


def test_elsewhere_it_is_accepted_by_who_trusts_the_pops_key(home: Home) -> None:
    file = home.file("answer", STREAM + frame(home.streamed))
    stranger = run(home.empty, "verify", file)
    assert stranger.exit_code == 1
    assert "--trust" in stranger.stdout
    assert run(home.empty, "verify", file, "--trust", home.key).exit_code == 0


@pytest.mark.parametrize("at", [10, 150, -100, -2, -1])
def test_after_one_byte_is_changed_it_is_rejected(home: Home, at: int) -> None:
    changed = bytearray(STREAM + frame(home.streamed))
    changed[at] ^= 1
    result = run(home.pop, "verify", home.file("answer", bytes(changed)))
    assert result.exit_code == 1
    assert "REJECTED" in result.stdout or "error:" in result.stderr


def test_a_bundle_is_accepted_with_its_request(home: Home) -> None:
    bundle = encode_bundle(response=STREAM, receipt=decode_document(home.streamed), request=REQUEST)
    result = run(home.pop, "verify", home.file("bundle", bundle), "--json")
    assert result.exit_code == 0
    verdict = json.loads(result.stdout)
    assert verdict["accepted"] is True
    standings = {claim["name"]: claim["standing"] for claim in verdict["claims"]}
    assert standings["request"] == "proven"
    assert standings["log"] == "absent"
    assert verdict["receipt"]["out_text"].startswith("sha256:")


def test_a_plain_body_needs_its_receipt_from_a_file(home: Home) -> None:
    body = home.file("body", BODY)
    receipt = home.file("receipt", home.whole + b"\n")
    request = home.file("request", REQUEST)
    alone = run(home.pop, "verify", body)
    assert alone.exit_code == 1
    assert "no receipt" in alone.stdout
    result = run(home.pop, "verify", body, "--receipt", receipt, "--request", request)
    assert result.exit_code == 0
    assert "proven    request" in result.stdout
    assert "proven    chain      number 2 of this PoP" in result.stdout


def test_what_curl_prints_names_a_receipt_that_this_home_has(home: Home) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nLittoral-Source: computed\r\n"
        b"Littoral-Receipt: " + home.whole_id.encode() + b"\r\n\r\n"
    )
    file = home.file("answer", head + BODY)
    result = run(home.pop, "verify", file)
    assert result.exit_code == 0
    assert "proven    headers" in result.stdout
    assert run(home.empty, "verify", file, "--trust", home.key).exit_code == 1
    other = home.file("other", head.replace(b"computed", b"upstream") + BODY)
    assert run(home.pop, "verify", other).exit_code == 1


def test_an_answer_may_come_through_a_pipe(home: Home) -> None:
    arguments = ["verify", "-", "--home", str(home.pop)]
    result = CliRunner().invoke(app, arguments, input=STREAM + frame(home.streamed))
    assert result.exit_code == 0


def test_a_file_that_is_not_there_is_said_in_one_line(home: Home) -> None:
    result = run(home.pop, "verify", str(home.empty / "none"))
    assert result.exit_code == 5
    assert result.stderr.count("\n") == 1
