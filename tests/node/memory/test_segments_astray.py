"""Segments that are not what they are said to be, or that nobody knows of any more; and copies that
were begun with others.
"""

import asyncio
import random
from pathlib import Path

import pytest

from littoral.adapters.identity import verify
from littoral.adapters.memory.embedded import changing
from littoral.adapters.models.digests import DISK_SPARE_BYTES
from littoral.delivery.manifest import Kind
from littoral.memory.replicas import opened, sealed, segment_after, segment_name
from littoral.node.delivery.making import keep_files
from littoral.node.memory.segments import Segments, SegmentsRow
from littoral.routing.fleet import Delivery, Fleet, Known, PopState
from littoral.terms.delivery import PullWanted
from littoral.terms.errors import RecordRejectedError
from littoral.terms.ids import ArtifactId, OwnerId, PopId, SiteName, ZoneName
from littoral.terms.limits import SEGMENTS_KEPT_S
from littoral.terms.memory import Delete
from littoral.terms.replicas import Changes
from littoral.terms.values import Instant
from littoral.trust.members import Member
from tests.adapters.owner.made import SetClock
from tests.node.memory.segments_made import (
    HOME,
    KEY,
    OFFER,
    SPEC,
    Home,
    Pair,
    Replica,
    StoreMover,
    held,
    records,
)
from tests.trust.made import SIGNER


async def swept(segments: Segments, rounds: int = 3) -> None:
    """Have it look for what is to be dropped."""
    sweeping = asyncio.create_task(segments.go_on())
    for _ in range(rounds):
        segments._due.set()
        while segments._due.is_set():
            await asyncio.sleep(0.001)
    sweeping.cancel()
    await asyncio.wait([sweeping])


def other_artifact(mover: StoreMover, kind: Kind, name: str) -> ArtifactId:
    data = random.Random(name).randbytes(50_000)
    return keep_files(mover.store, kind, "file:other", {name: len(data)}, [data])


# --- what is named is looked at -------------------------------------------------------------------


async def test_a_home_that_names_what_is_not_its_own_gets_nothing_fetched_given_or_dropped(
    pair: Pair,
) -> None:
    home, replica = pair
    another, later = PopId("pop-" + "7" * 16), "2" * 32
    names = (
        "model.gguf",
        segment_name(another, OFFER.incarnation, 0),
        segment_name(HOME, later, 0),
        segment_name(HOME, OFFER.incarnation, 0) + "x",
    )
    for name in names:
        for kind in (Kind.WEIGHTS, Kind.EMBEDDINGS):
            artifact = other_artifact(home.mover, kind, name)
            other_artifact(replica.mover, kind, name)
            assert await replica.fetching.fetched(HOME, OFFER, artifact) is None
            assert replica.mover.told == {}
            assert artifact in replica.mover.store.shelf.artifacts()
    assert replica.mover.pulls == 0


def test_a_segment_is_named_after_its_home_and_incarnation_and_nothing_else_is_one() -> None:
    one, two = "1" * 32, "2" * 32
    for after in (0, 7, 10**15):
        name = segment_name(HOME, one, after)
        assert segment_after(name, HOME, one) == after
        assert segment_after(name, HOME, two) is None
        assert segment_after(name, PopId("pop-" + "7" * 16), one) is None
    whole = segment_name(HOME, one, 7)
    for other in (whole[:-1], whole.replace("07.", "\u0667."), whole.replace("0007.", "-007."), ""):
        assert segment_after(other, HOME, one) is None
    assert segment_name(HOME, one, 9) < segment_name(HOME, one, 10)


def test_a_change_that_no_database_can_count_is_refused() -> None:
    for wrong in ((0, 2**63, 1), (0, 1, 2**64 - 1), (-1, 1, 1)):
        after, through, latest = wrong
        said = Changes(after=after, through=through, latest=latest)
        with pytest.raises(RecordRejectedError):
            opened(sealed(said, OFFER.incarnation, SIGNER), OFFER.incarnation, HOME, verify)


# --- what nobody knows of goes --------------------------------------------------------------------


async def test_what_is_in_the_store_and_was_never_noted_goes_and_models_stay(pair: Pair) -> None:
    home, replica = pair
    model = other_artifact(replica.mover, Kind.WEIGHTS, "model.gguf")
    home.collection.apply([records(0, 300)])
    row = await replica.fetched()
    assert row is not None
    await swept(replica.segments)
    assert set(replica.mover.store.shelf.artifacts()) == {row.artifact, model}, "it is known"
    (home.folder.parent / "replica" / "segments.json").unlink()  # a kill came before it was written
    await swept(Segments(home.folder.parent / "replica", replica.mover, SetClock()))
    assert replica.mover.store.shelf.artifacts() == (model,)


