"""What PoPs say of themselves, and the view that each PoP has of all.

A PoP publishes one record, its whole state, whenever that has changed enough to matter and every
few seconds besides. Records are values on the wire (msgspec), signed by who made them
(trust/records.py); this module takes those whose signature and member name were checked.

Rules
- What others send is in bounds once it is `decoded`: no infinite rate, no million models. Fields
  that a later version adds are passed over.
- A record is replaced only by a later one of the same PoP: a higher boot, or the same boot and a
  higher sequence number. Two different records of one boot and number (a PoP that lies, or a copied
  home) are ordered by their bytes, so that everybody keeps the same one. Merging is therefore
  commutative, associative and idempotent (invariant I7).
- A PoP never begins a boot with a lower number than it had before, whatever its clock says: others
  would not listen. So it keeps the last one, and takes the next if its clock was set back.
- Times in records are their maker's own and are never compared with another machine's clock: age is
  counted from when a record was first heard here.
- A view says what was heard; whether a PoP is there is liveliness, which is only a hint.

It does not choose among PoPs (predict.py) and does not know how records travel.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from littoral.terms.errors import RecordRejectedError
from littoral.terms.ids import Digest, ModelName, PopId
from littoral.terms.limits import (
    DELIVERIES_SAID_MAX,
    DEMAND_SAID_MAX,
    RECORD_BYTES_MAX,
    STATE_ITEMS_MAX,
    STATE_NUMBER_MAX,
)
from littoral.terms.values import Instant, Kind
from littoral.trust.decoding import UNREADABLE, PopName
from littoral.trust.members import Member

__all__ = [
    "Delivery",
    "Fleet",
    "Known",
    "LinkState",
    "ModelState",
    "PopState",
    "Tier",
    "Warmth",
    "decoded",
    "encoded",
    "later",
]

_Count = Annotated[int, Meta(ge=0, le=int(STATE_NUMBER_MAX))]
_Rate = Annotated[float, Meta(ge=0, le=STATE_NUMBER_MAX)]
"""Not a number is out of these bounds too."""
_Number = Annotated[int, Meta(ge=0, le=2**62)]
_Model = Annotated[ModelName, Meta(pattern=r"\A[a-z0-9][a-z0-9._/:-]{0,95}\Z")]
_Sha256 = Annotated[Digest, Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")]
_Url = Annotated[str, Meta(pattern=r"\A(https://[\x21-\x7e]{1,300})?\Z")]
_Word = Annotated[str, Meta(pattern=r"\A[\x21-\x7e]{0,64}\Z")]
_Items = Meta(max_length=STATE_ITEMS_MAX)


class Warmth(enum.Enum):
    """How soon a model can begin to answer."""

    WARM = "warm"
    LOADING = "loading"
    COLD = "cold"
    """Its files are there; it has to be loaded first."""


class Tier(enum.IntEnum):
    """How strong the proof of an answer is; a higher one satisfies every lower one."""

    SIGNED = 0
    AUDITED = 1
    ATTESTED = 2
    CONFIDENTIAL = 3


class ModelState(msgspec.Struct, frozen=True, omit_defaults=True):
    """One model of a PoP. Rates are measured there, on real requests; 0 is not measured yet."""

    name: _Model
    kinds: Annotated[tuple[Kind, ...], Meta(max_length=8)]
    context_tokens: _Count = 0
    digest: _Sha256 | None = None
    """Of the weights; None where they are an upstream's."""
    warmth: Warmth = Warmth.WARM
    slots: _Count = 1
    """Requests it works on at a time."""
    in_flight: _Count = 0
    waiting: _Count = 0
    queued_tokens: _Count = 0
    """Prompt tokens that are to be read before a request that comes now is begun."""
    prefill_tps: _Rate = 0.0
    """Prompt tokens a second, of one request that runs alone."""
    decode_tps: _Rate = 0.0
    """Tokens a second of one answer, with as many at work as lately."""
    answer_tokens: _Rate = 0.0
    """Mean length of its answers lately."""
    load_s: _Rate = 0.0
    """How long the last load took, or an estimate from its size."""
    prefixes: Annotated[bytes, Meta(max_length=RECORD_BYTES_MAX)] = b""
    """Sketch of the prompt prefixes that its engine keeps (prefix.py)."""
    price_in: _Count = 0
    """Millionths of the network's unit for a million prompt tokens."""
    price_out: _Count = 0
    apis: Annotated[tuple[_Word, ...], Meta(max_length=16)] = (
        "chat.completions",
        "completions",
        "embeddings",
    )
    """What it speaks without translation, as in `Ask.api`."""


class LinkState(msgspec.Struct, frozen=True, array_like=True):
    """A link to another PoP, as measured by who says it."""

    pop: PopName
    rtt_ms: _Rate
    """Smoothed time of a round trip of a small request on a warm connection."""
    bytes_per_s: _Rate = 0.0
    """Best rate seen lately; 0 is not measured yet."""


