"""Which PoP is asked for a request: the view of the fleet, what was sent, and the choice.

Rules
- A model's table of candidates is kept in step with the fleet, TABLE_S apart at least: in between,
  what is sent from here counts at once.
- A PoP that is not in the table is not asked.
- Where this PoP has the model itself, it is a candidate like the others; others are asked only
  for the same weights.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import structs

from littoral.adapters.upstreams.words import Errand
from littoral.node.onward import key_behind
from littoral.routing import explain
from littoral.routing.candidates import Needs
from littoral.routing.fleet import Fleet
from littoral.routing.predict import Wanted, chosen, weighed_at, weights
from littoral.routing.prefix import prefixes_of, prompt_of, tokens_of
from littoral.routing.prices import UNIT_WORTH_S
from littoral.routing.requirements import requirement_of
from littoral.routing.sends import Send, Sends
from littoral.routing.table import Table
from littoral.routing.tide import Weighed
from littoral.terms.ids import Digest, ModelName, OwnerId, PopId
from littoral.terms.limits import ROUTE_VIEWS_MAX, TABLE_S
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND, Instant, Kind
from littoral.trust.members import Member

__all__ = ["Best", "Ranking"]

_KINDS: Final = {
    "completions": Kind.COMPLETE,
    "embeddings": Kind.EMBED,
    "rerank": Kind.RERANK,
}

_NEVER: Final = Instant(0)


@dataclass(slots=True)
class _Model:
    table: Table
    sends: Sends
    fleet: Fleet | None = None
    updated_at: Instant = _NEVER


@dataclass(frozen=True, slots=True)
class Best:
    """Seconds of weight; None where nobody may have the request."""

    here_s: float | None
    away_s: float | None


# A Struct, as every request that may go elsewhere makes one.
class _Read(msgspec.Struct):
    """A request that was looked at."""

    errand: Errand
    model: ModelName
    wanted: Wanted
    known: _Model | None = None
    """Of what it was chosen, once it was."""
    chosen: Sequence[Weighed] = ()
    """Whom it is to go to, and what they weighed."""

    def of(self, pop: PopId) -> Weighed | None:
        """What this PoP weighed, if it is among them."""
        for weighed in self.chosen:  # mostly the first
            if weighed[1][4] == pop:
                return weighed
        return None


class _Following:
    """One request that was sent to another PoP."""

    __slots__ = ("_send", "_sends", "why")

    def __init__(self, sends: Sends, send: Send, why: str) -> None:
        self._sends = sends
        self._send = send
        self.why = why

    def began(self) -> None:
        """See words.Followed."""
        self._sends.began(self._send)

    def ended(self) -> None:
        """See words.Followed."""
        self._sends.ended(self._send)


class Ranking:
    """Of one PoP."""

    def __init__(
        self,
        here: Member,
        fleet: Callable[[], Fleet],
        links: Mapping[PopId, float],
        owners: Callable[[ModelName], frozenset[OwnerId]],
        clock: Clock,
        unit_worth_s: float = UNIT_WORTH_S,
    ) -> None:
        """Know what is asked when a request comes.

        Args:
            here: this PoP.
            fleet: all, this one among them, as now.
            links: seconds of a round trip to each, as measured.
            owners: whose PoPs may be asked for a model.
            clock: for ages, and for chance.
            unit_worth_s: how much later an answer may come to cost one unit less.
        """
        self._here = here
        self._fleet = fleet
        self._links = links
        self._owners = owners
        self._clock = clock
        self._unit_worth_s = unit_worth_s
        self._models: dict[ModelName, _Model] = {}
        self._heard: Mapping[PopId, Instant] = {}
        """When the last record of each PoP came."""
        self._read: _Read | None = None

    def rank(self, errand: Errand, model: ModelName, spin: int) -> Sequence[PopId]:
        """The PoPs that may have a request, this one among them, best first: see words.Rank."""
        now = self._clock.now()
        known, read = self._known(model, now), self._looked_at(errand, model)
        ranked = chosen(known.table, read.wanted, known.sends, now, spin)
        if not ranked and known.fleet is not self._fleet():  # whoever came just now may have it
            self._update(known, now)
            ranked = chosen(known.table, read.wanted, known.sends, now, spin)
        read.known, read.chosen = known, ranked
        return [row[4] for _, row, _ in ranked]

    def best(self, errand: Errand, model: ModelName, digest: Digest | None) -> "Best | None":
        """What this PoP and the best of the others are expected to take; None if nobody may."""
        now = self._clock.now()
        known = self._known(model, now)
        wanted = self._wanted(errand, model, digest)
        found = weights(known.table, wanted, known.sends, now)
        here = next((weight for weight, pop in found if pop == self._here.pop), None)
        away = next((weight for weight, pop in found if pop != self._here.pop), None)
        return None if here is None and away is None else Best(here, away)

    def explain(self, errand: Errand, model: ModelName, digest: Digest | None) -> list[str]:
        """The same in words."""
        now = self._clock.now()
        known = self._known(model, now)
        wanted = self._wanted(errand, model, digest)
        return explain.explain(known.table, wanted, known.sends, now)

    def follow(self, errand: Errand, model: ModelName, pop: PopId) -> "_Following":
        """A request goes to a PoP: see words.Follow."""
        now, read = self._clock.now(), self._looked_at(errand, model)
        known = read.known or self._known(model, now)
        table, wanted, sends = known.table, read.wanted, known.sends
        weighed = read.of(pop) or weighed_at(table, wanted, sends, now, pop)
        why, kept = "", 0
        if weighed is not None:
            why, kept = explain.reason(weighed, table, wanted, sends, now), weighed[2]
        send = sends.sent(pop, max(0, wanted.prompt_tokens - kept), now)
        return _Following(sends, send, why)

    def look(self, fleet: Fleet) -> None:
        """The fleet is this from now on: a new record of a PoP tells of what was sent before."""
        for pop, known in fleet.pops.items():
            if self._heard.get(pop) == known.heard_at:
                continue
            for model in self._models.values():
                model.sends.heard(pop, known.heard_at, self._links.get(pop, 0.0))
        self._heard = {pop: known.heard_at for pop, known in fleet.pops.items()}

    def _known(self, model: ModelName, now: Instant) -> _Model:
        known = self._models.get(model)
        if known is None:
            table = Table(model, self._here, self._unit_worth_s)
            known = self._models[model] = _Model(table, Sends())
        if known.fleet is None or (
            now - known.updated_at >= TABLE_S * SECOND and known.fleet is not self._fleet()
        ):
            self._update(known, now)
        return known

    def _update(self, known: _Model, now: Instant) -> None:
        known.fleet, known.updated_at = self._fleet(), now
        known.table.update(known.fleet, self._links)

    def _looked_at(self, errand: Errand, model: ModelName) -> _Read:
        """The last errand is remembered: after the ranking, whoever is sent it is followed."""
        read = self._read
        if read is None or read.errand is not errand or read.model != model:
            read = self._read = _Read(errand, model, self._wants(errand, model))
        return read

    def _wanted(self, errand: Errand, model: ModelName, digest: Digest | None) -> Wanted:
        """What a request wants, of which the digest is another one for a PoP that has the model."""
        wanted = self._looked_at(errand, model).wanted
        if digest is None or wanted.needs.digest is not None:
            return wanted
        return structs.replace(wanted, needs=structs.replace(wanted.needs, digest=digest))

    def _wants(self, errand: Errand, model: ModelName) -> Wanted:
        passage = errand.passage
        assert passage is not None, "a request that may go elsewhere has its passage"
        prompt = _prompt_of(errand.body)
        scope = key_behind(passage.via[-1], passage.scope)
        return Wanted(
            needs=_needs(errand.api, errand.stream, passage.requires, self._owners(model)),
            prompt_tokens=tokens_of(len(prompt)),
            prefixes=prefixes_of(scope, model, prompt),
            via=passage.via[:-1],
        )


@lru_cache(ROUTE_VIEWS_MAX)
def _needs(api: str, stream: bool, requires: str, owners: frozenset[OwnerId]) -> Needs:
    """What requests of one form need; remembered, as clients ask alike."""
    required = requirement_of(requires)
    return Needs(
        kind=_KINDS.get(api, Kind.CHAT),
        api=api,
        stream=stream,
        zones=required.zones,
        owners=owners if required.owners is None else owners & required.owners,
        tier=required.tier,
        digest=required.digest,
    )


def _prompt_of(body: bytes) -> bytes:
    try:
        decoded = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return b""
    return prompt_of(decoded) if isinstance(decoded, dict) else b""
