"""What a PoP and its mover tell each other, as JSON over the mover's socket file.

The PoP tells the mover of the others (`FleetTold`), whenever that changes. The mover tells what it
has and wants (`MoverSaid`), when it is asked and as soon as it is something else.
"""

from typing import Final

import msgspec

from littoral.routing.fleet import Delivery
from littoral.terms.ids import OwnerId, PopId, SiteName, ZoneName

__all__ = ["FLEET", "SAID", "FleetTold", "ListenTold", "MoverArguments", "MoverSaid", "PeerTold"]

FLEET: Final = "/fleet"
SAID: Final = "/said"


class MoverArguments(msgspec.Struct, frozen=True, kw_only=True):
    """What the PoP says on the mover's standard input."""

    socket_path: str
    key: str
    """Opens the socket's routes."""
    home: str
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


class FleetTold(msgspec.Struct, frozen=True):
    """All others that are there and may be dealt with. Whoever is not among them gets nothing."""

    site: SiteName
    peers: tuple[PeerTold, ...]
    listen: ListenTold | None = None
    """None: this PoP can't be dialled, or is alone."""
    at_work: int = 0
    """Requests that this PoP answers now: what is moved makes way for them."""


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