class Delivery(msgspec.Struct, frozen=True, array_like=True):
    """An artifact that a PoP has, or is about to have, and passes on."""

    group: Annotated[bytes, Meta(min_length=32, max_length=32)]
    """Who says the same one is at the same: the artifact's BLAKE3, or, where nobody knows that yet,
    that of how it is cut."""
    reference: Annotated[bytes, Meta(min_length=8, max_length=8)]
    """The beginning of the BLAKE3 of the pinned reference that it came by."""
    whole: bool
    """All of it is there and checked."""
    size_bytes: _Count = 0
    model: Annotated[str, Meta(pattern=r"\A([a-z0-9][a-z0-9._/:-]{0,95})?\Z")] = ""
    """What it can be asked for as there; empty: nothing."""


class PopState(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that one PoP says of itself, once."""

    pop: PopName
    boot: _Number
    """When it started, Unix milliseconds by its own clock; only ever compared with its own."""
    seq: _Number
    """Number of the record in this boot, from 1."""
    url: _Url = ""
    """`https://host:port` of its fabric listener; empty when it can't be dialled."""
    state_address: _Word = ""
    """`HOST:PORT` at which it listens for the state of the fabric."""
    relays: Annotated[tuple[PopName, ...], Meta(max_length=8)] = ()
    """PoPs that hold a connection from it and pass requests on, when it can't be dialled."""
    models: Annotated[tuple[ModelState, ...], _Items] = ()
    links: Annotated[tuple[LinkState, ...], _Items] = ()
    tier: Tier = Tier.SIGNED
    draining: bool = False
    """Takes no new requests."""
    memory_free: _Count = 0
    """Bytes; so `disk_free`."""
    disk_free: _Count = 0
    artifacts: Annotated[tuple[_Sha256, ...], _Items] = ()
    """The weights of its models, by SHA-256."""
    demand: Annotated[tuple[tuple[_Model, _Rate], ...], Meta(max_length=DEMAND_SAID_MAX)] = ()
    """What its own clients ask for most, and how often in an hour."""
    mover: _Word = ""
    """`HOST:PORT` at which artifacts are had from it; empty: from nowhere."""
    deliveries: Annotated[tuple[Delivery, ...], Meta(max_length=DELIVERIES_SAID_MAX)] = ()
    """What it has and is fetching, the last used first."""
    version: _Word = ""
    """Of Littoral."""


def later(one: PopState, other: PopState) -> PopState:
    """Of two records of the same PoP, the one that everybody keeps."""
    assert one.pop == other.pop, "records of one PoP"
    if one == other:
        return one
    mine, theirs = (one.boot, one.seq), (other.boot, other.seq)
    if mine != theirs:
        return one if mine > theirs else other
    return max(one, other, key=encoded)


_ENCODER: Final = msgspec.msgpack.Encoder()
_STATE: Final = msgspec.msgpack.Decoder(PopState)


def encoded(state: PopState) -> bytes:
    """The payload of this state's record."""
    return _ENCODER.encode(state)


def decoded(payload: bytes) -> PopState:
    """The state that another PoP sent, in bounds.

    Raises:
        RecordRejectedError: it is not a state, or something in it is out of bounds.
    """
    try:
        return _STATE.decode(payload)
    except UNREADABLE as error:
        raise RecordRejectedError(f"a state can't be used ({str(error)[:200]})") from None


@dataclass(frozen=True, slots=True)
class Known:
    """One other PoP, as it is known here."""

    member: Member
    state: PopState
    heard_at: Instant
    """When this record was first heard here."""
    alive: bool = True
    """It can be reached as far as the fabric's liveliness goes."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """All PoPs that are known here, this one among them. A value: `heard` makes the next one."""

    pops: Mapping[PopId, Known]

    def heard(self, known: Known) -> "Fleet":
        """The fleet once this record has been heard; the same one if it changes nothing.

        The later state counts. Of member and liveliness there is no order: the word here counts.
        """
        before = self.pops.get(known.state.pop)
        if before is not None and later(before.state, known.state) == before.state:
            known = Known(known.member, before.state, before.heard_at, known.alive)
            if known == before:
                return self
        return Fleet({**self.pops, known.state.pop: known})

    def relay_of(self, known: Known, here: PopId) -> Known | None:
        """The PoP by which one that can't be dialled is reached; None if there is none.

        It is this PoP (`here`), if that holds a connection from it; else the first in the order
        that the PoP itself says. Only PoPs of its own owner count: it could name anybody.
        """
        found: list[Known] = []
        for pop in known.state.relays:
            relay = self.pops.get(pop)
            if relay is None or relay.member.owner != known.member.owner:
                continue
            if pop == here:
                return relay
            if relay.alive and relay.state.url and not relay.state.draining:
                found.append(relay)
        return found[0] if found else None

    def left(self, pop: PopId) -> "Fleet":
        """The fleet once a PoP can't be reached any more; what it said is kept."""
        before = self.pops.get(pop)
        if before is None or not before.alive:
            return self
        gone = Known(before.member, before.state, before.heard_at, alive=False)
        return Fleet({**self.pops, pop: gone})

    def without(self, pop: PopId) -> "Fleet":
        """The fleet without a PoP that is no member any more; the same one if it was not there."""
        if pop not in self.pops:
            return self
        return Fleet({name: known for name, known in self.pops.items() if name != pop})
