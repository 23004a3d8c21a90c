"""What a PoP and its mover tell each other, as JSON over the mover's socket file.

The PoP tells the mover of the others (`FleetTold`), whenever that changes. The mover tells what it
has and wants (`MoverSaid`), when it is asked and as soon as it is something else.
"""

from typing import Final

import msgspec

from littoral.routing.fleet import Delivery
from littoral.terms.ids import ArtifactId, ModelName, OwnerId, PopId, SiteName, ZoneName
from littoral.terms.values import ModelEntry
from littoral.trust.members import Member

__all__ = [
    "AT_WORK",
    "FLEET",
    "SAID",
    "SEGMENTS",
    "ArrivingSaid",
    "AtWork",
    "Dealing",
    "FleetTold",
    "ListenTold",
    "MoverArguments",
    "MoverSaid",
    "PeerTold",
    "PullEnd",
    "ReadersTold",
    "SegmentsDropped",
    "SegmentsKept",
    "SegmentsMade",
]

FLEET: Final = "/fleet"
SAID: Final = "/said"
AT_WORK: Final = "/at-work"
SEGMENTS: Final = "/segments"


class MoverArguments(msgspec.Struct, frozen=True, kw_only=True):
    """What the PoP says on the mover's standard input."""

    socket_path: str
    key: str
    """Opens the socket's routes."""
    home: str
    arriving: str
    """Where files that are under way may be mounted."""
    store_bytes_max: int
    hub_endpoint: str
    hub_token: str = ""
    """Shown to that endpoint, unless the home has another for it; empty: none."""


class ListenTold(msgspec.Struct, frozen=True):
    """Where the mover is to listen for others."""

    host: str
    port: int
    """0 takes a free one."""
    reached: str
    """The host by which they reach it."""
    address: str
    """`HOST:PORT` by which they reach it, where that is another one; else empty."""


class Dealing(msgspec.Struct, frozen=True):
    """Which ways artifacts may go between this PoP and another."""

    gets: bool = True
    """It may fetch from here."""
    gives: bool = True
    """This PoP may fetch from it, and so have it know what is wanted here."""

    def __bool__(self) -> bool:
        """Whether any way."""
        return self.gets or self.gives


class PeerTold(msgspec.Struct, frozen=True):
    """Another PoP that delivers, and what it says to have or want."""

    pop: PopId
    owner: OwnerId
    own: bool
    """It is of this PoP's owner: what is private may go to it."""
    zone: ZoneName
    site: SiteName
    address: str
    """`HOST:PORT` of its mover; empty where it can't be dialled."""
    deliveries: tuple[Delivery, ...]
    dealing: Dealing = Dealing()

    @classmethod
    def of(
        cls,
        member: Member,
        address: str,
        deliveries: tuple[Delivery, ...],
        *,
        own: bool,
        dealing: Dealing = Dealing(),  # noqa: B008 - a value
    ) -> "PeerTold":
        """What is told of a member."""
        return cls(
            pop=member.pop,
            owner=member.owner,
            own=own,
            zone=member.zone,
            site=member.site,
            address=address,
            deliveries=deliveries,
            dealing=dealing,
        )


class ReadersTold(msgspec.Struct, frozen=True):
    """To whom segments of a collection may go: to these, and to nobody else."""

    artifact: ArtifactId
    pops: tuple[PopId, ...]


class FleetTold(msgspec.Struct, frozen=True):
    """All others that are there and may be dealt with. Whoever is not among them gets nothing."""

    site: SiteName
    peers: tuple[PeerTold, ...]
    listen: ListenTold | None = None
    """None: this PoP can't be dialled, or is alone."""
    wished: tuple[bytes, ...] = ()
    """What copies are wished of, as `Delivery.reference`: the last copy of it is not dropped."""
    readers: tuple[ReadersTold, ...] = ()
    """Of each artifact that is segments of a collection."""

    def offered(self, model: ModelName) -> ArtifactId | None:
        """What a PoP of this owner has whole and calls that, if any does."""
        for peer in self.peers:
            for delivery in peer.deliveries if peer.own else ():
                if delivery.model == model and delivery.whole:
                    return ArtifactId(f"blake3:{delivery.group.hex()}")
        return None


class AtWork(msgspec.Struct, frozen=True):
    """How many requests the PoP answers now: what is moved makes way for them."""

    requests: int


class SegmentsMade(msgspec.Struct, frozen=True):
    """The PoP has written segments of a collection, which the mover takes over."""

    folder: str
    """With the files, and nothing else."""
    reference: str


class SegmentsKept(msgspec.Struct, frozen=True):
    """They are this artifact now."""

    artifact: ArtifactId


class SegmentsDropped(msgspec.Struct, frozen=True):
    """What came of dropping them."""

    gone: bool
    """They are not here any more; else somebody still holds them."""


class PullEnd(msgspec.Struct, frozen=True):
    """What came of a pull."""

    number: int
    """Of the pulls that this mover has ended, from 1."""
    outcome: str
    """`done`, `failed` or `cancelled`."""
    origin_bytes: int
    neighbour_bytes: int
    reused_bytes: int
    wrong_chunks: int


class ArrivingSaid(msgspec.Struct, frozen=True):
    """A model that is under way, and may be asked for already."""

    pull: str
    """The id of the pull that brings it."""
    entry: ModelEntry
    """As it will be; its file may be opened already, unless its path is empty."""
    error: str = ""
    """Why it will not come; empty while it may."""
    advice: str = ""


class MoverSaid(msgspec.Struct, frozen=True):
    """What the mover has to say."""

    number: int
    """Of what it says: another one whenever it is something else."""
    address: str
    """At which others reach it; empty: it does not listen."""
    deliveries: tuple[Delivery, ...]
    """What it has and wants, the last used first."""
    room_bytes: int
    """What more would fit, if all went that may go."""
    rates: tuple[tuple[PopId, int], ...] = ()
    """Bytes in a second that other PoPs have given."""
    ended: tuple[PullEnd, ...] = ()
    """The pulls that ended last, the oldest first."""
    arriving: tuple[ArrivingSaid, ...] = ()
    """Models that are under way, and those that will not come."""
