"""A home and its replicas in this process, whose movers have real stores and no network."""

import asyncio
import shutil
from array import array
from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing, closing
from pathlib import Path

from littoral.adapters.artifacts import open_store
from littoral.adapters.identity import verify
from littoral.adapters.memory.embedded import (
    EmbeddedCollection,
    open_collections,
    open_replicas,
)
from littoral.adapters.memory.embedded.place import MEMORY_FOLDER
from littoral.delivery.manifest import Kind
from littoral.memory.replicas import opened
from littoral.node.delivery.making import keep_files
from littoral.node.memory.fetching import Fetching
from littoral.node.memory.segmenting import Segmenting
from littoral.node.memory.segments import Segments, SegmentsRow
from littoral.node.memory.threads import Threads
from littoral.terms.delivery import PlanShown, PullShown, PullStage, PullWanted
from littoral.terms.errors import OriginError
from littoral.terms.ids import ArtifactId, PopId, SiteName
from littoral.terms.memory import CollectionSpec, Record, Scan, Upsert, VectorField
from littoral.terms.replicas import Changes, Followed, Offer, SegmentsShown
from tests.adapters.owner.made import SetClock
from tests.trust.made import SIGNER

SPEC = CollectionSpec(name="c", vectors=(VectorField(3),))
OFFER = Offer(spec=SPEC, incarnation="1" * 32, sites=(SiteName("edge"),), made_unix_ms=1)
HOME: PopId = SIGNER.pop_id
KEY = (SPEC.name, HOME)


class StoreMover:
    """Keeps artifacts in a store; what is pulled is copied from another's store."""

    def __init__(self, folder: Path) -> None:
        self.store = open_store(folder, bytes_max=2**40)
        self.source: StoreMover | None = None
        self.told: Mapping[ArtifactId, Collection[PopId]] = {}
        self.kept = 0
        self.pulls = 0

    async def keep(self, folder: Path, reference: str) -> ArtifactId:
        self.kept += 1
        paths = sorted(folder.iterdir())
        sizes = {path.name: path.stat().st_size for path in paths}
        contents = [path.read_bytes() for path in paths]
        return keep_files(self.store, Kind.EMBEDDINGS, reference, sizes, contents)

    async def drop(self, artifact: ArtifactId) -> bool:
        self.store.remove(artifact)
        return True

    def readers(self, readers: Mapping[ArtifactId, Collection[PopId]]) -> None:
        self.told = readers

    async def plan(self, wanted: PullWanted) -> PlanShown:
        artifact = ArtifactId(wanted.reference)
        if self.source is None or artifact not in self.source.store.shelf.artifacts():
            raise OriginError("nobody has it")
        shown = self.source.store.shelf.manifest(artifact)
        files = tuple((file.path, file.size_bytes) for file in shown.files)
        return PlanShown(artifact, artifact, shown.size_bytes, 0, 0, (), files, None)

    async def pull(self, wanted: PullWanted) -> PullShown:
        self.pulls += 1
        artifact = ArtifactId(wanted.reference)
        if self.source is None or artifact not in self.source.store.shelf.artifacts():
            return PullShown("p", artifact, PullStage.FAILED, error="nobody has it")
        shelf = self.source.store.shelf
        intake = self.store.take(shelf.manifest(artifact), shelf.tables(artifact))
        with closing(intake), shelf.hold(artifact) as held:
            contents = [path.read_bytes() for path in held.paths]
            for number in range(intake.table.chunks):
                chunk = intake.table[number]
                end = chunk.start + chunk.size_bytes
                intake.write(number, contents[chunk.file][chunk.start : end])
            intake.seal()
        return PullShown("p", artifact, PullStage.DONE)

    async def pulled(self, name: str) -> PullShown:
        raise AssertionError(f"the pull {name} was over at once")


