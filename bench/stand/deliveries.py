"""One file from an origin to PoPs of a lab: what each way needs, and what single flows take.

The clock starts as pulls are asked for, with every process there and idle, and stops as the last
PoP has the whole file. Each way ends with a comparison of every copy, byte for byte. CPU is that of
all its processes, the origin's included, in that time.
"""

import hashlib
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.stand.cores import processes_of
from bench.stand.lab import Lab
from bench.stand.movers import Company, Seat, company
from bench.stand.native import StandError
from bench.stand.origin import PORT, serving
from bench.stand.running import Running, read_line
from littoral.adapters.identity import KEY_FILE
from tests.adapters.moving.made import a_pop, an_owner

__all__ = [
    "END_WAIT_S",
    "Clock",
    "Course",
    "Goods",
    "course",
    "ends_of",
    "fetching",
    "goods",
    "origin",
    "single",
    "started",
]

END_WAIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Goods:
    """A file, or the first part of one, and a folder for its copies."""

    folder: Path
    path: Path
    size_bytes: int
    digest: str
    """SHA-256 of the whole file, 64 digits."""
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
    path = folder / "file"
    data = random.Random(size_bytes).randbytes(size_bytes)
    path.write_bytes(data)
    owner = an_owner(folder / "owner")
    homes = []
    for number in range(1, pops + 1):
        home = folder / f"home{number}"
        a_pop(home, owner, number)
        _identify(home, number)
        homes.append(home)
    return Goods(folder, path, size_bytes, hashlib.sha256(data).hexdigest(), tuple(homes))


def _identify(home: Path, number: int) -> None:
    """Have the key in a home that its certificate names (tests.adapters.owner.made.identity)."""
    key = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = home / KEY_FILE
    file.touch(mode=0o600)
    file.write_bytes(pem)


@contextmanager
def origin(lab: Lab, given: Goods) -> Iterator[int]:
    """The origin of the file; its process."""
    with serving(lab.origin, given.path, given.folder / "origin") as pid:
        yield pid


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
    words = ["bench.stand.origin", lab.origin.address, given.path.name, str(given.size_bytes)]
    words.append(str(given.copy(number)))
    return lab.pops[number].command(sys.executable, "-m", *words)


def single(lab: Lab, given: Goods) -> dict[str, float]:
    """The file to one PoP, over one plain connection: what the link carries."""
    with origin(lab, given):
        words = fetching(lab, given, 0)
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE)
    given.check([given.copy(0)])
    return {"last_s": float(json.loads(done.stdout)["seconds"])}


@dataclass
class Course:
    """Movers that pull the file, and a clock that runs from the first of them on."""

    lab: Lab
    given: Goods
    company: Company
    clock: Clock
    _began_s: dict[str, float] = field(default_factory=dict)

    @property
    def seats(self) -> Sequence[Seat]:
        """All PoPs."""
        return self.company.seats

    def begin(self, seats: Sequence[Seat]) -> None:
        """Have these pull it."""
        address = f"http://{self.lab.origin.address}:{PORT}/{self.given.path.name}"
        reference = f"{address}#sha256={self.given.digest}"
        now_s = time.perf_counter()
        self._began_s.update({seat.host.name: now_s for seat in seats})
        with ThreadPoolExecutor(len(seats)) as threads:
            list(threads.map(lambda seat: seat.pull(reference), seats))

    def sleep_until(self, at_s: float) -> None:
        """Until so long after the beginning."""
        time.sleep(max(0.0, self.clock.began_s + at_s - time.perf_counter()))

    def took_s(self, seat: Seat) -> float:
        """From a PoP's own beginning until it had all."""
        assert seat.whole_at_s is not None, "it has all"
        return seat.whole_at_s - self._began_s[seat.host.name]

    def end(self, seats: Sequence[Seat]) -> dict[str, float]:
        """Wait for these, and see that they have the file.

        Raises:
            StandError: one has not.
        """
        self.company.wait_for_all(seats, END_WAIT_S)
        taken = self.clock.stop(
            self.given, {number: self.took_s(seat) for number, seat in enumerate(seats)}
        )
        self.given.check([seat.copy() for seat in seats])
        return taken


@contextmanager
def course(lab: Lab, given: Goods, liar: int | None = None) -> Iterator[Course]:
    """The origin and a mover on every PoP, none of which has begun; one of them may lie."""
    with origin(lab, given) as source, company(given.homes, lab.pops, liar) as movers:
        pids = [source, *(seat.pid for seat in movers.seats)]
        yield Course(lab, given, movers, Clock(lab, pids))


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
