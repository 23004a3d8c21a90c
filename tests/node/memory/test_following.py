"""Copies of collections, between PoPs in one process: who has them, and what goes wrong."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from littoral.adapters.memory.embedded import open_replicas
from littoral.memory.replicas import encoded_offer
from littoral.node.memory import offering
from littoral.terms.delivery import PullShown, PullWanted
from littoral.terms.errors import HomeUnwritableError, NotFoundError
from littoral.terms.ids import OwnerId, PopId, ZoneName
from littoral.terms.memory import (
    CollectionSpec,
    Delete,
    FieldKind,
    Metric,
    VectorField,
)
from littoral.terms.replicas import ChangesWanted, ReplicaWanted
from littoral.trust.records import Record as Said
from littoral.trust.records import RecordKind
from tests.adapters.owner.made import SetClock
from tests.node.memory.copying import SPEC, Pop, fleet
from tests.node.memory.made import OPERATOR
from tests.node.memory.segments_made import records
from tests.trust.made import SIGNER, STRANGER


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)


async def same(home: Pop, copy: Pop) -> None:
    """Wait until the copy has what its home has, and nothing else."""
    async with asyncio.timeout(20):
        while await copy.held() != await home.held():
            await asyncio.sleep(0.01)


Pair = tuple[Pop, Pop]


@pytest.fixture
async def pair(tmp_path: Path, clock: SetClock) -> AsyncIterator[Pair]:
    """A home, and another that is not told of anything yet."""
    home, copy = (
        Pop(tmp_path / "home", SIGNER, clock),
        Pop(tmp_path / "copy", STRANGER, clock, site="b"),
    )
    copy.mover.source = home.mover
    for each in (home, copy):
        await each.begin((home, copy))
    yield home, copy
    for each in (copy, home):
        await each.close()


async def test_a_copy_comes_as_segments_and_goes_on_with_changes(pair: Pair) -> None:
    home, copy = pair
    await home.made(records(0, 300))
    await home.offered("b")
    copy.hear(home)
    await same(home, copy)
    assert copy.mover.pulls == 1
    await home.wrote(Delete(("r0001",)), records(5, 6, 1))
    await same(home, copy)


async def test_an_offer_stands_after_a_restart_of_its_home(tmp_path: Path, clock: SetClock) -> None:
    spec = CollectionSpec(
        name="c",
        vectors=(VectorField(3, Metric.DOT), VectorField(2, name="more", multi=True)),
        sparse=("s",),
        fields={"n": FieldKind.INTEGER, "w": FieldKind.TIME},
        about="of all kinds",
        zone="eu",
    )
    copy = Pop(tmp_path / "copy", STRANGER, clock, site="b")
    for number in range(2):
        home = Pop(tmp_path / "home", SIGNER, clock)
        for each in (home, copy):
            await each.begin((home, copy))
        if not number:
            await home.made(records(0, 3), spec=spec)
            await home.offered("b")
        else:
            await home.wrote(records(9, 11))
        copy.hear(home)
        await same(home, copy)
        await home.close()
    await copy.close()


async def test_a_change_is_sent_at_once_though_another_asks_while_it_is_made(pair: Pair) -> None:
    home, copy = pair
    await home.made(records(0, 1))
    await home.offered("b")
    offer = home.offering.standing(SPEC.name)
    assert offer is not None
    first = await asked(home, copy, offer.incarnation, 0, "")
    collection = (await home.house.pops_own(SPEC.name)).collection
    era, through = collection.changes(0, 10**6).era, 1  # type: ignore[attr-defined]
    assert first
    wait = asyncio.create_task(asked(home, copy, offer.incarnation, through, era))
    looked = asyncio.Event()
    run = home.house.threads.run

    async def slowly(work: Callable[[], object]) -> object:
        found = await run(work)
        if not looked.is_set():  # it has looked and found nothing; now there is something
            looked.set()
            await home.wrote(records(1, 2))
            other = asyncio.create_task(asked(home, copy, offer.incarnation, 0, ""))
            await other
        return found

    home.house.threads.run = slowly  # type: ignore[assignment,method-assign]
    async with asyncio.timeout(1.0):
        assert await wait


async def asked(home: Pop, copy: Pop, incarnation: str, after: int, era: str) -> bytes:
    wanted = ChangesWanted(SPEC.name, incarnation, era, after)
    return await home.offering.changes(copy.member, wanted)


async def test_another_collection_of_the_name_is_not_offered_by_what_was_said_of_the_first(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, copy = pair
    await home.made(records(0, 3))
    await home.offered("b")
    copy.hear(home)
    await same(home, copy)
    monkeypatch.setattr(home.offering, "_forgotten", lambda *_: None)
    home.house.forgotten.clear()  # as if the PoP was killed before it could note that
    await home.house.drop(SPEC.name, OPERATOR)
    zoned = msgspec.structs.replace(SPEC, zone="mars")
    await home.made(records(0, 5, 1), spec=zoned)
    offer = home.offering.standing(SPEC.name)
    assert offer is not None
    with pytest.raises(NotFoundError, match="another"):
        await asked(home, copy, offer.incarnation, 0, "")


async def test_what_is_made_anew_is_offered_anew_or_to_nobody(pair: Pair) -> None:
    home, copy = pair
    await home.made(records(0, 3))
    await home.offered("b")
    hears = list(home.house.forgotten)
    home.house.forgotten.clear()
    await home.house.drop(SPEC.name, OPERATOR)
    home.house.forgotten += hears
    assert home.offering.standing(SPEC.name) is not None
    await home.made(records(0, 5, 1))
    assert home.offering.standing(SPEC.name) is None
    assert await copy.held() == ()


async def test_an_offer_that_can_not_be_noted_is_not_made_and_one_not_withdrawn_stands(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, _ = pair
    await home.made(records(0, 3))

    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(offering, "write_whole", fails)
        with pytest.raises(HomeUnwritableError):
            await home.offered("b")
    assert home.offering.standing(SPEC.name) is None
    assert home.said == {}
    await home.offered("b")
    with monkeypatch.context() as full:
        full.setattr(offering, "write_whole", fails)
        with pytest.raises(HomeUnwritableError):
            await home.offering.offer(SPEC.name, ReplicaWanted(withdrawn=True))
        assert home.offering.standing(SPEC.name) is not None
        await home.house.drop(SPEC.name, OPERATOR)
    assert home.offering.standing(SPEC.name) is None, "what is gone is offered to nobody"


async def test_a_pop_that_has_left_a_zone_forgets_what_must_not_leave_it(pair: Pair) -> None:
    home, copy = pair
    spec = msgspec.structs.replace(SPEC, zone="eu")
    await home.made(records(0, 3), spec=spec)
    await home.offered("b")
    copy.hear(home)
    await same(home, copy)
    moved = replace(copy.member, zone=ZoneName("mars"))
    copy.join(moved)(fleet(copy))  # its home is gone, too
    await until(lambda: copy.replication.following.find(SPEC.name) is None)
    with pytest.raises(NotFoundError):
        copy.replication.following.of(SPEC.name, home.member.pop)
    assert await copy.held() == ()


async def test_a_damaged_copy_keeps_no_pop_from_its_start_and_is_made_anew(
    tmp_path: Path, clock: SetClock
) -> None:
    for damage in ("truth.sqlite", "spec.json"):
        folder = tmp_path / damage
        folder.mkdir()
        home, copy = (
            Pop(folder / "home", SIGNER, clock),
            Pop(folder / "copy", STRANGER, clock, site="b"),
        )
        await home.begin((home, copy))
        await home.made(records(0, 3))
        await home.offered("b")
        replicas = open_replicas(folder / "copy")
        replicas.create(msgspec.structs.replace(SPEC, scope=SIGNER.pop_id))
        replicas.close()
        (damaged,) = (folder / "copy" / "replicas").glob(f"*/{damage}")
        damaged.write_bytes(b"this is not what it was" * 1_000)
        await copy.begin((home, copy))
        copy.hear(home)
        await same(home, copy)
        for each in (copy, home):
            await each.close()


async def test_whoever_offers_too_much_keeps_nobody_else_from_being_heard(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, copy = pair
    monkeypatch.setattr("littoral.node.memory.following.OFFERS_MAX", 4)
    await home.made(records(0, 3))
    await home.offered("b")
    offer = home.offering.standing(SPEC.name)
    assert offer is not None
    for number in range(8):
        spec = msgspec.structs.replace(SPEC, name=f"x{number}")
        payload = encoded_offer(msgspec.structs.replace(offer, spec=spec))
        for pop in (copy.member.pop, PopId(f"pop-{number:016x}")):
            talker = Said(RecordKind.OFFER, pop, payload, b"0" * 32, b"0" * 64)
            copy.replication.following.hear(talker)
    assert len(copy.replication.following._heard) == 2 * 4
    copy.hear(home)
    await same(home, copy)


async def test_a_home_that_sends_what_can_not_be_costs_only_its_own_copy(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, copy = pair
    await home.made(records(0, 3))
    await home.offered("b")
    calls = 0

    def broken(*_: object) -> bytes:
        nonlocal calls
        calls += 1
        raise OverflowError("a defect")

    with monkeypatch.context() as lying:
        lying.setattr("littoral.node.memory.following.FOLLOW_AGAIN_S", 0.01)
        lying.setattr("littoral.node.memory.following.opened", broken)
        copy.hear(home)
        await until(lambda: calls > 2)
    await same(home, copy)


async def test_segments_that_can_not_be_read_are_made_up_for_with_changes(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, copy = pair
    await home.made(records(0, 300))
    await home.offered("b")
    monkeypatch.setattr("littoral.node.memory.following.FOLLOW_AGAIN_S", 0.01)

    def too_many(*_: object) -> object:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(copy.replication._segments.shelf, "hold", too_many)
    copy.hear(home)
    await same(home, copy)
    assert copy.replication._segments.of(SPEC.name, home.member.pop) is None


async def test_what_is_fetched_is_given_up_for_another_collection_of_its_name(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, copy = pair
    await home.made(records(0, 300))
    await home.offered("b")
    fetching, pull = asyncio.Event(), copy.mover.pull

    async def stuck(wanted: PullWanted) -> PullShown:
        if fetching.is_set():
            return await pull(wanted)
        await pull(wanted)
        fetching.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    monkeypatch.setattr(copy.mover, "pull", stuck)
    copy.hear(home)
    await fetching.wait()
    (old,) = copy.mover.store.shelf.artifacts()
    await home.house.drop(SPEC.name, OPERATOR)
    await home.made(records(0, 300, 1))
    await home.offered("b")
    copy.hear(home)
    await same(home, copy)
    copy.replication._segments._due.set()
    sweeping = asyncio.create_task(copy.replication.sweep())
    await until(lambda: old not in copy.mover.store.shelf.artifacts())
    sweeping.cancel()


async def test_a_home_of_another_owner_is_not_listened_to(pair: Pair) -> None:
    home, copy = pair
    await home.made(records(0, 3))
    await home.offered("b")
    home.member = replace(home.member, owner=OwnerId("own-" + "2" * 16))
    copy.join(copy.member)(fleet(home, copy))
    copy.hear(home)
    assert copy.replication.following.heard(SPEC.name, home.member.pop) is None
