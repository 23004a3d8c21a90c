"""What a receipt proves: the right answer is accepted, and any changed byte is not."""

import base64
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.adapters.identity import Identity, verify
from littoral.terms.errors import ReceiptRejectedError
from littoral.terms.ids import Digest
from littoral.trust.digests import salted
from littoral.trust.issuing import SealedReceipt, seal
from littoral.trust.receipts import decode_document, frame
from littoral.trust.saved import SavedAnswer, encode_bundle, read_saved
from littoral.trust.verification import Standing, Verdict, verify_answer
from tests.trust.made import REQUEST, SALT, SIGNER, STRANGER, STREAM, digest, draft, sealed

MADE = sealed()
BUNDLE = encode_bundle(response=STREAM, receipt=decode_document(MADE.document), request=REQUEST)
SAVED_STREAM = STREAM + frame(MADE.document)
ANSWER = read_saved(BUNDLE)


def judged(
    answer: SavedAnswer, *, trusted: Identity | None = SIGNER, previous: Digest | None = None
) -> Verdict:
    keys = () if trusted is None else (trusted.public_key,)
    return verify_answer(answer, verify=verify, trusted=keys, previous=previous)


def accepted(data: bytes) -> bool:
    """Whether saved bytes pass, as a person at the command line would find it."""
    try:
        return judged(read_saved(data)).accepted
    except ReceiptRejectedError:
        return False


def standings(verdict: Verdict) -> dict[str, Standing]:
    return {claim.name: claim.standing for claim in verdict.claims}


def rejected(verdict: Verdict) -> list[str]:
    return [claim.name for claim in verdict.claims if claim.standing is Standing.REJECTED]


def test_the_right_answer_is_accepted_and_each_line_says_how_firmly_it_stands() -> None:
    verdict = judged(ANSWER, previous=digest("d"))
    assert verdict.accepted
    assert standings(verdict) == {
        "signature": Standing.PROVEN,
        "signer": Standing.PROVEN,
        "request": Standing.PROVEN,
        "response": Standing.PROVEN,
        "text": Standing.PROVEN,
        "headers": Standing.ABSENT,
        "chain": Standing.PROVEN,
        "model": Standing.CLAIMED,
        "weights": Standing.CLAIMED,
        "tokenizer": Standing.CLAIMED,
        "template": Standing.CLAIMED,
        "engine": Standing.CLAIMED,
        "sampling": Standing.CLAIMED,
        "usage": Standing.CLAIMED,
        "finish": Standing.CLAIMED,
        "times": Standing.CLAIMED,
        "source": Standing.CLAIMED,
        "policy": Standing.CLAIMED,
        "nonce": Standing.CLAIMED,
        "audit": Standing.ABSENT,
        "log": Standing.ABSENT,
    }


@pytest.mark.parametrize("data", [BUNDLE, SAVED_STREAM], ids=["bundle", "stream"])
def test_no_byte_of_a_saved_answer_can_be_changed(data: bytes) -> None:
    assert accepted(data)
    changed = bytearray(data)
    for at in range(len(data)):
        changed[at] ^= 1
        assert not accepted(bytes(changed)), f"byte {at} ({data[at : at + 1]!r})"
        changed[at] ^= 1


@given(st.sampled_from([BUNDLE, SAVED_STREAM]), st.data())
def test_no_piece_of_a_saved_answer_can_be_replaced(data: bytes, draw: st.DataObject) -> None:
    start = draw.draw(st.integers(0, len(data)))
    end = draw.draw(st.integers(start, min(len(data), start + 20)))
    piece = draw.draw(st.binary(max_size=20) | st.sampled_from([b" ", b"\n", b"=", b'"', b"0"]))
    changed = data[:start] + piece + data[end:]
    assert accepted(changed) == (changed == data)


def test_no_bit_of_what_is_signed_can_be_changed() -> None:
    value = json.loads(MADE.document)
    payload = bytearray(base64.b64decode(value["envelope"]["payload"]))
    for at in range(len(payload)):
        payload[at] ^= 1 << at % 8
        value["envelope"]["payload"] = base64.b64encode(payload).decode()
        payload[at] ^= 1 << at % 8
        document = json.dumps(value, separators=(",", ":")).encode()
        verdict = judged(SavedAnswer(STREAM, document))
        assert rejected(verdict) == ["signature"]


def test_without_the_request_the_rest_still_stands() -> None:
    verdict = judged(SavedAnswer(STREAM, MADE.document))
    assert verdict.accepted
    assert standings(verdict)["request"] is Standing.ABSENT


def test_another_request_is_rejected() -> None:
    verdict = judged(SavedAnswer(STREAM, MADE.document, REQUEST + b" "))
    assert rejected(verdict) == ["request"]


