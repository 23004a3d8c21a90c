"""PoPs of one fabric, as people start them: `littoral up`, `invite`, `join`, each on its own home.

What each PoP sees of the others is told by its own log, line by line as it comes: nobody is asked
for it over and over, which would cost the PoPs more than what is measured. Where network namespaces
can be made, each PoP has a host of its own, whose link can be cut and whose bytes are counted; else
all are on loopback.
"""

import http.client
import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from bench.stand.cores import cpu_s
from bench.stand.native import StandError
from bench.stand.ours import LITTORAL
from bench.stand.running import running
from tests.faults.network import Host

__all__ = [
    "ADMITTED",
    "BACK",
    "GONE",
    "SEEN",
    "FabricPop",
    "Journal",
    "Place",
    "founded",
    "joined",
]

SEEN, GONE, BACK, ADMITTED = "is in the fabric", "is gone", "is back", "joined in zone"
_LINE = re.compile(rf"(pop-[0-9a-f]{{16}}):? ({SEEN}|{GONE}|{BACK}|{ADMITTED})")
_SAID = re.compile(r"^littoral_fabric_said_bytes_total\{.*\} (\S+)$", re.MULTILINE)
WAIT_S = 60.0
FREE_PORTS = ("--fabric-port", "0", "--state-port", "0")


@dataclass(frozen=True, slots=True)
class Told:
    """One line of a PoP's log about another one (or itself)."""

    at_s: float
    """When it was read here, on the monotonic clock."""
    by: str
    """The place of who has logged it."""
    what: str
    pop: str


class Journal:
    """What all PoPs have logged."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._told: list[Told] = []

    def hearing(self, by: str) -> Callable[[str], None]:
        """What takes the lines of a PoP's log."""

        def hear(line: str) -> None:
            found = _LINE.search(line)
            if found is not None:
                with self._changed:
                    self._told.append(Told(time.monotonic(), by, found[2], found[1]))
                    self._changed.notify_all()

        return hear

    def all_told(self, since_s: float, what: str, pop: str, by: Collection[str]) -> float:
        """When the last of these PoPs had said so of that one.

        Args:
            since_s: what was said before this moment does not count.
            what: SEEN, GONE, BACK or ADMITTED.
            pop: of which PoP.
            by: the places of those who must say it.

        Raises:
            StandError: some of them did not in WAIT_S.
        """
        first: dict[str, float] = {}

        def complete() -> bool:
            for told in self._told:
                if told.at_s >= since_s and (told.what, told.pop) == (what, pop):
                    first.setdefault(told.by, told.at_s)
            return first.keys() >= set(by)

        with self._changed:
            if not self._changed.wait_for(complete, WAIT_S):
                lacking = ", ".join(sorted(set(by) - first.keys()))
                raise StandError(f"after {WAIT_S:g} s {lacking} had not said that {pop} {what}")
        return max(first[each] for each in by)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a PoP is started."""

    name: str
    home: Path
    host: Host | None = None
    """Its own host; None is this machine's loopback."""

    def command(self, *words: str | Path) -> list[str | Path]:
        """What runs a command of littoral there."""
        command = [str(LITTORAL), *map(str, words), "--home", str(self.home), "--json"]
        return [*(command if self.host is None else self.host.command(*command))]

    def options(self) -> tuple[str, ...]:
        """Of a PoP there."""
        own = () if self.host is None else ("--fabric-host", self.host.address)
        return ("-v", "--port", "0", *FREE_PORTS, *own)

    def tell(self, *words: str) -> dict[str, object]:
        """Run a command there to its end and take what it says.

        Raises:
            StandError: it failed.
        """
        done = subprocess.run(self.command(*words), capture_output=True, check=False)
        if done.returncode:
            raise StandError(f"`littoral {words[0]}` failed: {done.stderr.decode()[-300:]}")
        said = json.loads(done.stdout)
        assert isinstance(said, dict)
        return said

    def sent_bytes(self) -> int:
        """Bytes that have left the host so far, all headers included.

        Raises:
            StandError: it has none of its own.
        """
        if self.host is None:
            raise StandError("on loopback nobody counts one PoP's bytes")
        command = ["ip", "-n", self.host.namespace, "-s", "-j", "link", "show", "eth0"]
        done = subprocess.run(command, capture_output=True, check=True)
        return int(json.loads(done.stdout)[0]["stats64"]["tx"]["bytes"])


@dataclass(frozen=True, slots=True)
class FabricPop:
    """A running PoP."""

    place: Place
    pop: str
    process: subprocess.Popen[str]
    port: int
    key: str
    """An operator's."""
    began_s: float
    """When its start was asked for, on the monotonic clock."""

    def cpu_s(self) -> float:
        """Seconds that its threads have run."""
        return cpu_s([self.process.pid])

    def rss_mb(self) -> float:
        """Resident memory."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 1e6

    def said_bytes(self) -> float:
        """Of all records that it has said so far, each once, however many heard it."""
        _, text = self._fetch("GET", "/metrics")
        return sum(float(value) for value in _SAID.findall(text.decode()))

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, object]:
        """What it answers at its own address, as JSON; the status first."""
        status, answer = self._fetch(method, path, body)
        return status, json.loads(answer)

    def _fetch(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        host = self.place.host
        with nullcontext() if host is None else host.inside():
            connected = socket.create_connection(("127.0.0.1", self.port), WAIT_S)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        connection.sock = connected
        try:
            fields = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), fields)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def reached(self) -> set[str]:
        """The other PoPs that it lists as reached."""
        _, known = self.ask("GET", "/v1/fabric")
        assert isinstance(known, dict)
        return {row["pop"] for row in known["pops"] if row["reach"] in {"direct", "relayed"}}


@contextmanager
def founded(
    place: Place, journal: Journal, *options: str, core: int | None = None
) -> Iterator[FabricPop]:
    """A PoP that is in no fabric yet, and may found one."""
    with _started(place.command("up", *place.options(), *options), place, journal, core) as pop:
        yield pop


@contextmanager
def joined(
    place: Place, founder: FabricPop, journal: Journal, *options: str, core: int | None = None
) -> Iterator[FabricPop]:
    """A PoP that joins by a ticket of another one, which is made before it starts."""
    ticket = str(founder.place.tell("invite", "--site", place.name)["ticket"])
    command = place.command("join", ticket, *place.options(), *options)
    with _started(command, place, journal, core) as pop:
        yield pop


@contextmanager
def _started(
    command: list[str | Path], place: Place, journal: Journal, core: int | None
) -> Iterator[FabricPop]:
    began_s = time.monotonic()
    with running(command, core, journal.hearing(place.name)) as started:
        said = started.said
        port = urlsplit(str(said["url"])).port
        assert port is not None
        key = str(json.loads((place.home / "run/pop.json").read_text())["key"])
        yield FabricPop(place, str(said["pop"]), started.process, port, key, began_s)
