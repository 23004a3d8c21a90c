"""What a search costs a PoP beyond the search itself, by each API that it answers.

One client asks over one connection that stays open, one question after another; beside it another
process asks the same collection in process (bench/peers/memory_alone.py). Each round is the same
questions by every way, and every way must give the same answers. Ten hits are wanted, their ids and
scores alone.

CPU is the kernel's accounting of all threads of the PoP, whatever else they do meanwhile included.
"""

import base64
import http.client
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from bench.stand.cores import cpu_s, processes_of
from bench.stand.embedding import documents, queries, why_absent
from bench.stand.native import StandError
from bench.stand.parts import Cell, Part
from bench.stand.report import Promise, at_most, note
from bench.stand.running import Running, pop, running

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["doors"]

NAME: Final = "asked"
LIMIT: Final = 10
BATCH: Final = 1_000
MOST_US: Final = 150.0
ALONE: Final = "in process"
NATIVE: Final = "/v1/memory"
SAME_AT_LEAST: Final = 0.999
"""Scores of one search differ in their last digits where a vector came as numbers in text."""
WAIT_S: Final = 60.0
REST_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class _Door:
    """How one API is asked, and what it answers."""

    path: str
    body: Callable[["Floats"], Mapping[str, object]]
    ids: Callable[[Any], list[str]]


DOORS: Final = {
    NATIVE: _Door(
        f"/v1/memory/{NAME}/search",
        lambda vector: {
            "query": {"type": "nearest", "vector": packed(vector)},
            "limit": LIMIT,
            "with_content": False,
        },
        lambda answer: [hit["record"]["id"] for hit in answer["hits"]],
    ),
    "Qdrant's REST API": _Door(
        f"/collections/{NAME}/points/query",
        lambda vector: {"query": vector.tolist(), "limit": LIMIT, "with_payload": False},
        lambda answer: [str(point["id"]) for point in answer["result"]["points"]],
    ),
    "Pinecone's API": _Door(
        f"/pinecone/{NAME}/query",
        lambda vector: {"vector": vector.tolist(), "topK": LIMIT, "includeMetadata": False},
        lambda answer: [match["id"] for match in answer["matches"]],
    ),
}


def packed(vector: "Floats") -> str:
    """As the native API takes it."""
    return base64.b64encode(vector.tobytes()).decode()


