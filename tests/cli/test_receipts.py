"""`littoral receipts`, as it is typed."""

import json
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from littoral.adapters.clock import SystemClock
from littoral.adapters.identity import open_identity
from littoral.adapters.store import open_store
from littoral.trust.issuing import Issuer, SealedReceipt
from littoral.trust.receipts import frame
from tests.cli.test_keys import run
from tests.trust.made import REQUEST, STREAM, draft


@pytest.fixture
def made(tmp_path: Path) -> Iterator[SealedReceipt]:
    """The second of two receipts in a home."""
    issuer = Issuer(open_identity(tmp_path, SystemClock()))
    with open_store(tmp_path) as store:
        store.receipts.append(partial(issuer.issue, [draft(number=1)]))
        yield store.receipts.append(partial(issuer.issue, [draft(number=2)]))[0]


def test_the_list_shows_the_newest_first(tmp_path: Path, made: SealedReceipt) -> None:
    listed = json.loads(run(tmp_path, "receipts", "list", "--json").stdout)["receipts"]
    assert [one["seq"] for one in listed] == [2, 1]
    assert listed[0]["receipt_id"] == made.receipt.rid
    assert listed[0]["tokens"] == 15
    table = run(tmp_path, "receipts", "list", "--limit", "1").stdout
    assert made.receipt.rid in table
    assert "tiny" in table
    assert table.count("rcpt_") == 1


def test_a_receipt_is_shown_field_by_field(tmp_path: Path, made: SealedReceipt) -> None:
    shown = run(tmp_path, "receipts", "show", made.receipt.rid).stdout
    fields = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert fields["rid"] == made.receipt.rid
    assert fields["model.weights"] == made.receipt.model.weights
    assert fields["network"] == "-"


def test_as_json_a_receipt_is_the_signed_document_itself(
    tmp_path: Path, made: SealedReceipt
) -> None:
    shown = run(tmp_path, "receipts", "show", made.receipt.rid, "--json")
    assert shown.stdout_bytes == made.document + b"\n"


def test_a_receipt_that_is_not_here_is_not_found(tmp_path: Path, made: SealedReceipt) -> None:
    result = run(tmp_path, "receipts", "show", "rcpt_none")
    assert result.exit_code == 5
    assert "receipts list" in result.stderr


def save(home: Path, made: SealedReceipt, *arguments: str) -> Path:
    file = home / "saved"
    result = run(home, "receipts", "save", made.receipt.rid, str(file), *arguments)
    assert result.exit_code == 0, result.output
    return file


def test_a_receipt_saved_alone_verifies_an_answer_kept_elsewhere(
    tmp_path: Path, made: SealedReceipt
) -> None:
    file = save(tmp_path, made)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (tmp_path / "answer").write_bytes(STREAM)
    verified = run(tmp_path, "verify", str(tmp_path / "answer"), "--receipt", str(file))
    assert verified.exit_code == 0, verified.output


@pytest.mark.parametrize("with_frame", [True, False])
def test_a_receipt_saved_with_its_answer_is_one_file_to_verify(
    tmp_path: Path, made: SealedReceipt, with_frame: bool
) -> None:
    (tmp_path / "answer").write_bytes(STREAM + frame(made.document) if with_frame else STREAM)
    (tmp_path / "request").write_bytes(REQUEST)
    request, response = str(tmp_path / "request"), str(tmp_path / "answer")
    file = save(tmp_path, made, "--response", response, "--request", request)
    verified = run(tmp_path, "verify", str(file))
    assert verified.exit_code == 0, verified.output
    assert "proven    request" in verified.stdout


def test_a_receipt_is_not_saved_with_an_answer_that_it_is_not_for(
    tmp_path: Path, made: SealedReceipt
) -> None:
    (tmp_path / "answer").write_bytes(STREAM + b"more")
    result = run(
        tmp_path,
        "receipts",
        "save",
        made.receipt.rid,
        str(tmp_path / "saved"),
        "--response",
        str(tmp_path / "answer"),
    )
    assert result.exit_code == 1
    assert "response" in result.stderr
    assert not (tmp_path / "saved").exists()


def test_saving_never_overwrites_a_file(tmp_path: Path, made: SealedReceipt) -> None:
    file = save(tmp_path, made)
    before = file.read_bytes()
    result = run(tmp_path, "receipts", "save", made.receipt.rid, str(file))
    assert result.exit_code == 5
    assert file.read_bytes() == before


def test_a_request_is_saved_only_beside_its_response(tmp_path: Path, made: SealedReceipt) -> None:
    result = run(
        tmp_path, "receipts", "save", made.receipt.rid, str(tmp_path / "saved"), "--request", "x"
    )
    assert result.exit_code == 5
    assert "--response" in result.stderr
