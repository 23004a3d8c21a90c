"""What is said when a PoP joins: nonces of one minute, proofs of a ticket, signatures."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.adapters.identity import verify
from littoral.terms.errors import JoinRejectedError
from littoral.terms.ids import OwnerId
from littoral.terms.limits import CLOCK_SKEW_S, JOIN_NONCE_S
from littoral.trust.joining import (
    Asking,
    JoinRequest,
    KeyRequests,
    check_nonce,
    check_proof,
    check_signature,
    come_back_request,
    join_request,
    make_nonce,
)
from littoral.trust.tickets import Ticket
from tests.trust.made import SIGNER, STRANGER

KEY, OTHER_KEY = bytes(32), bytes([1] * 32)
TICKET = Ticket(("host:1",), bytes(range(32)), bytes(range(16)))
KEYS = KeyRequests(b"a request", b"a key", b"another request")
OTHER_OWNER = OwnerId("own-0000000000000000")
REQUEST = join_request(TICKET, SIGNER, nonce=b"nonce", keys=KEYS)


def reason(check: Callable[[], None]) -> object:
    with pytest.raises(JoinRejectedError) as caught:
        check()
    return caught.value.details["reason"]


@given(st.integers(CLOCK_SKEW_S, 2**40), st.binary(min_size=16, max_size=16))
def test_a_nonce_is_good_for_a_minute_and_by_its_key_only(unix_s: int, random: bytes) -> None:
    nonce = make_nonce(KEY, unix_s, random)
    check_nonce(KEY, nonce, unix_s)
    check_nonce(KEY, nonce, unix_s + JOIN_NONCE_S)
    assert reason(lambda: check_nonce(KEY, nonce, unix_s + JOIN_NONCE_S + 1)) == "late"
    assert reason(lambda: check_nonce(KEY, nonce, unix_s - CLOCK_SKEW_S - 1)) == "late"
    assert reason(lambda: check_nonce(OTHER_KEY, nonce, unix_s)) == "nonce"


@given(st.binary(max_size=80))
def test_other_bytes_are_no_nonce(nonce: bytes) -> None:
    assert reason(lambda: check_nonce(KEY, nonce, 0)) == "nonce"


def test_a_request_proves_its_ticket_and_its_key() -> None:
    check_proof(REQUEST, TICKET.owner, TICKET.proof_key)
    check_signature(REQUEST, TICKET.owner, verify)
    assert TICKET.secret not in msgspec.msgpack.encode(REQUEST)


@pytest.mark.parametrize("field", ["nonce", "csr", "spki", "receipt_key", "issuer_csr"])
def test_whatever_is_changed_of_a_request_is_noticed(field: str) -> None:
    value = STRANGER.public_key if field == "receipt_key" else b"changed"
    asking: Asking = msgspec.structs.replace(REQUEST.asking, **{field: value})
    changed: JoinRequest = msgspec.structs.replace(REQUEST, asking=asking)
    assert reason(lambda: check_proof(changed, TICKET.owner, TICKET.proof_key)) == "proof"
    assert reason(lambda: check_signature(changed, TICKET.owner, verify)) == "signature"


def test_a_request_is_good_with_its_own_owner_and_ticket_only() -> None:
    assert reason(lambda: check_proof(REQUEST, OTHER_OWNER, TICKET.proof_key)) == "proof"
    assert reason(lambda: check_proof(REQUEST, TICKET.owner, bytes(32))) == "proof"
    assert reason(lambda: check_signature(REQUEST, OTHER_OWNER, verify)) == "signature"


def test_what_was_signed_to_come_back_is_not_good_to_join_nor_the_other_way_round() -> None:
    back = come_back_request(TICKET.owner, SIGNER, nonce=b"nonce", keys=KEYS)
    check_signature(back, TICKET.owner, verify)
    joins = msgspec.structs.replace(REQUEST, asking=back.asking)
    returns = msgspec.structs.replace(back, asking=REQUEST.asking)
    assert reason(lambda: check_signature(joins, TICKET.owner, verify)) == "signature"
    assert reason(lambda: check_signature(returns, TICKET.owner, verify)) == "signature"
