"""What a search costs a PoP beyond the search itself, by each API that it answers.

A client asks over connections that stay open: over one, question after question, and over sixteen,
a question on each before any answer is read. Beside it another process asks the same collection in
process (bench/peers/memory_alone.py). Each round is the same questions by every way, and every way
must give the same answers but for what an approximate index leaves out. Ten hits are wanted, their
ids and scores alone.

CPU is the kernel's accounting of all threads of the PoP, whatever else they do meanwhile included.
A process that waits finds the caches full of what others did meanwhile, and its next search costs
more. So in process, too, questions are asked at both paces: one after another, and each on its own
line of a pipe, of which the search alone counts. What the PoP adds is the difference at one pace,
within a round; rounds are short and many.
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
MANY: Final = 16
"""Connections of one client."""
PACES: Final = {MANY: f"{MANY} at once", 1: "one by one"}
BATCH: Final = 1_000
MOST_US: Final = 150.0
ALONE: Final = "in process"
NATIVE: Final = "/v1/memory"
SAME_AT_LEAST: Final = 0.98
"""Codes leave out one neighbour in some hundreds, and not the same ones whenever they are made."""
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


_Way = tuple[str, int]
"""By which door, and how many questions at once."""
WAYS: Final = tuple((name, at_once) for at_once in (MANY, 1) for name in (ALONE, *DOORS))


@dataclass(frozen=True, slots=True)
class _Cost:
    """Of one search, in microseconds."""

    cpu: float
    wall: float


def packed(vector: "Floats") -> str:
    """As the native API takes it."""
    return base64.b64encode(vector.tobytes()).decode()


class _Client:
    """Connections that stay open."""

    def __init__(self, said: Running) -> None:
        address = urlsplit(str(said.said["url"]))
        self._links = [
            http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
            for _ in range(MANY)
        ]
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
        self._ask(self._links[0], method, path, body)
        return self._answer(self._links[0], path)

    def post_all(self, path: str, bodies: Sequence[bytes], at_once: int) -> list[bytes]:
        """The bodies of all answers; so many questions are asked before any is read."""
        answers = list[bytes]()
        for begin in range(0, len(bodies), at_once):
            pairs = [*zip(self._links, bodies[begin : begin + at_once], strict=False)]
            for link, body in pairs:
                self._ask(link, "POST", path, body)
            answers += [self._answer(link, path) for link, _ in pairs]
        return answers

    def close(self) -> None:
        for link in self._links:
            link.close()

    def _ask(
        self, link: http.client.HTTPConnection, method: str, path: str, body: bytes | None
    ) -> None:
        link.request(method, path, body, self._fields)

    def _answer(self, link: http.client.HTTPConnection, path: str) -> bytes:
        answer = link.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise StandError(f"{path}: {answer.status} {data[:300]!r}")
        return data


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
        return Part([at_most(f"{name}, {pace}", [], MOST_US, "us", why) for pace in PACES.values()])
    import numpy as np

    wanted = queries()
    np.save(folder / "queries.npy", wanted)
    with _kept(folder / "home", documents()[:vectors]) as (running_pop, client):
        bodies = {
            each: [json.dumps(door.body(vector)).encode() for vector in wanted]
            for each, door in DOORS.items()
        }
        program = [sys.executable, "-m", "bench.peers.memory_alone"]
        with running(
            [*program, folder / "home", NAME, folder / "queries.npy", str(LIMIT)]
        ) as alone:
            plan = alone.said["plan"]
            note("every question once by every way, so that all of it is in memory")
            _Asking(running_pop, client, alone, bodies, len(wanted)).round(0)
            asking = _Asking(running_pop, client, alone, bodies, asked)
            taken = [asking.round(turn) for turn in range(rounds)]
        rest = _at_rest(running_pop)
    return _part(name, taken, {"plan": plan, "at_rest_percent": round(rest, 2)})


@dataclass(frozen=True, slots=True)
class _Asking:
    running: Running
    client: _Client
    alone: Running
    bodies: Mapping[str, Sequence[bytes]]
    asked: int

    def round(self, turn: int) -> dict[_Way, _Cost]:
        """What a search costs by each way."""
        first = turn % len(WAYS)
        begin = turn * self.asked
        costs: dict[_Way, _Cost] = {}
        found: dict[_Way, list[list[str]]] = {}
        for way in WAYS[first:] + WAYS[:first]:
            name, at_once = way
            if name == ALONE:
                spent_s, wall_s, found[way] = self._alone(begin, at_once)
            else:
                spent_s, wall_s, found[way] = self._by_door(name, begin, at_once)
            costs[way] = _Cost(spent_s * 1e6 / self.asked, wall_s * 1e6 / self.asked)
        for (name, _), ids in found.items():
            same = _share_alike(ids, found[ALONE, 1])
            if same < SAME_AT_LEAST:
                raise StandError(f"{name} gives {same:.1%} of what is found in process")
        return costs

    def _alone(self, begin: int, at_once: int) -> tuple[float, float, list[list[str]]]:
        step = self.asked if at_once > 1 else 1
        began_s, spent_s, found = time.perf_counter(), 0.0, list[list[str]]()
        for number in range(begin, begin + self.asked, step):
            said: dict[str, Any] = self.alone.ask({"begin": number, "count": step})
            spent_s += said["cpu_s"]
            found += said["found"]
        return spent_s, time.perf_counter() - began_s, found

    def _by_door(self, name: str, begin: int, at_once: int) -> tuple[float, float, list[list[str]]]:
        door, bodies = DOORS[name], self.bodies[name]
        asked = [bodies[number % len(bodies)] for number in range(begin, begin + self.asked)]
        pids = processes_of(self.running.process.pid)
        before_s, began_s = cpu_s(pids), time.perf_counter()
        answers = self.client.post_all(door.path, asked, at_once)
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


def _part(name: str, taken: Sequence[Mapping[_Way, _Cost]], figures: dict[str, object]) -> Part:
    rows: list[Sequence[Cell]] = []
    promises: list[Promise] = []
    for way in WAYS:
        door, at_once = way
        added = [each[way].cpu - each[ALONE, at_once].cpu for each in taken]
        cpu = statistics.median(each[way].cpu for each in taken)
        wall = statistics.median(each[way].wall for each in taken)
        pace = PACES[at_once] if door != ALONE or at_once == 1 else "at a stretch"
        shown = f"{door}, {pace}"
        rows.append((shown, cpu, None if door == ALONE else statistics.median(added), wall))
        figures[shown] = {
            "cpu_us": [round(each[way].cpu, 1) for each in taken],
            "added_us": round(statistics.median(added), 1),
            "wall_us": round(wall, 1),
        }
        if door == NATIVE:
            promises.append(at_most(f"{name}, {pace}", added, MOST_US, "us"))
    columns = ("search by", "CPU us", "added us", "wall us")
    return Part(promises, columns, rows, figures)
