"""Movers made for tests and benches: real ones, whose chunks are in one file of a simple shelf."""

import asyncio
import mmap
import os
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from littoral.adapters.clock import SystemClock
from littoral.adapters.http.words import HttpError
from littoral.adapters.moving.access import Access
from littoral.adapters.moving.client import Client
from littoral.adapters.moving.flows import Flows
from littoral.adapters.moving.server import Server
from littoral.adapters.moving.words import Coder, HearsNews, Held, Peer
from littoral.adapters.owner import FabricFiles, Owner
from littoral.adapters.owner.contexts import Contexts
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND
from littoral.trust.members import Member
from tests.adapters.owner.made import SetClock, owner_at, pop_at

WAIT_S = 20.0
GROUP = "blake3:" + 64 * "a"


def digests_of(data: bytes, piece_bytes: int) -> list[bytes]:
    """What each piece of some bytes is called."""
    view = memoryview(data)
    return [blake3(view[at : at + piece_bytes]).digest() for at in range(0, len(data), piece_bytes)]


class FileShelf:
    """A file in pieces of one size, whose digests are known (words.Shelf)."""

    def __init__(
        self, path: Path, size_bytes: int, piece_bytes: int, digests: Sequence[bytes]
    ) -> None:
        """An empty file of this size."""
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        weakref.finalize(self, os.close, self._file)
        os.ftruncate(self._file, size_bytes)
        self.data = memoryview(mmap.mmap(self._file, size_bytes))
        self._piece_bytes = piece_bytes
        self._digests = digests
        self.here: set[int] = set()
        self.watched: list[Callable[[int], None]] = []

    @classmethod
    def full(cls, path: Path, data: bytes, piece_bytes: int) -> "FileShelf":
        """One on which all of this is."""
        shelf = cls(path, len(data), piece_bytes, digests_of(data, piece_bytes))
        shelf.data[:] = data
        shelf.here.update(range(len(shelf)))
        return shelf

    def empty(self, path: Path) -> "FileShelf":
        """Another of the same pieces, on which is nothing yet."""
        return FileShelf(path, len(self.data), self._piece_bytes, self._digests)

    def __len__(self) -> int:
        return len(self._digests)

    def size_bytes(self, number: int) -> int:
        if not 0 <= number < len(self):
            raise KeyError(number)
        return min(self._piece_bytes, len(self.data) - number * self._piece_bytes)

    def held(self, number: int) -> Held | None:
        if number not in self.here:
            return None
        start = number * self._piece_bytes
        return Held(self._digests[number], self.data[start : start + self.size_bytes(number)])

    def put(self, number: int, data: memoryview, digest: bytes) -> bool:
        if blake3(data).digest() != digest or digest != self._digests[number]:
            return False
        start = number * self._piece_bytes
        assert os.pwrite(self._file, data, start) == len(data)
        self.here.add(number)
        for hear in list(self.watched):
            hear(number)
        return True

    def watch(self, hear: Callable[[int], None]) -> Callable[[], None]:
        self.watched.append(hear)

        def end() -> None:
            if hear in self.watched:
                self.watched.remove(hear)

        return end


@dataclass
class Shelves:
    """What a mover gives (words.Library)."""

    shelves: dict[str, FileShelf] = field(default_factory=dict)
    documents: dict[tuple[str, str], bytes] = field(default_factory=dict)
    coders: dict[str, Coder] = field(default_factory=dict)
    bases: list[str] = field(default_factory=list)
    """Those that peers said they have."""
    callers: list["Talk"] = field(default_factory=list)
    """Those who have called with news."""
    takes_news: bool = True

    def shelf(self, group: str, peer: Member) -> FileShelf | None:
        return self.shelves.get(group)

    def coder(self, group: str, peer: Member, base: str) -> Coder | None:
        self.bases.append(base)
        return self.coders.get(group)

    def document(self, artifact: str, name: str, peer: Member) -> memoryview | None:
        found = self.documents.get((artifact, name))
        return None if found is None else memoryview(found)

    def news(self, group: str, peer: Member, say: Callable[[bytes], None]) -> HearsNews | None:
        if not self.takes_news:
            return None
        talk = Talk(say)
        self.callers.append(talk)
        return talk


@dataclass
class Talk:
    """Hears news."""

    say: Callable[[bytes], None] = lambda _: None
    heard: list[bytes] = field(default_factory=list)
    over: list[HttpError | None] = field(default_factory=list)

    def told(self, line: bytes) -> None:
        self.heard.append(line)

    def parted(self, error: HttpError | None) -> None:
        self.over.append(error)


@dataclass
class Told:
    """Hears of chunks."""

    chunks: list[int] = field(default_factory=list)
    wrong: list[int] = field(default_factory=list)
    ends: list[HttpError | None] = field(default_factory=list)
    came_bytes: int = 0
    """Of chunks as they travelled."""

    def landed(self, number: int, size_bytes: int, came_bytes: int) -> None:
        assert not self.ends
        assert came_bytes <= size_bytes
        self.came_bytes += came_bytes
        self.chunks.append(number)

    def spoiled(self, number: int) -> None:
        assert not self.ends
        self.wrong.append(number)

    def ended(self, error: HttpError | None) -> None:
        self.ends.append(error)


class Mover:
    """One PoP's, on the loop that runs."""

    def __init__(self, files: FabricFiles, clock: Clock) -> None:
        self.files = files
        own = files.own()
        assert own is not None
        self.member = own.member
        self.refused: list[str] = []
        self.contexts = Contexts(files, self.refused.append)
        self.access = Access(self.contexts, clock)
        loop = asyncio.get_running_loop()
        self.in_flight = 0
        self.flows = Flows(loop, lambda: self.in_flight)
        self.library = Shelves()
        self.server = Server(loop, self.access, self.library, self.flows)
        self.client = Client(loop, self.access)
        self.port = 0

    def listen(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.port = self.server.listen(host, port)

    def at(self, host: str = "127.0.0.1") -> Peer:
        return Peer(self.member, host, self.port)

    def close(self) -> None:
        self.client.close()
        self.server.close()


def now() -> SetClock:
    """A clock that stands at the time that OpenSSL sees."""
    return SetClock(SystemClock().unix_ns() // SECOND)


def an_owner(home: Path) -> Owner:
    return owner_at(home, now())


def a_pop(home: Path, owner: Owner, number: int) -> FabricFiles:
    """The files of a PoP that has joined."""
    return pop_at(home, owner, now(), number)


def acquainted(*movers: Mover) -> None:
    """Each lets in all of these."""
    for mover in movers:
        mover.access.allow([each.member.name for each in movers])


async def until(condition: Callable[[], object], wait_s: float = WAIT_S) -> None:
    """Wait for something that comes by itself."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_s
    while not condition():
        assert loop.time() < deadline, "it did not come"
        await asyncio.sleep(0.005)
