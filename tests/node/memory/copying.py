"""PoPs of one owner that copy collections of each other, in this process: real collections, offers
and segments; no network, and no fabric.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from littoral.adapters.identity import Identity
from littoral.adapters.memory.embedded import open_collections
from littoral.node.fabric.calls import Calls
from littoral.node.memory.following import CHANGES_PATH, SEGMENTS_PATH
from littoral.node.memory.house import House
from littoral.node.memory.offering import Offering
from littoral.node.memory.replication import Replication
from littoral.routing.fleet import Fleet, Known, PopState
from littoral.terms.errors import LittoralError, UpstreamFailedError
from littoral.terms.ids import OwnerId, SiteName, ZoneName
from littoral.terms.memory import CollectionSpec, Record, Scan, VectorField, Write
from littoral.terms.ports import Clock
from littoral.terms.replicas import ChangesWanted, ReplicaWanted, SegmentsWanted
from littoral.terms.values import Instant
from littoral.trust.members import Member
from littoral.trust.records import Record as Said
from littoral.trust.records import RecordKind
from tests.node.memory.made import OPERATOR, CountingDoor
from tests.node.memory.segments_made import StoreMover

SPEC = CollectionSpec(name="c", vectors=(VectorField(3),))


class Pop:
    """One of them."""

    def __init__(
        self, folder: Path, identity: Identity, clock: Clock, *, zone: str = "eu", site: str = "a"
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.member = Member(
            OwnerId("own-" + "1" * 16), ZoneName(zone), SiteName(site), identity.pop_id
        )
        self.identity = identity
        self.clock = clock
        self.mover = StoreMover(folder / "artifacts")
        self.house = House(
            {"embedded": open_collections(folder)}, CountingDoor(), made_by="embedded"
        )
        self.tasks: list[asyncio.Task[None]] = []
        parts = (self.mover, identity, clock, self._spawn)
        self.replication = Replication(folder, self.house, *parts)
        self.said: dict[str, bytes] = {}
        """Its offers, by their topics."""
        self.reached: dict[str, Pop] = {}
        """The others, by the names of their certificates."""

    def _spawn(self, work: object, name: str = "") -> "asyncio.Task[None]":
        loop = asyncio.get_running_loop()
        task: asyncio.Task[None] = loop.create_task(work, name=name)  # type: ignore[arg-type]
        self.tasks.append(task)
        return task

    @property
    def offering(self) -> Offering:
        return self.replication.offering

    async def begin(self, pops: "Sequence[Pop]") -> None:
        """Be a member among these."""
        await self.replication.following.open()
        self.reached = {pop.member.name: pop for pop in pops}
        self.join(self.member)(fleet(*pops))
        for work in self.replication.works():
            self._spawn(work)

    def join(self, member: Member) -> Callable[[Fleet], None]:
        self.member = member
        calls: Calls = Asks(self)  # type: ignore[assignment]
        return self.replication.join(member, self.said.__setitem__, calls)

    def hear(self, other: "Pop") -> None:
        """All that another has said."""
        for record in other.said.values():
            said = msgspec.msgpack.decode(record, type=Said)
            assert said.kind is RecordKind.OFFER
            self.replication.hear(said)

    async def made(self, *writes: Write, spec: CollectionSpec = SPEC) -> None:
        """Make a collection with this in it."""
        await self.house.create(spec, OPERATOR)
        await self.wrote(*writes, name=spec.name)

    async def wrote(self, *writes: Write, name: str = SPEC.name) -> None:
        await (await self.house.open(name, OPERATOR)).apply(writes)

    async def offered(self, *sites: str, name: str = SPEC.name) -> None:
        await self.offering.offer(name, ReplicaWanted(tuple(map(SiteName, sites))))

    async def held(self, name: str = SPEC.name) -> Sequence[Record]:
        """All that is found here under a name; nothing where it is not."""
        try:
            opened = await self.house.open(name, OPERATOR)
            return (await opened.scan(Scan(limit=10_000, with_vectors=True))).records
        except LittoralError:
            return ()

    async def close(self) -> None:
        self.replication.part()
        self.replication.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.house.close()
        self.replication.following.close()
        self.mover.store.close()


class Asks:
    """See Calls: one PoP asks the others."""

    def __init__(self, pop: Pop) -> None:
        self._pop = pop

    async def ask(self, name: str, _: str, __: str, path: str, body: bytes) -> bytes:
        other, asker = self._pop.reached[name], self._pop.member
        try:
            if path == CHANGES_PATH:
                wanted = msgspec.json.decode(body, type=ChangesWanted)
                return await other.offering.changes(asker, wanted)
            assert path == SEGMENTS_PATH
            asked = msgspec.json.decode(body, type=SegmentsWanted)
            return msgspec.json.encode(await other.offering.segments(asker, asked))
        except LittoralError as error:
            raise UpstreamFailedError(f"refused: {error}") from None

    def close(self) -> None:
        """Nothing is open."""


def fleet(*pops: Pop) -> Fleet:
    """All of these, as each knows them."""
    members = [pop.member for pop in pops]
    return Fleet(
        {
            each.pop: Known(each, PopState(each.pop, 1, 1, url="https://x"), Instant(0))
            for each in members
        }
    )
