"""One file to all PoPs of a lab, once, each way that there is: what it took, and what came of it.

Everything runs when the clock starts, and the clock stops as the last has the whole file. Each way
ends with a comparison of every copy, byte for byte. CPU is that of all its processes, the origin's
included, in that time.
"""

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from bench.stand.cores import processes_of
from bench.stand.lab import Lab
from bench.stand.mover import Neighbour, Task
from bench.stand.native import StandError
from bench.stand.origin import PIECE_BYTES
from bench.stand.running import Running, read_line, running
from littoral.adapters.owner import FabricFiles
from tests.adapters.moving.made import a_pop, an_owner, digests_of
from tests.faults.network import Host

__all__ = [
    "END_WAIT_S",
    "Clock",
    "Goods",
    "ends_of",
    "fetching",
    "goods",
    "origin",
    "single",
    "started",
    "striped",
]

RUN_CHUNKS = 1
END_WAIT_S = 120.0
MOVER = ("-m", "bench.stand.mover")
TRACE = ["-m", "bench.stand.mover"]


@dataclass(frozen=True, slots=True)
class Goods:
    """A file, or the first part of one, and a folder for its copies."""

    folder: Path
    path: Path
    size_bytes: int
    digests: tuple[bytes, ...]
    homes: tuple[Path, ...]
    """Of as many PoPs as any lab has."""

    def copy(self, number: int) -> Path:
        """Where one PoP puts the file."""
        return self.folder / f"copy{number}"

    def check(self, copies: Sequence[Path]) -> None:
        """See that all copies are right, and remove them.

        Raises:
            StandError: one is not.
        """
        wrong = [path.name for path in copies if not self._is(path)]
        for path in copies:
            path.unlink(missing_ok=True)
        if wrong:
            raise StandError(f"not the file: {', '.join(wrong)}")

    def _is(self, path: Path) -> bool:
        if not path.exists() or path.stat().st_size != self.size_bytes:
            return False
        words = ["cmp", "-s", "-n", str(self.size_bytes), str(self.path), str(path)]
        return subprocess.run(words, check=False).returncode == 0


def goods(folder: Path, size_bytes: int, pops: int) -> Goods:
    """A file of bytes that can't be compressed, always the same, and PoPs that know each other."""
    data = random.Random(size_bytes).randbytes(size_bytes)
    path = folder / "file"
    path.write_bytes(data)
    owner = an_owner(folder / "owner")
    homes = []
    for number in range(pops):
        homes.append(folder / f"home{number}")
        a_pop(homes[-1], owner, number + 1)
    digests = tuple(digests_of(data, PIECE_BYTES))
    return Goods(folder, path, size_bytes, digests, tuple(homes))


@contextmanager
def origin(lab: Lab, given: Goods) -> Iterator[Running]:
    """The plain origin of the file."""
    words = [sys.executable, "-m", "bench.stand.origin", str(given.path)]
    with running(lab.origin.command(*words)) as started:
        yield started


class Clock:
    """Takes what a way costs, from its making to `stop`."""

    def __init__(self, lab: Lab, pids: Sequence[int]) -> None:
        self._lab = lab
        self._pids = list(pids)
        self._sent = {host.name: lab.sent_bytes(host) for host in (lab.origin, *lab.pops)}
        self._cpu_s = _spent_s(pids)
        self.began_s = time.perf_counter()

    def add(self, pids: Sequence[int]) -> None:
        """Count these too, that were started since."""
        self._pids += pids

    def stop(self, given: Goods, ends: Mapping[int, float]) -> dict[str, float]:
        """What it was, from when each PoP had all, in seconds from the beginning."""
        cpu = _spent_s(self._pids) - self._cpu_s
        left = self._lab.sent_bytes(self._lab.origin) - self._sent[self._lab.origin.name]
        return {
            "first_s": min(ends.values()),
            "last_s": max(ends.values()),
            "origin_files": left / given.size_bytes,
            "cpu_s": cpu,
            "cpu_s_gb": cpu / (given.size_bytes * len(ends) / 1e9),
        }


