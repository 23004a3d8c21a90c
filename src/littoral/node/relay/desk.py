"""What every leg of the hot path uses: limits, receipts, facts, time; and the admitted request."""

from typing import Final, Protocol

from littoral.adapters.upstreams.words import Begun
from littoral.node.keyring import Keyring
from littoral.node.scribe import Scribe, Told
from littoral.serving.outcome import Outcome
from littoral.terms.errors import LittoralError
from littoral.terms.facts import RequestEnded, RequestRefused
from littoral.terms.ids import ModelName, PopId, ReceiptId, receipt_id
from littoral.terms.ports import Clock, Observe
from littoral.terms.sources import Sources
from littoral.terms.values import SECOND, Caller, Finish, Instant, Source, Usage
from littoral.trust.digests import AnswerDigests, Digests, KnownTexts, WholeDigests
from littoral.trust.issuing import Draft, sampling
from littoral.trust.limits import Reservation
from littoral.web.wishes import HotApi, Wish

__all__ = ["Desk", "Order", "Sealing"]

_STORED: Final = frozenset({"hit", "reused"})
"""What `RequestEnded.cache` says of an answer that was there."""


class Sealing(Protocol):
    """What the desk must know of a leg to account for it."""

    source: Source
    origin: ReceiptId | None
    cache: str

    @property
    def order(self) -> "Order":
        """Its request."""

    @property
    def first(self) -> Instant | None:
        """When a stream's first bytes left."""

    @property
    def first_unix_ns(self) -> int | None:
        """The same on the wall clock."""

    @property
    def asked(self) -> ModelName | None:
        """The model that was asked for, where another has answered."""


class Order:
    """One admitted request: who asks what, since when, and what is held for it."""

    __slots__ = (
        "api",
        "arrived",
        "arrived_unix_ns",
        "caller",
        "limited",
        "looked",
        "metered",
        "model",
        "nonce",
        "raw",
        "receipt_id",
        "reservation",
        "salt",
        "sources",
        "wish",
    )

    def __init__(
        self, api: HotApi, caller: Caller, wish: Wish, raw: bytes, model: ModelName, clock: Clock
    ) -> None:
        self.api = api
        self.caller = caller
        self.wish = wish
        self.raw = raw
        self.model = model
        self.nonce = ""
        self.arrived: Instant = clock.now()
        self.arrived_unix_ns = clock.unix_ns()
        drawn = clock.random_bytes(26)
        self.receipt_id = receipt_id(self.arrived_unix_ns, drawn[:10])
        self.salt = drawn[10:]
        self.reservation: Reservation | None = None
        self.sources: Sources | None = None
        """What memory gave for it, once it has."""
        self.looked = False
        """Memory was asked whether it has anything to give."""
        limits = caller.limits
        self.metered = limits.tokens_per_minute is not None or limits.tokens_per_day is not None
        """Its tokens are limited, so that they must be known."""
        self.limited = self.metered or limits.requests_per_minute is not None


class Desk:
    """What all legs share."""

    def __init__(
        self, *, pop: PopId, keyring: Keyring, scribe: Scribe, clock: Clock, observe: Observe
    ) -> None:
        self.pop = pop
        self._keyring = keyring
        self._scribe = scribe
        self.clock = clock
        self.observe = observe
        self._texts = KnownTexts()

    # --- limits ---

    def reserve(self, order: Order, tokens: int) -> None:
        """Count the request and hold the most that it may use.

        Raises:
            RateLimitedError, BudgetExhaustedError: there is no room.
        """
        order.reservation = self._keyring.reserve(order.caller, tokens)

    def settle(self, order: Order, tokens: int) -> None:
        """Charge what was used."""
        if order.reservation is not None:
            self._keyring.settle(order.reservation, tokens)
            order.reservation = None

    def release(self, order: Order) -> None:
        """Charge no tokens."""
        if order.reservation is not None:
            self._keyring.release(order.reservation)
            order.reservation = None

    def limits(self, order: Order) -> str:
        """What is left of the caller's limits, as header fields are written."""
        return self._keyring.fields(order.caller)

    # --- facts ---

    def refused(self, order: Order, error: LittoralError) -> None:
        """There was no answer."""
        key = order.caller.key_id
        self.observe(RequestRefused(order.api.name, error.code, error.status, order.model, key))

    def refused_by_upstream(self, order: Order, status: int) -> None:
        """The upstream found the request wrong."""
        key = order.caller.key_id
        self.observe(RequestRefused(order.api.name, "invalid_request", status, order.model, key))

    def ended(self, leg: Sealing, begun: Begun, usage: Usage, finish: Finish) -> None:
        """An answer is over."""
        order, first = leg.order, leg.first
        self.observe(
            RequestEnded(
                receipt_id=order.receipt_id if begun.entry.relay.receipts else None,
                api=order.api.name,
                kind=order.api.kind,
                model=begun.entry.name,
                key_id=order.caller.key_id,
                source=leg.source,
                finish=finish,
                usage=usage,
                queue_s=0.0,
                first_token_s=None if first is None else (first - order.arrived) / SECOND,
                total_s=(self.clock.now() - order.arrived) / SECOND,
                cache=leg.cache,
                target=begun.target,
            )
        )

    # --- receipts ---

    def digests(self, leg: Sealing, *, whole: bool) -> AnswerDigests | WholeDigests:
        """For the bytes of an answer, in one piece or in many; a stored one always is in one."""
        order, api = leg.order, leg.order.api.name
        if leg.cache in _STORED:
            known = self._texts
            return WholeDigests(salt=order.salt, api=api, request=order.raw, known=known)
        kind = WholeDigests if whole else AnswerDigests
        return kind(salt=order.salt, api=api, request=order.raw)

    def draft(
        self, leg: Sealing, begun: Begun, outcome: Outcome, usage: Usage, digests: Digests
    ) -> Draft:
        """What the receipt of an answer says."""
        order, wish = leg.order, leg.order.wish
        return Draft(
            receipt_id=order.receipt_id,
            api=order.api.name,
            caller=order.caller,
            nonce=order.nonce,
            salt=order.salt,
            arrived_unix_ns=order.arrived_unix_ns,
            first_byte_unix_ns=leg.first_unix_ns,
            ended_unix_ns=self.clock.unix_ns(),
            model=begun.entry,
            engine=begun.info,
            sampling=sampling(wish.temperature, wish.top_p, wish.tokens_max, wish.seed),
            digests=digests,
            usage=usage,
            finish=outcome.finish,
            source=leg.source,
            origin=leg.origin,
            asked=leg.asked,
            parent=outcome.parent if leg.source is Source.NEIGHBOUR else None,
            sources=order.sources,
        )

    def keep(self, draft: Draft, told: Told | None) -> None:
        """Have a receipt signed and kept."""
        self._scribe.write(draft, told)