class Home:
    """A home of one collection."""

    def __init__(self, folder: Path, clock: SetClock) -> None:
        self.mover = StoreMover(folder / "artifacts")
        self.segments = Segments(folder, self.mover, clock)
        self.segments.offered = lambda key: OFFER if key == KEY else None
        self.threads = Threads()
        self.folder = folder
        self._memory, self._saved = folder / MEMORY_FOLDER, folder / "saved"
        self._collections = open_collections(folder)
        self._collections.create(SPEC)
        self.collection: EmbeddedCollection = self._collections.open("c")
        loop = asyncio.get_running_loop()

        def spawn(work: object, name: str) -> "asyncio.Task[None]":
            return loop.create_task(work, name=name)  # type: ignore[arg-type]

        self.segmenting = Segmenting(folder, self.segments, self.threads, SIGNER, clock, spawn)

    def synced(self) -> None:
        """What there is now outlives a cut of its power."""
        self._collections.close()
        shutil.copytree(self._memory, self._saved, dirs_exist_ok=True)
        self._open()

    def lose(self, era: str) -> None:
        """Its power is cut: what came since is lost, and changes are counted in another era."""
        self._collections.close()
        shutil.rmtree(self._memory)
        shutil.copytree(self._saved, self._memory)
        self._open()
        self.collection._era = era

    def _open(self) -> None:
        era = self.collection._era
        self._collections = open_collections(self.folder)
        self.collection = self._collections.open("c")
        self.collection._era = era

    async def asked(self) -> SegmentsShown:
        """As a replica asks, until there is an answer."""
        shown = await self.segmenting.of(OFFER, self.collection)
        while shown.making:
            shown = await self.segmenting.of(OFFER, self.collection)
        return shown

    def close(self) -> None:
        self.segmenting.close()
        self.threads.close()
        self._collections.close()
        self.mover.store.close()


class Replica:
    """A copy of it."""

    def __init__(self, folder: Path, home: Home, clock: SetClock) -> None:
        self.mover = StoreMover(folder / "artifacts")
        self.mover.source = home.mover
        self.segments = Segments(folder, self.mover, clock)
        self.segments.offered = lambda key: OFFER if key == KEY else None
        self.threads = Threads()
        self.fetching = Fetching(self.segments, self.threads)
        self.home = home
        self.folder = folder
        self._replicas = open_replicas(folder)
        self._replicas.create(CollectionSpec(name="c", vectors=SPEC.vectors, scope=HOME))
        self.collection: EmbeddedCollection = self._replicas.open("c", HOME)

    async def fetched(self) -> SegmentsRow | None:
        artifact = (await self.home.asked()).artifact
        return None if artifact is None else await self.fetching.fetched(HOME, OFFER, artifact)

    async def took(self, row: SegmentsRow, most: int = 10**6, *, goes_on: bool = False) -> int:
        """Take in so many parts; how many there were."""
        parts, at = 0, self.collection.followed()
        taking = self.fetching.taken(row, at, self.opened, self.take, goes_on=goes_on)
        async with aclosing(taking):
            async for _ in taking:
                parts += 1
                if parts == most:
                    break
        return parts

    @staticmethod
    def opened(data: bytes) -> Changes:
        return opened(data, OFFER.incarnation, HOME, verify)

    def take(self, changes: Changes) -> Followed:
        return self.collection.follow(changes, OFFER.incarnation)

    def catch_up(self) -> int:
        """Follow the log from where it is; how many records came."""
        count = 0
        while True:
            at = self.collection.followed()
            changes = self.home.collection.changes(at.through, 10**6, begun=at.begun, era=at.era)
            assert not changes.whole, "it goes on from the segments"
            if not (changes.records or changes.gone):
                return count
            count += len(changes.records)
            self.collection.follow(changes, OFFER.incarnation)

    def close(self) -> None:
        self.threads.close()
        self._replicas.close()
        self.mover.store.close()


Pair = tuple[Home, Replica]


def records(first: int, last: int, number: int = 0) -> Upsert:
    """Of these numbers, each of which says which time it was written."""
    return Upsert(
        tuple(
            Record(
                id=f"r{each:04}",
                vectors={"": array("f", [each, number, 1]).tobytes()},
                text=f"text {number} of {each}",
                metadata={"n": number},
            )
            for each in range(first, last)
        )
    )


def held(collection: EmbeddedCollection) -> Sequence[Record]:
    """All that is in it."""
    return collection.scan(Scan(limit=10_000, with_vectors=True)).records
