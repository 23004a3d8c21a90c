"""Chunks go from one mover to another: all, once, verified, as they come to be there."""

import itertools
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest

from littoral.adapters.http.words import ConnectFailedError, ConnectionLostError, HttpError
from littoral.adapters.moving.words import Held, Peer, RefusedError
from littoral.adapters.owner import Owner
from littoral.delivery.chunk_set import ChunkSet
from tests.adapters.moving.made import (
    GROUP,
    FileShelf,
    Mover,
    Talk,
    Told,
    a_pop,
    acquainted,
    an_owner,
    now,
    until,
)
from tests.adapters.owner.made import pop_at

PIECE = 40_000
DATA = bytes(range(251)) * 7_001
"""Some 1.7 MB: 44 pieces, the last one shorter."""

Pair = tuple[Mover, Mover]


@pytest.fixture
def full(tmp_path: Path) -> FileShelf:
    return FileShelf.full(tmp_path / "full", DATA, PIECE)


@pytest.fixture
def empty(tmp_path: Path, full: FileShelf) -> FileShelf:
    return full.empty(tmp_path / "empty")


async def end_of(told: Told) -> HttpError | None:
    """How it ended, once it has."""
    await until(lambda: told.ends)
    assert len(told.ends) == 1
    return told.ends[0]


async def test_what_is_there_comes_in_order(pair: Pair, full: FileShelf, empty: FileShelf) -> None:
    one, two = pair
    one.library.shelves[GROUP] = full
    told = Told()
    wanted = ChunkSet.of_runs([(0, 3), (7, len(full))])
    two.client.fetch(one.at(), GROUP, wanted, empty, told)
    assert await end_of(told) is None
    assert told.chunks == list(wanted)
    assert empty.here == set(wanted)
    assert bytes(empty.data[7 * PIECE :]) == DATA[7 * PIECE :]


async def test_what_comes_to_be_there_is_passed_on_at_once(
    pair: Pair, full: FileShelf, empty: FileShelf, tmp_path: Path
) -> None:
    one, two = pair
    here = one.library.shelves[GROUP] = full.empty(tmp_path / "filling")
    told = Told()
    two.client.fetch(one.at(), GROUP, ChunkSet.of(range(5)), empty, told)
    for number in (4, 0, 2, 1, 3):
        move(full, here, [number])
        await until(partial(told.chunks.__contains__, number))
    assert await end_of(told) is None
    assert told.chunks == [4, 0, 2, 1, 3]


async def test_a_chunk_is_passed_on_through_a_row_of_movers(
    tmp_path: Path, owner: Owner, full: FileShelf
) -> None:
    movers = [Mover(a_pop(tmp_path / f"row{each}", owner, each), now()) for each in range(1, 5)]
    acquainted(*movers)
    shelves = [full, *(full.empty(tmp_path / f"shelf{each}") for each in range(3))]
    tolds = []
    for mover, shelf in zip(movers, shelves, strict=True):
        mover.listen()
        mover.library.shelves[GROUP] = shelf
    for source, mover in itertools.pairwise(movers):
        tolds.append(Told())
        everything = ChunkSet.of(range(len(full)))
        shelf = mover.library.shelves[GROUP]
        mover.client.fetch(source.at(), GROUP, everything, shelf, tolds[-1])
    for told in tolds:
        assert await end_of(told) is None
    assert all(bytes(shelf.data) == DATA for shelf in shelves)
    for mover in movers:
        mover.close()


async def test_connections_are_used_again(pair: Pair, full: FileShelf, empty: FileShelf) -> None:
    one, two = pair
    one.library.shelves[GROUP] = full
    for number in range(4):
        told = Told()
        two.client.fetch(one.at(), GROUP, ChunkSet.of([number]), empty, told)
        await until(partial(told.ends.__contains__, None))
    assert len(one.server.peers) == 1


