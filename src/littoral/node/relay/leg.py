"""One client's side of an answer that comes by calls: its limits, headers, receipt and metrics.

    waiting --begun--> answering --ended--> sealing --kept--> over
    waiting | answering --failed--> over        an error; before the first byte a plain one
    waiting | answering --gone--> over          the client left: the feed learns it

Rules
- What is reserved is settled or released exactly once, and an answer that began has exactly one
  receipt and one fact, however it ends (invariant I3); a model without receipts has the fact alone.
- The client gets the feed's bytes as they are, its own headers before and its own receipt after.
- An answer in one piece leaves with its head at its end, in one write; a longer one as it comes.
- A stream's last bytes wait for its receipt to be kept; an answer in one piece does not, unless it
  goes to another PoP, which is sent its receipt in the head.

It does not choose what feeds it (relay.py), and knows no sockets.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from littoral.adapters.upstreams.words import Begun
from littoral.memory.citing import fields_of
from littoral.node.relay.desk import Desk, Order
from littoral.node.relay.feed import Fed
from littoral.node.scribe import Told
from littoral.serving.outcome import Outcome
from littoral.terms.errors import LittoralError
from littoral.terms.facts import FirstToken
from littoral.terms.ids import ModelName, ReceiptId
from littoral.terms.values import SECOND, Finish, Instant, Source, Usage
from littoral.trust.digests import AnswerDigests, WholeDigests
from littoral.trust.receipts import RECEIPT_FIELD, frame, in_field
from littoral.web.hot import Reply
from littoral.web.response import written

__all__ = ["Leg"]

_STREAM_FIELDS: Final = "x-accel-buffering: no\r\n"
_FRESH_STREAM_FIELDS: Final = f"cache-control: no-cache\r\n{_STREAM_FIELDS}"


def stream_fields(notes: str) -> str:
    """The header fields of a stream, beside those that say how long it was and may be kept."""
    return _STREAM_FIELDS if "\r\ncache-control: " in notes else _FRESH_STREAM_FIELDS


class Leg(Fed):
    """One client, its request, and the answer on its way."""

    __slots__ = (
        "_begun",
        "_desk",
        "_digests",
        "_first",
        "_first_unix_ns",
        "_over",
        "_pieces",
        "_reply",
        "_told_over",
        "anew",
        "cache",
        "charged",
        "notes",
        "order",
        "origin",
        "source",
    )

    def __init__(
        self,
        desk: Desk,
        order: Order,
        reply: Reply,
        source: Source,
        over: Callable[["Leg"], None],
    ) -> None:
        """Wait for a feed.

        Args:
            desk: what all legs use.
            order: the admitted request.
            reply: the way to the client.
            source: where the answer comes from.
            over: hears, once, that nothing more will be sent.
        """
        super().__init__()
        self._desk = desk
        self._told_over = over
        self._reply = reply
        self.order = order
        self.source = source
        self.origin: ReceiptId | None = None
        """The receipt of the answer that this one repeats."""
        self.cache = ""
        """What the cache had to do with it, as in `RequestEnded.cache`."""
        self.notes = ""
        """Header fields that say how the answer came about, as `response.written` gives them."""
        self.charged = True
        """Tokens are charged: it is this leg's request that is being computed."""
        self.anew: Callable[[LittoralError], bool] | None = None
        """May see to the request in another way, where there was no answer: says whether."""
        self._begun: Begun | None = None
        self._first: Instant | None = None
        self._first_unix_ns: int | None = None
        self._digests: AnswerDigests | WholeDigests | None = None
        self._pieces = 0
        self._over = False

    # --- hot.Underway ---

    def gone(self) -> None:
        """The client has left: nothing can be sent any more."""
        self._reply.over = True
        if self._over:
            return
        feed, self.feed = self.feed, None
        self._close(Outcome(Finish.CLIENT_GONE, None), None)
        if feed is not None:
            feed.cancel()

    # --- Listener ---

    def begun(self, begun: Begun) -> None:
        """A stream begins."""
        desk, order = self._desk, self.order
        self._begins(begun)
        self._first = now = desk.clock.now()
        self._first_unix_ns = desk.clock.unix_ns()
        if begun.entry.relay.receipts:
            self._digests = desk.digests(self, whole=False)
        desk.observe(FirstToken(order.model, (now - order.arrived) / SECOND))
        self._reply.begin(self._fields(begun) + stream_fields(self.notes))

    def data(self, data: bytes) -> None:
        """More of the stream."""
        self._pieces += 1
        if self._digests is not None:
            self._digests.sent(data)
        self._reply.push(data)

    def ended(self, outcome: Outcome) -> None:
        """The stream is whole; or its last event, a handler's, says that it is not."""
        self.feed = None
        if outcome.finish is Finish.FAILED:
            self._close(Outcome(Finish.FAILED, None), None)
            self._reply.close()
            return
        self._close(outcome, self._kept)

    def whole(self, begun: Begun, body: bytes, outcome: Outcome) -> None:
        """An answer in one piece; its receipt is known by its id, and not waited for."""
        self.feed = None
        self._begins(begun)
        if begun.status != 200:
            self._end()
            self._desk.release(self.order)
            self._desk.refused_by_upstream(self.order, begun.status)
            self._reply.give(begun.status, self._fields(begun), body)
            return
        if begun.entry.relay.receipts:
            self._digests = self._desk.digests(self, whole=True)
            self._digests.sent(body)
        fields = self._fields(begun)
        if self.order.caller.hop is not None and self._digests is not None:
            self._close(outcome, partial(self._kept_whole, fields, body))
            return
        self._close(outcome, None)
        self._reply.give(200, fields, body)

    def failed(self, error: LittoralError) -> None:
        """There is no answer, or not all of it."""
        if self._over:
            return
        self.feed = None
        if self._begun is not None:
            self._close(Outcome(Finish.FAILED, None), None)
        else:
            self._end()
            self._desk.release(self.order)
            if self.anew is not None and self.anew(error):
                return
            self._desk.refused(self.order, error)
        self._reply.fail(error)

    def _begins(self, begun: Begun) -> None:
        self._begun = begun
        if self.source is Source.UPSTREAM:
            self.source = begun.entry.source

    # --- the end ---

    def _close(self, outcome: Outcome, told: Told | None) -> None:
        """Settle, and have the receipt made; a stream ends once it is kept."""
        begun, desk = self._begun, self._desk
        usage = outcome.usage or Usage(0, self._pieces)
        self._end()
        if begun is None:
            desk.release(self.order)
            return
        desk.settle(self.order, usage.total_tokens - outcome.spared if self.charged else 0)
        desk.ended(self, begun, usage, outcome.finish)
        if self._digests is not None:
            desk.keep(desk.draft(self, begun, outcome, usage, self._digests.finish()), told)
        elif told is not None:
            self._reply.close()

    def _end(self) -> None:
        self._over = True
        self._told_over(self)

    def _kept(self, sealed: bytes | LittoralError) -> None:
        """The receipt is kept, or can't be: a stream's last word."""
        if self._reply.over:
            return
        if isinstance(sealed, LittoralError):
            self._reply.fail(sealed)
        else:
            self._reply.close(frame(sealed))

    def _kept_whole(self, fields: str, body: bytes, sealed: bytes | LittoralError) -> None:
        """The receipt of an answer in one piece is kept, or can't be: another PoP waits for it."""
        if self._reply.over:
            return
        if isinstance(sealed, LittoralError):
            self._reply.fail(sealed)
        else:
            self._reply.give(200, fields + written({RECEIPT_FIELD: in_field(sealed)}), body)

    def _fields(self, begun: Begun) -> str:
        """The header fields of the answer."""
        order = self.order
        fields = (
            f"content-type: {begun.content_type}\r\nlittoral-source: {self.source.value}\r\n"
            f"littoral-pop: {self._desk.pop}\r\n{self.notes}"
        )
        if begun.entry.relay.receipts and begun.status == 200:
            fields += (
                f"littoral-receipt: {order.receipt_id}\r\nlittoral-salt: {order.salt.hex()}\r\n"
            )
        if begun.entry.name != order.model:
            fields += f"littoral-model: {begun.entry.name}\r\n"
        if order.sources is not None:
            fields += written(fields_of(order.sources))
        if order.limited:
            fields += self._desk.limits(order)
        return fields

    @property
    def first(self) -> Instant | None:
        """When a stream's first bytes left."""
        return self._first

    @property
    def first_unix_ns(self) -> int | None:
        """The same on the wall clock."""
        return self._first_unix_ns

    @property
    def asked(self) -> ModelName | None:
        """The model that was asked for, where another has answered."""
        begun = self._begun
        same = begun is None or begun.entry.name == self.order.model
        return None if same else self.order.model
