"""The PoPs that have a model, as the numbers that a choice among them needs.

What PoPs say of themselves is theirs to say: a number that can't be (negative, not finite, beyond
all machines) is taken for unmeasured or for the bound next to it, so that no record makes a time
negative. A rate that nobody measured is the median of the others', or a stated prior.

Rules
- A PoP without measured rates counts as one with a single slot: it is tried like an average one,
  and the second request at a time already waits for the first.
- Who satisfies what a request needs is known from the name (owner, zone), which the owner vouches
  for, and from the record. It fails closed: what is not said does not satisfy.
- Context length is the exception: 0 is said of upstreams where nobody knows, and those count tokens
  themselves.

It does not choose (predict.py).
"""

import enum
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

import msgspec

from littoral.routing.fleet import Fleet, Known, ModelState, Tier, Warmth
from littoral.routing.prices import PRICE_MAX
from littoral.terms.ids import Digest, ModelName, OwnerId, PopId, ZoneName
from littoral.terms.values import Instant, Kind
from littoral.trust.members import Member

__all__ = [
    "Candidate",
    "Needs",
    "Out",
    "Priors",
    "candidate_of",
    "fresh_until",
    "model_of",
    "priors_of",
    "rtt_of",
]

PREFILL_TPS: Final = 1_000.0
"""Where nobody of a model's PoPs has measured: a mid-size model on a small GPU."""
DECODE_TPS: Final = 30.0
ANSWER_TOKENS: Final = 256.0
LOAD_S: Final = 20.0
LOADING: Final = 0.5
"""What is still to come of a load that was under way when its PoP said so, as a part."""

SAME_SITE_S: Final = 0.000_5
"""Round trips where nobody has measured."""
SAME_ZONE_S: Final = 0.02
ELSEWHERE_S: Final = 0.12

_RATE_MAX: Final = 1e7
_SECONDS_MAX: Final = 3_600.0
_REQUESTS_MAX: Final = 100_000
_TOKENS_MAX: Final = 1_000_000_000
_BEGINS_PER_S_MAX: Final = 100.0
"""So that one that boasts does not make all others be thought full."""
_EACH: Final = 1e-12
"""Millionths of a unit for a million tokens: the price of one token, in the network's unit."""


# A Struct, as every request that may go elsewhere makes one.
class Needs(msgspec.Struct, frozen=True, gc=False):
    """What a request must have, whatever it costs: made once for each policy."""

    kind: Kind
    api: str
    """As in `Ask.api`."""
    stream: bool = False
    zones: frozenset[ZoneName] | None = None
    """None is anywhere; an empty set is nowhere. So `owners`."""
    owners: frozenset[OwnerId] | None = None
    tier: Tier = Tier.SIGNED
    digest: Digest | None = None
    """Of the weights."""


class Out(enum.Enum):
    """Why a PoP may not have a request."""

    GONE = "it is gone"
    DRAINING = "it takes no new requests"
    UNREACHABLE = "it can't be dialled, and no PoP here passes requests on to it"
    OWNER = "its owner is not allowed"
    ZONE = "its zone is not allowed"
    TIER = "its proof is too weak"
    DIGEST = "it has other weights"
    KIND = "its model does not do this kind of work"
    API = "it does not speak this API"
    CONTEXT = "the request is too long for it"
    LOOP = "the request came through it"
    HOPS = "the request has been passed on often enough"


@dataclass(frozen=True, slots=True)
class Priors:
    """What counts where a PoP has not measured: medians, to two digits so that they rarely move."""

    prefill_tps: float = PREFILL_TPS
    decode_tps: float = DECODE_TPS
    answer_tokens: float = ANSWER_TOKENS
    load_s: float = LOAD_S


@dataclass(frozen=True, slots=True)
class Candidate:
    """One PoP that has the model. Times are seconds."""

    known: Known
    model: ModelState
    here: bool
    """It is this PoP."""
    link_s: float | None
    """Round trip; None where it can't be reached."""
    load_s: float
    prefill_s: float
    """To read one token of a prompt."""
    decode_s: float
    """To make one token of an answer."""
    turn_s: float
    """Between two ends of answers, when all slots are at work."""
    busy: int
    """Requests beyond its slots if one more comes; negative while slots are free."""
    queued_tokens: int
    wait_s: float
    """By which one request more delays the next, beside its prompt: a turn if no slot is free."""
    begins_per_s: float
    """Requests that it begins to answer, by how many it answers and how long that takes."""
    price_in: float
    """Of one token of a prompt, in the network's unit."""
    price_out: float
    kept: frozenset[int]
    """Hashes of the prompt beginnings that its engine keeps."""

    @property
    def pop(self) -> PopId:
        """Its name."""
        return self.known.state.pop

    def queue_s(self, requests: int = 0, tokens: int = 0) -> float:
        """Until a request that comes now is begun, with so many more before it."""
        return (self.queued_tokens + tokens) * self.prefill_s + max(
            0, self.busy + requests
        ) * self.turn_s

    def delay_s(self, requests: int, tokens: int) -> float:
        """By how much so many more before it delay a request that comes now."""
        more = max(0, self.busy + requests) - max(0, self.busy)
        return tokens * self.prefill_s + more * self.turn_s

    def out(self, needs: Needs) -> Out | None:
        """Why it may have no request with these needs."""
        state, member, model = self.known.state, self.known.member, self.model
        reasons = (
            (not (self.known.alive or self.here), Out.GONE),
            (state.draining, Out.DRAINING),
            (self.link_s is None, Out.UNREACHABLE),
            (needs.owners is not None and member.owner not in needs.owners, Out.OWNER),
            (needs.zones is not None and member.zone not in needs.zones, Out.ZONE),
            (state.tier < needs.tier, Out.TIER),
            (needs.digest is not None and model.digest != needs.digest, Out.DIGEST),
            (needs.kind not in model.kinds, Out.KIND),
            (needs.api not in model.apis, Out.API),
        )
        return next((reason for holds, reason in reasons if holds), None)