class _Client:
    """One connection that stays open."""

    def __init__(self, said: Running) -> None:
        address = urlsplit(str(said.said["url"]))
        self._link = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        key = str(said.said["key"])
        self._fields = {
            "content-type": "application/json",
            "authorization": f"Bearer {key}",
            "api-key": key,
        }

    def send(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The answer's body.

        Raises:
            StandError: it was refused.
        """
        self._link.request(method, path, body, self._fields)
        answer = self._link.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise StandError(f"{path}: {answer.status} {data[:300]!r}")
        return data

    def close(self) -> None:
        self._link.close()


def doors(folder: Path, rounds: int, vectors: int, asked: int) -> Part:
    """Ask by every way in each round.

    Args:
        folder: for the PoP's home.
        rounds: how many.
        vectors: in the collection.
        asked: searches of each way in a round.
    """
    name = f"CPU that a search adds through the PoP ({vectors:,} vectors)"
    why = why_absent()
    if why:
        return Part([at_most(name, [], MOST_US, "us", why)])
    import numpy as np

    wanted = queries()
    np.save(folder / "queries.npy", wanted)
    with _kept(folder / "home", documents()[:vectors]) as (running_pop, client):
        bodies = {
            each: [json.dumps(door.body(vector)).encode() for vector in wanted]
            for each, door in DOORS.items()
        }
        words = [sys.executable, "-m", "bench.peers.memory_alone", folder / "home", NAME]
        with running([*words, folder / "queries.npy", str(LIMIT)]) as alone:
            plan = alone.said["plan"]
            asking = _Asking(running_pop, client, alone, bodies, asked)
            taken = [asking.round(turn) for turn in range(-1, rounds)][1:]
        rest = _at_rest(running_pop)
    return _part(name, taken, {"plan": plan, "at_rest_percent": round(rest, 2)})


@dataclass(frozen=True, slots=True)
class _Asking:
    running: Running
    client: _Client
    alone: Running
    bodies: Mapping[str, Sequence[bytes]]
    asked: int

    def round(self, turn: int) -> dict[str, tuple[float, float]]:
        """Microseconds of CPU and of the clock of a search, by each way."""
        names = [ALONE, *self.bodies]
        first = turn % len(names)
        begin = max(0, turn) * self.asked
        note(f"searches by every way: {f'round {turn + 1}' if turn >= 0 else 'warming up'}")
        took: dict[str, tuple[float, float]] = {}
        found: dict[str, list[list[str]]] = {}
        for name in names[first:] + names[:first]:
            if name == ALONE:
                began_s = time.perf_counter()
                said: dict[str, Any] = self.alone.ask({"begin": begin, "count": self.asked})
                cpu, wall, found[name] = said["cpu_s"], time.perf_counter() - began_s, said["found"]
            else:
                cpu, wall, found[name] = self._by_door(name, begin)
            took[name] = (cpu * 1e6 / self.asked, wall * 1e6 / self.asked)
        for name, ids in found.items():
            same = _share_alike(ids, found[ALONE])
            if same < SAME_AT_LEAST:
                raise StandError(f"{name} gives {same:.1%} of what is found in process")
        return took

    def _by_door(self, name: str, begin: int) -> tuple[float, float, list[list[str]]]:
        door, bodies = DOORS[name], self.bodies[name]
        asked = [bodies[number % len(bodies)] for number in range(begin, begin + self.asked)]
        pids = processes_of(self.running.process.pid)
        before_s, began_s = cpu_s(pids), time.perf_counter()
        answers = [self.client.send("POST", door.path, body) for body in asked]
        wall_s, spent_s = time.perf_counter() - began_s, cpu_s(pids) - before_s
        return spent_s, wall_s, [door.ids(json.loads(answer)) for answer in answers]


def _share_alike(one: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> float:
    pairs = list(zip(one, other, strict=True))
    return sum(len(set(a) & set(b)) for a, b in pairs) / sum(len(b) for _, b in pairs)


@contextmanager
def _kept(home: Path, vectors: "Floats") -> Iterator[tuple[Running, _Client]]:
    """A PoP that has a collection of these, its index built."""
    home.mkdir()
    with pop(home, "--models", "") as started:
        client = _Client(started)
        try:
            spec = {"name": NAME, "vectors": [{"dimensions": vectors.shape[1]}]}
            client.send("POST", NATIVE, json.dumps(spec).encode())
            for begin in range(0, len(vectors), BATCH):
                records = [
                    {"id": str(begin + number), "vectors": {"": packed(vector)}}
                    for number, vector in enumerate(vectors[begin : begin + BATCH])
                ]
                body = {"writes": [{"type": "upsert", "records": records}]}
                client.send("POST", f"{NATIVE}/{NAME}/write", json.dumps(body).encode())
            first = json.dumps(DOORS[NATIVE].body(vectors[0])).encode()
            client.send("POST", DOORS[NATIVE].path, first)
            until_s = time.monotonic() + WAIT_S
            while not _is_built(shown := json.loads(client.send("GET", f"{NATIVE}/{NAME}"))):
                if time.monotonic() > until_s:
                    raise StandError(f"the index is not built: {shown['index']}")
                time.sleep(0.1)
            note(f"{len(vectors):,} vectors are in: {shown['index']}")
            yield started, client
        finally:
            client.close()


def _is_built(shown: Mapping[str, str]) -> bool:
    return shown["index"].endswith(" vectors")


def _at_rest(started: Running) -> float:
    """Percent of a core while nobody asks: it is in all figures here."""
    pids = processes_of(started.process.pid)
    before_s, began_s = cpu_s(pids), time.perf_counter()
    time.sleep(REST_S)
    return 100 * (cpu_s(pids) - before_s) / (time.perf_counter() - began_s)


def _part(
    name: str, taken: Sequence[Mapping[str, tuple[float, float]]], figures: dict[str, object]
) -> Part:
    rows: list[Sequence[Cell]] = []
    promises: list[Promise] = []
    for way in (ALONE, *DOORS):
        added = [each[way][0] - each[ALONE][0] for each in taken]
        cpu = statistics.median(each[way][0] for each in taken)
        wall = statistics.median(each[way][1] for each in taken)
        rows.append((way, cpu, None if way == ALONE else statistics.median(added), wall))
        figures[way] = {
            "cpu_us": [round(each[way][0], 1) for each in taken],
            "added_us": [round(value, 1) for value in added],
            "wall_us": round(wall, 1),
        }
        if way == NATIVE:
            promises.append(at_most(name, added, MOST_US, "us"))
    columns = ("search by", "CPU us", "added us", "wall us")
    return Part(promises, columns, rows, figures)
