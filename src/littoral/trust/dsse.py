"""DSSE envelopes: a signature over a type and exact bytes, so that nothing need be canonicalised.

Rules
- What is signed is the pre-authentication encoding (PAE) of type and payload, so a payload can't be
  passed off as one of another type.
- Exactly one signature, and one way to write it (see `decoding`): bytes are plain base64 in JSON.

It does not know what a payload means. The format is in-toto's DSSE, version 1.
"""

from typing import Annotated

import msgspec

from littoral.terms import limits
from littoral.terms.errors import ReceiptRejectedError
from littoral.terms.ids import Digest
from littoral.terms.ports import Signer, Verify
from littoral.trust.names import digest_of, names_of_key

__all__ = ["Binary", "Envelope", "Signature", "opened", "pae", "sealed"]

Binary = Annotated[bytes, msgspec.Meta(max_length=limits.RECEIPT_BYTES_MAX)]


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One signature and whose it is said to be."""

    keyid: Annotated[Digest, msgspec.Meta(max_length=71)]
    sig: Binary


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A payload, its type, and who signed both."""

    payload_type: str = msgspec.field(name="payloadType")
    payload: Binary
    signatures: Annotated[tuple[Signature, ...], msgspec.Meta(min_length=1, max_length=1)]


def pae(payload_type: str, payload: bytes) -> bytes:
    """The exact bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sealed(payload_type: str, payload: bytes, signer: Signer) -> Envelope:
    """The payload, signed."""
    signature = Signature(digest_of(signer.public_key), signer.sign(pae(payload_type, payload)))
    return Envelope(payload_type, payload, (signature,))


def opened(envelope: Envelope, payload_type: str, public_key: bytes, verify: Verify) -> bytes:
    """The payload, if this key signed it as a payload of this type.

    Raises:
        ReceiptRejectedError: it did not, or the envelope is malformed.
    """
    if envelope.payload_type != payload_type:
        raise ReceiptRejectedError("the envelope holds something else than it should")
    (signature,) = envelope.signatures
    if signature.keyid != names_of_key(public_key)[0]:
        raise ReceiptRejectedError("the envelope names another key than the one it came with")
    if not verify(public_key, pae(payload_type, envelope.payload), signature.sig):
        raise ReceiptRejectedError("the signature does not hold")
    return envelope.payload