def model_of(known: Known, name: ModelName) -> ModelState | None:
    """What the PoP says of this model, if it has it."""
    return next((model for model in known.state.models if model.name == name), None)


def priors_of(models: Iterable[ModelState]) -> Priors:
    """From what the PoPs of one model have measured."""
    models = list(models)
    return Priors(
        _median((_rate(each.prefill_tps) for each in models), PREFILL_TPS),
        _median((_rate(each.decode_tps) for each in models), DECODE_TPS),
        _median((_rate(each.answer_tokens) for each in models), ANSWER_TOKENS),
        _median((_within(each.load_s, _SECONDS_MAX) for each in models), LOAD_S),
    )


def candidate_of(
    known: Known,
    model: ModelState,
    rtt_s: float | None,
    priors: Priors,
    *,
    here: bool,
    kept: frozenset[int],
) -> Candidate:
    """A PoP as a candidate for one of its models.

    Args:
        known: what it said.
        model: of those it said.
        rtt_s: `rtt_of` it.
        priors: where it has not measured.
        here: it is this PoP.
        kept: the hashes that `model.prefixes` has (`prefix.decoded`).
    """
    prefill, decode = _rate(model.prefill_tps), _rate(model.decode_tps)
    slots = max(1, min(model.slots, _REQUESTS_MAX)) if prefill and decode else 1
    requests = _count(model.in_flight, _REQUESTS_MAX) + _count(model.waiting, _REQUESTS_MAX)
    answer = _rate(model.answer_tokens) or priors.answer_tokens
    decode_s = 1 / (decode or priors.decode_tps)
    load_s = _within(model.load_s, _SECONDS_MAX) or priors.load_s
    remaining = {Warmth.WARM: 0.0, Warmth.LOADING: LOADING, Warmth.COLD: 1.0}[model.warmth]
    turn_s = answer * decode_s / slots
    busy = requests + 1 - slots
    return Candidate(
        known=known,
        model=model,
        here=here,
        link_s=rtt_s,
        load_s=load_s * remaining,
        prefill_s=1 / (prefill or priors.prefill_tps),
        decode_s=decode_s,
        turn_s=turn_s,
        busy=busy,
        queued_tokens=_count(model.queued_tokens, _TOKENS_MAX),
        wait_s=turn_s if busy >= 0 else 0.0,
        begins_per_s=min(_count(model.in_flight, slots) / (answer * decode_s), _BEGINS_PER_S_MAX),
        price_in=_count(model.price_in, PRICE_MAX) * _EACH,
        price_out=_count(model.price_out, PRICE_MAX) * _EACH,
        kept=kept,
    )


def rtt_of(known: Known, fleet: Fleet, here: Member, links: Mapping[PopId, float]) -> float | None:
    """Seconds of a round trip to a PoP, by the way that requests go; None if there is no way.

    Measured here, else what the other side says, else a prior by place. One that can't be dialled
    is reached through a PoP that passes requests on to it (`Fleet.relay_of`).

    Args:
        known: the other PoP, or this one.
        fleet: where the PoPs that pass on are looked up.
        here: this PoP.
        links: what was measured here, in seconds.
    """
    state = known.state
    if state.pop == here.pop:
        return 0.0
    if state.url:
        return _direct_s(known, here, links)
    relay = fleet.relay_of(known, here.pop)
    if relay is None:
        return None
    if relay.member.pop == here.pop or _within(links.get(state.pop, 0.0), _SECONDS_MAX):
        return _direct_s(known, here, links)
    return _direct_s(relay, here, links) + _direct_s(known, relay.member, {})


def _direct_s(other: Known, here: Member, links: Mapping[PopId, float]) -> float:
    measured = _within(links.get(other.state.pop, 0.0), _SECONDS_MAX)
    if measured:
        return measured
    for link in other.state.links:
        said = _within(link.rtt_ms / 1_000, _SECONDS_MAX) if link.pop == here.pop else 0.0
        if said:
            return said
    there = other.member
    if there.zone != here.zone:
        return ELSEWHERE_S
    return SAME_SITE_S if (there.owner, there.site) == (here.owner, here.site) else SAME_ZONE_S


def _median(values: Iterable[float], prior: float) -> float:
    measured = [value for value in values if value]
    if not measured:
        return prior
    return float(f"{median(measured):.1e}")


def _within(value: float, most: float) -> float:
    """The value, if it is a number above 0; 0 is not known."""
    return min(value, most) if math.isfinite(value) and value > 0 else 0.0


def _rate(value: float) -> float:
    return max(_within(value, _RATE_MAX), 1e-3) if _within(value, _RATE_MAX) else 0.0


def _count(value: int, most: int) -> int:
    return max(0, min(value, most))


def fresh_until(candidate: Candidate, after: int) -> Instant:
    """Until when its record needs no discount; a PoP knows itself."""
    return Instant(2**63 if candidate.here else candidate.known.heard_at + after)
