"""The models of other PoPs, as entries beside those of this one's catalogue.

Rules
- A model is one by its name and its weights. Where PoPs have other weights under one name, those
  that most have are the model's (at a tie, those whose digest comes first), so that one name never
  gives now this and now that; the others are left out and show in `littoral pops`.
- All PoPs that have it are its targets, also those that are gone or drain: which of them is asked
  is decided for each request (ranking.py), and an entry does not change with every link.
- An owner is asked only if this PoP's owner lets it serve, and for which models.
"""

from collections import Counter
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Final

from littoral.routing.fleet import Fleet, Known, ModelState
from littoral.terms.ids import Digest, ModelName, PopId
from littoral.terms.limits import GUEST_CONNECT_S, GUEST_TARGETS_MAX, GUESTS_MAX
from littoral.terms.values import (
    EngineKind,
    ModelEntry,
    RelayPolicy,
    ToolSupport,
    UpstreamTarget,
)
from littoral.trust.members import Member

__all__ = ["Guests", "MayServe", "guests_of", "settled_digest"]

MayServe = Callable[[Member, ModelName], bool]
"""Whether requests for a model may be sent to a PoP."""

_RELAY: Final = RelayPolicy(connect_s=GUEST_CONNECT_S)


@dataclass(frozen=True, slots=True)
class _Way:
    """How a PoP is reached, as UpstreamTarget says it."""

    url: str
    peer: str
    through: str = ""


class Guests:
    """The guests of one PoP. They are put together anew when what they follow from has changed.

    Most records change nothing of it, and with 24 PoPs some come each second.
    """

    def __init__(self) -> None:
        self._before: Mapping[PopId, Known] | None = None

    def of(
        self, fleet: Fleet, here: PopId, may_serve: MayServe
    ) -> Mapping[ModelName, ModelEntry] | None:
        """See `guests_of`; None where they are as they were."""
        before, self._before = self._before, fleet.pops
        if before is not None and not _differ(before, fleet.pops, here):
            return None
        return guests_of(fleet, here, may_serve)

    def forget(self) -> None:
        """Who may serve has changed."""
        self._before = None


def guests_of(fleet: Fleet, here: PopId, may_serve: MayServe) -> Mapping[ModelName, ModelEntry]:
    """An entry for each model that other PoPs have.

    Args:
        fleet: all PoPs.
        here: this one.
        may_serve: see MayServe.
    """
    having: dict[ModelName, list[tuple[_Way, ModelState]]] = {}
    for pop, known in sorted(fleet.pops.items()):
        way = None if pop == here else _way(known, fleet, here)
        if way is None:
            continue
        for model in known.state.models:
            if may_serve(known.member, model.name):
                having.setdefault(model.name, []).append((way, model))
    names = sorted(having)[:GUESTS_MAX]
    return {name: _entry(name, having[name]) for name in names}


def settled_digest(models: list[ModelState]) -> Digest | None:
    """The weights that most PoPs have under one name."""
    counted = Counter(each.digest for each in models)
    return min(counted, key=lambda digest: (-counted[digest], digest or ""))


def _differ(before: Mapping[PopId, Known], after: Mapping[PopId, Known], here: PopId) -> bool:
    """Whether other guests may follow from these PoPs, without a look at who may serve."""
    if before.keys() != after.keys():
        return True
    relays = {pop for known in after.values() for pop in known.state.relays}
    changed = (pop for pop, known in after.items() if known is not before[pop] and pop != here)
    return any(_offer(before[pop], relays) != _offer(after[pop], relays) for pop in changed)


def _offer(known: Known, relays: Container[PopId]) -> object:
    """All of a PoP that guests follow from."""
    models = [
        (each.name, each.digest, each.kinds, each.context_tokens, each.apis)
        for each in known.state.models
    ]
    state = known.state
    passes_on = state.pop in relays and known.alive and not state.draining
    return known.member, state.url, state.relays, passes_on, models


def _entry(name: ModelName, having: list[tuple[_Way, ModelState]]) -> ModelEntry:
    digest = settled_digest([model for _, model in having])
    same = [(way, model) for way, model in having if model.digest == digest]
    same = same[:GUEST_TARGETS_MAX]
    first = same[0][1]
    contexts = [model.context_tokens for _, model in same]
    return ModelEntry(
        name=name,
        engine=EngineKind.UPSTREAM,
        kinds=first.kinds,
        context_tokens=0 if 0 in contexts else max(contexts),
        origin="the fabric",
        description=f"on {len(same)} other PoPs" if len(same) > 1 else "on another PoP",
        digest=digest,
        tools=ToolSupport.NATIVE,
        upstreams=tuple(_target(way, model) for way, model in same),
        relay=_RELAY,
    )


def _way(known: Known, fleet: Fleet, here: PopId) -> _Way | None:
    """How requests go to a PoP; None where they can't."""
    peer = known.member.name
    if known.state.url:
        return _Way(known.state.url, peer)
    relay = fleet.relay_of(known, here)
    if relay is None:
        return None
    if relay.state.pop == here:
        return _Way(f"https://{known.state.pop}", peer, through=peer)
    return _Way(relay.state.url, peer, through=relay.member.name)


def _target(way: _Way, model: ModelState) -> UpstreamTarget:
    return UpstreamTarget(
        base_url=f"{way.url}/v1",
        model=model.name,
        apis=model.apis,
        peer=way.peer,
        through=way.through,
    )
