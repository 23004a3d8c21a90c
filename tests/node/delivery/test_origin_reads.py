"""Runs are read at the origin one after the other, and the next is begun before one has ended."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from littoral.adapters.clock import SystemClock
from littoral.delivery.chunk_set import ChunkSet, Run
from littoral.node.delivery import origin_reads
from littoral.node.delivery.origin_reads import OriginReads, Reading
from littoral.terms.artifacts import OriginFile
from littoral.terms.errors import LittoralError
from tests.adapters.artifacts.made import model, store_in, take
from tests.node.delivery.made import FakeOrigin, listing_of

MODEL = model()
SIZE = 9_000
ONE, TWO, THREE = (1, 2), (2, 3), (3, 4)
"""Chunks of its last file, from its beginning on."""


class Slow(FakeOrigin):
    """Gives what is read in three pieces, the second and the third when it may."""

    def __init__(self) -> None:
        rows = zip(MODEL.manifest.files, MODEL.files, strict=True)
        super().__init__(listing_of(MODEL), {row.path: data for row, data in rows})
        self.begun: list[int] = []
        """The chunk of each read."""
        self.may = threading.Semaphore(0)

    @contextmanager
    def read(self, file: OriginFile, start: int, end: int) -> Iterator[Iterator[bytes]]:
        self.begun.append(1 + start // SIZE)
        yield self._pieces(self.files[file.path][start:end])

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        third = len(data) // 3
        yield data[:third]
        for piece in (data[third : 2 * third], data[2 * third :]):
            self.may.acquire()
            yield piece


@dataclass
class Stand:
    """What is read, and what is told of it."""

    origin: Slow
    reads: OriginReads
    landed: list[int] = field(default_factory=list)
    ends: list[LittoralError | None] = field(default_factory=list)

    def read(self, run: Run, *, at_once: bool = False) -> Reading:
        def landed(number: int, _new: ChunkSet, _changed: object) -> None:
            self.landed.append(number)

        reading = Reading(landed=landed, spoiled=self.landed.append, ended=self.ends.append)
        self.reads.read(run, reading, at_once=at_once)
        return reading


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    origin = Slow()
    with closing(store_in(tmp_path)) as store, ThreadPoolExecutor(4) as threads:
        intake = take(store, MODEL)
        reads = OriginReads(origin, origin.listing.files, intake, threads, SystemClock())
        yield Stand(origin, reads)
        origin.may.release(100)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until that is so."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def test_what_was_asked_for_first_has_the_link_for_itself(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(origin_reads, "NEARLY_S", 0.0)
    for run in (ONE, TWO, THREE):
        stand.read(run)
    for number in (1, 2, 3):
        await until(lambda: len(stand.origin.begun) == number)  # noqa: B023
        stand.origin.may.release()
        assert stand.origin.begun == list(range(1, number + 1)), "it is not here yet"
        stand.origin.may.release()
    await until(lambda: len(stand.ends) == 3)
    assert stand.landed == [1, 2, 3]
    assert stand.ends == [None, None, None]


async def test_the_next_is_begun_when_the_rest_will_be_here_in_a_moment(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(origin_reads, "NEARLY_S", 1_000.0)
    stand.read(ONE)
    stand.read(TWO)
    await until(lambda: stand.origin.begun == [1, 2])
    assert not stand.landed
    stand.origin.may.release(4)
    await until(lambda: len(stand.ends) == 2)


async def test_what_somebody_waits_for_is_read_beside_all_else(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(origin_reads, "NEARLY_S", 0.0)
    stand.read(ONE)
    stand.read(TWO)
    stand.read(THREE, at_once=True)
    await until(lambda: sorted(stand.origin.begun) == [1, 3])


async def test_what_is_dropped_does_not_hold_up_what_comes_after_it(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(origin_reads, "NEARLY_S", 0.0)
    silent, unwanted = stand.read(ONE), stand.read(TWO)
    stand.read(THREE)
    await until(lambda: stand.origin.begun == [1])
    unwanted.drop()
    silent.drop()
    await until(lambda: stand.origin.begun == [1, 3])
    stand.origin.may.release(4)
    await until(lambda: stand.landed == [3])
    assert stand.ends == [None], "those that were dropped tell nothing more"


async def test_what_fails_does_not_hold_up_what_comes_after_it(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(origin_reads, "NEARLY_S", 0.0)
    stand.origin.files = {**stand.origin.files, "w/model.bin": MODEL.files[2][: SIZE + 1]}
    stand.read(TWO)
    stand.read(ONE)
    stand.origin.may.release(10)
    await until(lambda: len(stand.ends) == 2)
    assert stand.ends[0] is not None
    assert stand.landed == [1]