async def test_what_is_being_kept_or_is_coming_is_no_stray(pair: Pair) -> None:
    home, replica = pair
    home.collection.apply([records(0, 300)])
    keep, kept = home.mover.keep, asyncio.Event()

    async def slowly(folder: Path, reference: str) -> ArtifactId:
        artifact = await keep(folder, reference)
        await kept.wait()
        return artifact

    home.mover.keep = slowly  # type: ignore[method-assign]
    asking = asyncio.create_task(home.asked())
    while not home.mover.store.shelf.artifacts():
        await asyncio.sleep(0.001)
    await swept(home.segments)
    kept.set()
    artifact = (await asking).artifact
    assert home.mover.store.shelf.artifacts() == (artifact,)
    assert artifact is not None
    with replica.segments.coming(KEY, OFFER.incarnation, artifact):
        other_artifact(replica.mover, Kind.EMBEDDINGS, "x")
        await replica.mover.pull(PullWanted(artifact))
        await swept(replica.segments)
        assert replica.mover.store.shelf.artifacts() == (artifact,)
        replica.segments.forget(KEY)
        await swept(replica.segments)
    assert replica.mover.store.shelf.artifacts() == (), "nobody wants it any more"


async def test_what_is_withdrawn_while_it_is_made_or_fetched_goes_at_once(pair: Pair) -> None:
    home, replica = pair
    home.collection.apply([records(0, 300)])
    artifact = (await home.asked()).artifact
    assert artifact is not None
    row = home.segments.of(*KEY)
    assert row is not None
    for each in (home, replica):
        each.segments.offered = lambda _: None
    await replica.fetching.fetched(HOME, OFFER, artifact)
    home.segments.forget(KEY)
    home.segments.used(row)
    home.segments.had(row)
    for each in (home, replica):
        assert each.segments.of(*KEY) is None
        await swept(each.segments)
        assert each.mover.store.shelf.artifacts() == ()
        assert each.mover.told == {}


