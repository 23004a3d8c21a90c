"""What a PoP tells its operator about the fabric: the JSON of `/v1/fabric`, on both of its ends."""

import enum

import msgspec

from littoral.terms.ids import ModelName, OwnerId, PopId, SiteName, ZoneName
from littoral.terms.limits import TICKET_LIFE_S

__all__ = [
    "Act",
    "ActOn",
    "AdmitOwner",
    "FabricShown",
    "InviteWanted",
    "ModelRow",
    "OwnerRow",
    "PopRow",
    "RootShown",
    "RouteShown",
    "RouteWanted",
    "TicketShown",
]


class InviteWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody is to be let in."""

    site: str | None = None
    """Where the newcomer will be; this PoP's own site unless it is said."""
    zone: str | None = None
    uses: int = 1
    expires_s: int = TICKET_LIFE_S
    issuer: bool | None = None
    """It may issue certificates; None: while there are few who may."""


class TicketShown(msgspec.Struct, frozen=True):
    """A ticket that was made. It is a secret, and shown this once."""

    ticket: str
    expires_unix_s: int
    uses: int
    addresses: tuple[str, ...]
    site: SiteName
    zone: ZoneName
    warning: str = ""


class ModelRow(msgspec.Struct, frozen=True):
    """A model of a PoP."""

    name: ModelName
    warmth: str
    in_flight: int
    waiting: int
    slots: int
    price_in: float = 0.0
    """Units for a million tokens of a prompt."""
    price_out: float = 0.0


class PopRow(msgspec.Struct, frozen=True):
    """A PoP, as the one that was asked sees it."""

    pop: PopId
    owner: OwnerId
    zone: ZoneName
    site: SiteName
    status: str
    """`admitted`, `drained`, `removed` or `revoked`."""
    reach: str
    """`here` (it is the one that was asked), `direct`, `relayed`, `gone`, `never seen`."""
    models: tuple[ModelRow, ...] = ()
    issuer: bool = False
    url: str = ""
    state_address: str = ""
    mover_address: str = ""
    """Where it delivers from; empty where it does not, or can't be dialled."""
    rtt_ms: float | None = None
    """Measured from the one that was asked."""
    bytes_per_s: int = 0
    """The most of artifacts that came from it to the one that was asked; 0: nothing has."""
    heard_s: float | None = None
    """Since its last word."""
    certificate_left_s: int | None = None
    version: str = ""


class OwnerRow(msgspec.Struct, frozen=True):
    """An owner whose PoPs are let in."""

    owner: OwnerId
    own: bool
    fingerprint: str
    """SHA-256 of the root key, hexadecimal: to compare over another channel."""
    policy: str
    """What its PoPs may do here, in words."""


class FabricShown(msgspec.Struct, frozen=True):
    """All that the PoP knows."""

    pop: PopId
    owners: tuple[OwnerRow, ...]
    pops: tuple[PopRow, ...]
    root: str
    """`here` or `elsewhere`: where the owner's root key is."""


class Act(enum.Enum):
    """What an operator does with a PoP."""

    APPROVE = "approve"
    DRAIN = "drain"
    REMOVE = "remove"
    REVOKE = "revoke"


class ActOn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be done, and why."""

    act: Act
    note: str = ""


class AdmitOwner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another owner is let in, as far as this says; nothing is allowed that is not said."""

    root_pem: str
    """Its root certificate, as `littoral owners export` prints it there."""
    may_ask: bool = False
    """Its PoPs may send requests here."""
    may_serve: bool = False
    """Requests from here may be sent to its PoPs."""
    models: tuple[str, ...] | None = None
    """Only these, either way; None is all."""
    zones: tuple[str, ...] | None = None
    """Requests go only to its PoPs in these zones; None is all."""
    requests_per_minute: int | None = None
    """Of all of its PoPs together; so `tokens_per_minute`."""
    tokens_per_minute: int | None = None
    addresses: tuple[str, ...] = ()
    """`HOST:PORT` at which a PoP of it listens for the state of the fabric, to find it by."""


class RootShown(msgspec.Struct, frozen=True):
    """An owner's root certificate."""

    root_pem: str


class RouteWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a request would go."""

    model: str
    prompt: str = ""


class RouteShown(msgspec.Struct, frozen=True):
    """Where it would go now: the first of `candidates`; and why."""

    model: ModelName
    candidates: tuple[str, ...]
    """One line each, best first."""
    ruled_out: tuple[str, ...]
