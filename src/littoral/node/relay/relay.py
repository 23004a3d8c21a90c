"""What answers a hot request: a stored answer, one that is under way, an upstream, or a handler.

In this order, for each POST to one of the APIs of `wishes.HOT_APIS`:

1. Who asks (the key), and for what (a few members of the body). What is odd in any way is left to
   the API's own dialect, which says what is wrong.
2. The cache, if the request may be looked up. A fresh entry is given; the same request under way is
   joined. Either passes the same limits as an answer that is computed, and has its own receipt.
3. An upstream that speaks the API itself gets the client's bytes.
4. Everything else is the handler's. If its answer may be kept, it is made as a flight, so that the
   same request joins it. A model of this machine that stands in for one on upstreams is asked last.

What has to be looked for first (a long batch of texts, an answer to other words, what an answer is
to be made from) is looked for in a task, and then begins in the same order.

Whatever is refused here is refused with the same errors as anywhere else.
"""

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from littoral.adapters.upstreams.upstreams import Route
from littoral.adapters.upstreams.words import rewritten
from littoral.cache.answers import StoredAnswer
from littoral.node.entries import KnownModels, entry_for
from littoral.node.relay.desk import Desk, Order
from littoral.node.relay.errands import tokens_bound
from littoral.node.relay.feed import Legs
from littoral.node.relay.flight import Flight
from littoral.node.relay.flights import Flights
from littoral.node.relay.handled import Handled, Host, request_of
from littoral.node.relay.keeping import BYPASS, Keeping, Question
from littoral.node.relay.leg import Leg
from littoral.node.relay.lent import Lent
from littoral.node.relay.peers import ORIGIN, Upstreamed
from littoral.node.relay.remembering import Remembering, asks_for_memory
from littoral.node.relay.standing import NO_ANSWER, OVER_LIMITS, Again, Renewable, Sought, Work
from littoral.node.relay.ways import Ways
from littoral.node.reuse import Serve
from littoral.terms.errors import LittoralError, NotFoundError
from littoral.terms.facts import CacheMissed, FellBack
from littoral.terms.ids import ModelName, ReceiptId
from littoral.terms.values import Caller, Kind, ModelEntry, Source, Usage
from littoral.web.app import Who, requiring
from littoral.web.dialects.reading import nonce_of
from littoral.web.errors import draining
from littoral.web.head import Head
from littoral.web.hot import OVER, Reply, Underway, offered
from littoral.web.http import Handler, StandIn
from littoral.web.routes import key_of
from littoral.web.wishes import HOT_APIS, wish_of

__all__ = ["Relay"]


