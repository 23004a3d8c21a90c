"""Whom a PoP takes for a member, and whom it asks, when several owners are trusted."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from littoral.adapters.owner import Bundle, FabricFiles, Owner
from littoral.adapters.owner.tls import client_context
from littoral.adapters.store import MemberBook, open_store
from littoral.node.fabric.peers import Peers
from littoral.terms.errors import IdentityError
from littoral.terms.facts import Fact, StrangersRefused
from littoral.terms.ids import OwnerId
from littoral.terms.limits import STRANGERS_TOLD_S
from littoral.trust.admission import ADMISSION, Admission, Membership, Signed
from littoral.trust.members import Member
from littoral.web.certificate import Certificate
from tests.adapters.owner.made import answer_for, identity, member_of, owner_at, pop_at
from tests.adapters.owner.test_checking import forged, private
from tests.adapters.owner.test_tls import Ends, RealTime, connected


@pytest.fixture
def clock() -> RealTime:
    return RealTime()


@pytest.fixture
def owner(tmp_path: Path, clock: RealTime) -> Owner:
    return owner_at(tmp_path / "own", clock, 1)


@pytest.fixture
def other(tmp_path: Path, clock: RealTime) -> Owner:
    return owner_at(tmp_path / "other", clock, 4)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[MemberBook]:
    with open_store(tmp_path) as store:
        yield store.members


@pytest.fixture
def files(tmp_path: Path, owner: Owner, other: Owner, clock: RealTime) -> FabricFiles:
    """A PoP that trusts both owners."""
    made = pop_at(tmp_path / "own", owner, clock, 1)
    Bundle([owner.root, other.root]).write(made.bundle)
    return made


@pytest.fixture
def peers(files: FabricFiles, book: MemberBook, clock: RealTime) -> Peers:
    return Peers(files, book, clock, lambda _: None)


@pytest.fixture
def second(tmp_path: Path, owner: Owner, clock: RealTime) -> FabricFiles:
    return pop_at(tmp_path / "second", owner, clock, 2)


@pytest.fixture
def posing(
    tmp_path: Path, owner: Owner, other: Owner, second: FabricFiles, clock: RealTime
) -> FabricFiles:
    """A PoP of the other owner, whose issuer has given it the name of our second PoP."""
    files = pop_at(tmp_path / "posing", other, clock, 5)
    issuer = private(tmp_path / "other" / "owner" / "issuer.key")
    key = private(files.key)
    leaf, by = second.shown()[0], files.shown()[1]
    stolen = forged(leaf, by=by, key=issuer, of=key.public_key())
    answer = answer_for(other, files, clock, 5, trusted=(owner.root,))
    files.keep(msgspec.structs.replace(answer, chain=(stolen, by)), clock)
    return files


def dialled(
    peers: Peers, by: FabricFiles, owner: OwnerId, book: MemberBook, clock: RealTime
) -> Ends:
    return connected(Peers(by, book, clock, lambda _: None).client(owner), peers.server)


def known(peers: Peers, ends: Ends) -> Member | None:
    return peers.knows(Certificate((), 0, ends.server))


def said(owner: Owner, number: int, status: Membership, clock: RealTime) -> Signed:
    who = identity(number)
    name = member_of(owner, who.pop_id).name
    word = Admission(name, who.public_key, 1, status, issuer=False, at=clock.unix_s * 1000)
    return owner.sign(ADMISSION, word.encoded(), clock.unix_s)


def test_members_of_every_trusted_owner_are_known(
    tmp_path: Path,
    peers: Peers,
    owner: Owner,
    other: Owner,
    second: FabricFiles,
    book: MemberBook,
    clock: RealTime,
) -> None:
    ours = dialled(peers, second, owner.owner_id, book, clock)
    assert known(peers, ours) == member_of(owner, identity(2).pop_id)
    foreign = pop_at(tmp_path / "foreign", other, clock, 5)
    Bundle([owner.root, other.root]).write(foreign.bundle)
    theirs = dialled(peers, foreign, owner.owner_id, book, clock)
    assert known(peers, theirs) == member_of(other, identity(5).pop_id)


def test_one_owner_can_not_have_its_pop_pass_for_another_s_at_the_listener(
    peers: Peers, owner: Owner, posing: FabricFiles, book: MemberBook, clock: RealTime
) -> None:
    ends = dialled(peers, posing, owner.owner_id, book, clock)
    shown = ends.server.getpeercert()
    assert shown is not None
    assert ("URI", member_of(owner, identity(2).pop_id).name) in shown["subjectAltName"]
    assert known(peers, ends) is None


def test_one_owner_can_not_have_its_pop_pass_for_another_s_that_is_dialled(
    peers: Peers, owner: Owner, other: Owner, posing: FabricFiles, book: MemberBook, clock: RealTime
) -> None:
    server = Peers(posing, book, clock, lambda _: None).server
    with pytest.raises(ssl.SSLError, match="certificate"):
        connected(peers.client(owner.owner_id), server)
    assert connected(peers.client(other.owner_id), server).client.getpeercert(True)
    with pytest.raises(IdentityError, match="not known here"):
        peers.client(OwnerId("own-0000000000000000"))


def test_who_has_a_certificate_of_nobody_s_is_told_of_at_once_and_then_counted(
    tmp_path: Path, owner: Owner, files: FabricFiles, book: MemberBook, clock: RealTime
) -> None:
    stranger = pop_at(tmp_path / "stranger", owner_at(tmp_path / "nobody", clock, 6), clock, 6)
    Bundle([owner.root]).write(stranger.bundle)
    facts: list[Fact] = []
    server = Peers(files, book, clock, facts.append).server
    for _ in range(3):
        with pytest.raises(ssl.SSLError, match="certificate"):
            connected(client_context(stranger, owner.owner_id), server)
    (told,) = facts
    assert isinstance(told, StrangersRefused)
    assert told.connections == 1
    assert "self-signed certificate" in told.reason
    clock.passed += STRANGERS_TOLD_S
    with pytest.raises(ssl.SSLError, match="certificate"):
        connected(client_context(stranger, owner.owner_id), server)
    assert facts[1:] == [StrangersRefused(told.reason, 3)]


@pytest.mark.parametrize("number", [2, 1], ids=["it", "its issuer"])
def test_who_is_revoked_is_nobody_from_then_on(
    peers: Peers,
    owner: Owner,
    second: FabricFiles,
    book: MemberBook,
    clock: RealTime,
    number: int,
) -> None:
    ends = dialled(peers, second, owner.owner_id, book, clock)
    book.keep(said(owner, 2, Membership.ADMITTED, clock))
    assert known(peers, ends) == member_of(owner, identity(2).pop_id)
    book.keep(said(owner, number, Membership.REVOKED, clock))
    assert known(peers, ends) is None


def test_renewed_files_are_taken_and_an_owner_that_is_left_out_is_nobody(
    tmp_path: Path,
    peers: Peers,
    files: FabricFiles,
    owner: Owner,
    other: Owner,
    book: MemberBook,
    clock: RealTime,
) -> None:
    foreign = pop_at(tmp_path / "foreign", other, clock, 5)
    Bundle([owner.root, other.root]).write(foreign.bundle)
    before = dialled(peers, foreign, owner.owner_id, book, clock)
    assert known(peers, before) is not None
    files.keep(answer_for(owner, files, clock, 1), clock)
    peers.renewed()
    after = dialled(peers, foreign, owner.owner_id, book, clock)
    assert after.client.getpeercert(True) == files.shown()[0]
    assert before.client.getpeercert(True) != files.shown()[0]
    assert known(peers, after) is None
    assert before.say(b"still here") == b"still here"
