"""Envelopes: what is signed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.adapters.identity import verify
from littoral.terms.errors import ReceiptRejectedError
from littoral.trust.dsse import Envelope, opened, pae, sealed
from tests.trust.made import SIGNER, STRANGER

TYPE = "application/example+json"


def test_the_signed_bytes_are_those_of_the_dsse_specification() -> None:
    signed = pae("http://example.com/HelloWorld", b"hello world")
    assert signed == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


@given(st.text(), st.binary(), st.text(), st.binary())
def test_no_two_statements_have_the_same_signed_bytes(
    kind: str, payload: bytes, other_kind: str, other_payload: bytes
) -> None:
    same = (kind, payload) == (other_kind, other_payload)
    assert (pae(kind, payload) == pae(other_kind, other_payload)) == same


def test_a_sealed_payload_opens_under_the_key_that_sealed_it() -> None:
    assert opened(sealed(TYPE, b"said", SIGNER), TYPE, SIGNER.public_key, verify) == b"said"


def test_an_envelope_does_not_open_under_another_key() -> None:
    with pytest.raises(ReceiptRejectedError, match="another key"):
        opened(sealed(TYPE, b"said", SIGNER), TYPE, STRANGER.public_key, verify)


def test_a_payload_of_another_type_does_not_open() -> None:
    envelope = sealed("application/else", b"said", SIGNER)
    with pytest.raises(ReceiptRejectedError, match="something else"):
        opened(envelope, TYPE, SIGNER.public_key, verify)


def test_a_signature_moved_to_another_type_does_not_hold() -> None:
    envelope = sealed("application/else", b"said", SIGNER)
    moved = Envelope(TYPE, envelope.payload, envelope.signatures)
    with pytest.raises(ReceiptRejectedError, match="does not hold"):
        opened(moved, TYPE, SIGNER.public_key, verify)