def _spent_s(pids: Sequence[int]) -> float:
    """Seconds that these processes and their children have run, threads that ended included."""
    spent = 0.0
    for each in (one for pid in pids for one in processes_of(pid)):
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(each).cpu_times()
            spent += float(times.user + times.system)
    return spent


def fetching(lab: Lab, given: Goods, number: int) -> list[str]:
    """What gets it to one PoP, over one plain connection."""
    words = ["bench.stand.origin", lab.origin.address, str(given.size_bytes)]
    words.append(str(given.copy(number)))
    return lab.pops[number].command(sys.executable, "-m", *words)


def single(lab: Lab, given: Goods) -> dict[str, float]:
    """The file to one PoP, over one plain connection: what the link carries."""
    with origin(lab, given):
        words = fetching(lab, given, 0)
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE)
    given.check([given.copy(0)])
    return {"last_s": float(json.loads(done.stdout)["seconds"])}


def striped(lab: Lab, given: Goods) -> dict[str, float]:
    """Ours: a stripe to each, passed on to all."""
    with origin(lab, given) as source, ExitStack() as stack:
        movers = _movers(lab, given, stack)
        pids = [source.process.pid, *(each.process.pid for each in movers)]
        clock = Clock(lab, pids)
        started(movers)
        said = ends_of(movers, clock.began_s)
        taken = clock.stop(given, {number: end for number, (end, _) in said.items()})
    for number, (_, words) in said.items():
        if words["failed"] or words["wrong"]:
            raise StandError(f"PoP {number}: {words}")
    given.check([given.copy(number) for number in range(len(lab.pops))])
    return taken


def _movers(lab: Lab, given: Goods, stack: ExitStack) -> list[Running]:
    names = [_name_of(home) for home in given.homes]
    pops = tuple(Neighbour(name, host.address) for name, host in zip(names, lab.pops, strict=False))
    movers = []
    for number, (home, host) in enumerate(zip(given.homes, lab.pops, strict=False)):
        task = Task(
            home=str(home),
            me=number,
            pops=pops,
            origin=lab.origin.address,
            size_bytes=given.size_bytes,
            digests=given.digests,
            run_chunks=RUN_CHUNKS,
            output=str(given.copy(number)),
        )
        movers.append(stack.enter_context(_mover(host, task, given.folder / f"task{number}")))
    return movers


@contextmanager
def _mover(host: Host, task: Task, path: Path) -> Iterator[Running]:
    path.write_bytes(msgspec.json.encode(task))
    words = [sys.executable, *MOVER, str(path)]
    with running(host.command(*words)) as started:
        yield started


def started(processes: Sequence[Running]) -> None:
    """Have all begin."""
    for each in processes:
        assert each.process.stdin is not None
        each.process.stdin.write("go\n")
        each.process.stdin.flush()


def ends_of(
    processes: Sequence[Running], began_s: float
) -> dict[int, tuple[float, dict[str, object]]]:
    """When each has said that it has all, and what it said.

    Raises:
        StandError: one had not in END_WAIT_S.
    """
    said: dict[int, tuple[float, dict[str, object]]] = {}

    def wait(number: int, mover: Running) -> None:
        assert mover.process.stdout is not None
        words = read_line(mover.process.stdout)
        said[number] = time.perf_counter() - began_s, words

    threads = [
        threading.Thread(target=wait, args=(number, mover), daemon=True)
        for number, mover in enumerate(processes)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, began_s + END_WAIT_S - time.perf_counter()))
    if len(said) < len(processes):
        raise StandError(f"only {len(said)} of {len(processes)} had all after {END_WAIT_S:g} s")
    return said


def _name_of(home: Path) -> str:
    own = FabricFiles(home).own()
    assert own is not None
    return own.member.name
