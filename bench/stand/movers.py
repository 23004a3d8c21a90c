"""Movers as PoPs start them, one in each namespace of a lab, and the part that PoPs play for them.

What each says to have and want, and where it is reached, is told to all others at once, as the
fabric tells it. Nothing else is: what to pull, from where and for whom is between the movers.

A mover is started by a line on its standard input and asked over its socket file; it ends when that
input is closed.
"""

import http.client
import os
import re
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from bench.stand.native import StandError
from bench.stand.running import Running, running
from littoral.adapters.owner import FabricFiles
from littoral.node.delivery.words import (
    FLEET,
    SAID,
    FleetTold,
    ListenTold,
    MoverArguments,
    MoverSaid,
    PeerTold,
)
from littoral.node.home import Home
from littoral.terms.delivery import Nothing, PullShown, PullsShown, PullWanted
from littoral.trust.members import Member
from littoral.web.delivery import DELIVERY
from tests.faults.network import Host

__all__ = ["Company", "Seat", "company"]

_MODULE: Final = "littoral.node.delivery.mover"
_LIAR: Final = "bench.stand.liar"
_PORT: Final = 7001
_KEY: Final = "sk-bench"
_WAIT_S: Final = 40.0
_BAD: Final = re.compile(r"(pop-[0-9a-f]{16}|the origin) gave wrong bytes as chunk (\d+)")
_SLOW: Final = re.compile(r"(pop-[0-9a-f]{16}|the origin) (?:was too slow|was asked and failed);")

T = TypeVar("T")

_KNOWN: Final = [msgspec.json.Decoder(kind) for kind in (MoverSaid, PullShown, PullsShown)]
"""Made before there are threads: msgspec crashes where two decode a type for the first time."""