class Relay:
    """Answers hot requests."""

    def __init__(
        self,
        *,
        authenticate: Callable[[str | None], Caller],
        host: KnownModels,
        desk: Desk,
        ways: Ways,
        keeping: Keeping | None,
        handler: Callable[[Caller], Handler] | None,
        work: Work,
    ) -> None:
        """Answer nothing yet.

        Args:
            authenticate: who holds a key.
            host: the models.
            desk: limits, receipts and facts.
            ways: to the answers of upstreams.
            keeping: the answer cache, unless it is off.
            handler: what answers the rest, for one caller; None where another process does.
            work: who owns tasks.
        """
        self.remembering: Remembering | None = None
        """Finds what answers are to be made from, where there is memory."""
        self._authenticate = authenticate
        self._host = host
        self.desk = desk
        self._ways = ways
        self._keeping = keeping
        self._bypass = "" if keeping is None else BYPASS
        self._handler = handler
        self._work = work
        self._flights = Flights()
        self.legs = Legs()
        """Those under way."""
        self.closing = False
        """Nothing new is taken any more."""

    def take(self, head: Head, body: bytes, reply: Reply) -> Underway | None:
        """See hot.HotPath. Who asks is told by a key."""
        return self.take_from(self._by_key, head, body, reply)

    def take_from(self, who: Who, head: Head, body: bytes, reply: Reply) -> Underway | None:
        """As `take`, where `who` says who asks."""
        asked = self._asked(who, head, body)
        if asked is None:
            return None
        order, entry = asked
        keeping = self._keeping
        if asks_for_memory(order):
            if self.remembering is None:
                return None  # whoever has the collections recalls, or says that there are none
            look = self.remembering.look(order, entry)
            asks = partial(look.question, keeping, head)
            return self._sought(look.run(), order, entry, head, reply, asks)
        question = None if keeping is None else keeping.question(order, entry, head)
        if keeping is not None and question is not None and question.long:
            if self._handler is None and self._ways.route(entry, order.api.name) is None:
                return None  # whoever has the handler looks
            seek = keeping.seek(question, entry)
            return self._sought(seek, order, entry, head, reply, lambda: question)
        return self._begin(order, entry, head, reply, question)

    def _begin(
        self,
        order: Order,
        entry: ModelEntry,
        head: Head,
        reply: Reply,
        question: Question | None,
    ) -> Underway | None:
        """Answer from where it can be had at once, or else have it made."""
        keeping = self._keeping
        if keeping is not None and question is not None:
            given = self._given_again(keeping, question, order, entry, head, reply)
            if given is not None:
                return given
            if question.to_be_judged:
                look = None if keeping.reusing is None else keeping.judge(question, order, entry)
                if look is None:
                    return None  # whoever has the models judges
                return self._sought(look, order, entry, head, reply, lambda: question)
        handler, sourced = self._handler, order.sources is not None
        elsewhere = None if sourced else self._ways.elsewhere(order, entry, head)
        if elsewhere is not None:
            return self._relay(order, elsewhere, head, reply, question, entry)
        route = None if sourced else self._ways.route(entry, order.api.name)
        other = None if sourced else self._ways.stand_in(entry)
        if other is not None and handler is None:
            return None  # whoever has the models of this machine asks
        if route is not None:
            return self._relay(order, route, head, reply, question, other)
        if handler is None or (question is None and other is None and not order.looked):
            return None
        host = self._handle(handler, order, entry, head, reply, question)
        return host if other is None else self._stood_in_for(host, order, other, head, reply)

    def _sought(
        self,
        look: Coroutine[Any, Any, None],
        order: Order,
        entry: ModelEntry,
        head: Head,
        reply: Reply,
        asks: Callable[[], Question | None],
    ) -> Sought:
        """An answer that is begun once something was looked up."""

        def begin(*_: object) -> Underway | None:
            return None if self.closing else self._begin(order, entry, head, reply, asks())

        then = partial(self._again, head, order.raw, reply, begin)
        return Sought(self._work, reply, look, then)

    def end_all(self) -> None:
        """The PoP stops: whoever still waits is told so."""
        self.closing = True
        for leg in self.legs:
            feed, leg.feed = leg.feed, None
            leg.failed(draining())
            if feed is not None:
                feed.cancel()

    def _by_key(self, headers: Mapping[str, str]) -> Caller:
        return requiring(self._authenticate(key_of(headers)), headers)

    def _asked(self, who: Who, head: Head, body: bytes) -> tuple[Order, ModelEntry] | None:
        """Who asks what, if it is anything that is answered here."""
        api = HOT_APIS.get(head.path)
        if api is None or self.closing:
            return None
        headers = head.headers
        caller = who(headers)
        wish = wish_of(body)
        if wish is None or (caller.requires and self._handler is None):
            return None
        try:
            entry = entry_for(self._host, ModelName(wish.model), caller)
        except LittoralError:
            return None  # whoever answers then says what is wrong
        if api.kind not in entry.kinds or (wish.wants_memory and api.kind is not Kind.CHAT):
            return None
        order = Order(api, caller, wish, body, entry.name, self.desk.clock)
        if "littoral-nonce" in headers:
            order.nonce = nonce_of(headers)
        return order, entry

    # --- from the cache ---

    def _given_again(
        self,
        keeping: Keeping,
        question: Question,
        order: Order,
        entry: ModelEntry,
        head: Head,
        reply: Reply,
    ) -> Underway | None:
        """A stored answer, or one that is under way."""
        stored = keeping.find(question, entry, order.caller)
        if stored is not None:
            return self._give(keeping, stored, question, order, entry, reply)
        flight = self._flights.get(question.key) if question.joins else None
        if flight is None:
            if isinstance(question.judgement, Serve):
                meant = question.judgement.answer.stored
                return self._give(keeping, meant, question, order, entry, reply)
            return None
        self.desk.reserve(order, tokens_bound(order))
        leg = self._leg(order, reply, Source.CACHE)
        leg.cache, leg.charged, leg.origin = "joined", False, flight.origin
        leg.notes = keeping.notes_of_miss(question, collapsed=True)
        live: Underway = leg
        other = self._ways.stand_in(entry)
        if other is not None:
            live = self._stood_in_for(leg, order, other, head, reply)
        elif isinstance(flight.spring, Handled):
            anew = partial(self.take_from, lambda _: order.caller)
            live = Again(leg, OVER_LIMITS, partial(self._again, head, order.raw, reply, anew))
        leg.feed = flight.join(leg)
        return live

    def _again(
        self,
        head: Head,
        body: bytes,
        reply: Reply,
        take: Callable[[Head, bytes, Reply], Underway | None],
    ) -> Underway:
        """Take a request whose way is settled only now."""
        live = offered(take, head, body, reply, self._work.on_defect)
        if live is None:  # since it came, the PoP began to stop, or the model has gone
            reply.fail(draining() if self.closing else NotFoundError("this model is gone"))
            return OVER
        return live

    def _give(
        self,
        keeping: Keeping,
        stored: StoredAnswer,
        question: Question,
        order: Order,
        entry: ModelEntry,
        reply: Reply,
    ) -> Underway:
        usage = Usage(*stored.usage)
        self.desk.reserve(order, usage.total_tokens)
        leg = self._leg(order, reply, Source.CACHE)
        leg.cache = "hit" if question.judgement is None else "reused"
        leg.charged, leg.origin = False, stored.receipt_id
        leg.notes = keeping.notes_of_hit(stored, question)
        keeping.deliver(stored, entry, leg)
        return leg

    def _flight(self, question: Question, order: Order) -> Flight:
        assert self._keeping is not None, "a question is the cache's"
        return self._flights.flight(question, order, self._keeping)

    def _relay(
        self,
        order: Order,
        route: Route,
        head: Head,
        reply: Reply,
        question: Question | None,
        other: ModelEntry | None,
    ) -> Underway:
        self.desk.reserve(order, tokens_bound(order))
        leg = self._leg(order, reply, Source.UPSTREAM)
        spring: Upstreamed
        if question is None:
            leg.notes = self._bypass
            leg.feed = spring = self._ways.straight(order, route, head, leg)
        else:
            assert self._keeping is not None, "a question is the cache's"
            leg.cache = "miss"
            leg.notes = self._keeping.notes_of_miss(question)
            flight = self._flight(question, order)
            flight.origin = order.receipt_id if route.entry.relay.receipts else None
            flight.spring = spring = self._ways.joinable(order, route, head, leg, flight, question)
            leg.feed = flight.join(leg)
        live: Underway = leg
        if other is not None:
            live = self._stood_in_for(leg, order, other, head, reply)
        spring.start()  # which may tell at once that no upstream can be asked
        return live

    def _stood_in_for(
        self, live: Renewable, asked: Order, other: ModelEntry, head: Head, reply: Reply
    ) -> Again:
        """A request that a model of this machine answers if no upstream can."""

        def instead(*_: object) -> Underway | None:
            if self.closing or self._handler is None:
                return None
            if other.name != asked.model:
                self.desk.observe(FellBack(asked.model, other.name))
            order = Order(
                asked.api, asked.caller, asked.wish, asked.raw, other.name, self.desk.clock
            )
            return self._handle(self._handler, order, other, head, reply, None, asked.model)

        return Again(live, NO_ANSWER, partial(self._again, head, asked.raw, reply, instead))

    # --- other workers ---

    def lend(self, head: Head, body: bytes, reply: Reply) -> Underway:
        """Answer another worker's client, which that worker has admitted and accounts for.

        Raises:
            NotFoundError: it is no question of this worker's; the other is to ask by itself.
        """
        asked, keeping = self._asked(self._by_key, head, body), self._keeping
        question: Question | None = None
        route: Route | None = None
        if asked is not None and keeping is not None:
            order, entry = asked
            question = keeping.question(order, entry, head)
            route = self._ways.route(entry, order.api.name)
        if asked is None or keeping is None or question is None or route is None:
            raise NotFoundError("this request is not answered here")
        order, entry = asked
        stored = keeping.find(question, entry, order.caller)
        flight = self._flights.get(question.key)
        lent = Lent(reply, self.legs.left, created=stored is None and flight is None)
        self.legs.add(lent)
        if stored is not None:
            lent.origin = stored.receipt_id
            keeping.deliver(stored, entry, lent)
            return lent
        if flight is not None:
            lent.flight = flight
            lent.feed = flight.join(lent)
            return lent
        order.receipt_id = ReceiptId(head.headers.get(ORIGIN, order.receipt_id))
        flight = lent.flight = self._flight(question, order)
        flight.origin = order.receipt_id if entry.relay.receipts else None
        flight.spring = fetch = self._ways.lent(order, route, head, flight)
        lent.feed = flight.join(lent)
        fetch.start()
        return lent

    def _handle(
        self,
        handler: Callable[[Caller], Handler],
        order: Order,
        entry: ModelEntry,
        head: Head,
        reply: Reply,
        question: Question | None,
        asked: ModelName | None = None,
    ) -> Host:
        """Have a handler make the answer; `asked` is the model that this one stands in for."""
        if question is None:
            flight, notes = Flight.alone(), self._bypass
        else:
            assert self._keeping is not None, "a question is the cache's"
            flight, notes = self._flight(question, order), self._keeping.notes_of_miss(question)
            flight.kept = question.wanted is not None
            result = "partial" if question.found else "miss"
            self.desk.observe(CacheMissed(entry.name, result))
        handled = Handled(flight, entry)
        host = Host(reply, self.legs.left, handled, notes)
        self.legs.add(host)
        host.feed = flight.join(host)
        before = None if asked is None else StandIn(asked, order.raw)
        body = order.raw if before is None else rewritten(order.raw, {"model": entry.name})
        request = request_of(head, body, reply.id, before, order.sources)
        handled.start_on(handler(order.caller), self._work, request)
        return host

    # --- legs ---

    def _leg(self, order: Order, reply: Reply, source: Source) -> Leg:
        leg = Leg(self.desk, order, reply, source, self.legs.left)
        self.legs.add(leg)
        return leg