async def test_a_connection_that_was_closed_while_it_was_kept_is_replaced(
    pair: Pair, full: FileShelf, empty: FileShelf
) -> None:
    one, two = pair
    one.library.shelves[GROUP] = full
    first, second = Told(), Told()
    two.client.fetch(one.at(), GROUP, ChunkSet.of([1]), empty, first)
    assert await end_of(first) is None
    for peer in list(one.server.peers):
        peer.close()
    two.client.fetch(one.at(), GROUP, ChunkSet.of([2]), empty, second)
    assert await end_of(second) is None
    assert second.chunks == [2]


async def test_a_lie_is_told_of_and_kept_from_the_shelf(
    pair: Pair, full: FileShelf, empty: FileShelf
) -> None:
    one, two = pair

    class Lying(FileShelf):
        def held(self, number: int) -> Held | None:
            held = full.held(number)
            wrong = memoryview(bytes(self.size_bytes(number)))
            return Held(held.digest, wrong) if held and number in {2, 5} else held

    one.library.shelves[GROUP] = lying = full.empty(empty_of(full))
    lying.__class__ = Lying
    told = Told()
    two.client.fetch(one.at(), GROUP, ChunkSet.of(range(8)), empty, told)
    assert await end_of(told) is None
    assert told.wrong == [2, 5]
    assert told.chunks == [0, 1, 3, 4, 6, 7]
    assert empty.here == set(told.chunks)
    assert not any(empty.data[2 * PIECE : 3 * PIECE])


def move(source: FileShelf, target: FileShelf, numbers: Iterable[int]) -> None:
    """Have these chunks be there too."""
    for number in numbers:
        held = source.held(number)
        assert held is not None
        target.put(number, held.data, held.digest)


def empty_of(full: FileShelf) -> Path:
    return full.path.with_suffix(".other")


async def test_a_chunk_that_goes_away_ends_the_stream(
    pair: Pair, full: FileShelf, empty: FileShelf
) -> None:
    one, two = pair

    class Forgetful(FileShelf):
        looks = 0

        def held(self, number: int) -> Held | None:
            self.looks += 1
            return full.held(number) if self.looks == 1 else None

    one.library.shelves[GROUP] = forgetful = full.empty(empty_of(full))
    forgetful.__class__ = Forgetful
    told = Told()
    two.client.fetch(one.at(), GROUP, ChunkSet.of(range(3)), empty, told)
    assert isinstance(await end_of(told), ConnectionLostError)


async def test_what_is_not_there_is_refused(pair: Pair, full: FileShelf, empty: FileShelf) -> None:
    one, two = pair
    one.library.shelves[GROUP] = full
    told, again = Told(), Told()
    two.client.fetch(one.at(), "other", ChunkSet.of([0]), empty, told)
    error = await end_of(told)
    assert isinstance(error, RefusedError)
    assert error.status == 404
    two.client.fetch(one.at(), GROUP, ChunkSet.of([1]), empty, again)
    assert await end_of(again) is None


async def test_asking_for_a_chunk_that_there_is_not_ends_the_stream_and_the_next_one_goes_well(
    pair: Pair, full: FileShelf, tmp_path: Path
) -> None:
    one, two = pair
    one.library.shelves[GROUP] = full
    larger = FileShelf.full(tmp_path / "larger", DATA + bytes(PIECE), PIECE).empty(tmp_path / "no")
    told, again = Told(), Told()
    two.client.fetch(one.at(), GROUP, ChunkSet.of([44]), larger, told)
    assert isinstance(await end_of(told), ConnectionLostError)
    two.client.fetch(one.at(), GROUP, ChunkSet.of([1]), larger, again)
    assert await end_of(again) is None


async def test_nobody_is_asked_or_answered_who_is_not_on_the_list(
    pair: Pair, full: FileShelf, empty: FileShelf
) -> None:
    one, two = pair
    one.library.shelves[GROUP] = full
    two.access.allow([])
    told = Told()
    two.client.fetch(one.at(), GROUP, ChunkSet.of([0]), empty, told)
    assert isinstance(await end_of(told), ConnectFailedError)
    acquainted(one, two)
    one.access.allow([])
    told = Told()
    two.client.fetch(one.at(), GROUP, ChunkSet.of([0]), empty, told)
    assert isinstance(await end_of(told), ConnectionLostError)
    assert not empty.here


