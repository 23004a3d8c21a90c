"""A PoP's memory on paper with vector stores before it, at a real listener."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from littoral.adapters.clock import SystemClock
from littoral.adapters.stores import Kept, open_stores
from littoral.node.memory.house import House
from littoral.node.memory.shelf import passages_of
from littoral.node.memory.stored import Stored, StoreSettings
from littoral.node.memory.taking import FileTaking
from littoral.node.memory.threads import Threads
from littoral.sim.collections import PaperCollections
from littoral.terms.collections import Collections, OpenCollection
from littoral.terms.errors import KeyMissingError, KeyRejectedError, LittoralError
from littoral.terms.ids import KeyId
from littoral.terms.memory import DeleteWhere, Record, Upsert
from littoral.terms.stores import (
    StoreFile,
    document_of,
)
from littoral.terms.values import SECOND, Caller
from littoral.web.app import App, Desks
from littoral.web.mcp import MemoryTools
from tests.node.memory.made import ALICE, BOB, MODEL, OPERATOR, CountingDoor
from tests.web.fake_door import FakeStatus
from tests.web.raw import Served, serving

KEYS = {"lit_operator": OPERATOR, "lit_alice": ALICE, "lit_bob": BOB}
BYTES_MAX = 1_000_000


class Later(SystemClock):
    """The present, so many seconds on."""

    def __init__(self, later_s: int) -> None:
        super().__init__()
        self._later_s = later_s

    def unix_ns(self) -> int:
        return SystemClock.unix_ns() + self._later_s * SECOND


class KeyedDoor(CountingDoor):
    """Knows who holds which key."""

    def authenticate(self, token: str | None) -> Caller:
        if token is None:
            raise KeyMissingError("no API key came with the request")
        if token not in KEYS:
            raise KeyRejectedError("the API key is not accepted")
        return KEYS[token]


@dataclass
class Lines:
    """Makes a passage of each line of a text, in place of the real reader."""

    kept: Kept
    taken: list[str] = field(default_factory=list)
    fails: list[LittoralError] = field(default_factory=list)
    """What the next files fail with, one each."""
    hold: asyncio.Event | None = None
    """Waited for before a file is done."""
    holding: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, collection: OpenCollection, file: StoreFile) -> int:
        self.taken.append(file.filename)
        if self.fails:
            raise self.fails.pop(0)
        upload = self.kept.uploads.find(file.file_id)
        assert upload is not None
        name = document_of(file.file_id, file.filename)
        lines = self.kept.vault.read(upload.digest).decode().splitlines()
        records = [
            Record(
                id=f"{file.file_id}-{place}",
                text=line,
                document=name,
                position=place,
                metadata=file.attributes,
            )
            for place, line in enumerate(lines)
        ]
        await collection.apply([DeleteWhere(passages_of(name)), Upsert(tuple(records))])
        if self.hold is not None:
            self.holding.set()
            await self.hold.wait()
        return sum(map(len, lines))


@dataclass
class StoresStand:
    """What a test looks at."""

    url: str
    served: Served
    stored: Stored
    kept: Kept
    house: House
    door: KeyedDoor
    lines: Lines
    holders: dict[KeyId, Caller]


@asynccontextmanager
async def stores_stand(
    home: Path,
    *,
    drivers: Collections | None = None,
    works: bool = True,
    reads: bool = False,
    later_s: int = 0,
    tools: Callable[[House], MemoryTools] = MemoryTools,
) -> AsyncIterator[StoresStand]:
    """Run it while the context is open.

    Args:
        home: where books and files are.
        drivers: the collections, if they are not new.
        works: what is owed is done in the background.
        reads: files are read by the process that does so; else each line is a passage.
        later_s: how far in the future it is.
        tools: what agents may call.
    """
    door, kept = KeyedDoor(), open_stores(home)
    paper = drivers or PaperCollections()
    house = House({"paper": paper}, door, made_by="paper", embedding=MODEL)
    lines, threads = Lines(kept), Threads()
    taking = FileTaking(kept, threads, lambda _: None, SystemClock())
    holders = {caller.key_id: caller for caller in KEYS.values()}
    stored = Stored(
        kept,
        house,
        Later(later_s),
        taking if reads else lines,
        threads,
        holder=holders.get,
        settings=StoreSettings(MODEL, BYTES_MAX),
    )
    await stored.begin()
    app = App(door, FakeStatus(), Desks(memory=house, stores=stored, tools=tools(house)))
    async with serving(app.handler(), gate=app.gate()) as served:
        url = f"http://{served.host}:{served.port}"
        work = asyncio.create_task(stored.run()) if works else None
        try:
            yield StoresStand(url, served, stored, kept, house, door, lines, holders)
        finally:
            if work is not None:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
            taking.close()
            threads.close()
            house.close()
            kept.close()
        assert not served.defects
