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
from collections.abc import Callable, Mapping
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
    having: dict[ModelName, list[tuple[Known, ModelState]]] = {}
    for pop, known in sorted(fleet.pops.items()):
        if pop == here or not known.state.url:
            continue
        for model in known.state.models:
            if may_serve(known.member, model.name):
                having.setdefault(model.name, []).append((known, model))
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
    changed = (pop for pop, known in after.items() if known is not before[pop] and pop != here)
    return any(_offer(before[pop]) != _offer(after[pop]) for pop in changed)


def _offer(known: Known) -> object:
    """All of a PoP that guests follow from."""
    models = [
        (each.name, each.digest, each.kinds, each.context_tokens, each.apis)
        for each in known.state.models
    ]
    return known.member, known.state.url, models


def _entry(name: ModelName, having: list[tuple[Known, ModelState]]) -> ModelEntry:
    digest = settled_digest([model for _, model in having])
    same = [(known, model) for known, model in having if model.digest == digest]
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
        upstreams=tuple(_target(known, model) for known, model in same),
        relay=_RELAY,
    )


def _target(known: Known, model: ModelState) -> UpstreamTarget:
    return UpstreamTarget(
        base_url=f"{known.state.url}/v1",
        model=model.name,
        apis=model.apis,
        peer=known.member.name,
    )
