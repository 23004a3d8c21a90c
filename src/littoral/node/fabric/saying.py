"""What this PoP says of itself to the others, and when.

Rules
- What changes where requests may go (a model more or less, its warmth, draining) is said at once.
- What changes how long they take there (queues, rates, links) is said when it has moved by enough
  to matter, SAY_S apart at least.
- Of the links only the shortest are said: each PoP measures its own, and with 24 of them they were
  most of what is said at rest.
- What does not matter is said every STATE_SAY_S, so that a PoP at rest sends a few hundred bytes
  a second in all.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final

import littoral
from littoral.node.fabric.learning import Learning
from littoral.routing.fleet import Delivery, LinkState, ModelState, PopState, Warmth
from littoral.routing.prices import NO_PRICES, Price, Prices
from littoral.terms.ids import ModelName, PopId
from littoral.terms.limits import (
    DELIVERIES_SAID_MAX,
    LINKS_SAID_MAX,
    SAY_S,
    STATE_ITEMS_MAX,
    STATE_SAY_S,
)
from littoral.terms.values import (
    SECOND,
    Down,
    EngineKind,
    Instant,
    Kind,
    ModelEntry,
    ModelStatus,
    Ready,
    Starting,
)

__all__ = ["Matter", "Place", "due", "link_moved", "matter", "state_of"]

_APIS: Final = {
    Kind.CHAT: ("chat.completions", "messages", "responses"),
    Kind.COMPLETE: ("completions",),
    Kind.EMBED: ("embeddings",),
    Kind.RERANK: ("rerank",),
}
"""What a PoP answers for a model of each kind: its dialects translate what the engine lacks."""

_SLOTS_OF_UPSTREAM: Final = 64
_LOAD_BYTES_PER_S: Final = 200e6
"""For a model that was never loaded here: a disk that is not cached, cautiously."""
_ARRIVE_BYTES_PER_S: Final = 25e6
"""For one that is still on its way, before a rate is measured."""
_MOVED: Final = 0.25
_LINK_S: Final = 0.002
"""PoPs whose times differ by less are equals to whoever chooses (predict.NEAR_S), and on a fast
link a busy moment of either side is as long as this."""
_QUEUE_TOKENS: Final = 256


@dataclass(frozen=True, slots=True)
class Place:
    """What a PoP says of where it is and what it has, besides its models."""

    pop: PopId
    boot: int
    url: str
    state_address: str
    relays: tuple[PopId, ...] = ()
    draining: bool = False
    memory_free: int = 0
    disk_free: int = 0
    demand: tuple[tuple[ModelName, float], ...] = ()
    mover: str = ""
    deliveries: tuple[Delivery, ...] = ()
    rates: tuple[tuple[PopId, int], ...] = ()
    """Bytes in a second that others have given."""


class Matter(enum.IntEnum):
    """How much a change matters to others."""

    NOTHING = 0
    TIMES = 1
    """How long requests take."""
    WAYS = 2
    """Where they may go."""


def state_of(
    place: Place,
    number: int,
    statuses: Sequence[ModelStatus],
    links: Mapping[PopId, float],
    learning: Learning,
    slots: int,
    prices: Prices = NO_PRICES,
) -> PopState:
    """All of it.

    Args:
        place: where it is.
        number: of the record.
        statuses: of all models that it knows; guests are left out, as others speak for them, and
            so is what was on its way and will not come.
        links: seconds of a round trip to each PoP.
        learning: of its models.
        slots: of a local model.
        prices: of its models.
    """
    rates = dict(place.rates)
    own = [each for each in statuses if not each.entry.guest and not _lost(each)]
    return PopState(
        pop=place.pop,
        boot=place.boot,
        seq=number,
        url=place.url,
        state_address=place.state_address,
        relays=place.relays,
        models=tuple(
            _model(each, learning, slots, prices.of(each.entry.name))
            for each in own[:STATE_ITEMS_MAX]
        ),
        links=tuple(
            LinkState(pop, round(seconds * 1000, 2), rates.get(pop, 0.0))
            for pop, seconds in sorted(nsmallest(LINKS_SAID_MAX, links.items(), key=_seconds))
        ),
        draining=place.draining,
        memory_free=place.memory_free,
        disk_free=place.disk_free,
        artifacts=tuple(
            each.entry.digest for each in own if each.entry.digest and not each.entry.arriving
        )[:STATE_ITEMS_MAX],
        demand=place.demand,
        mover=place.mover,
        deliveries=place.deliveries[:DELIVERIES_SAID_MAX],
        version=littoral.__version__,
    )


def matter(before: PopState | None, after: PopState) -> Matter:
    """How much it matters that a PoP now says this instead of that."""
    if before is None or _ways(before) != _ways(after):
        return Matter.WAYS
    pairs = zip(before.models, after.models, strict=True)
    if any(_times_moved(one, other) for one, other in pairs):
        return Matter.TIMES
    links = {each.pop: each.rtt_ms for each in before.links}
    moved = any(
        each.pop not in links or link_moved(links[each.pop] / 1000, each.rtt_ms / 1000)
        for each in after.links
    )
    return Matter.TIMES if moved else Matter.NOTHING


def link_moved(before_s: float, after_s: float) -> bool:
    """Whether a link with another round trip is another link: less than _LINK_S decides nothing."""
    return abs(before_s - after_s) > _LINK_S and _moved(before_s, after_s)


def due(how_much: Matter, said_at: Instant, now: Instant) -> bool:
    """Whether it is to be said now, after something was said then."""
    if how_much is Matter.WAYS:
        return True
    pause_s = SAY_S if how_much is Matter.TIMES else STATE_SAY_S
    return now - said_at >= pause_s * SECOND


def _seconds(link: tuple[PopId, float]) -> tuple[float, PopId]:
    pop, seconds = link
    return seconds, pop


def _model(status: ModelStatus, learning: Learning, slots: int, price: Price) -> ModelState:
    entry, name = status.entry, status.entry.name
    measured = learning.measured(name)
    upstream = entry.engine is EngineKind.UPSTREAM
    return ModelState(
        name=name,
        kinds=entry.kinds,
        context_tokens=entry.context_tokens,
        digest=entry.digest,
        warmth=Warmth.WARM if upstream else _warmth(status),
        slots=_SLOTS_OF_UPSTREAM if upstream else slots,
        in_flight=status.in_flight,
        waiting=status.waiting,
        queued_tokens=int(status.waiting * learning.prompt_tokens(name)),
        prefill_tps=round(measured.prefill_tps, 1),
        decode_tps=round(measured.decode_tps, 1),
        answer_tokens=round(measured.answer_tokens),
        load_s=round(
            (measured.load_s or entry.size_bytes / _LOAD_BYTES_PER_S) + _arrives_s(status), 2
        ),
        prefixes=learning.sketch(name),
        price_in=price.prompt,
        price_out=price.answer,
        apis=_apis(entry),
    )


def _lost(status: ModelStatus) -> bool:
    return status.entry.arriving and isinstance(status.state, Down)


def _arrives_s(status: ModelStatus) -> float:
    """Seconds until a model is here; 0 where it is."""
    if not isinstance(status.state, Starting) or not status.state.arriving:
        return 0.0
    if status.state.left_s is not None:
        return status.state.left_s
    return (1 - (status.state.fraction or 0.0)) * status.entry.size_bytes / _ARRIVE_BYTES_PER_S


def _warmth(status: ModelStatus) -> Warmth:
    match status.state:
        case Starting(arriving=True):
            return Warmth.COLD  # it takes all of the load, and before that what is left to come
        case Ready():
            return Warmth.WARM
        case Starting():
            return Warmth.LOADING
        case _:
            return Warmth.COLD


def _apis(entry: ModelEntry) -> tuple[str, ...]:
    return tuple(api for kind in entry.kinds for api in _APIS[kind])


def _ways(state: PopState) -> object:
    """What decides where requests may go, and where artifacts may come from."""
    models = [
        (each.name, each.digest, each.warmth, each.kinds, each.context_tokens, each.apis)
        for each in state.models
    ]
    delivered = state.mover, state.deliveries
    return state.url, state.relays, state.tier, state.draining, delivered, models


def _times_moved(one: ModelState, other: ModelState) -> bool:
    if one.prefixes != other.prefixes or one.waiting != other.waiting:
        return True
    if (one.in_flight >= one.slots) != (other.in_flight >= other.slots):
        return True
    if abs(one.in_flight - other.in_flight) > one.slots * _MOVED:
        return True
    if abs(one.queued_tokens - other.queued_tokens) > _QUEUE_TOKENS:
        return True
    rates = (
        (one.prefill_tps, other.prefill_tps),
        (one.decode_tps, other.decode_tps),
        (one.answer_tokens, other.answer_tokens),
        (one.load_s, other.load_s),
    )
    return any(_moved(*pair) for pair in rates)


def _moved(one: float, other: float) -> bool:
    """Whether a time or rate is another one by enough to matter."""
    return abs(one - other) > _MOVED * max(one, other)
