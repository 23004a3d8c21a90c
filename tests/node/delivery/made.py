"""What tests of delivery on a PoP share: identities, other PoPs, and what stands for them."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from littoral.adapters.clock import SystemClock
from littoral.adapters.identity import Identity, open_identity
from littoral.adapters.moving.client import Client
from littoral.adapters.moving.words import Peer, RefusedError
from littoral.adapters.origins.kept import OriginsNow
from littoral.delivery.claims import Known, signed_claim
from littoral.node.delivery.around import Around
from littoral.node.delivery.finding import mark_of
from littoral.node.delivery.others import Others, group_of
from littoral.node.delivery.rates import Rates
from littoral.node.delivery.words import FleetTold, PeerTold
from littoral.routing.fleet import Delivery
from littoral.terms.artifacts import OriginFile, OriginListing
from littoral.terms.errors import OriginBrokeError
from littoral.terms.ids import OwnerId, PopId, SiteName, ZoneName
from littoral.trust.members import Member
from tests.adapters.artifacts.made import Made

CLOCK = SystemClock()
REFERENCE = "hf:lab/model@" + "c" * 40
OURS, THEIRS = OwnerId("own-" + "1" * 16), OwnerId("own-" + "2" * 16)


def identity(folder: Path, name: str) -> Identity:
    """One of a PoP of this name, made the first time."""
    (folder / name).mkdir(exist_ok=True)
    return open_identity(folder / name, CLOCK)


def claim(
    by: Identity, source: Made, *, reference: str = REFERENCE, private: bool = False, at: int = 1
) -> bytes:
    """What a PoP claims."""
    return signed_claim(
        by,
        reference=reference,
        artifact=source.artifact,
        known=Known.ORIGIN,
        private=private,
        base=None,
        unix_s=at,
    )


def offer(name: str, *, reference: str = REFERENCE, whole: bool = True) -> Delivery:
    """What a PoP says to have or want."""
    return Delivery(group_of(name), mark_of(reference), whole)


def other(pop: PopId, *deliveries: Delivery, own: bool = True, address: str = "") -> PeerTold:
    """Another PoP, as the mover is told of it."""
    return PeerTold(
        pop=pop,
        owner=OURS if own else THEIRS,
        own=own,
        zone=ZoneName("eu"),
        site=SiteName("paris"),
        address=address or "127.0.0.1:1",
        deliveries=deliveries,
    )


def others(*peers: PeerTold) -> Others:
    """All of them."""
    return Others(FleetTold(SiteName("paris"), peers))


def member(pop: PopId, *, own: bool = True) -> Member:
    """A PoP, as its certificate names it."""
    owner = OURS if own else THEIRS
    return Member(owner=owner, zone=ZoneName("eu"), site=SiteName("paris"), pop=pop)


def documents_of(source: Made, *claims: bytes) -> Mapping[str, bytes]:
    """What a PoP that has an artifact gives of it, but for its bytes."""
    tables = {f"tables/{at}": table for at, table in enumerate(source.tables)}
    return {"manifest": source.manifest.encoded(), "claims": b"\n".join(claims), **tables}


@dataclass
class FakeClient:
    """Has documents of other PoPs, and nothing else."""

    documents: dict[tuple[PopId, str], Mapping[str, bytes]] = field(default_factory=dict)
    asked: list[tuple[PopId, str, str]] = field(default_factory=list)

    async def document(self, peer: Peer, artifact: str, name: str, *, bytes_max: int) -> bytes:
        self.asked.append((peer.member.pop, artifact, name))
        found = self.documents.get((peer.member.pop, artifact), {}).get(name)
        if found is None:
            raise RefusedError(404)
        assert len(found) <= bytes_max
        return found


class FakeOrigin:
    """Lists and reads what it was given (terms.ports.Origin)."""

    def __init__(self, listing: OriginListing, files: Mapping[str, bytes]) -> None:
        self.listing = listing
        self.files = files
        self.away = False
        self.read_bytes = 0
        self.piece: Callable[[bytes], bytes] = lambda data: data
        """What becomes of bytes on their way; may block."""

    def find(self, reference: str) -> OriginListing:
        if self.away:
            raise OriginBrokeError("nobody answers")
        return self.listing

    @contextmanager
    def read(self, file: OriginFile, start: int, end: int) -> Iterator[Iterator[bytes]]:
        if self.away:
            raise OriginBrokeError("nobody answers")
        data = self.piece(self.files[file.path][start:end])
        self.read_bytes += len(data)
        yield iter([data] if data else [])


class FakeOrigins:
    """Knows one origin."""

    def __init__(self, origin: FakeOrigin) -> None:
        self.origin = origin

    def origin_for(self, reference: str) -> FakeOrigin:
        assert reference, "something is asked for"
        return self.origin


def origins_of(origin: FakeOrigin) -> OriginsNow:
    """All origins, of which there is one."""
    return cast("OriginsNow", FakeOrigins(origin))


def listing_of(source: Made, *, promised: bool = True, private: bool = False) -> OriginListing:
    """What an origin lists that has an artifact."""
    files = (
        OriginFile(row.path, row.size_bytes, row.sha256 if promised else None, row.path)
        for row in source.manifest.files
    )
    return OriginListing(REFERENCE, tuple(files), private=private)


def around(me: PopId, threads: Executor, client: FakeClient | None = None) -> Around:
    """What pulls stand on."""
    return Around(
        me=me,
        site=lambda: SiteName("paris"),
        client=lambda: cast("Client | None", client),
        listens=lambda: True,
        threads=threads,
        clock=CLOCK,
        uplink=lambda: None,
        rates=Rates(),
    )


def pop(number: int) -> PopId:
    """One by its number, which is how it is in order."""
    return PopId(f"pop-{number:016x}")
