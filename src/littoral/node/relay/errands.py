"""What an upstream is asked for a hot request, and the most tokens that it may use."""

from collections.abc import Sequence
from typing import Final

from littoral.adapters.upstreams.upstreams import Route
from littoral.adapters.upstreams.words import Errand, rewritten
from littoral.node.relay.desk import Order
from littoral.serving.plan import BYTES_PER_TOKEN
from littoral.terms import limits
from littoral.terms.values import Kind
from littoral.web.head import Head
from littoral.web.response import written
from littoral.web.wishes import is_plain

__all__ = ["errand_for", "tokens_bound"]

_FORWARDED: Final = frozenset(
    {"traceparent", "tracestate", "openai-beta", "anthropic-version", "anthropic-beta"}
)
"""Header fields of the client's that an upstream gets: traces, and an API's own versions."""


def errand_for(order: Order, route: Route, head: Head, texts: Sequence[object] = ()) -> Errand:
    """What the upstream is asked.

    Args:
        order: the request.
        route: where it goes.
        head: of the request.
        texts: what to embed, unless it is all that the request says.
    """
    raw = rewritten(order.raw, {"input": texts}) if texts else order.raw
    wish = order.wish
    streams = order.api.kind is not Kind.EMBED
    stream = wish.stream is True and streams
    metered = route.entry.relay.receipts or order.metered
    return Errand(
        order.api.name,
        raw,
        wish.model,
        stream,
        untouched=is_plain(raw) and (streams or not wish.stream),
        usage=stream and metered and order.api.takes_usage and not wish.wants_usage,
        fields=_forwarded(head),
    )


def tokens_bound(order: Order) -> int:
    """What the request may use: exact only for who is metered, who alone needs it."""
    if not order.metered:
        return 0
    wish, prompt = order.wish, len(order.raw) // BYTES_PER_TOKEN + 1
    if order.api.kind is Kind.EMBED:
        return prompt
    return prompt + (wish.tokens_max or limits.COMPLETION_TOKENS) * max(1, wish.n or 1)


def _forwarded(head: Head) -> str:
    headers = head.headers
    if _FORWARDED.isdisjoint(headers):
        return ""
    return written({name: headers[name] for name in _FORWARDED & headers.keys()})
