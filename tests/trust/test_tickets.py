"""Tickets: one text each, and a slip of the hand is told from a ticket that nobody gave out."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.terms.errors import BadRequestError, TicketRejectedError
from littoral.terms.limits import TICKET_CHARS_MAX
from littoral.trust.members import owner_of_fingerprint
from littoral.trust.tickets import Ticket

TICKET = Ticket(("pop.example:8443", "[2001:db8::1]:8443"), bytes(range(32)), bytes(range(16)))

HOSTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.-]{0,127}", fullmatch=True)
ADDRESSES = st.builds(lambda host, port: f"{host}:{port}", HOSTS, st.integers(1, 65535))
TICKETS = st.builds(
    Ticket,
    st.lists(ADDRESSES, min_size=1, max_size=4).map(tuple),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=16, max_size=16),
)
ALPHABET = string.ascii_letters + string.digits + "-_"


@given(TICKETS)
def test_a_ticket_is_read_back_from_its_text(ticket: Ticket) -> None:
    text = ticket.text()
    assert Ticket.of_text(f"  {text}\n") == ticket
    assert len(text) <= TICKET_CHARS_MAX
    assert set(text.removeprefix("ltj_")) <= set(ALPHABET)


@given(st.integers(0, len(TICKET.text()) - 5), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_noticed(at: int, letter: str) -> None:
    text = TICKET.text()
    at += 4
    wrong = text[:at] + letter + text[at + 1 :]
    if wrong == text:
        return
    with pytest.raises(TicketRejectedError) as caught:
        Ticket.of_text(wrong)
    assert caught.value.details["reason"] in {"mistyped", "malformed"}
    assert "copy the whole ticket again" in caught.value.advice


@given(st.text(max_size=200) | st.text(ALPHABET, max_size=300).map(lambda text: f"ltj_{text}"))
def test_any_other_text_is_refused_and_never_more_than_that(text: str) -> None:
    with pytest.raises(TicketRejectedError):
        Ticket.of_text(text)


@pytest.mark.parametrize("end", [3, 4, 20, 60, -1, -8])
def test_a_ticket_that_is_cut_off_says_so(end: int) -> None:
    with pytest.raises(TicketRejectedError) as caught:
        Ticket.of_text(TICKET.text()[:end])
    assert caught.value.details["reason"] in {"mistyped", "malformed"}


@pytest.mark.parametrize(
    "address", ["", "host", "host:0", "host:65536", ":1", "a b:1", "host:01", "::1:8443", "[x]:1"]
)
def test_an_address_is_a_host_and_a_port(address: str) -> None:
    with pytest.raises(BadRequestError, match="not the address of a PoP"):
        Ticket((address,), bytes(32), bytes(16))


@pytest.mark.parametrize("count", [0, 5])
def test_a_ticket_has_one_to_four_addresses(count: int) -> None:
    with pytest.raises(BadRequestError, match="1 to 4 addresses"):
        Ticket(("host:1",) * count, bytes(32), bytes(16))


def test_what_is_kept_and_shown_of_a_ticket_is_not_its_secret() -> None:
    secret = TICKET.secret.hex()
    assert secret not in repr(TICKET)
    assert secret not in TICKET.ticket_id + TICKET.proof_key.hex()
    assert TICKET.ticket_id != Ticket(TICKET.addresses, TICKET.fingerprint, bytes(16)).ticket_id
    assert TICKET.owner == owner_of_fingerprint(TICKET.fingerprint)
