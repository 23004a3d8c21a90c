"""Another PoP's receipt, and the one that countersigns it."""

from dataclasses import dataclass

import msgspec
import pytest

from littoral.adapters.identity import verify
from littoral.terms.errors import ReceiptRejectedError
from littoral.terms.ids import PopId
from littoral.terms.values import Countersigned, Source
from littoral.trust.countersigning import countersigned
from littoral.trust.issuing import Issuer
from littoral.trust.receipts import ReceiptDocument, Response, decode_document
from littoral.trust.saved import SavedAnswer
from littoral.trust.verification import Claim, Standing, verify_answer
from tests.trust.made import REQUEST, SIGNER, STRANGER, STREAM, draft, sealed

NEIGHBOUR = STRANGER
"""Who answers; `SIGNER` passes the answer on."""

THEIRS = sealed(signer=NEIGHBOUR)


def take(  # what a caller of it may get wrong
    document: bytes = THEIRS.document,
    pop: PopId = NEIGHBOUR.pop_id,
    request: bytes = REQUEST,
    nonce: str = "from-the-client",
    response: Response = THEIRS.receipt.response,
) -> Countersigned:
    return countersigned(
        document, pop=pop, request=request, nonce=nonce, response=response, verify=verify
    )


def ours(parent: Countersigned | None) -> bytes:
    made = msgspec.structs.replace(draft(number=9), source=Source.NEIGHBOUR, parent=parent)
    return sealed(made).document


def claim(document: bytes, *trusted: bytes) -> Claim | None:
    answer = SavedAnswer(response=STREAM, document=document)
    verdict = verify_answer(answer, verify=verify, trusted=trusted or (SIGNER.public_key,))
    return next((each for each in verdict.claims if each.name == "neighbour"), None)


def test_a_receipt_of_just_this_answer_is_taken_and_named() -> None:
    taken = take()
    assert (taken.pop, taken.rid) == (NEIGHBOUR.pop_id, THEIRS.receipt.rid)
    assert taken.digest == THEIRS.digest
    assert taken.document == THEIRS.document


def test_one_of_a_batch_is_taken_as_well() -> None:
    batch = Issuer(NEIGHBOUR).issue([draft(number=n) for n in (1, 2, 3)], 1, None)
    assert take(batch[1].document).rid == batch[1].receipt.rid


def test_a_signature_that_does_not_hold_takes_all_of_its_batch_with_it_each_time() -> None:
    batch = Issuer(NEIGHBOUR).issue([draft(number=n) for n in (1, 2, 3)], 1, None)
    other = Issuer(NEIGHBOUR).issue([draft(number=n) for n in (4, 5, 6)], 4, None)
    signatures = other[0].batch.envelope.signatures
    for each in (*batch, *batch):
        document = decode_document(each.document)
        envelope = msgspec.structs.replace(document.envelope, signatures=signatures)
        with pytest.raises(ReceiptRejectedError, match="signature"):
            take(msgspec.structs.replace(document, envelope=envelope).encode())
        assert take(each.document).rid == each.receipt.rid


def test_a_forged_receipt_is_rejected_though_its_batch_is_known() -> None:
    batch = Issuer(NEIGHBOUR).issue([draft(number=n) for n in (1, 2, 3)], 1, None)
    document = decode_document(batch[1].document)
    assert take(batch[0].document).rid == batch[0].receipt.rid
    assert document.batched is not None
    stated = msgspec.structs.replace(batch[1].receipt, n_out=1)
    for changed in (
        {"payload": msgspec.json.encode(stated)},
        {"index": 0},
        {"path": document.batched.path[::-1]},
    ):
        batched = msgspec.structs.replace(document.batched, **changed)
        with pytest.raises(ReceiptRejectedError, match="among those"):
            take(msgspec.structs.replace(document, batched=batched).encode())


@dataclass(frozen=True)
class Wrong:
    """What is false, and what is said of it."""

    arguments: dict[str, object]
    said: str