async def test_a_peer_that_shows_another_name_gets_no_byte(
    pair: Pair, full: FileShelf, empty: FileShelf
) -> None:
    one, two = pair
    one.library.shelves[GROUP] = full
    told = Told()
    wrong = Peer(two.member, "127.0.0.1", one.port)
    two.client.fetch(wrong, GROUP, ChunkSet.of([0]), empty, told)
    error = await end_of(told)
    assert isinstance(error, ConnectFailedError)
    assert one.member.name in str(error)


async def test_a_member_of_no_trusted_owner_is_refused_and_told_of(
    pair: Pair, full: FileShelf, empty: FileShelf, tmp_path: Path
) -> None:
    one, _ = pair
    stranger = Mover(a_pop(tmp_path / "stranger", an_owner(tmp_path / "strange"), 7), now())
    stranger.files.bundle.write_bytes(
        stranger.files.bundle.read_bytes() + one.files.bundle.read_bytes()
    )
    stranger.contexts.renewed()
    stranger.access.allow([one.member.name])
    told = Told()
    stranger.client.fetch(one.at(), GROUP, ChunkSet.of([0]), empty, told)
    assert isinstance(await end_of(told), HttpError)
    assert one.refused
    stranger.close()


async def test_whoever_is_taken_from_the_list_loses_its_streams(
    pair: Pair, full: FileShelf, empty: FileShelf
) -> None:
    one, two = pair
    one.library.shelves[GROUP] = full.empty(empty_of(full))
    for leaving in (one, two):
        acquainted(one, two)
        told = Told()
        two.client.fetch(one.at(), GROUP, ChunkSet.of([0]), empty, told)
        await until(lambda: one.flows.streams)
        leaving.access.allow([])
        leaving.server.looked()
        leaving.client.looked()
        assert isinstance(await end_of(told), ConnectionLostError)
        await until(lambda: not one.server.peers)


async def test_whoever_may_have_something_no_longer_loses_the_stream_of_it_and_no_other(
    pair: Pair, full: FileShelf, empty: FileShelf, tmp_path: Path
) -> None:
    one, two = pair
    other = "blake3:" + 64 * "b"
    for group in (GROUP, other):
        one.library.shelves[group] = full.empty(tmp_path / group)
    told, kept = Told(), Told()
    two.client.fetch(one.at(), GROUP, ChunkSet.of([0]), empty, told)
    two.client.fetch(one.at(), other, ChunkSet.of([0]), empty, kept)
    talk = Talk()
    two.client.news(one.at(), GROUP, talk)
    await until(lambda: one.flows.streams == 2 and one.library.callers)
    one.server.looked()
    assert len(one.server.peers) == 3
    del one.library.shelves[GROUP]
    one.server.looked()
    assert isinstance(await end_of(told), ConnectionLostError)
    await until(lambda: talk.over)
    assert len(one.server.peers) == 1
    assert not kept.ends


async def test_what_is_dropped_is_sent_and_heard_of_no_more(
    pair: Pair, full: FileShelf, empty: FileShelf
) -> None:
    one, two = pair
    filling = one.library.shelves[GROUP] = full.empty(empty_of(full))
    dropped, kept = Told(), Told()
    fetching = two.client.fetch(one.at(), GROUP, ChunkSet.of([0, 1]), empty, dropped)
    two.client.fetch(one.at(), GROUP, ChunkSet.of([1, 2]), empty, kept)
    await until(lambda: one.flows.streams)
    fetching.drop()
    fetching.drop()
    marker = Told()
    two.client.fetch(one.at(), GROUP, ChunkSet.of([3]), empty, marker)
    move(full, filling, [3])
    assert await end_of(marker) is None, "by now the other side knows"
    move(full, filling, [0, 1, 2])
    assert await end_of(kept) is None
    assert kept.chunks == [1, 2]
    assert (dropped.chunks, dropped.ends) == ([], [])
    assert empty.here == {1, 2, 3}
    await until(lambda: not one.flows.streams)


