"""What a PoP and an issuer say to each other when the PoP joins, renews or comes back.

    PoP                                          issuer
     |  <- nonce (good for a minute)  ------------ |
     |  -> JoinRequest ---------------------------> |  checks, admits, signs
     |  <- JoinAnswer ----------------------------- |

Rules
- A PoP proves with one signature of its receipt key that it asks for this very TLS key; that it
  holds the ticket, with an HMAC over the same words. The secret itself never travels.
- What is signed names the purpose, the owner and the nonce, so that it is good nowhere else and at
  no other time. A request that is sent again within the minute gets a certificate for the same key,
  which whoever sent it again does not hold: nonces need not be remembered.
- A nonce is a time, chance, and an HMAC over both: every process that has the issuer's key knows
  its own, and none keeps a list.

Certificates and requests for them (CSRs) are bytes here.
"""

import hashlib
import hmac
from typing import Annotated, Final

import msgspec

from littoral.terms.errors import JoinRejectedError
from littoral.terms.ids import OwnerId, TicketId
from littoral.terms.limits import (
    CERTIFICATE_BYTES_MAX,
    CHAIN_CERTIFICATES_MAX,
    CLOCK_SKEW_S,
    JOIN_NONCE_S,
    OWNERS_MAX,
)
from littoral.terms.ports import Signer, Verify
from littoral.trust.admission import Signed
from littoral.trust.tickets import Ticket

__all__ = [
    "NONCE_RANDOM_BYTES",
    "Asking",
    "ComeBackRequest",
    "JoinAnswer",
    "JoinRequest",
    "KeyRequests",
    "check_nonce",
    "check_proof",
    "check_signature",
    "come_back_request",
    "join_request",
    "make_nonce",
]

NONCE_RANDOM_BYTES: Final = 16
_NONCE_BYTES: Final = 8 + NONCE_RANDOM_BYTES + 32

_Der = Annotated[bytes, msgspec.Meta(max_length=CERTIFICATE_BYTES_MAX)]


class KeyRequests(msgspec.Struct, frozen=True):
    """The requests for certificates that a PoP makes of its own keys; all DER."""

    csr: bytes
    spki: bytes
    issuer_csr: bytes = b""


