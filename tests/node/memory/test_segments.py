"""First copies from segments: whole, signed, gone on with, for those alone who may have them."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from littoral.memory.replicas import sealed
from littoral.node.memory import segmenting
from littoral.node.memory.segments import Segments, SegmentsRow
from littoral.routing.fleet import Fleet, Known, PopState
from littoral.terms.delivery import PullShown, PullWanted
from littoral.terms.errors import LittoralError, RecordRejectedError
from littoral.terms.ids import ArtifactId, OwnerId, PopId, SiteName, ZoneName
from littoral.terms.limits import SEGMENTS_KEPT_S
from littoral.terms.memory import Delete, Write
from littoral.terms.replicas import Changes
from littoral.terms.values import Instant
from littoral.trust.members import Member
from tests.adapters.owner.made import SetClock
from tests.node.memory.segments_made import (
    HOME,
    KEY,
    OFFER,
    SPEC,
    Pair,
    StoreMover,
    held,
    records,
)
from tests.trust.made import STRANGER


class Telling(StoreMover):
    """One that is told to whom segments may go, and keeps nothing."""

    def __init__(self) -> None:
        self.told = {}


async def test_a_copy_from_segments_is_the_collection_and_goes_on_from_there(pair: Pair) -> None:
    home, replica = pair
    home.collection.apply([records(0, 300)])
    row = await replica.fetched()
    assert row is not None
    assert await replica.took(row) > 10
    assert held(replica.collection) == held(home.collection)
    assert replica.collection.followed().ever
    home.collection.apply([records(5, 8, 1), Delete(("r0100",)), records(900, 901)])
    assert replica.catch_up() == 4, "what changed since, and nothing else"
    assert held(replica.collection) == held(home.collection)


async def test_who_fetches_gives_to_the_others_from_the_first_piece_on(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, replica = pair
    home.collection.apply([records(0, 300)])
    told = []
    pull = replica.mover.pull

    async def pulling(wanted: PullWanted) -> PullShown:
        told.append(dict(replica.mover.told))
        return await pull(wanted)

    monkeypatch.setattr(replica.mover, "pull", pulling)
    monkeypatch.setattr(replica.segments, "_readers", lambda key, _: {key[1]})
    row = await replica.fetched()
    assert row is not None
    assert told == [{row.artifact: {HOME}}]
    assert replica.mover.told == {row.artifact: {HOME}}
    replica.segments.forget(KEY)
    assert replica.mover.told == {}


async def test_what_is_written_while_they_are_made_is_there_at_the_end(pair: Pair) -> None:
    home, replica = pair
    home.collection.apply([records(0, 300)])
    made = asyncio.create_task(home.asked())
    for number in range(30):
        change: list[Write] = [records(number, number + 5, 1), Delete((f"r{299 - number:04}",))]
        await asyncio.to_thread(home.collection.apply, change)
    await made
    row = await replica.fetched()
    assert row is not None
    await replica.took(row)
    replica.catch_up()
    assert held(replica.collection) == held(home.collection)


async def test_what_was_begun_before_an_end_is_gone_on_with(pair: Pair) -> None:
    home, replica = pair
    home.collection.apply([records(0, 300)])
    row = await replica.fetched()
    assert row is not None
    assert await replica.took(row, most=4) == 4
    at = replica.collection.followed()
    assert at.begun
    assert not at.ever
    again = Segments(replica.home.folder.parent / "replica", replica.mover, SetClock())
    assert again.of(*KEY) == replica.segments.of(*KEY), "it is known after a restart"
    found = replica.fetching.begun(HOME, SPEC.name, at)
    assert found is not None
    whole = len(home.mover.store.shelf.manifest(row.artifact).files)
    assert await replica.took(found, goes_on=True) == whole - 4
    assert held(replica.collection) == held(home.collection)


async def test_however_many_ask_they_are_made_once_and_anew_only_where_too_much_changed(
    pair: Pair, clock: SetClock
) -> None:
    home, _ = pair
    home.collection.apply([records(0, 300)])
    first, *others = await asyncio.gather(*(home.asked() for _ in range(8)))
    assert home.mover.kept == 1
    assert {each.artifact for each in others} == {first.artifact}
    home.collection.apply([records(0, 20, 1)])
    assert (await home.asked()).artifact == first.artifact
    home.collection.apply([records(0, 100, 2)])
    second = await home.asked()
    assert second.artifact not in {None, first.artifact}
    home.collection.apply([Delete(("r0001",))])
    clock.unix_s += int(SEGMENTS_KEPT_S) + 1
    third = await home.asked()
    assert third.artifact not in {None, second.artifact}, "what was deleted is not given for long"
    assert home.mover.kept == 3


async def test_what_is_small_is_sent_as_it_is(pair: Pair) -> None:
    home, replica = pair
    assert (await home.asked()).artifact is None
    home.collection.apply([records(0, 3)])
    assert await replica.fetched() is None
    assert (home.mover.kept, replica.mover.pulls) == (0, 0)


async def test_what_can_not_be_made_or_fetched_costs_no_copy(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, replica = pair
    home.collection.apply([records(0, 300)])
    monkeypatch.setattr("littoral.node.memory.fetching.SEGMENTS_FIND_S", 0.0)
    replica.mover.source = None
    assert await replica.fetched() is None

    async def fails(*_: object) -> None:
        raise LittoralError("the disk is full")

    monkeypatch.setattr(home.mover, "keep", fails)
    home.segments.forget(KEY)
    assert (await home.asked()).artifact is None
    assert not list((home.folder / "segments").iterdir()), "nothing is left behind"


async def test_what_another_has_signed_is_not_taken_in(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, replica = pair
    home.collection.apply([records(0, 300)])

    def by_a_stranger(changes: Changes, incarnation: str, _: object) -> bytes:
        return sealed(changes, incarnation, STRANGER)

    monkeypatch.setattr(segmenting, "sealed", by_a_stranger)
    row = await replica.fetched()
    assert row is not None
    with pytest.raises(RecordRejectedError):
        await replica.took(row)
    assert replica.collection.count() == 0


async def test_they_go_after_a_while_and_with_what_they_belong_to(
    pair: Pair, clock: SetClock
) -> None:
    home, replica = pair
    home.collection.apply([records(0, 300)])
    row = await replica.fetched()
    assert row is not None
    for each in (home, replica):
        sweeping = asyncio.create_task(each.segments.go_on())
        if each is home:
            clock.unix_s += int(SEGMENTS_KEPT_S) + 1
        else:
            each.segments.forget(KEY)
        while each.mover.store.shelf.artifacts():
            each.segments._due.set()
            await asyncio.sleep(0)
        sweeping.cancel()
        assert each.segments.of(*KEY) is None


def test_segments_go_to_those_whom_the_offer_is_for_and_to_nobody_else(
    tmp_path: Path, clock: SetClock
) -> None:
    def member(number: int, **other: str) -> Member:
        is_of = {"owner": "own-0000000000000001", "zone": "eu", "site": "edge", **other}
        owner, zone, site = is_of["owner"], is_of["zone"], is_of["site"]
        pop = HOME if number == 0 else PopId(f"pop-{number:016x}")
        return Member(OwnerId(owner), ZoneName(zone), SiteName(site), pop)

    home, near, named = member(0, site="core"), member(1), member(2, site="attic")
    others = [
        member(3, site="attic"),
        member(4, zone="abroad"),
        member(5, owner="own-0000000000000002"),
    ]
    offer = msgspec.structs.replace(
        OFFER, spec=msgspec.structs.replace(SPEC, zone=ZoneName("eu")), pops=(named.pop,)
    )
    standing = [offer]
    mover = Telling()
    folder = tmp_path / "pop"
    folder.mkdir()
    segments = Segments(folder, mover, clock)
    segments.offered = lambda key: standing[0] if key == KEY and standing else None
    row = SegmentsRow(
        name=SPEC.name,
        home=HOME,
        incarnation=OFFER.incarnation,
        artifact=ArtifactId("blake3:" + "0" * 64),
        made_unix_s=clock.unix_s,
        used_unix_s=clock.unix_s,
    )
    segments.had(row)
    everybody = [home, near, named, *others]
    fleet = Fleet(
        {each.pop: Known(each, PopState(each.pop, 1, 1), Instant(0)) for each in everybody}
    )
    segments.meet(fleet)
    assert mover.told == {}, "it is no member yet"
    segments.join(home)
    assert mover.told == {row.artifact: frozenset({near.pop, named.pop})}
    segments.join(near)
    assert mover.told == {row.artifact: frozenset({named.pop})}
    standing.clear()
    segments.meet_again()
    assert mover.told == {}
    standing.append(
        msgspec.structs.replace(offer, incarnation="2" * 32, sites=(SiteName("attic"),))
    )
    segments.meet_again()
    assert mover.told == {}, "another collection of the name is offered: these are not it"
    standing[:] = [offer]
    segments.meet(Fleet({each.pop: fleet.pops[each.pop] for each in (near, named)}))
    assert mover.told == {}, "nothing is known of its home"
