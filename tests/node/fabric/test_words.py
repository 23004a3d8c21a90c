"""Which words of owners a PoP passes on, and which it looks at when others do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from littoral.adapters.owner import Owner
from littoral.adapters.store import MemberBook, open_store
from littoral.node.delivery.words import Dealing
from littoral.node.fabric.peers import Peers
from littoral.node.fabric.words import Words
from littoral.terms.ids import ModelName, ZoneName
from littoral.trust.admission import (
    ADMISSION,
    POLICY,
    Admission,
    Membership,
    OwnerPolicy,
    Signed,
)
from littoral.trust.records import Record, RecordKind, decoded, signed
from tests.adapters.owner.made import SetClock, identity, member_of, owner_at, pop_at

OTHERS = (2, 3)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def owner(tmp_path: Path, clock: SetClock) -> Owner:
    return owner_at(tmp_path, clock, 1)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[MemberBook]:
    with open_store(tmp_path) as store:
        yield store.members


@pytest.fixture
def words(tmp_path: Path, owner: Owner, book: MemberBook, clock: SetClock) -> Words:
    files = pop_at(tmp_path, owner, clock, 1)
    peers = Peers(files, book, clock, lambda _: None)
    return Words(book, files, peers, owner.owner_id, identity(1))


def word(owner: Owner, number: int, clock: SetClock, *, removed: bool = False) -> Signed:
    status = Membership.REMOVED if removed else Membership.ADMITTED
    who = identity(number)
    member = member_of(owner, who.pop_id)
    version = 2 if removed else 1
    said = Admission(member.name, who.public_key, version, status, False, clock.unix_s * 1000)
    return owner.sign(ADMISSION, said.encoded(), clock.unix_s)


def record_of(said: Signed) -> Record:
    return decoded(signed(RecordKind.ADMISSION, said.encoded(), identity(5)))


def test_each_word_is_passed_on_once_and_again_when_it_changes(
    words: Words, owner: Owner, book: MemberBook, clock: SetClock
) -> None:
    for number in OTHERS:
        book.keep(word(owner, number, clock))
    first = words.to_say(issuing=True)
    assert len(first) == len(OTHERS)
    assert not words.to_say(issuing=True)
    against = word(owner, OTHERS[0], clock, removed=True)
    book.keep(against)
    (again,) = words.to_say(issuing=True).values()
    assert decoded(again).payload == against.encoded()


@pytest.mark.parametrize(
    ("may", "dealing"),
    [
        ({}, Dealing(gets=False, gives=False)),
        ({"may_ask": True}, Dealing(gives=False)),
        ({"may_ask": True, "models": (ModelName("one"),)}, Dealing(gives=False)),
        ({"may_serve": True}, Dealing(gets=False)),
        ({"may_serve": True, "zones": (ZoneName("eu"),)}, Dealing(gets=False)),
        ({"may_serve": True, "zones": (ZoneName("us"),)}, Dealing(gets=False, gives=False)),
        ({"may_ask": True, "may_serve": True}, Dealing()),
        ({"may_ask": True, "may_serve": True, "revoked": True}, Dealing(False, False)),
    ],
)
def test_artifacts_go_to_who_may_ask_and_come_from_who_may_serve(
    words: Words,
    owner: Owner,
    book: MemberBook,
    clock: SetClock,
    tmp_path: Path,
    may: Any,
    dealing: Dealing,
) -> None:
    (tmp_path / "other").mkdir()
    other = owner_at(tmp_path / "other", clock, 2)
    stranger = member_of(other, identity(4).pop_id)
    assert words.deals(stranger) == Dealing(gets=False, gives=False)
    said = OwnerPolicy(other.owner_id, other.root, 1, clock.unix_s * 1000, **may)
    book.keep(owner.sign(POLICY, said.encoded(), clock.unix_s))
    words.reread()
    assert words.deals(stranger) == dealing
    assert bool(dealing) == (dealing.gets or dealing.gives)


def test_all_of_the_same_owner_give_and_get_until_they_are_removed(
    words: Words, owner: Owner, book: MemberBook, clock: SetClock
) -> None:
    own = member_of(owner, identity(2).pop_id)
    assert words.deals(own) == Dealing()
    book.keep(word(owner, 2, clock, removed=True))
    words.reread()
    assert words.deals(own) == Dealing(gets=False, gives=False)


def test_who_becomes_an_issuer_passes_on_what_it_kept_before(
    words: Words, owner: Owner, book: MemberBook, clock: SetClock
) -> None:
    book.keep(word(owner, 2, clock))
    assert not words.to_say(issuing=False)
    assert len(words.to_say(issuing=True)) == 1


def test_a_word_that_is_kept_is_known_by_its_bytes_alone(
    words: Words, owner: Owner, book: MemberBook, clock: SetClock
) -> None:
    said = word(owner, 2, clock)
    assert not words.keeps(record_of(said))
    assert words.hear(record_of(said))
    assert words.keeps(record_of(said))
    assert not words.hear(record_of(said))
    later = word(owner, 2, clock, removed=True)
    assert not words.keeps(record_of(later))
    assert words.hear(record_of(later))
    assert words.shut_out() == {identity(2).pop_id}