class Asking(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What both requests have in common."""

    nonce: Annotated[bytes, msgspec.Meta(max_length=_NONCE_BYTES)]
    csr: _Der
    """For the TLS key: PKCS#10 in DER, its CN the PoP's id."""
    spki: _Der
    """The TLS public key, SubjectPublicKeyInfo in DER."""
    receipt_key: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    """Of the PoP itself: Ed25519."""
    issuer_csr: _Der
    """For a key to issue with, should the owner want it to; empty is no."""
    signature: Annotated[bytes, msgspec.Meta(max_length=64)]
    """Ed25519 by the receipt key, over `_words`."""


class JoinRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A PoP with a ticket asks to be admitted."""

    asking: Asking
    ticket_id: TicketId
    proof: Annotated[bytes, msgspec.Meta(max_length=32)]
    """HMAC-SHA-256 by the ticket's proof key, over the words that are signed."""


class ComeBackRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member whose certificate has run out asks for another."""

    asking: Asking


class JoinAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What makes a PoP a member; all certificates in DER."""

    chain: Annotated[tuple[_Der, ...], msgspec.Meta(max_length=CHAIN_CERTIFICATES_MAX)]
    """The PoP's own certificate, then the issuer's."""
    root: _Der
    """The owner's."""
    bundle: Annotated[tuple[_Der, ...], msgspec.Meta(max_length=OWNERS_MAX + 1)]
    """The roots of all owners that are trusted here, this one among them."""
    admission: Signed
    seeds: tuple[str, ...]
    """Endpoints at which the state of the fabric can be joined."""
    unix_s: int
    """The issuer's clock, so that one who is refused can see whether theirs is wrong."""
    issuer_certificate: _Der = b""
    """For the key of `issuer_csr`, if this PoP may issue; else empty."""


def make_nonce(key: bytes, unix_s: int, random: bytes) -> bytes:
    """A nonce that `check_nonce` with the same key takes for JOIN_NONCE_S.

    Args:
        key: of the issuer, secret.
        unix_s: now.
        random: NONCE_RANDOM_BYTES bytes.
    """
    words = unix_s.to_bytes(8, "big") + random
    return words + _mac(key, words)


def check_nonce(key: bytes, nonce: bytes, unix_s: int) -> None:
    """See that a nonce is one of ours and of the last minute.

    Raises:
        JoinRejectedError: it is not; `reason` is `nonce` or `late`.
    """
    words, mac = nonce[:-32], nonce[-32:]
    if len(nonce) != _NONCE_BYTES or not hmac.compare_digest(mac, _mac(key, words)):
        raise _rejected("nonce", "the request answers another PoP's nonce")
    age_s = unix_s - int.from_bytes(words[:8], "big")
    if not -CLOCK_SKEW_S <= age_s <= JOIN_NONCE_S:
        message = f"the request came {age_s} s after its nonce, and {JOIN_NONCE_S} s are allowed"
        raise _rejected("late", message)


def join_request(ticket: Ticket, signer: Signer, *, nonce: bytes, keys: KeyRequests) -> JoinRequest:
    """What a PoP with this ticket sends."""
    asking = _asking(b"join", ticket.owner, signer, nonce, keys)
    words = _words(b"join", ticket.owner, asking)
    return JoinRequest(asking, ticket.ticket_id, _mac(ticket.proof_key, words))


def come_back_request(
    owner: OwnerId, signer: Signer, *, nonce: bytes, keys: KeyRequests
) -> ComeBackRequest:
    """What a member sends whose certificate has run out."""
    return ComeBackRequest(_asking(b"come back", owner, signer, nonce, keys))


def check_proof(request: JoinRequest, owner: OwnerId, proof_key: bytes) -> None:
    """See that whoever asks holds the ticket.

    Raises:
        JoinRejectedError: `reason` is `proof`.
    """
    right = _mac(proof_key, _words(b"join", owner, request.asking))
    if not hmac.compare_digest(right, request.proof):
        raise _rejected("proof", "the request does not prove that it has the ticket it names")


def check_signature(request: JoinRequest | ComeBackRequest, owner: OwnerId, verify: Verify) -> None:
    """See that the PoP whose receipt key this is wants what is asked for.

    Raises:
        JoinRejectedError: `reason` is `signature`.
    """
    purpose = b"join" if isinstance(request, JoinRequest) else b"come back"
    asking = request.asking
    if not verify(asking.receipt_key, _words(purpose, owner, asking), asking.signature):
        raise _rejected("signature", "the request is not signed by the receipt key that it names")


def _asking(
    purpose: bytes, owner: OwnerId, signer: Signer, nonce: bytes, keys: KeyRequests
) -> Asking:
    bare = Asking(nonce, keys.csr, keys.spki, signer.public_key, keys.issuer_csr, b"")
    signature = signer.sign(_words(purpose, owner, bare))
    return msgspec.structs.replace(bare, signature=signature)


def _words(purpose: bytes, owner: OwnerId, asking: Asking) -> bytes:
    """What is signed: lengths before parts, so that no two requests have the same."""
    parts = (
        purpose,
        owner.encode(),
        asking.nonce,
        hashlib.sha256(asking.csr).digest(),
        hashlib.sha256(asking.spki).digest(),
        asking.receipt_key,
        hashlib.sha256(asking.issuer_csr).digest(),
    )
    return b"littoral-join-v1" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _mac(key: bytes, words: bytes) -> bytes:
    return hmac.digest(key, words, "sha256")


def _rejected(reason: str, message: str) -> JoinRejectedError:
    return JoinRejectedError(message, details={"reason": reason})
