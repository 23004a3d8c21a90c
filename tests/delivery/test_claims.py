"""A claim is believed to be by whoever signed it, and by nobody else."""

import base64
import json
from collections.abc import Callable

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from littoral.delivery.claims import CLAIM_BYTES_MAX, CLAIM_TYPE, Known, opened_claim, signed_claim
from littoral.terms.errors import RecordRejectedError
from littoral.terms.ids import ArtifactId
from littoral.trust import dsse
from littoral.trust.decoding import ENCODER
from littoral.trust.names import pop_id

ARTIFACT = ArtifactId("blake3:" + "ab" * 32)


class Key:
    """A signer of this test's own."""

    def __init__(self, seed: int) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.public_key = self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def made(seed: int = 1, reference: str = "hub:someone/model@0123") -> bytes:
    return signed_claim(
        Key(seed),
        reference=reference,
        artifact=ARTIFACT,
        known=Known.ORIGIN,
        private=True,
        base="hub:someone/base",
        unix_s=1_790_000_000,
    )


def test_a_claim_says_who_says_what() -> None:
    claim = opened_claim(made(), verify)
    assert claim.pop == pop_id(Key(1).public_key)
    assert (claim.reference, claim.artifact) == ("hub:someone/model@0123", ARTIFACT)
    assert (claim.known, claim.private, claim.base) == (Known.ORIGIN, True, "hub:someone/base")
    assert claim.unix_s == 1_790_000_000


def changed_payload(change: Callable[[dict[str, object]], object]) -> bytes:
    """A claim of which a member was changed, and then signed by another key."""
    payload = json.loads(base64.b64decode(json.loads(made())["payload"]))
    change(payload)
    return ENCODER.encode(dsse.sealed(CLAIM_TYPE, ENCODER.encode(payload), Key(2)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        made() + b" ",
        made().replace(b'"sig":"', b'"sig":"A'),
        b" " * (CLAIM_BYTES_MAX + 1),
        ENCODER.encode(dsse.sealed("text/plain", b"{}", Key(1))),
        changed_payload(lambda payload: None),
        changed_payload(
            lambda payload: payload.update(public_key=base64.b64encode(Key(2).public_key).decode())
        ),
        changed_payload(lambda payload: payload.update(public_key="!")),
        changed_payload(lambda payload: payload.update(artifact="blake3:1")),
        changed_payload(lambda payload: payload.update(v=2)),
    ],
)
def test_what_its_pop_has_not_signed_is_refused(data: bytes) -> None:
    with pytest.raises(RecordRejectedError):
        opened_claim(data, verify)


def test_any_changed_byte_is_refused() -> None:
    good = made()
    for at in range(len(good)):
        with pytest.raises(RecordRejectedError):
            opened_claim(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :], verify)
