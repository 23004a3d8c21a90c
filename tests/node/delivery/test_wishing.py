"""Wishes are made, heard, kept and fulfilled; what is asked for often is fetched ahead."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from littoral.adapters.identity import Identity
from littoral.delivery import wishes
from littoral.node.delivery import wishing
from littoral.node.delivery.wishing import Pulls, Wishing
from littoral.routing.fleet import Delivery, Fleet, Known, PopState
from littoral.terms.delivery import PlanShown, PullShown, PullStage, PullWanted, WishWanted
from littoral.terms.errors import ConflictError, OriginError
from littoral.terms.ids import ModelName, PopId, SiteName
from littoral.terms.values import Instant
from littoral.trust.members import Member
from littoral.trust.records import Record, RecordKind
from tests.node.delivery.made import CLOCK, OURS, THEIRS, identity, member, offer, pop

PINNED = "https://host/file#state=0123"
WANTED = WishWanted("https://host/file", replicas=2)
ARTIFACT = "blake3:" + "ab" * 32
SIZE = 1_000
MODEL = ModelName("m")


@dataclass
class Stand:
    """A PoP that wishes and is wished of."""

    me: Identity
    wishing: Wishing
    said: list[tuple[str, bytes]] = field(default_factory=list)
    pulled: list[PullWanted] = field(default_factory=list)
    asked: dict[ModelName, float] = field(default_factory=dict)
    fails: bool = False

    async def pull(self, wanted: PullWanted) -> PullShown:
        self.pulled.append(wanted)
        if self.fails:
            raise OriginError("not now")
        return PullShown("1", wanted.reference, PullStage.DONE)

    async def plan(self, wanted: PullWanted) -> PlanShown:
        return PlanShown(PINNED, None, SIZE, 0, SIZE, (), (("file", SIZE),), None)

    def sees(self, *known: Known, asks: float = 0.0) -> None:
        own = there(self.me.pop_id, asks=asks)
        self.seen(Fleet({each.member.pop: each for each in (own, *known)}))

    def joins(self) -> None:
        self.seen = self.wishing.join(member(self.me.pop_id), lambda *it: self.said.append(it))


def there(
    name: PopId,
    *deliveries: Delivery,
    own: bool = True,
    site: str = "paris",
    alive: bool = True,
    asks: float = 0.0,
) -> Known:
    """A PoP of the fleet."""
    owner = OURS if own else THEIRS
    at = Member(owner=owner, zone=member(name).zone, site=SiteName(site), pop=name)
    demand = ((MODEL, asks),) if asks else ()
    state = PopState(name, 1, 1, disk_free=10**12, deliveries=deliveries, demand=demand)
    return Known(at, state, Instant(0), alive)


def stand_in(folder: Path) -> Stand:
    me = identity(folder, "me")
    pulls = Pulls(
        lambda wanted: made.pull(wanted),  # noqa: PLW0108 - it is made below
        lambda wanted: made.plan(wanted),  # noqa: PLW0108
        lambda: 10**12,
        lambda: dict(made.asked),
    )
    made = Stand(me, Wishing(folder, pulls, me, CLOCK))
    return made


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    monkeypatch.setattr(wishing, "WISH_LOOK_S", 0.005)
    made = stand_in(tmp_path)
    made.joins()
    return made


async def until_pulled(stand: Stand, count: int) -> None:
    """Let it go on until it has pulled so often."""
    going = asyncio.create_task(stand.wishing.go_on())
    async with asyncio.timeout(10):
        while len(stand.pulled) < count:
            await asyncio.sleep(0.005)
    going.cancel()
    await asyncio.wait([going])


async def test_a_wish_is_said_kept_and_fulfilled_by_who_is_chosen(
    stand: Stand, tmp_path: Path
) -> None:
    stand.sees(there(pop(1), offer(ARTIFACT, reference=PINNED)))
    row = await stand.wishing.wish(WANTED)
    assert row.reference == PINNED
    assert set(row.chosen) == {stand.me.pop_id, pop(1)}
    assert row.having == (pop(1),)
    ((topic, _),) = stand.said
    assert stand.me.pop_id in topic
    await until_pulled(stand, 1)
    assert stand.pulled == [PullWanted(PINNED)]
    (kept,) = (await stand_in(tmp_path).wishing.wishes()).wishes
    assert (kept.reference, kept.replicas) == (PINNED, 2)


async def test_who_is_gone_neither_has_it_nor_is_chosen(stand: Stand) -> None:
    stand.sees(there(pop(1), offer(ARTIFACT, reference=PINNED), alive=False))
    row = await stand.wishing.wish(WANTED)
    assert row.having == ()
    assert row.chosen == (stand.me.pop_id,)


async def test_what_was_here_before_is_not_pulled_and_what_fails_is_not_pressed(
    stand: Stand,
) -> None:
    stand.fails = True
    stand.sees()
    await stand.wishing.wish(WANTED)
    await until_pulled(stand, 1)
    going = asyncio.create_task(stand.wishing.go_on())
    await asyncio.wait([going], timeout=0.1)
    going.cancel()
    assert len(stand.pulled) == 1, "it is tried again after a while, and not at once"


@pytest.mark.parametrize("reference", ["https://host/file", PINNED])
async def test_a_wish_is_withdrawn_as_it_was_made_or_as_it_is_listed(
    stand: Stand, reference: str
) -> None:
    stand.sees()
    await stand.wishing.wish(WANTED)
    await stand.wishing.wish(WishWanted(reference, withdrawn=True))
    assert (await stand.wishing.wishes()).wishes == ()
    assert len(stand.said) == 2, "others hear of both"
    with pytest.raises(ConflictError):
        await stand.wishing.wish(WishWanted("https://host/else", withdrawn=True))


@pytest.mark.parametrize("own", [True, False])
async def test_the_wishes_of_this_owner_are_heard_and_those_of_others_are_not(
    stand: Stand, own: bool
) -> None:
    wish = wishes.made(PINNED, ("paris",), replicas=1, size_bytes=SIZE, unix_ms=5)
    record = Record(RecordKind.WISH, pop(1), wishes.encoded(wish), bytes(32), bytes(64))
    stand.wishing.hear(record)  # before it is known who says it
    assert (await stand.wishing.wishes()).wishes == ()
    stand.sees(there(pop(1), own=own))
    heard = [row.reference for row in (await stand.wishing.wishes()).wishes]
    assert heard == ([PINNED] if own else [])
    stand.wishing.hear(Record(RecordKind.WISH, pop(1), b"no wish", bytes(32), bytes(64)))
    assert [row.reference for row in (await stand.wishing.wishes()).wishes] == heard


async def test_what_is_asked_for_often_is_fetched_unless_the_site_has_it(
    stand: Stand,
) -> None:
    has = Delivery(bytes(32), bytes(8), whole=True, size_bytes=SIZE, model="m")
    stand.asked[MODEL] = 20.0
    stand.sees(there(pop(1), has, site="lyon"), asks=20.0)
    await until_pulled(stand, 1)
    assert stand.pulled[0] == PullWanted("blake3:" + "00" * 32, MODEL)
    assert dict(stand.wishing.demand())[MODEL] >= 20
    stand.sees(there(pop(1), has, site="paris"), asks=20.0)
    count = len(stand.pulled)
    going = asyncio.create_task(stand.wishing.go_on())
    await asyncio.wait([going], timeout=0.05)
    going.cancel()
    assert len(stand.pulled) == count, "the site has it"
