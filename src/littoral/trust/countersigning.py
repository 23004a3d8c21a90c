"""Another PoP's receipt, which this PoP countersigns: it names it in its own and keeps it beside.

A receipt that another PoP made for an answer that is passed on says what that PoP vouches for. It
is taken if that PoP has signed it, and if it is of just this request and of just these bytes.

What is kept of it is without the receipts that it countersigns itself: each PoP shows the one next
to it, so that documents do not grow with the way.
"""

import msgspec

from littoral.terms.errors import ReceiptRejectedError
from littoral.terms.ids import PopId
from littoral.terms.ports import Verify
from littoral.terms.values import Countersigned, Usage
from littoral.trust.digests import salted
from littoral.trust.receipts import (
    Parent,
    Proven,
    Receipt,
    ReceiptDocument,
    Response,
    check_signer,
    decode_document,
    decode_payload,
)

__all__ = ["countersigned", "parent_of", "proven_parent"]


def countersigned(  # a receipt is compared with all of these
    data: bytes,
    *,
    pop: PopId,
    request: bytes,
    nonce: str,
    response: Response,
    verify: Verify,
    why: str = "",
) -> Countersigned:
    """The receipt, once it is found to be what it must be.

    Args:
        data: its document, as it came.
        pop: who is to have signed it.
        request: the exact bytes that were asked.
        nonce: what was sent as the client's.
        response: of the exact bytes that came, under the salt that came with them.
        verify: checks one Ed25519 signature.
        why: that PoP was asked, in words.

    Raises:
        ReceiptRejectedError: it is no such receipt.
    """
    document = decode_document(data)
    if document.parent is not None:
        document = msgspec.structs.replace(document, parent=None)
        data = document.encode()
    proven, receipt = _opened(document, verify)
    if receipt.pop != pop:
        raise ReceiptRejectedError(f"the receipt is signed by {receipt.pop}, and not by {pop}")
    if receipt.req != salted(document.salt, request) or receipt.client_nonce != nonce:
        raise ReceiptRejectedError("the receipt is of another request")
    if receipt.response != response:
        raise ReceiptRejectedError("the receipt is of another response")
    usage = Usage(receipt.n_in, receipt.n_out, receipt.n_cached)
    return Countersigned(receipt.pop, receipt.rid, proven.digest, usage, data, why)


def parent_of(taken: Countersigned | None) -> Parent | None:
    """How a receipt names the one that it countersigns."""
    return None if taken is None else Parent(taken.pop, taken.rid, taken.digest, taken.why)


def proven_parent(parent: Parent, document: ReceiptDocument, verify: Verify) -> bytes:
    """The public key that signed the receipt that is countersigned.

    Raises:
        ReceiptRejectedError: this document is not that receipt, or holds more than it.
    """
    proven, receipt = _opened(document, verify)
    named = Parent(receipt.pop, receipt.rid, proven.digest, parent.why)
    if document.parent is not None or named != parent:
        raise ReceiptRejectedError("the receipt beside it is not the one that it countersigns")
    return document.opening.public_key


def _opened(document: ReceiptDocument, verify: Verify) -> tuple[Proven, Receipt]:
    """What is signed and what it says, if the key that came with it is whom it names."""
    proven = document.proven(verify)
    receipt = decode_payload(proven.payload)
    check_signer(receipt, document.opening.public_key)
    return proven, receipt