def test_another_response_is_rejected() -> None:
    shorter = STREAM.replace(b"is.", b"is")
    assert rejected(judged(SavedAnswer(shorter, MADE.document))) == ["response", "text"]


def test_another_salt_is_rejected_even_without_the_request() -> None:
    made = seal(MADE.receipt, bytes(16), SIGNER)
    assert rejected(judged(SavedAnswer(STREAM, made.document))) == ["response", "text"]


def test_an_answer_without_a_receipt_is_rejected() -> None:
    verdict = judged(SavedAnswer(STREAM))
    assert not verdict.accepted
    assert rejected(verdict) == ["document"]


def test_a_stranger_signs_in_vain() -> None:
    forged = SavedAnswer(STREAM, sealed(signer=STRANGER).document, REQUEST)
    verdict = judged(forged)
    assert verdict.intact
    assert not verdict.accepted
    assert standings(verdict)["signer"] is Standing.CLAIMED


def test_where_nobody_is_trusted_nothing_is_accepted() -> None:
    verdict = judged(ANSWER, trusted=None)
    assert verdict.intact
    assert not verdict.accepted


def test_a_stranger_can_not_sign_in_the_name_of_a_trusted_pop() -> None:
    posing = seal(MADE.receipt, SALT, STRANGER)
    assert rejected(judged(SavedAnswer(STREAM, posing.document))) == ["signer"]


def test_a_payload_can_not_be_put_under_another_signature() -> None:
    mine, theirs = (json.loads(sealed(signer=who).document) for who in (SIGNER, STRANGER))
    mine["envelope"]["payload"] = theirs["envelope"]["payload"]
    document = json.dumps(mine, separators=(",", ":")).encode()
    assert rejected(judged(SavedAnswer(STREAM, document))) == ["signature"]


def changed(**fields: object) -> SealedReceipt:
    """A receipt that its PoP signed with other contents."""
    return seal(msgspec.structs.replace(MADE.receipt, **fields), SALT, SIGNER)


def test_a_pop_that_signs_another_text_than_it_sent_is_found_out() -> None:
    made = changed(out_text=salted(SALT, b"Lyon."))
    assert rejected(judged(SavedAnswer(STREAM, made.document))) == ["text"]


def test_a_receipt_without_a_text_digest_says_so() -> None:
    verdict = judged(SavedAnswer(STREAM, changed(out_text=None).document))
    assert standings(verdict)["text"] is Standing.ABSENT


def test_a_text_that_can_not_be_read_here_is_only_claimed() -> None:
    verdict = judged(SavedAnswer(STREAM, changed(api="of the future").document))
    assert standings(verdict)["text"] is Standing.CLAIMED


def test_headers_that_contradict_the_receipt_are_rejected() -> None:
    right = {"littoral-receipt": MADE.receipt.rid, "littoral-source": "computed"}
    for headers, standing in (
        (right, Standing.PROVEN),
        ({**right, "littoral-source": "echo"}, Standing.REJECTED),
        ({"littoral-salt": "00"}, Standing.REJECTED),
        ({"littoral-else": "1"}, Standing.ABSENT),
    ):
        verdict = judged(SavedAnswer(STREAM, MADE.document, headers=headers))
        assert standings(verdict)["headers"] is standing


def test_the_place_in_the_chain_is_claimed_until_the_receipt_before_it_is_seen() -> None:
    assert standings(judged(ANSWER))["chain"] is Standing.CLAIMED
    assert standings(judged(ANSWER, previous=digest("d")))["chain"] is Standing.PROVEN
    assert standings(judged(ANSWER, previous=digest("e")))["chain"] is Standing.REJECTED


def test_only_the_first_receipt_of_a_chain_has_none_before_it() -> None:
    first = SavedAnswer(STREAM, sealed(seq=1).document)
    assert standings(judged(first))["chain"] is Standing.CLAIMED
    orphan = SavedAnswer(STREAM, changed(prev=None).document)
    assert standings(judged(orphan))["chain"] is Standing.REJECTED


@given(st.binary() | st.builds(lambda cut: MADE.document[:cut], st.integers(0, 3000)))
def test_any_bytes_in_the_place_of_a_receipt_give_a_verdict(document: bytes) -> None:
    verdict = judged(SavedAnswer(STREAM, document))
    assert verdict.accepted == (document == MADE.document)


def test_an_exchange_that_stated_nothing_optional_is_shown_without_it() -> None:
    verdict = judged(SavedAnswer(STREAM, sealed(draft(nonce="")).document))
    assert standings(verdict)["nonce"] is Standing.ABSENT
