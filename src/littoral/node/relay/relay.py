"""What answers a hot request: a stored answer, one that is under way, an upstream, or a handler.

In this order, for each POST to one of the APIs of `wishes.HOT_APIS`:

1. Who asks (the key), and for what (a few members of the body). What is odd in any way is left to
   the API's own dialect, which says what is wrong.
2. An upstream that speaks the API itself gets the client's bytes.
3. Everything else is the handler's.

Whatever is refused here is refused with the same errors as anywhere else.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from littoral.adapters.upstreams.upstreams import Route, Upstreams
from littoral.adapters.upstreams.words import Errand
from littoral.node.host import ModelHost
from littoral.node.relay.desk import Desk, Order
from littoral.node.relay.leg import Leg
from littoral.serving.plan import BYTES_PER_TOKEN
from littoral.terms import limits
from littoral.terms.errors import LittoralError
from littoral.terms.ids import ModelName
from littoral.terms.values import (
    Caller,
    EngineKind,
    ModelDefaults,
    ModelEntry,
    Source,
    ToolSupport,
)
from littoral.web.dialects.reading import nonce_of
from littoral.web.head import Head
from littoral.web.hot import Reply, Underway
from littoral.web.response import written
from littoral.web.routes import key_of
from littoral.web.wishes import HOT_APIS, is_plain, wish_of

__all__ = ["Relay"]

_FORWARDED: Final = frozenset(
    {"traceparent", "tracestate", "openai-beta", "anthropic-version", "anthropic-beta"}
)
"""Header fields of the client's that an upstream gets: traces, and an API's own versions."""


class Relay:
    """Answers hot requests."""

    def __init__(
        self,
        *,
        authenticate: Callable[[str | None], Caller],
        host: ModelHost,
        desk: Desk,
        upstreams: Upstreams,
    ) -> None:
        """Answer nothing yet.

        Args:
            authenticate: who holds a key.
            host: the models.
            desk: limits, receipts and facts.
            upstreams: where they are.
        """
        self._authenticate = authenticate
        self._host = host
        self._desk = desk
        self._upstreams = upstreams
        self._routes: dict[tuple[ModelName, str], tuple[ModelEntry, Route | None]] = {}
        self.legs: set[Leg] = set()
        """Those under way."""
        self.idle = asyncio.Event()
        """Set while there are none."""
        self.idle.set()
        self.closing = False
        """Nothing new is taken any more."""

    def take(self, head: Head, body: bytes, reply: Reply) -> Underway | None:
        """See hot.HotPath."""
        api = HOT_APIS.get(head.path)
        if api is None or self.closing:
            return None
        headers = head.headers
        caller = self._authenticate(key_of(headers))
        wish = wish_of(body)
        if wish is None:
            return None
        entry = self._entry(wish.model, caller)
        if entry is None or api.kind not in entry.kinds:
            return None
        order = Order(api, caller, wish, body, entry.name, self._desk.clock)
        if "littoral-nonce" in headers:
            order.nonce = nonce_of(headers)
        route = self._route(entry, api.name)
        if route is None:
            return None
        return self._relay(order, route, head, reply)

    def _entry(self, name: str, caller: Caller) -> ModelEntry | None:
        """The model, if there is one of this name that the caller may use; else others say more."""
        if caller.models is not None and name not in caller.models:
            return None
        try:
            return self._host.entry(ModelName(name))
        except LittoralError:
            return None

    def _route(self, entry: ModelEntry, api: str) -> Route | None:
        """Where its requests go, if they may go as they are."""
        known = self._routes.get((entry.name, api))
        if known is not None and known[0] is entry:
            return known[1]
        route: Route | None = None
        as_it_is = entry.tools is ToolSupport.NATIVE and entry.defaults == ModelDefaults()
        if entry.engine is EngineKind.UPSTREAM and as_it_is:
            route = self._upstreams.route(entry, self._host.fallbacks(entry))
            route = route if route.speaks(api) else None
        self._routes[entry.name, api] = entry, route
        return route

    def _relay(self, order: Order, route: Route, head: Head, reply: Reply) -> Underway:
        desk, wish = self._desk, order.wish
        desk.reserve(order, _tokens_bound(order))
        leg = Leg(desk, order, reply, Source.UPSTREAM, self._left)
        stream = wish.stream is True
        metered = route.entry.relay.receipts or order.metered
        errand = Errand(
            order.api.name,
            order.raw,
            wish.model,
            stream,
            untouched=is_plain(order.raw),
            usage=stream and metered and order.api.takes_usage and not wish.wants_usage,
            fields=_forwarded(head),
        )
        fetch = self._upstreams.fetch(route, errand, leg)
        leg.feed = fetch
        self.legs.add(leg)
        self.idle.clear()
        fetch.start()
        return leg

    def _left(self, leg: Leg) -> None:
        self.legs.discard(leg)
        if not self.legs:
            self.idle.set()


def _tokens_bound(order: Order) -> int:
    """What the request may use: exact only for who is metered, who alone needs it."""
    if not order.metered:
        return 0
    wish = order.wish
    each = wish.tokens_max or limits.COMPLETION_TOKENS
    return len(order.raw) // BYTES_PER_TOKEN + 1 + each * max(1, wish.n or 1)


def _forwarded(head: Head) -> str:
    headers = head.headers
    if _FORWARDED.isdisjoint(headers):
        return ""
    return written({name: headers[name] for name in _FORWARDED & headers.keys()})
