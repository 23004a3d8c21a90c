"""Claims: who says that a reference means an artifact, and how it knows.

A manifest says what an artifact is, but not that it is the model that somebody asked for. A claim
does: a DSSE statement by a PoP that a pinned reference is this artifact. With it others take the
artifact from neighbours, and need not read a byte at the origin.

Rules
- A claim is signed by the key that its PoP is named after, and has that key in it, so it can be
  checked wherever it came from. Whether the PoP is to be believed is for who takes it to decide.
- It says how the PoP knows: the origin promises the digest of every file and each has it, or the
  origin promises none and the PoP is the one who read it.
- There is one way to write a claim; anything else is refused.

It is not known here who is a member, nor where claims are kept.
"""

import base64
from enum import Enum
from typing import Annotated, Final

import msgspec

from littoral.terms.errors import ReceiptRejectedError, RecordRejectedError
from littoral.terms.ids import ArtifactId
from littoral.terms.ports import Signer, Verify
from littoral.trust import dsse
from littoral.trust.decoding import ENCODER, PopName, bytes_of_base64, decode_exactly
from littoral.trust.names import pop_id

__all__ = ["CLAIM_BYTES_MAX", "CLAIM_TYPE", "Claim", "Known", "opened_claim", "signed_claim"]

CLAIM_TYPE: Final = "application/vnd.littoral.claim+json"

CLAIM_BYTES_MAX: Final = 16 * 1024
"""Of the envelope; ours have under 1 KB."""

_REFERENCE: Final = msgspec.Meta(min_length=1, max_length=2_048)


class Known(Enum):
    """How a PoP knows what a reference means."""

    ORIGIN = "origin"
    """Each file has the digest that the origin promises."""
    FIRST = "first"
    """The origin promises none for some file: it was so when this PoP read it."""


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=1, tag_field="v"):
    """What a PoP says; the tag is the version of this form."""

    reference: Annotated[str, _REFERENCE]
    """Pinned: it means the same bytes whenever it is asked for."""
    artifact: Annotated[ArtifactId, msgspec.Meta(pattern=r"\Ablake3:[0-9a-f]{64}\Z")]
    known: Known
    private: bool
    """It was given only because of a credential, so it goes to PoPs of the same owner only."""
    base: Annotated[str, _REFERENCE] | None
    """The reference of the model that this one is said to be derived from."""
    pop: PopName
    """Who says it."""
    public_key: Annotated[str, msgspec.Meta(max_length=44)]
    """Of that PoP: 32 bytes in base64."""
    unix_s: Annotated[int, msgspec.Meta(ge=0, le=2**40)]
    """When, by its clock."""


_CLAIM: Final = msgspec.json.Decoder(Claim)
_ENVELOPE: Final = msgspec.json.Decoder(dsse.Envelope)


def signed_claim(
    signer: Signer,
    *,
    reference: str,
    artifact: ArtifactId,
    known: Known,
    private: bool,
    base: str | None,
    unix_s: int,
) -> bytes:
    """The claim of whoever holds this key, as its envelope travels."""
    key = signer.public_key
    claim = Claim(
        reference=reference,
        artifact=artifact,
        known=known,
        private=private,
        base=base,
        pop=pop_id(key),
        public_key=base64.b64encode(key).decode(),
        unix_s=unix_s,
    )
    return ENCODER.encode(dsse.sealed(CLAIM_TYPE, ENCODER.encode(claim), signer))


def opened_claim(data: bytes, verify: Verify) -> Claim:
    """What an envelope says, if the PoP that it names has signed it.

    Raises:
        RecordRejectedError: it has not, or the envelope or the claim is malformed.
    """
    if len(data) > CLAIM_BYTES_MAX:
        raise RecordRejectedError(f"a claim has more than {CLAIM_BYTES_MAX} bytes")
    try:
        envelope = decode_exactly(_ENVELOPE, data, "the envelope of a claim")
        claim = decode_exactly(_CLAIM, envelope.payload, "a claim")
        key = bytes_of_base64(claim.public_key)
        dsse.opened(envelope, CLAIM_TYPE, key, verify)
    except ReceiptRejectedError as error:
        raise RecordRejectedError(error.message) from error
    if pop_id(key) != claim.pop:
        raise RecordRejectedError(f"a claim is said to be by {claim.pop}, which has another key")
    return claim