async def test_segments_that_somebody_fetches_are_of_use(
    pair: Pair, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, _ = pair
    home.collection.apply([records(0, 300)])
    row = await made(home)
    at_it = True
    monkeypatch.setattr(home.segments, "_is_fetched", lambda *_: at_it)
    for _ in range(3):
        clock.unix_s += int(SEGMENTS_KEPT_S) + 1
        await swept(home.segments)
        assert home.segments.of(*KEY) is not None
    at_it = False
    await swept(home.segments)
    assert home.segments.of(*KEY) is not None, "a moment ago it still was"
    clock.unix_s += int(SEGMENTS_KEPT_S) + 1
    await swept(home.segments)
    assert home.segments.of(*KEY) is None
    assert row.artifact not in home.mover.store.shelf.artifacts()


async def test_a_clock_that_is_set_back_keeps_nothing_for_long(pair: Pair, clock: SetClock) -> None:
    home, _ = pair
    home.collection.apply([records(0, 300)])
    old = await made(home)
    home.collection.apply([Delete(("r0001",))])
    clock.unix_s -= 10 * int(SEGMENTS_KEPT_S)
    assert (await home.asked()).artifact != old.artifact, "it may be old: it is made anew"
    clock.unix_s -= 10 * int(SEGMENTS_KEPT_S)
    await swept(home.segments)
    assert home.mover.store.shelf.artifacts() == ()


async def test_who_is_at_it_says_so_in_its_state(pair: Pair) -> None:
    home, _ = pair
    home.collection.apply([records(0, 300)])
    row = await made(home)
    me, other = (
        Member(OwnerId("own-" + "1" * 16), ZoneName("eu"), SiteName("edge"), pop)
        for pop in (HOME, PopId("pop-" + "7" * 16))
    )
    home.segments.join(me)
    group = bytes.fromhex(row.artifact.removeprefix("blake3:"))
    for whole, alive, fetched in ((False, True, True), (True, True, False), (False, False, False)):
        said = (Delivery(group, b"0" * 8, whole=whole),)
        state = PopState(other.pop, 1, 1, deliveries=said)
        home.segments.meet(Fleet({other.pop: Known(other, state, Instant(0), alive)}))
        assert home.segments._is_fetched(KEY, row) is fetched


async def test_who_fetches_what_was_made_anew_meanwhile_comes_to_the_end(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, _ = pair
    home.collection.apply([records(0, 300)])
    old = await made(home)
    at_it = True
    monkeypatch.setattr(home.segments, "_is_fetched", lambda _, row: at_it and row == old)
    monkeypatch.setattr(home.segments, "_readers", lambda *_: {HOME})
    home.collection.apply([records(0, 200, 1)])
    new = await made(home)
    assert new.artifact != old.artifact
    await swept(home.segments)
    both = {old.artifact, new.artifact}
    assert set(home.mover.store.shelf.artifacts()) == set(home.mover.told) == both
    at_it = False
    await swept(home.segments)
    assert home.mover.store.shelf.artifacts() == (new.artifact,)
    assert set(home.mover.told) == {new.artifact}


async def test_a_disk_is_not_filled_up_with_segments(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, _ = pair
    home.collection.apply([records(0, 300)])
    left = [10]

    class Usage:
        free = property(lambda _: DISK_SPARE_BYTES + 10_000 * left[0])

    def usage(_: Path) -> Usage:
        left[0] -= 1
        return Usage()

    monkeypatch.setattr("shutil.disk_usage", usage)
    assert (await home.asked()).artifact is None
    assert not list((home.folder / "segments").iterdir())
    assert home.mover.kept == 0


# --- copies that were begun with others -----------------------------------------------------------


async def made(home: Home) -> SegmentsRow:
    assert (await home.asked()).artifact is not None
    row = home.segments.of(*KEY)
    assert row is not None
    return row


async def test_segments_are_not_gone_on_with_by_a_copy_that_was_begun_with_something_else(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, replica = pair
    monkeypatch.setattr(changing, "TOMBSTONES_MIN", 4)
    home.collection.apply([records(0, 300)])
    row = await replica.fetched()
    assert row is not None
    await replica.took(row)
    # The beginning stays as it was, so that parts begin at the same changes; the end is deleted,
    # and so much of it that it is not remembered.
    gone = tuple(f"r{each:04}" for each in range(100, 300))
    home.collection.apply([Delete(gone[:100])])
    home.collection.apply([Delete(gone[100:])])
    at = replica.collection.followed()
    first = home.collection.changes(at.through, 2_000, era=at.era)
    assert (first.whole, first.after) == (True, 0)
    replica.collection.follow(first, OFFER.incarnation)
    at = replica.collection.followed()
    found = replica.fetching.begun(HOME, SPEC.name, at)
    assert found is not None
    assert await replica.took(found, goes_on=True) == 0
    bring_on(home, replica)
    assert held(replica.collection) == held(home.collection)


async def test_segments_without_their_end_are_gone_on_with_as_changes(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, replica = pair
    home.collection.apply([records(0, 300)])
    keep = home.mover.keep

    async def shortened(folder: Path, reference: str) -> ArtifactId:
        max(folder.iterdir()).unlink()
        return await keep(folder, reference)

    monkeypatch.setattr(home.mover, "keep", shortened)
    row = await replica.fetched()
    assert row is not None
    assert await replica.took(row)
    assert await replica.took(row, goes_on=True) == 0, "nothing is left of them"
    bring_on(home, replica)
    assert held(replica.collection) == held(home.collection)


def bring_on(home: Home, replica: Replica) -> None:
    """As a copy follows that has no segments."""
    while True:
        at = replica.collection.followed()
        changes = home.collection.changes(at.through, 2_000, begun=at.begun, era=at.era)
        if changes.last and not (changes.records or changes.gone or changes.whole):
            return
        replica.collection.follow(changes, OFFER.incarnation)


WHAT_HAPPENS = (
    "write",
    "delete",
    "fetch",
    "take",
    "restart",
    "changes",
    "changes",
    "sync",
    "power",
)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_comes_between_a_copy_ends_with_what_its_home_has(
    pair: Pair, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes and deletes at the home, whose memory of them is short; segments made and made anew,
    fetched, taken in part, kept over restarts and gone on with; parts from the home between; and
    now and then its power is cut, and what was not synced yet is lost.
    """
    home, replica = pair
    monkeypatch.setattr(changing, "TOMBSTONES_MIN", 8)
    chance = random.Random(seed)
    home.collection.apply([records(0, 120)])
    home.synced()
    row: SegmentsRow | None = None
    for number in range(30):
        at = replica.collection.followed()
        match chance.choice(WHAT_HAPPENS):
            case "write":
                first = chance.randrange(150)
                home.collection.apply([records(first, first + chance.randrange(1, 20), number)])
            case "delete":
                first = chance.randrange(150)
                gone = [f"r{each:04}" for each in range(first, first + chance.randrange(1, 60))]
                home.collection.apply([Delete(tuple(gone))])
            case "fetch":
                row = await replica.fetched() or row
                if row is not None and not at.ever and not at.through:
                    await replica.took(row, most=chance.randrange(1, 8))
            case "take":
                row = replica.fetching.begun(HOME, SPEC.name, at)
                if row is not None:
                    await replica.took(row, most=chance.randrange(1, 4), goes_on=True)
            case "restart":
                replica.segments = Segments(replica.folder, replica.mover, SetClock())
                replica.segments.offered = lambda key: OFFER if key == KEY else None
                replica.fetching = type(replica.fetching)(replica.segments, replica.threads)
            case "changes":
                changes = home.collection.changes(at.through, 2_000, begun=at.begun, era=at.era)
                anew = changes.whole and not (changes.after or changes.last)
                row = await replica.fetched() if anew and chance.random() < 0.5 else None
                if row is not None:
                    await replica.took(row, most=chance.randrange(1, 8))
                else:
                    replica.collection.follow(changes, OFFER.incarnation)
            case "sync":
                home.synced()
            case _:
                home.lose(f"{number:012}")
    bring_on(home, replica)
    assert held(replica.collection) == held(home.collection)
