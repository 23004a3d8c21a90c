"""One PoP's mover, that pulls a file with others when it is told to.

Each reads its stripe from the origin and has those of all others streamed on by them. Stripes are
dealt once, by number, in rounds of contiguous runs. Argument: a JSON file of a Task. Says when it
listens; begins at a line; says when it has all; then serves until its standard input is closed.
"""

import asyncio
import json
import sys
import threading
import time
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from bench.stand.origin import PIECE_BYTES, Origin
from littoral.adapters.clock import SystemClock
from littoral.adapters.http.words import HttpError
from littoral.adapters.moving.words import Peer
from littoral.adapters.owner import FabricFiles
from littoral.delivery.chunk_set import ChunkSet, Run
from littoral.trust.members import Member
from tests.adapters.moving.made import GROUP, FileShelf, Mover

__all__ = ["ADDRESS", "PORT", "Neighbour", "Task"]

PORT: Final = 7001
ADDRESS: Final = "0.0.0.0"
_TURNS_AHEAD: Final = 6
_READ_AHEAD: Final = 4
"""Chunks of the origin that were read and not taken yet."""


class Neighbour(msgspec.Struct, frozen=True):
    """One of all PoPs."""

    name: str
    host: str


class Task(msgspec.Struct, frozen=True):
    """What one PoP is to do."""

    home: str
    me: int
    pops: tuple[Neighbour, ...]
    origin: str
    size_bytes: int
    digests: tuple[bytes, ...]
    """Of its chunks, of PIECE_BYTES each."""
    run_chunks: int
    """Chunks of a stripe that follow each other: one request to the origin."""
    output: str


def stripe(task: Task, number: int) -> list[Run]:
    """The runs that one PoP reads from the origin."""
    step, chunks = task.run_chunks, len(task.digests)
    starts = range(number * step, chunks, len(task.pops) * step)
    return [(first, min(first + step, chunks)) for first in starts]


class Pull:
    """The pull of one PoP."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._loop = asyncio.get_running_loop()
        self.mover = Mover(FabricFiles(Path(task.home)), SystemClock())
        self.shelf = FileShelf(Path(task.output), task.size_bytes, PIECE_BYTES, task.digests)
        self.mover.library.shelves[GROUP] = self.shelf
        self.mover.access.allow([each.name for each in task.pops])
        self.mover.listen(ADDRESS, PORT)
        self.wrong = 0
        self.failed: list[str] = []
        self.all_here = asyncio.Event()
        self._others = threading.Condition()
        self._turns = [0] * len(task.pops)
        """Runs of each PoP's stripe that have come here."""
        self.shelf.watch(self._came)
        self._free = threading.Semaphore(_READ_AHEAD)

    def begin(self) -> None:
        """Ask everybody for its stripe, and read the own one."""
        for number, pop in enumerate(self._task.pops):
            chunks = ChunkSet.of_runs(stripe(self._task, number))
            if number != self._task.me:
                peer = Peer(Member.of_name(pop.name), pop.host, PORT)
                self.mover.client.fetch(peer, GROUP, chunks, self.shelf, self)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        size = PIECE_BYTES
        origin = Origin(self._task.origin)
        for turn, (first, end) in enumerate(stripe(self._task, self._task.me)):
            self._wait_for_others(turn)
            span = first * size, min(end * size, self._task.size_bytes)
            for number, piece in enumerate(origin.span(*span), first):
                self._free.acquire()
                self._loop.call_soon_threadsafe(self._take, number, bytes(piece))

    def _wait_for_others(self, turn: int) -> None:
        """Be no more than so many turns ahead of the slowest: so the origin's link is shared."""
        with self._others:
            self._others.wait_for(lambda: min(self._turns) >= turn - _TURNS_AHEAD)

    def _take(self, number: int, chunk: bytes) -> None:
        self._free.release()
        if not self.shelf.put(number, memoryview(chunk), self._task.digests[number]):
            self.wrong += 1

    def _came(self, number: int) -> None:
        run, place = divmod(number, self._task.run_chunks)
        turn, owner = divmod(run, len(self._task.pops))
        if place == self._task.run_chunks - 1 or number == len(self.shelf) - 1:
            with self._others:
                self._turns[owner] = max(self._turns[owner], turn + 1)
                self._others.notify_all()
        if len(self.shelf.here) == len(self.shelf):
            self.all_here.set()

    # words.Hears

    def landed(self, number: int, size_bytes: int, came_bytes: int) -> None:
        """The shelf knows."""

    def spoiled(self, _number: int) -> None:
        """Count it."""
        self.wrong += 1

    def ended(self, error: HttpError | None) -> None:
        """Keep why, if it broke off."""
        if error is not None:
            self.failed.append(str(error))
            self.all_here.set()


async def run(task: Task) -> None:
    """Do it."""
    loop = asyncio.get_running_loop()
    pull = Pull(task)
    say({"listens": True})
    await loop.run_in_executor(None, sys.stdin.readline)
    began_s = time.perf_counter()
    pull.begin()
    await pull.all_here.wait()
    say(
        {
            "seconds": time.perf_counter() - began_s,
            "wrong": pull.wrong,
            "failed": pull.failed,
            "uplink": pull.mover.flows.measured,
        }
    )
    await loop.run_in_executor(None, sys.stdin.read)
    pull.mover.close()


def say(words: dict[str, object]) -> None:
    """One line of JSON."""
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    uvloop.run(run(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Task)))