async def test_what_was_under_way_when_it_was_dropped_is_not_kept_and_may_be_asked_for_again(
    pair: Pair, full: FileShelf, empty: FileShelf
) -> None:
    one, two = pair
    one.library.shelves[GROUP] = full
    first, dropped, again = Told(), Told(), Told()
    two.client.fetch(one.at(), GROUP, ChunkSet.of([0]), empty, first)
    assert await end_of(first) is None
    for told in (dropped, again):
        asked = two.client.fetch(one.at(), GROUP, ChunkSet.of(range(1, 40)), empty, told)
        if told is dropped:
            asked.drop()
    assert await end_of(again) is None
    assert empty.here == set(range(40))
    assert (dropped.chunks, dropped.ends) == ([], [])
    assert len(one.server.peers) == 1


async def test_what_was_asked_of_one_that_is_not_there_yet_is_dropped_with_the_call(
    pair: Pair, full: FileShelf, empty: FileShelf
) -> None:
    one, two = pair
    one.library.shelves[GROUP] = full
    dropped, told = Told(), Told()
    two.client.fetch(one.at(), GROUP, ChunkSet.of([0]), empty, dropped).drop()
    two.client.fetch(one.at(), GROUP, ChunkSet.of([1]), empty, told)
    assert await end_of(told) is None
    assert (dropped.chunks, dropped.ends) == ([], [])
    assert len(one.server.peers) == 1


async def test_what_was_asked_for_first_comes_first(
    pair: Pair, full: FileShelf, empty: FileShelf
) -> None:
    one, two = pair
    one.library.shelves[GROUP] = full
    order: list[int] = []
    tolds = [Told(order) for _ in range(3)]
    for told, numbers in zip(tolds, ([30, 31], [2, 3], [31, 1]), strict=True):
        two.client.fetch(one.at(), GROUP, ChunkSet.of(numbers), empty, told)
    for told in tolds:
        assert await end_of(told) is None
    assert order == [30, 31, 2, 3, 1], "and nothing twice"


async def test_a_stream_goes_on_while_certificates_are_renewed(
    pair: Pair, owner: Owner, full: FileShelf, empty: FileShelf
) -> None:
    one, two = pair
    filling = one.library.shelves[GROUP] = full.empty(empty_of(full))
    told, later = Told(), Told()
    two.client.fetch(one.at(), GROUP, ChunkSet.of(range(3)), empty, told)
    await until(lambda: filling.watched)
    for mover, number in ((one, 1), (two, 2)):
        before = mover.files.chain.read_bytes()
        pop_at(mover.files.home, owner, now(), number)
        assert mover.files.chain.read_bytes() != before
        mover.contexts.renewed()
    other = one.library.shelves["other"] = full.empty(empty_of(full).with_suffix(".another"))
    two.client.fetch(one.at(), "other", ChunkSet.of([3]), empty, later)
    await until(lambda: other.watched)
    move(full, filling, range(3))
    move(full, other, [3])
    assert await end_of(told) is None
    assert await end_of(later) is None


async def test_a_mover_that_stops_tells_those_who_wait_and_leaves_nothing(
    pair: Pair, full: FileShelf, empty: FileShelf
) -> None:
    one, two = pair
    filling = one.library.shelves[GROUP] = full.empty(empty_of(full))
    told = Told()
    two.client.fetch(one.at(), GROUP, ChunkSet.of([0]), empty, told)
    await until(lambda: filling.watched)
    one.close()
    assert isinstance(await end_of(told), ConnectionLostError)
    assert not filling.watched
    assert not one.flows.streams
    told = Told()
    two.client.fetch(one.at(), GROUP, ChunkSet.of([0]), empty, told)
    two.client.close()
    assert isinstance(await end_of(told), ConnectionLostError)


async def test_what_leaves_is_measured(pair: Pair, full: FileShelf, empty: FileShelf) -> None:
    one, two = pair
    filling = one.library.shelves[GROUP] = full.empty(empty_of(full))
    told = Told()
    two.client.fetch(one.at(), GROUP, ChunkSet.of([0, 1]), empty, told)
    await until(lambda: filling.watched)
    move(full, filling, [0])
    await until(lambda: one.flows.measured)
    assert (told.chunks, one.flows.streams) == ([0], 1)
