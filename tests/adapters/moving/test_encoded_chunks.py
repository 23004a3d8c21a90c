"""Chunks travel encoded where both sides can, and are verified as what they decode to."""

import random
from pathlib import Path

import pytest

from littoral.adapters.http.words import HttpError, MalformedError
from littoral.adapters.moving.words import Base, BaseDoubtedError, Held
from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.encoding import Encoding, Place, in_planes, with_base
from tests.adapters.moving.made import GROUP, FileShelf, Mover, Told, until

PIECE = 40_000
PIECES = 6
BASE = random.Random(1).randbytes(PIECE * PIECES)
DATA = bytes(byte ^ (at % 50 == 0) for at, byte in enumerate(BASE))
NAME = "blake3:" + 64 * "b"

Pair = tuple[Mover, Mover]


class Coder:
    """Sends each chunk against the same place of the base, or what it is told to."""

    def __init__(self, told: tuple[Encoding, bytes] | None = None) -> None:
        self._told = told

    def coded(self, number: int, held: Held) -> tuple[Encoding, memoryview] | None:
        if self._told is not None:
            return self._told[0], memoryview(self._told[1])
        start = number * PIECE
        body = with_base(held.data, Place(0, start), BASE[start : start + PIECE], 1)
        return None if body is None else (Encoding.DELTA, memoryview(body))


def span(place: Place, size_bytes: int) -> memoryview | None:
    found = memoryview(BASE)[place.start : place.start + size_bytes]
    return found if place.file == 0 and len(found) == size_bytes else None


async def fetched(
    pair: Pair, folder: Path, coder: Coder, base: Base | None
) -> tuple[FileShelf, Told, HttpError | None]:
    """What has come of everything, asked for with this base."""
    one, two = pair
    full = one.library.shelves[GROUP] = FileShelf.full(folder / "full", DATA, PIECE)
    one.library.coders[GROUP] = coder
    empty, told = full.empty(folder / "empty"), Told()
    two.client.fetch(one.at(), GROUP, ChunkSet.of(range(PIECES)), empty, told, base)
    await until(lambda: told.ends)
    return empty, told, told.ends[0]


async def test_deltas_become_the_chunks_that_they_stand_for(pair: Pair, tmp_path: Path) -> None:
    shelf, told, error = await fetched(pair, tmp_path, Coder(), Base(NAME, span))
    assert error is None
    assert bytes(shelf.data) == DATA
    assert pair[0].library.bases == [NAME]
    assert told.came_bytes < 0.2 * len(DATA)


async def test_a_delta_that_nobody_asked_for_ends_the_stream(pair: Pair, tmp_path: Path) -> None:
    shelf, _, error = await fetched(pair, tmp_path, Coder(), None)
    assert isinstance(error, MalformedError)
    assert pair[0].library.bases == [""]
    assert not shelf.here


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"\1\0\0\1x",
        bytes(PIECE - 1),
        in_planes(bytes(PIECE), 2),
        b"\1\0\x10\0" + bytes(4096),
    ],
)
async def test_what_does_not_decode_to_the_chunk_is_a_wrong_chunk(
    pair: Pair, tmp_path: Path, body: bytes
) -> None:
    shelf, told, error = await fetched(pair, tmp_path, Coder((Encoding.PLANES, body)), None)
    assert not shelf.here
    if body:
        assert error is None
        assert told.wrong == list(range(PIECES))
    else:
        assert isinstance(error, MalformedError)


async def test_a_frame_longer_than_its_chunk_ends_the_stream(pair: Pair, tmp_path: Path) -> None:
    coder = Coder((Encoding.PLANES, bytes(PIECE)))
    shelf, _, error = await fetched(pair, tmp_path, coder, None)
    assert isinstance(error, MalformedError)
    assert not shelf.here


async def test_a_delta_that_is_wrong_ends_the_stream_and_nobody_is_blamed(
    pair: Pair, tmp_path: Path
) -> None:
    def other(_place: Place, size_bytes: int) -> memoryview:
        return memoryview(bytes(size_bytes))

    shelf, told, error = await fetched(pair, tmp_path, Coder(), Base(NAME, other))
    assert isinstance(error, BaseDoubtedError)
    assert not told.wrong, "it may be the fault of the base"
    assert not shelf.here
