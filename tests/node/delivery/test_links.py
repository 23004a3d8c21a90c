"""Of two PoPs of a group exactly one dials; who has all of it is dialled by the others."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import cast

import pytest

from littoral.adapters.moving.words import HearsNews, Peer
from littoral.delivery import news as wire
from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.news import News
from littoral.delivery.words import Role
from littoral.node.delivery.links import Links
from littoral.node.delivery.others import Mate, Others
from littoral.node.delivery.words import FleetTold, ListenTold, PeerTold
from littoral.terms.ids import PopId, SiteName
from tests.node.delivery.made import FakeClient, around, member, pop

ME, LOW, HIGH = pop(5), pop(1), pop(9)
PARIS = SiteName("paris")


class Dialled:
    """A link as whoever dialled holds it."""

    def __init__(self) -> None:
        self.said: list[bytes] = []
        self.dropped = False

    def say(self, line: bytes) -> None:
        self.said.append(line)

    def drop(self) -> None:
        self.dropped = True


class Dialling(FakeClient):
    """Notes who is dialled."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[PopId, Dialled] = {}
        self.heard: dict[PopId, HearsNews] = {}

    def news(self, peer: Peer, group: str, hears: HearsNews) -> Dialled:
        self.heard[peer.member.pop] = hears
        made = self.calls[peer.member.pop] = Dialled()
        return made


@dataclass
class Group:
    """Whose links they are (links.Hears)."""

    whole: bool = False
    met_: dict[PopId, Role] = field(default_factory=dict)
    news_: list[News] = field(default_factory=list)
    told_: list[PopId] = field(default_factory=list)
    parted_: list[PopId] = field(default_factory=list)

    def is_whole(self) -> bool:
        return self.whole

    def greeting(self) -> News:
        return News(pulling=True)

    def met(self, pop: PopId, role: Role, news: News) -> None:
        self.met_[pop] = role
        self.news_.append(news)

    def told(self, pop: PopId, news: News) -> None:
        self.told_.append(pop)

    def parted(self, pop: PopId) -> None:
        self.parted_.append(pop)


@dataclass
class Stand:
    links: Links
    client: Dialling
    group: Group

    def meets(self, *names: PopId, whole: bool = False, dialled: bool = True) -> None:
        mates = {
            name: Mate(PARIS, Peer(member(name), "127.0.0.1", 1) if dialled else None, whole)
            for name in names
        }
        self.links.meet(mates)


@pytest.fixture
async def stand() -> Stand:
    client, group = Dialling(), Group()
    with ThreadPoolExecutor(1) as threads:
        made = around(ME, threads, cast("FakeClient", client))
    return Stand(Links(made, "blake3:" + "ab" * 32, 4, group), client, group)


async def test_the_lower_name_dials(stand: Stand) -> None:
    stand.meets(LOW, HIGH)
    assert list(stand.client.calls) == [HIGH]
    (greeting,) = stand.client.calls[HIGH].said
    assert wire.decoded(greeting, 4).pulling


async def test_who_has_all_of_it_is_dialled_whatever_its_name(stand: Stand) -> None:
    stand.meets(LOW, HIGH, whole=True)
    assert set(stand.client.calls) == {LOW, HIGH}


async def test_who_has_all_of_it_dials_nobody(stand: Stand) -> None:
    stand.group.whole = True
    stand.meets(LOW, HIGH)
    assert stand.client.calls == {}


async def test_who_can_not_be_dialled_is_not(stand: Stand) -> None:
    stand.meets(HIGH, dialled=False)
    assert stand.client.calls == {}
    assert stand.links.peer(HIGH) is None


async def test_a_call_is_heard_and_its_end_is_told(stand: Stand) -> None:
    stand.meets(LOW)
    said: list[bytes] = []
    hears = stand.links.called(member(LOW), said.append)
    assert hears is not None
    hears.told(wire.encoded(News(pulling=True)))
    assert stand.group.met_ == {LOW: Role.EQUAL}
    hears.told(wire.encoded(News(pulling=True)))
    assert stand.group.told_ == [LOW]
    hears.parted(None)
    assert stand.group.parted_ == [LOW]


async def test_who_says_what_can_not_be_is_parted_with(stand: Stand) -> None:
    hears = stand.links.called(member(LOW), lambda _: None)
    assert hears is not None
    hears.told(b"no news")
    assert stand.group.met_ == {}
    hears.told(wire.encoded(News(pulling=True)))
    assert stand.group.met_ == {}, "it is not heard any more"


async def test_who_wants_it_no_more_is_parted_with(stand: Stand) -> None:
    stand.meets(HIGH)
    stand.meets()
    stand.links.close()
    assert stand.client.calls[HIGH].dropped
    assert stand.group.parted_ == [], "it had not been met"


async def test_who_may_not_fetch_from_here_is_dialled_and_taken_for_one_that_wants_nothing(
    stand: Stand,
) -> None:
    stand.links.meet({LOW: Mate(PARIS, Peer(member(LOW), "127.0.0.1", 1), gets=False)})
    hears = stand.client.heard[LOW]
    hears.told(wire.encoded(News(pulling=True, holds=ChunkSet.of((1,)).encoded())))
    assert stand.group.met_ == {LOW: Role.EQUAL}
    (news,) = stand.group.news_
    assert not news.pulling
    assert news.holds is not None


async def test_from_whom_nothing_may_be_fetched_is_told_and_not_heard(stand: Stand) -> None:
    said: list[bytes] = []
    hears = stand.links.called(member(LOW), said.append, heard=False)
    assert hears is not None
    hears.told(wire.encoded(News(pulling=True)))
    stand.meets(HIGH)
    assert stand.group.met_ == {}
    await asyncio.sleep(0)
    stand.links.say(News(gained=((1, 2),)))
    assert [wire.decoded(line, 4).gained for line in said] == [(), ((1, 2),)]
    hears.parted(None)
    assert stand.group.parted_ == []


async def test_who_can_only_be_asked_over_what_it_holds_is_called_if_it_has_all_and_else_calls(
    stand: Stand,
) -> None:
    held = {name: Peer(member(name), "", 0) for name in (LOW, HIGH)}
    stand.links.meet({LOW: Mate(PARIS, held[LOW], whole=True), HIGH: Mate(PARIS, held[HIGH])})
    assert list(stand.client.calls) == [LOW]
    assert stand.links.peer(HIGH) == held[HIGH]


@pytest.mark.parametrize(("own", "listens"), [(True, True), (True, False), (False, True)])
def test_it_is_asked_so_by_pops_of_its_owner_that_can_be_dialled(
    *, own: bool, listens: bool
) -> None:
    listen = ListenTold("127.0.0.1", 0, "127.0.0.1", "") if listens else None
    told = PeerTold.of(member(LOW, own=own), "", (), own=own)
    found = Others(FleetTold(PARIS, (told,), listen)).by_name[LOW].peer
    assert (found is not None) is (own and listens)
