"""Receipts: what they state, and the one way to write them."""

import base64
import json
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.terms.errors import ReceiptRejectedError
from littoral.terms.ids import ArtifactId, KeyId, ModelName
from littoral.terms.limits import PASSAGES_USED_MAX, RECEIPT_BYTES_MAX
from littoral.terms.sources import Sources
from littoral.terms.values import Caller, KeyLimits
from littoral.trust.issuing import Issuer, policy_digest, sampling_of
from littoral.trust.names import digest_of
from littoral.trust.receipts import Receipt, decode_document, decode_payload, frame, stated
from tests.memory.cited import cited
from tests.trust.made import CALLER, REQUEST, SALT, SIGNER, STREAM, digest, draft, sealed


def payload_of(document: bytes) -> bytes:
    return base64.b64decode(json.loads(document)["envelope"]["payload"])


def test_a_receipt_states_everything_that_is_known_of_the_exchange() -> None:
    assert json.loads(payload_of(sealed().document)) == {
        "v": 1,
        "network": "",
        "pop": SIGNER.pop_id,
        "owner": "",
        "kid": digest_of(SIGNER.public_key),
        "rid": "rcpt_" + "0" * 31 + "1",
        "seq": 2,
        "prev": digest("d"),
        "client_nonce": "from-the-client",
        "t_in": "1764000000000000000",
        "t_first": "1764000000500000000",
        "t_out": "1764000002000000000",
        "api": "chat.completions",
        "key": CALLER.key_id,
        "req": digest_of(SALT + REQUEST),
        "model": {
            "name": "tiny",
            "weights": digest("a"),
            "tokenizer": digest("b"),
            "template": digest("c"),
        },
        "engine": {"build": "xllamacpp 1", "device": "cpu", "threads": 1},
        "sampling": {
            "temperature": "0.2",
            "top_p": None,
            "max_tokens": "64",
            "rule": "engine",
            "seed": "7",
        },
        "response": {"digest": digest_of(SALT + STREAM), "bytes": len(STREAM)},
        "out_text": digest_of(SALT + b"Paris."),
        "n_in": 12,
        "n_cached": 4,
        "n_out": 3,
        "finish": "stop",
        "source": "computed",
        "tier": "signed",
        "policy": policy_digest(CALLER),
    }


def test_of_an_answer_from_memory_it_names_the_passages_by_collection_each_once() -> None:
    one, two, other = (f"blake3:{letter * 64}" for letter in "abc")
    shown = (
        cited("x", digest=two),
        cited("y", digest=other, collection="tides"),
        cited("z", digest=one),
        cited("x", digest=two, id="again"),
    )
    sources = Sources(question="q", passages=shown, artifact=ArtifactId(f"blake3:{'d' * 64}"))
    (made,) = Issuer(SIGNER).issue([msgspec.structs.replace(draft(), sources=sources)], 1, None)
    receipt = stated(made.document)
    assert [(each.collection, each.digests) for each in receipt.passages] == [
        ("docs", (two, one)),
        ("tides", (other,)),
    ]
    assert receipt.pipeline == f"blake3:{'d' * 64}"
    assert decode_document(made.document).encode() == made.document


def test_as_many_passages_as_an_answer_may_have_fit_into_a_receipt() -> None:
    shown = tuple(
        cited("x", digest=f"blake3:{number:064x}", collection="c" * 128)
        for number in range(PASSAGES_USED_MAX)
    )
    sources = Sources(question="q", passages=shown)
    drafts = [msgspec.structs.replace(draft(number=n), sources=sources) for n in range(256)]
    made = Issuer(SIGNER).issue(drafts, 1, None)
    assert len(made[0].document) < RECEIPT_BYTES_MAX
    assert len(stated(made[0].document).passages[0].digests) == PASSAGES_USED_MAX


def test_a_receipt_holds_neither_prompt_nor_answer() -> None:
    payload = payload_of(sealed().document)
    assert b"France" not in payload
    assert b"Paris" not in payload


def test_a_document_is_one_line_and_reads_back() -> None:
    made = sealed()
    assert b"\n" not in made.document
    assert decode_document(made.document).encode() == made.document
    assert stated(made.document) == made.receipt
    assert digest_of(payload_of(made.document)) == made.digest


def test_a_framed_receipt_is_one_comment_of_an_event_stream() -> None:
    framed = frame(sealed().document)
    assert framed.startswith(b": littoral-receipt {")
    assert framed.endswith(b"}\n\n")
    assert framed.count(b"\n") == 2


