"""The book of members: words merge, and of a ticket's last use there is one."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from littoral.adapters.store import MemberBook, Store, open_store
from littoral.adapters.store import members as members_module
from littoral.terms.errors import BadRequestError, ConflictError, TicketRejectedError
from littoral.terms.ids import OwnerId, SiteName, TicketId, ZoneName
from littoral.terms.limits import TICKET_LIFE_S_MAX, TICKET_USES_MAX
from littoral.trust.admission import (
    ADMISSION,
    POLICY,
    Admission,
    Membership,
    OwnerPolicy,
    Roll,
    Signed,
)
from littoral.trust.members import Member
from littoral.trust.names import pop_id
from littoral.trust.tickets import TicketRecord

OWNER = OwnerId("own-0123456789abcdef")
FOREIGN = OwnerId("own-ffffffffffffffff")
NOW = 1000
TICKET = TicketRecord(
    TicketId("t0"), b"key", ZoneName("eu"), SiteName("attic"), 1, NOW + 60, issuer=False
)


def member(number: int) -> Member:
    return Member(OWNER, ZoneName("eu"), SiteName("attic"), pop_id(bytes([number]) * 32))


def admitted(number: int = 1, version: int = 1, status: Membership = Membership.ADMITTED) -> Signed:
    who = member(number)
    key = bytes([number]) * 32
    admission = Admission(who.name, key, version, status, issuer=False, at=0)
    return Signed(ADMISSION, admission.encoded(), b"", ())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path) as opened:
        yield opened


@pytest.fixture
def book(store: Store) -> MemberBook:
    return store.members


def reason(book: MemberBook, unix_s: int = NOW) -> object:
    """Why this ticket is refused."""
    with pytest.raises(TicketRejectedError) as caught:
        book.admit(TICKET.ticket_id, member(9).pop, unix_s, lambda *_: admitted(9))
    assert book.admission(member(9).pop) is None
    return caught.value.details["reason"]


def test_admissions_are_merged_as_they_come(book: MemberBook) -> None:
    assert book.keep(admitted(1, 2))
    assert not book.keep(admitted(1, 2))
    assert not book.keep(admitted(1, 1))
    assert book.keep(admitted(2))
    assert book.keep(admitted(1, 1, Membership.REVOKED))
    assert not book.keep(admitted(1, 3))
    assert book.admission(member(1).pop) == admitted(1, 1, Membership.REVOKED)
    assert len(book.admissions()) == 2
    assert book.roll().admissions[member(2).pop].good


def test_policies_are_merged_as_they_come(book: MemberBook) -> None:
    def policy(version: int, *, may_ask: bool) -> Signed:
        said = OwnerPolicy(FOREIGN, b"", version, 0, may_ask=may_ask)
        return Signed(POLICY, said.encoded(), b"", ())

    assert book.keep(policy(2, may_ask=True))
    assert not book.keep(policy(1, may_ask=False))
    assert book.policy(FOREIGN) == policy(2, may_ask=True)
    assert list(book.policies()) == [policy(2, may_ask=True)]
    assert book.policy(OWNER) is None


def test_another_process_is_heard_at_once(tmp_path: Path, book: MemberBook) -> None:
    book.keep(admitted(1))
    assert book.roll().admissions[member(1).pop].good
    with open_store(tmp_path) as other:
        other.members.keep(admitted(1, 1, Membership.REVOKED))
    assert book.roll().admissions[member(1).pop].status is Membership.REVOKED


def test_there_is_room_for_so_many(book: MemberBook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members_module, "MEMBERS_MAX", 1)
    monkeypatch.setattr(members_module, "TICKETS_MAX", 1)
    book.keep(admitted(1))
    book.keep(admitted(1, 2))
    with pytest.raises(ConflictError, match="no room"):
        book.keep(admitted(2))
    book.add_ticket(TICKET, NOW)
    second = replace(TICKET, ticket_id=TicketId("t1"), expires_unix_s=NOW + 90)
    with pytest.raises(ConflictError, match="tickets are out"):
        book.add_ticket(second, NOW)
    book.add_ticket(second, TICKET.expires_unix_s)
    assert list(book.tickets()) == [second]


@pytest.mark.parametrize(
    "wrong",
    [
        replace(TICKET, uses_left=0),
        replace(TICKET, uses_left=TICKET_USES_MAX + 1),
        replace(TICKET, expires_unix_s=NOW),
        replace(TICKET, expires_unix_s=NOW + TICKET_LIFE_S_MAX + 1),
    ],
)
def test_a_ticket_is_good_for_a_while_and_a_few(book: MemberBook, wrong: TicketRecord) -> None:
    with pytest.raises(BadRequestError, match="at most"):
        book.add_ticket(wrong, NOW)


def test_a_use_is_taken_for_what_is_kept(book: MemberBook) -> None:
    book.add_ticket(replace(TICKET, uses_left=2), NOW)
    assert book.admit(TICKET.ticket_id, member(1).pop, NOW, lambda *_: admitted(1)) == (
        admitted(1),
        True,
    )
    assert book.ticket(TICKET.ticket_id) == replace(TICKET, uses_left=1)

    def again(ticket: TicketRecord, before: Signed | None, roll: Roll) -> None:
        assert (ticket.uses_left, before) == (1, admitted(1))
        assert roll.admissions[member(1).pop].good

    assert book.admit(TICKET.ticket_id, member(1).pop, NOW, again) == (admitted(1), False)
    assert book.ticket(TICKET.ticket_id) == replace(TICKET, uses_left=1)


def test_a_ticket_that_opens_nothing_says_why(book: MemberBook) -> None:
    assert reason(book) == "unknown"
    book.add_ticket(TICKET, NOW)
    assert reason(book, TICKET.expires_unix_s) == "expired"
    book.admit(TICKET.ticket_id, member(1).pop, NOW, lambda *_: admitted(1))
    assert reason(book) == "used_up"
    assert book.withdraw(TICKET.ticket_id)
    assert not book.withdraw(TICKET.ticket_id)
    assert reason(book) == "unknown"


def test_what_fails_on_the_way_takes_no_use(book: MemberBook) -> None:
    book.add_ticket(TICKET, NOW)

    def fail(*_: object) -> Signed:
        raise ConflictError("not now")

    with pytest.raises(ConflictError, match="not now"):
        book.admit(TICKET.ticket_id, member(1).pop, NOW, fail)
    assert book.ticket(TICKET.ticket_id) == TICKET
    assert book.admission(member(1).pop) is None


TAKE = """
import sys
from pathlib import Path
from littoral.adapters.store import open_store
from littoral.terms.errors import TicketRejectedError
from tests.adapters.test_store_members import NOW, TICKET, admitted, member

number = int(sys.argv[2])
with open_store(Path(sys.argv[1])) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        store.members.admit(TICKET.ticket_id, member(number).pop, NOW, lambda *_: admitted(number))
        print("taken")
    except TicketRejectedError as error:
        print(error.details["reason"])
"""


def test_of_several_processes_that_take_the_last_use_one_gets_it(
    tmp_path: Path, book: MemberBook
) -> None:
    book.add_ticket(TICKET, NOW)
    takers = [
        subprocess.Popen(
            [sys.executable, "-c", TAKE, str(tmp_path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in (1, 2)
    ]
    for taker in takers:
        assert taker.stdout is not None
        assert taker.stdout.readline() == "ready\n"
    for taker in takers:
        assert taker.stdin is not None
        taker.stdin.write("go\n")
        taker.stdin.flush()
    outcomes = sorted(taker.communicate(timeout=30)[0].strip() for taker in takers)
    assert outcomes == ["taken", "used_up"]
    assert len(book.admissions()) == 1
