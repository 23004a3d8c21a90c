"""What PoPs say of themselves, and the view that each PoP has of all.

A PoP publishes one record, its whole state, whenever that has changed enough to matter and every
few seconds besides. Records are values on the wire (msgspec), signed by who made them
(trust/records.py); this module takes those whose signature and member name were checked.

Rules
- A record is replaced only by a later one of the same PoP: a higher boot, or the same boot and a
  higher sequence number. Two different records of one boot and number (a PoP that lies, or a copied
  home) are ordered by their bytes, so that everybody keeps the same one. Merging is therefore
  commutative, associative and idempotent (invariant I7).
- Times in records are their maker's own and are never compared with another machine's clock: age is
  counted from when a record was first heard here.
- A view says what was heard; whether a PoP is there is liveliness, which is only a hint.

It does not choose among PoPs (predict.py) and does not know how records travel.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from littoral.terms.ids import Digest, ModelName, PopId
from littoral.terms.values import Instant, Kind
from littoral.trust.members import Member

__all__ = ["Fleet", "Known", "LinkState", "ModelState", "PopState", "Tier", "Warmth", "later"]


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

    name: ModelName
    kinds: tuple[Kind, ...]
    context_tokens: int = 0
    digest: Digest | None = None
    """Of the weights; None where they are an upstream's."""
    warmth: Warmth = Warmth.WARM
    slots: int = 1
    """Requests it works on at a time."""
    in_flight: int = 0
    waiting: int = 0
    queued_tokens: int = 0
    """Prompt tokens that are to be read before a request that comes now is begun."""
    prefill_tps: float = 0.0
    """Prompt tokens a second, of one request that runs alone."""
    decode_tps: float = 0.0
    """Tokens a second of one answer, with as many at work as lately."""
    answer_tokens: float = 0.0
    """Mean length of its answers lately."""
    load_s: float = 0.0
    """How long the last load took, or an estimate from its size."""
    prefixes: bytes = b""
    """Sketch of the prompt prefixes that its engine keeps (prefix.py)."""
    price_in: int = 0
    """Millionths of the network's unit for a million prompt tokens."""
    price_out: int = 0
    apis: tuple[str, ...] = ("chat.completions", "completions", "embeddings")
    """What it speaks without translation, as in `Ask.api`."""


class LinkState(msgspec.Struct, frozen=True, array_like=True):
    """A link to another PoP, as measured by who says it."""

    pop: PopId
    rtt_ms: float
    """Smoothed time of a round trip of a small request on a warm connection."""
    bytes_per_s: float = 0.0
    """Best rate seen lately; 0 is not measured yet."""


class PopState(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that one PoP says of itself, once."""

    pop: PopId
    boot: int
    """When it started, Unix milliseconds by its own clock; only ever compared with its own."""
    seq: int
    """Number of the record in this boot, from 1."""
    url: str = ""
    """`https://host:port` of its fabric listener; empty when it can't be dialled."""
    relays: tuple[PopId, ...] = ()
    """PoPs that hold a connection from it and pass requests on, when it can't be dialled."""
    models: tuple[ModelState, ...] = ()
    links: tuple[LinkState, ...] = ()
    tier: Tier = Tier.SIGNED
    draining: bool = False
    """Takes no new requests."""
    memory_free: int = 0
    """Bytes; so `disk_free`."""
    disk_free: int = 0
    artifacts: tuple[Digest, ...] = ()
    """What it holds and delivers, the most used first; bounded."""
    version: str = ""
    """Of Littoral."""


def later(one: PopState, other: PopState) -> PopState:
    """Of two records of the same PoP, the one that everybody keeps."""
    assert one.pop == other.pop, "records of one PoP"
    if one == other:
        return one
    mine, theirs = (one.boot, one.seq), (other.boot, other.seq)
    if mine != theirs:
        return one if mine > theirs else other
    return max(one, other, key=_order)


def _order(state: PopState) -> bytes:
    return msgspec.json.encode(state, order="deterministic")


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
        """The fleet once this record has been heard; the same one if it changes nothing."""
        before = self.pops.get(known.state.pop)
        if before is not None and later(before.state, known.state) == before.state:
            if before.alive == known.alive:
                return self
            known = Known(before.member, before.state, before.heard_at, known.alive)
        return Fleet({**self.pops, known.state.pop: known})

    def left(self, pop: PopId) -> "Fleet":
        """The fleet once a PoP can't be reached any more; what it said is kept."""
        before = self.pops.get(pop)
        if before is None or not before.alive:
            return self
        gone = Known(before.member, before.state, before.heard_at, alive=False)
        return Fleet({**self.pops, pop: gone})

    def without(self, pop: PopId) -> "Fleet":
        """The fleet without a PoP that is no member any more."""
        return Fleet({name: known for name, known in self.pops.items() if name != pop})