class _Line(http.client.HTTPConnection):
    """A connection to a mover's socket file."""

    def __init__(self, path: Path) -> None:
        super().__init__("mover", timeout=_WAIT_S)
        self._path = str(path)

    def connect(self) -> None:
        """See HTTPConnection."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_WAIT_S)
        self.sock.connect(self._path)


@dataclass
class Seat:
    """One PoP: its mover, and what that has said."""

    home: Path
    host: Host
    member: Member
    process: Running
    said: MoverSaid | None = None
    gone: bool = False
    """Its mover has ended, or is about to."""
    told: int = 0
    """Of how many others with an address it knows."""
    whole_at_s: float | None = None
    """By the clock of performance: when it first said to have something whole."""
    blamed: list[str] = field(default_factory=list)
    """Who gave wrong bytes to it, once for each chunk."""
    replaced: list[tuple[float, str]] = field(default_factory=list)
    """When it asked others instead, and of whom."""
    to_tell: threading.Event = field(default_factory=threading.Event)

    @property
    def pid(self) -> int:
        """Of its mover."""
        return self.process.process.pid

    def line(self) -> _Line:
        """A connection to it, for one thread."""
        return _Line(_socket(self.home))

    def pull(self, reference: str) -> None:
        """Have it begin."""
        asked(self.line(), "POST", f"{DELIVERY}/pulls", PullShown, PullWanted(reference))

    def pulled(self, line: _Line) -> PullShown:
        """Its only pull, as it is now."""
        (pull,) = asked(line, "GET", f"{DELIVERY}/pulls", PullsShown).pulls
        return pull

    def copy(self) -> Path:
        """The file that it has pulled.

        Raises:
            StandError: there is not just one.
        """
        whole = [
            path for path in (Home(self.home).artifacts / "files").iterdir() if not path.suffix
        ]
        if len(whole) != 1:
            raise StandError(f"{self.member.pop} has {len(whole)} files")
        return whole[0]

    def hear(self, line: str) -> None:
        """Take in a line of its log."""
        if bad := _BAD.search(line):
            self.blamed.append(bad[1])
        if slow := _SLOW.search(line):
            self.replaced.append((time.perf_counter(), slow[1]))


def asked(line: _Line, method: str, path: str, kind: type[T], body: object = None) -> T:
    """What a mover answers.

    Raises:
        OSError, http.client.HTTPException: it is gone.
        StandError: it refuses.
    """
    data = None if body is None else msgspec.json.encode(body)
    line.request(method, path, data, {"authorization": f"Bearer {_KEY}"})
    answer = line.getresponse()
    said = answer.read()
    if answer.status not in {200, 202}:
        raise StandError(f"{path}: {answer.status} {said[:300]!r}")
    return msgspec.json.decode(said, type=kind)


class Company:
    """All PoPs, who tell each other what their movers say."""

    def __init__(self, seats: Sequence[Seat]) -> None:
        self.seats = seats
        self._changed = threading.Condition()
        self._over = False
        self._threads = [
            threading.Thread(target=work, args=(seat,), daemon=True)
            for seat in seats
            for work in (self._listen, self._tell)
        ]

    def begin(self) -> None:
        """Go on until `end`; returns once all know where all are."""
        for seat in self.seats:
            seat.to_tell.set()
        for thread in self._threads:
            thread.start()
        others = len(self.seats) - 1
        self.wait(lambda: all(seat.told == others for seat in self.seats), _WAIT_S)

    def end(self) -> None:
        """Tell nobody anything more."""
        self._over = True
        for seat in self.seats:
            seat.to_tell.set()

    def wait_for_all(self, seats: Sequence[Seat], wait_s: float) -> None:
        """Until these have something whole."""
        self.wait(lambda: all(seat.whole_at_s is not None for seat in seats), wait_s)

    def wait(self, condition: Callable[[], bool], wait_s: float) -> None:
        """Until that is so.

        Raises:
            StandError: it is not in time.
        """
        with self._changed:
            if not self._changed.wait_for(condition, wait_s):
                raise StandError("; ".join(_state(seat) for seat in self.seats))

    def kill(self, seat: Seat) -> None:
        """End its mover at once, as a crash does; the PoP says so, as it does when one dies."""
        os.kill(seat.pid, signal.SIGKILL)
        self._lost(seat)

    def _lost(self, seat: Seat) -> None:
        seat.gone, seat.said = True, None
        for other in self.seats:
            other.to_tell.set()
        with self._changed:
            self._changed.notify_all()

    def _listen(self, seat: Seat) -> None:
        line, number = seat.line(), 0
        while not (self._over or seat.gone):
            try:
                said = asked(line, "GET", f"{SAID}/{number}", MoverSaid)
            except (OSError, http.client.HTTPException):
                if not self._over:
                    self._lost(seat)
                return
            if said == seat.said:
                continue
            number, seat.said = said.number, said
            if seat.whole_at_s is None and any(each.whole for each in said.deliveries):
                seat.whole_at_s = time.perf_counter()
            for other in self.seats:
                if other is not seat:
                    other.to_tell.set()
            with self._changed:
                self._changed.notify_all()

    def _tell(self, seat: Seat) -> None:
        line = seat.line()
        while True:
            seat.to_tell.wait()
            seat.to_tell.clear()
            if self._over or seat.gone:
                return
            told = self._told(seat)
            try:
                asked(line, "POST", FLEET, Nothing, told)
            except (OSError, http.client.HTTPException):
                return
            seat.told = sum(bool(peer.address) for peer in told.peers)
            with self._changed:
                self._changed.notify_all()

    def _told(self, seat: Seat) -> FleetTold:
        peers = tuple(_peer(other) for other in self.seats if other is not seat and not other.gone)
        address = seat.host.address
        return FleetTold(seat.member.site, peers, ListenTold(address, _PORT, address, ""))


def _peer(seat: Seat) -> PeerTold:
    said = seat.said
    address, deliveries = ("", ()) if said is None else (said.address, said.deliveries)
    return PeerTold.of(seat.member, address, deliveries, own=True)


def _state(seat: Seat) -> str:
    if seat.gone:
        return f"{seat.host.name}: gone"
    try:
        pulls = asked(seat.line(), "GET", f"{DELIVERY}/pulls", PullsShown).pulls
    except (OSError, http.client.HTTPException) as error:
        return f"{seat.host.name}: {error!r}"
    stages = " ".join(f"{each.stage.value} {each.here_bytes} {each.error}" for each in pulls)
    return f"{seat.host.name}: knows {seat.told}; {stages}"


@contextmanager
def company(
    homes: Sequence[Path], hosts: Sequence[Host], liar: int | None = None
) -> Iterator[Company]:
    """A mover in each home and host, with nothing in its store; all know where all are.

    Args:
        homes: with an identity and the files of a member.
        hosts: one for each.
        liar: which of them gives wrong bytes now and then.
    """
    with ExitStack() as stack:
        seats = [
            stack.enter_context(_seat(home, host, _LIAR if number == liar else _MODULE))
            for number, (home, host) in enumerate(zip(homes, hosts, strict=False))
        ]
        made = Company(seats)
        stack.callback(made.end)
        made.begin()
        yield made


@contextmanager
def _seat(home: Path, host: Host, module: str) -> Iterator[Seat]:
    own = FabricFiles(home).own()
    assert own is not None, "it is a member"
    places = Home(home)
    shutil.rmtree(places.artifacts, ignore_errors=True)
    places.make()
    _socket(home).unlink(missing_ok=True)
    arguments = MoverArguments(
        socket_path=str(_socket(home)),
        key=_KEY,
        home=str(home),
        arriving=str(places.run / "arriving"),
        store_bytes_max=0,
        hub_endpoint="",
    )
    line = msgspec.json.encode({**msgspec.structs.asdict(arguments), "parent": os.getpid()})
    seats: list[Seat] = []
    command = host.command(sys.executable, "-m", module)

    def hear(said: str) -> None:
        for seat in seats:
            seat.hear(said)

    try:
        with running(command, hears=hear, told=line.decode()) as process:
            seats.append(Seat(home, host, own.member, process))
            try:
                yield seats[0]
            finally:
                if not seats[0].gone:
                    os.kill(seats[0].pid, signal.SIGCONT)
    finally:
        shutil.rmtree(places.artifacts, ignore_errors=True)


def _socket(home: Path) -> Path:
    return Home(home).run / "mover.sock"
