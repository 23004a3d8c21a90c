"""Chunks go from one mover to another: all, once, verified, as they come to be there."""

from functools import partial
from pathlib import Path

import pytest

from littoral.delivery.chunk_set import ChunkSet
from tests.adapters.moving.made import GROUP, FileShelf, Mover, Told, until

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


async def test_what_is_there_comes_in_order(pair: Pair, full: FileShelf, empty: FileShelf) -> None:
    one, two = pair
    one.library.shelves[GROUP] = full
    told = Told()
    wanted = ChunkSet.of_runs([(0, 3), (7, len(full))])
    two.client.fetch(one.at(), GROUP, wanted, empty, told)
    await until(lambda: told.ends)
    assert told.ends == [None]
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
        held = full.held(number)
        assert held is not None
        here.put(number, held.data, held.digest)
        await until(partial(told.chunks.__contains__, number))
    await until(lambda: told.ends)
    assert (told.chunks, told.ends) == ([4, 0, 2, 1, 3], [None])


async def test_connections_are_used_again(pair: Pair, full: FileShelf, empty: FileShelf) -> None:
    one, two = pair
    one.library.shelves[GROUP] = full
    for number in range(4):
        told = Told()
        two.client.fetch(one.at(), GROUP, ChunkSet.of([number]), empty, told)
        await until(partial(told.ends.__contains__, None))
    assert len(one.server._peers) == 1
