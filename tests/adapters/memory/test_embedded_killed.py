"""The embedded driver's processes are killed at any moment: nothing told is lost or comes back."""

import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from littoral.adapters.memory.embedded import open_collections
from littoral.adapters.memory.embedded.collection import EmbeddedCollection
from littoral.sim.collections import PaperCollection
from littoral.terms.memory import Found, Nearest, Record, Scan, Search, Words
from tests.adapters.memory.writer import changes
from tests.contract.collections_made import SPEC, packed

_KILLS = 100
_SEED = 20


@pytest.fixture
def writers(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "tests.adapters.memory.writer", str(tmp_path), str(_SEED)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        yield process
        process.kill()


def _killed(process: "subprocess.Popen[bytes]", number: int, chance: random.Random) -> int:
    """Have changes written from this number on, kill the writer; gives the last that was told."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{number}\n".encode())
    pid = int(process.stdout.readline().split()[1])
    told = number - 1
    for _ in range(chance.randrange(4)):
        told = int(process.stdout.readline())
    select.select([], [], [], chance.random() * 0.004)
    os.kill(pid, signal.SIGKILL)
    while (line := process.stdout.readline()) != b"gone\n":
        told = int(line)
    return told


def _everything(collection: EmbeddedCollection | PaperCollection) -> list[Record]:
    return list(collection.scan(Scan(limit=10_000, with_vectors=True)).records)


def _ranked(found: Found) -> list[tuple[str, float]]:
    return [(hit.record.id, hit.score) for hit in found.hits]


def test_a_hundred_kills_lose_nothing_that_was_told_and_bring_nothing_back(
    tmp_path: Path, writers: "subprocess.Popen[bytes]"
) -> None:
    chance = random.Random(_SEED)
    collections = open_collections(tmp_path)
    collections.create(SPEC)
    collections.close()
    paper, done = PaperCollection(SPEC), 0
    for turn in range(_KILLS):
        told = _killed(writers, done + 1, chance)
        collections = open_collections(tmp_path, read_only=turn % 4 > 0)
        collection = collections.open(SPEC.name)
        shown = collection.shown()
        while done < told or paper.shown().through < shown.through:
            done += 1
            paper.apply(changes(_SEED, done))
        assert done - told in {0, 1}
        assert (shown.through, shown.records) == (paper.shown().through, paper.shown().records)
        assert _everything(collection) == _everything(paper)
        search = Search(query=Nearest(packed(1, 2, -1)), limit=100)
        assert _ranked(collection.search(search)) == _ranked(paper.search(search))
        words = Search(query=Words("moss"), limit=100)
        by_words = {hit.record.id for hit in collection.search(words).hits}
        assert by_words == {hit.record.id for hit in paper.search(words).hits}
        collections.close()
    assert done > _KILLS