def rewritten(document: bytes) -> list[bytes]:
    """The same meaning, or a little more, in other bytes."""
    value = json.loads(document)
    signature = value["envelope"]["signatures"][0]
    twice = {**value, "envelope": {**value["envelope"], "signatures": [signature, signature]}}
    return [
        json.dumps(value).encode(),
        document + b"\n",
        b" " + document,
        document.replace(b'{"envelope"', b'{"envelope":{},"envelope"', 1),
        json.dumps({**value, "more": 1}, separators=(",", ":")).encode(),
        json.dumps(twice, separators=(",", ":")).encode(),
        json.dumps(dict(reversed(value.items())), separators=(",", ":")).encode(),
        b"x" * (RECEIPT_BYTES_MAX + 1),
        b"",
        b"null",
    ]


@pytest.mark.parametrize("data", rewritten(sealed().document))
def test_a_document_written_another_way_is_refused(data: bytes) -> None:
    with pytest.raises(ReceiptRejectedError):
        decode_document(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("v", 2),
        ("seq", 0),
        ("seq", 1.5),
        ("n_in", -1),
        ("kid", "sha256:" + "A" * 64),
        ("kid", "sha256:" + "a" * 64 + "\n"),
        ("t_in", "soon"),
        ("finish", "well"),
        ("tier", "audited"),
        ("client_nonce", "n" * 129),
        ("more", 1),
    ],
)
def test_a_payload_with_a_field_out_of_bounds_is_refused(field: str, value: object) -> None:
    payload = {**json.loads(payload_of(sealed().document)), field: value}
    with pytest.raises(ReceiptRejectedError):
        decode_payload(json.dumps(payload, separators=(",", ":")).encode())


numbers = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
fields = st.sampled_from(["temperature", "top_p", "max_tokens", "max_completion_tokens", "seed"])


@given(st.dictionaries(fields, numbers))
def test_whatever_a_request_asks_of_sampling_the_receipt_can_be_read_back(
    body: dict[str, object],
) -> None:
    made = msgspec.structs.replace(sealed().receipt, sampling=sampling_of(body))
    assert decode_payload(msgspec.json.encode(made)) == made


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.2, "0.2"), (1e-7, "0.0000001"), (1, "1"), (1.0, "1.0"), (True, None), ("1", None)],
)
def test_sampling_is_written_in_plain_decimals(value: object, text: str | None) -> None:
    assert sampling_of({"temperature": value}).temperature == text


def test_the_policy_digest_is_of_what_the_key_allows_not_of_whose_it_is() -> None:
    other = Caller(KeyId("kother"), "another")
    narrow = Caller(KeyId("kother"), "another", models=(ModelName("tiny"),))
    slow = Caller(KeyId("kother"), "another", limits=KeyLimits(requests_per_minute=1))
    assert policy_digest(other) == policy_digest(CALLER)
    assert len({policy_digest(caller) for caller in (other, narrow, slow)}) == 3


def test_the_drafts_times_are_kept_to_the_nanosecond() -> None:
    made = sealed(draft(ended_unix_ns=1_764_000_002_000_000_001))
    assert made.receipt.t_out == "1764000002000000001"


def test_the_document_on_receipts_explains_every_field_in_order() -> None:
    text = (Path(__file__).parents[2] / "docs" / "receipts.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)
    assert tuple(rows) == Receipt.__struct_fields__


def spoilt(name: str, value: str | None) -> bytes:
    """A payload in which one member has another value."""
    stated = json.loads(payload_of(sealed().document))
    place = stated
    *path, last = name.split(".")
    for each in path:
        place = place[each]
    assert last in place
    place[last] = value
    return msgspec.json.encode(stated)


DIGESTS = (
    *("kid", "prev", "req", "response.digest", "out_text", "policy"),
    *("model.weights", "model.tokenizer", "model.template"),
)
OTHERS = {
    "pop": "pop-" + "A" * 16,
    "rid": "rcpt_" + "0" * 31,
    "t_in": "17640000000000000000",
    "t_first": "-1",
    "t_out": "1764000002.0",
}


@pytest.mark.parametrize("name", [*DIGESTS, *OTHERS])
def test_names_and_times_are_written_in_one_way_each(name: str) -> None:
    good = json.loads(payload_of(sealed().document))
    for each in name.split("."):
        good = good[each]
    decode_payload(spoilt(name, good))
    odd = [OTHERS[name]] if name in OTHERS else [digest("A"), digest("a")[:-1], digest("a")[7:]]
    for bad in (*odd, "", "-", f"{good} ", f" {good}", f"{good}\n", f"{good} {good}", "\u0661" * 9):
        with pytest.raises(ReceiptRejectedError, match="damaged"):
            decode_payload(spoilt(name, bad))


@pytest.mark.parametrize("name", ["prev", "t_first", "out_text", "model.weights"])
def test_what_is_not_there_is_null(name: str) -> None:
    decode_payload(spoilt(name, None))


def test_a_name_can_not_stand_for_the_next_one() -> None:
    shifted = json.loads(payload_of(sealed().document))
    shifted["t_in"], shifted["t_first"] = "1 2", None
    with pytest.raises(ReceiptRejectedError, match="damaged"):
        decode_payload(msgspec.json.encode(shifted))