@pytest.mark.parametrize(
    "wrong",
    [
        Wrong({"document": sealed(signer=SIGNER).document}, "signed by"),
        Wrong({"pop": SIGNER.pop_id}, "signed by"),
        Wrong({"request": REQUEST + b" "}, "another request"),
        Wrong({"nonce": "another"}, "another request"),
        Wrong({"response": Response(THEIRS.receipt.response.digest, 1)}, "another response"),
        Wrong({"document": THEIRS.document.replace(b'"salt":"6', b'"salt":"7')}, "another request"),
        Wrong({"document": b"{}"}, "damaged"),
        Wrong({"document": b""}, "damaged"),
    ],
)
def test_any_other_is_rejected(wrong: Wrong) -> None:
    with pytest.raises(ReceiptRejectedError, match=wrong.said):
        take(**wrong.arguments)  # type: ignore[arg-type]  # each is of its argument's type


def test_one_whose_signature_is_somebody_else_s_is_rejected() -> None:
    document, other = decode_document(THEIRS.document), sealed(draft(number=5), signer=NEIGHBOUR)
    signatures = decode_document(other.document).envelope.signatures
    envelope = msgspec.structs.replace(document.envelope, signatures=signatures)
    with pytest.raises(ReceiptRejectedError, match="signature"):
        take(msgspec.structs.replace(document, envelope=envelope).encode())


def test_what_is_taken_is_without_what_it_countersigns_itself() -> None:
    far = take()
    theirs = msgspec.structs.replace(draft(number=7), source=Source.NEIGHBOUR, parent=far)
    middle = sealed(theirs, signer=SIGNER)
    taken = take(middle.document, SIGNER.pop_id, response=middle.receipt.response)
    assert decode_document(middle.document).parent is not None
    assert decode_document(taken.document).parent is None
    assert taken.digest == middle.digest


def test_it_is_proven_for_who_trusts_both() -> None:
    found = claim(ours(take()), SIGNER.public_key, NEIGHBOUR.public_key)
    text = f"{NEIGHBOUR.pop_id}, whose receipt {THEIRS.receipt.rid} is countersigned"
    assert found == Claim("neighbour", Standing.PROVEN, text)


def test_it_is_claimed_for_who_trusts_the_gateway_alone() -> None:
    found = claim(ours(take()))
    assert found is not None
    assert found.standing is Standing.CLAIMED
    assert "not among those trusted" in found.text


def parted(document: bytes, parent: ReceiptDocument | None) -> bytes:
    return msgspec.structs.replace(decode_document(document), parent=parent).encode()


def test_without_the_other_receipt_it_is_claimed() -> None:
    found = claim(parted(ours(take()), None), SIGNER.public_key, NEIGHBOUR.public_key)
    assert found is not None
    assert found.standing is Standing.CLAIMED
    assert "not at hand" in found.text


@pytest.mark.parametrize("other", [draft(number=4), draft(nonce="another")])
def test_with_another_receipt_beside_it_it_is_rejected(other: object) -> None:
    assert isinstance(other, type(draft()))
    beside = decode_document(sealed(other, signer=NEIGHBOUR).document)
    found = claim(parted(ours(take()), beside), SIGNER.public_key, NEIGHBOUR.public_key)
    assert found is not None
    assert found.standing is Standing.REJECTED


def test_nothing_may_hang_on_the_receipt_beside_it() -> None:
    beside = msgspec.structs.replace(
        decode_document(THEIRS.document), parent=decode_document(THEIRS.document)
    )
    found = claim(parted(ours(take()), beside))
    assert found is not None
    assert found.standing is Standing.REJECTED


def test_a_receipt_that_countersigns_nothing_has_nothing_beside_it() -> None:
    found = claim(parted(sealed().document, decode_document(THEIRS.document)))
    assert found is not None
    assert found.standing is Standing.REJECTED
    assert claim(sealed().document) is None


def test_an_answer_that_was_broken_off_countersigns_nothing_and_says_so() -> None:
    found = claim(ours(None))
    assert found is not None
    assert found.standing is Standing.ABSENT


def test_in_a_batch_each_has_its_own_beside_it() -> None:
    some = [draft(number=1), msgspec.structs.replace(draft(number=2), parent=take())]
    first, second = Issuer(SIGNER).issue(some, 1, None)
    assert decode_document(first.document).parent is None
    assert decode_document(second.document).parent == decode_document(THEIRS.document)
