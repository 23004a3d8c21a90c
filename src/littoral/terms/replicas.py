"""Replicas: what the home of a collection says of it, and what it sends to those that follow.

The **home** is the PoP that a collection was made at, and the only one that changes it. It
**offers** the collection to sites and PoPs; whoever is meant **follows**: keeps a copy, asks for
what changed, and goes on answering when the home can't be reached. Its first copy of a large
collection comes as **segments**, an artifact that all who follow pass on to each other.
"""

from typing import Annotated

import msgspec

from littoral.terms.ids import ArtifactId, PopId, SiteName
from littoral.terms.limits import OFFER_PLACES_MAX
from littoral.terms.memory import CollectionSpec, Record, Write

__all__ = [
    "Changes",
    "ChangesWanted",
    "Followed",
    "Offer",
    "OfferRow",
    "OffersShown",
    "ReplicaWanted",
    "SegmentsShown",
    "SegmentsWanted",
    "Staleness",
    "WritesWanted",
]

_Incarnation = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
_Site = Annotated[SiteName, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,31}\Z")]
_Pop = Annotated[PopId, msgspec.Meta(pattern=r"\Apop-[0-9a-f]{16}\Z")]
_Artifact = Annotated[ArtifactId, msgspec.Meta(pattern=r"\Ablake3:[0-9a-f]{64}\Z")]
_Places = msgspec.Meta(max_length=OFFER_PLACES_MAX)


class Offer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a home says of a collection to all; the later one of a name counts."""

    spec: CollectionSpec
    incarnation: _Incarnation
    """Of the collection: another one of the same name has another."""
    sites: Annotated[tuple[_Site, ...], _Places] = ()
    """Every PoP of the home's owner at one of these sites follows."""
    pops: Annotated[tuple[_Pop, ...], _Places] = ()
    """So does each of these."""
    made_unix_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    withdrawn: bool = False
    """Nobody is to have a copy any more."""


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What changed in a collection after one of its changes: the latest of each record."""

    after: int
    through: int
    """All up to this one is in it."""
    latest: int
    """The last there was when it was put together."""
    whole: bool = False
    """What the reader has is too old to be brought on: this begins anew, or goes on with that, and
    what is in none of its parts is gone."""
    records: tuple[Record, ...] = ()
    gone: tuple[str, ...] = ()
    era: str = ""
    """In which changes are counted: after a power cut a home may count some anew."""

    @property
    def last(self) -> bool:
        """Nothing comes after it for now."""
        return self.through >= self.latest


class Followed(msgspec.Struct, frozen=True):
    """How far a copy has come."""

    incarnation: str = ""
    """Of what; empty is of nothing yet."""
    era: str = ""
    through: int = 0
    """In the home's count of changes."""
    begun: int = 0
    """It is being made anew, and is not whole yet: the home's last change when that began."""
    ever: bool = False
    """It was whole once, and has answered since."""


class Staleness(msgspec.Struct, frozen=True):
    """How old what a replica gives may be."""

    home: PopId
    seconds: float | None
    """Since it last had all that its home had; None never had."""
    through: int
    """In the home's count."""


class ReplicaWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where copies of a collection are to be."""

    sites: tuple[_Site, ...] = ()
    pops: tuple[_Pop, ...] = ()
    withdrawn: bool = False


class OfferRow(msgspec.Struct, frozen=True):
    """An offer, and who has followed it lately."""

    name: str
    sites: tuple[str, ...]
    pops: tuple[str, ...]
    zone: str
    followers: tuple[PopId, ...] = ()


class OffersShown(msgspec.Struct, frozen=True):
    """All offers of this PoP."""

    offers: tuple[OfferRow, ...]


class ChangesWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A replica asks for what changed."""

    name: str
    incarnation: str
    era: str
    after: int
    begun: int = 0
    wait: bool = True


class SegmentsWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A replica that has nothing yet, or nothing that it can go on from, asks for all at once."""

    name: str
    incarnation: str


class SegmentsShown(msgspec.Struct, frozen=True):
    """All of a collection up to some change, as an artifact that is fetched as any other."""

    artifact: _Artifact | None
    """None: there is none; changes are asked for from the beginning."""
    making: bool = False
    """There will be one: ask again."""


class WritesWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A replica passes on what is to be written."""

    name: str
    incarnation: str
    writes: tuple[Write, ...]
