"""The ways to a model's answer: its upstreams, or another worker that asks them already."""

from collections.abc import Sequence
from itertools import takewhile
from operator import is_

from littoral.adapters.upstreams.fetch import Fetch
from littoral.adapters.upstreams.upstreams import Route, Upstreams
from littoral.adapters.upstreams.words import Errand, Listener
from littoral.node.elsewhere import Elsewhere
from littoral.node.entries import KnownModels
from littoral.node.onward import Onward
from littoral.node.relay.completing import Completing
from littoral.node.relay.desk import Order
from littoral.node.relay.errands import errand_for
from littoral.node.relay.explained import Explained, asks_for_route
from littoral.node.relay.flight import Flight
from littoral.node.relay.keeping import Keeping, Question
from littoral.node.relay.leg import Leg
from littoral.node.relay.peers import Borrowed, Loan, Peers, Upstreamed
from littoral.terms.ids import ModelName, ReceiptId
from littoral.terms.values import EngineKind, ModelDefaults, ModelEntry, Source, ToolSupport
from littoral.web.head import Head

__all__ = ["Ways"]


class Ways:
    """Starts what makes an answer."""

    def __init__(
        self,
        *,
        host: KnownModels,
        upstreams: Upstreams,
        keeping: Keeping | None,
        peers: Peers | None,
        onward: Onward,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        """Know the models, and who answers for them; see Relay."""
        self._host = host
        self._upstreams = upstreams
        self._keeping = keeping
        self._peers = peers
        self._onward = onward
        self._elsewhere = elsewhere
        self._routes: dict[tuple[ModelName, str], tuple[tuple[ModelEntry, ...], Route | None]] = {}

    def route(self, entry: ModelEntry, api: str) -> Route | None:
        """Where its requests go, if they may go as they are."""
        if entry.engine is not EngineKind.UPSTREAM:
            return None
        models: tuple[ModelEntry, ...] = (entry,)
        if entry.fallbacks:
            models = (entry, *takewhile(_upstream, self._host.fallbacks(entry)))
        known = self._routes.get((entry.name, api))
        if known is not None and _same(known[0], models):
            return known[1]
        route: Route | None = None
        plain = entry.tools is ToolSupport.NATIVE and entry.defaults == ModelDefaults()
        if plain or entry.guest:  # the PoP that has it does what is to be done
            route = self._upstreams.route(*models)
            route = route if route.speaks(api) else None
        self._routes[entry.name, api] = models, route
        return route

    def elsewhere(self, order: Order, entry: ModelEntry, head: Head) -> Route | None:
        """The way to other PoPs, where one of them answers for a model of this PoP sooner than it.

        Raises:
            RequirementUnmetError: the request may not be answered here, nor anywhere else.
        """
        if self._elsewhere is None:
            return None
        other = self._elsewhere.guest(entry)
        if other is None:
            self._elsewhere.check(order.caller, entry)
            return None
        route = self.route(other, order.api.name)
        if route is None:
            return None
        errand = self._errand(order, route, head)
        return route if self._elsewhere.sooner(errand, order.caller, entry, other) else None

    def stand_in(self, entry: ModelEntry) -> ModelEntry | None:
        """The model of this machine that answers when no upstream can; none comes after it."""
        if not entry.fallbacks:
            return None
        return next((each for each in self._host.fallbacks(entry) if not _upstream(each)), None)

    def straight(self, order: Order, route: Route, head: Head, leg: Leg) -> Fetch:
        """An answer for this leg alone."""
        return self._fetch(route, self._errand(order, route, head), head, leg, leg)

    def lent(self, order: Order, route: Route, head: Head, flight: Flight) -> Fetch:
        """An answer for another worker's leg."""
        return self._upstreams.fetch(route, self._errand(order, route, head), flight)

    def joinable(
        self,
        order: Order,
        route: Route,
        head: Head,
        leg: Leg,
        flight: Flight,
        question: Question,
    ) -> Upstreamed:
        """An answer that others may join, and that is kept."""
        keeping, peers = self._keeping, self._peers
        assert keeping is not None, "a question is the cache's"
        recalled = keeping.recalled(question, order, route.entry)
        if recalled is not None:
            flight.kept, leg.cache = True, "partial"
            errand = self._errand(order, route, head, recalled.missing)
            whole = Completing(flight, keeping, question, order, recalled)
            return self._fetch(route, errand, head, leg, whole)
        errand = self._errand(order, route, head)
        if peers is not None and question.lends:
            owner = peers.owner(question.key)
            if owner is not None:
                return self._borrowed(owner, route, errand, head, leg, flight, question)
        return self._fetch(route, errand, head, leg, flight)

    def _errand(
        self, order: Order, route: Route, head: Head, texts: Sequence[object] = ()
    ) -> Errand:
        errand = errand_for(order, route, head, texts)
        if route.passes_on or order.caller.hop is not None:
            errand.passage = self._onward.passage(order.caller, order.nonce)
        return errand

    def _fetch(
        self, route: Route, errand: Errand, head: Head, leg: Leg, listener: Listener
    ) -> Fetch:
        if not asks_for_route(head):
            return self._upstreams.fetch(route, errand, listener)
        standings = self._upstreams.explain(route)
        if self._elsewhere is not None and route.passes_on:
            standings = [*self._elsewhere.explain(errand, route.entry), *standings]
        explained = Explained(listener, leg, standings)
        explained.fetch = self._upstreams.fetch(route, errand, explained)
        return explained.fetch

    def _borrowed(
        self,
        owner: int,
        route: Route,
        errand: Errand,
        head: Head,
        leg: Leg,
        flight: Flight,
        question: Question,
    ) -> Borrowed:
        """The answer to another worker's question."""
        peers, keeping = self._peers, self._keeping
        assert peers is not None, "there is another worker"
        assert keeping is not None, "a question is the cache's"

        def joined(origin: ReceiptId | None) -> None:
            flight.joined(origin)
            leg.source, leg.cache, leg.charged, leg.origin = Source.CACHE, "joined", False, origin
            leg.notes = keeping.notes_of_miss(question, collapsed=True)

        def directly() -> Upstreamed:
            flight.kept = False
            return self._upstreams.fetch(route, errand, flight)

        flight.kept = True
        return Borrowed(
            peers, Loan(owner, head, errand.body, flight.origin, flight, joined, directly)
        )


def _upstream(entry: ModelEntry) -> bool:
    return entry.engine is EngineKind.UPSTREAM


def _same(known: tuple[ModelEntry, ...], models: tuple[ModelEntry, ...]) -> bool:
    return len(known) == len(models) and all(map(is_, known, models))
