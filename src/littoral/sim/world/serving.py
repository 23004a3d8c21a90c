"""One request at the PoP that answers it, in a world: the real exchange, pool and budgets.

It checks its own side of what the exchange promises: a request that was dispatched has one record
when it is over, one that was not has none (I3), and what was reserved is settled or given back
once.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, assert_never

from littoral.placement.words import Released, Wanted
from littoral.serving.exchange import (
    Arrived,
    Bounds,
    ClientGone,
    Count,
    Counted,
    Dispatch,
    Effect,
    Ended,
    Event,
    Exchange,
    Fail,
    Lease,
    Leased,
    Lost,
    Record,
    Refund,
    Refused,
    Release,
    Reserve,
    Reserved,
    Sealed,
    Settle,
    Started,
)
from littoral.serving.plan import Plan, plan_of
from littoral.sim.world.broken import BrokenError
from littoral.sim.world.engine import Engine, Work
from littoral.sim.world.ground import Ground
from littoral.sim.world.house import CONTEXT_TOKENS, House, Waits
from littoral.sim.world.says import Begins, Request, Said, Status, Token, Whole
from littoral.sim.world.till import Till
from littoral.terms.errors import LittoralError
from littoral.terms.ids import ModelName
from littoral.terms.values import (
    SECOND,
    Ask,
    EngineInfo,
    EngineKind,
    Finish,
    Instant,
    Kind,
    ModelEntry,
    Usage,
)
from littoral.trust.limits import Reservation

__all__ = ["Serving"]

_BOUNDS: Final = Bounds(CONTEXT_TOKENS, share_tokens=0, cache_tokens=0, exact=False)
_EXACT: Final = Bounds(CONTEXT_TOKENS, share_tokens=0, cache_tokens=0, exact=True)
_SEALS: Final = 0.001
"""Seconds from the last token until all is handed to the connection."""
_COUNTS: Final = 0.002
_WAIT: Final = 10 * SECOND
"""How long a request waits for a slot."""


def _entry(model: ModelName) -> ModelEntry:
    return ModelEntry(model, EngineKind.ECHO, (Kind.CHAT,), CONTEXT_TOKENS)


def _planned(request: Request) -> Plan:
    body: dict[str, object] = {
        "messages": [{"role": "user", "content": ""}],
        "max_tokens": request.answer_tokens,
    }
    raw = b" " * request.prompt_tokens
    ask = Ask("chat.completions", Kind.CHAT, request.model, body, stream=True, raw=raw)
    return plan_of(ask, _entry(request.model), seed=1)


class Serving:
    """See the module docstring. `say` takes what is answered; `lost`, that the answer broke off."""

    def __init__(
        self,
        ground: Ground,
        house: House,
        till: Till,
        request: Request,
        say: Callable[[Said], None],
        lost: Callable[[], None],
    ) -> None:
        """Begin nothing yet."""
        self.request = request
        self.exchange = Exchange(_planned(request), _EXACT if request.number % 3 else _BOUNDS)
        self._ground = ground
        self._house = house
        self._till = till
        self._say = say
        self._lost = lost
        self._inbox: deque[Event] = deque()
        self._stepping = False
        self._ticket = 0
        self._work: Work | None = None
        self._engine: Engine | None = None
        self._reservation: Reservation | None = None
        self._dispatched = self._records = 0

    def begin(self) -> None:
        """The request is here."""
        self._post(Arrived())

    def cancel(self) -> None:
        """Nobody wants the answer any more."""
        self._post(ClientGone(self.usage))

    @property
    def usage(self) -> Usage:
        """So far."""
        return Usage() if self._work is None else self._work.usage

    def _post(self, event: Event) -> None:
        self._inbox.append(event)
        if self._stepping:
            return
        self._stepping = True
        while self._inbox:
            for effect in self.exchange.step(self._inbox.popleft(), self._ground.now()):
                self._perform(effect)
            self.exchange.check()
        self._stepping = False
        if self.exchange.done:
            self._over()

    def _over(self) -> None:
        """It is done: what is still waited for is given back, and the accounts are looked at."""
        self._house.give_back(self._ticket)
        if self._records != self._dispatched:
            raise BrokenError(f"{self._dispatched} dispatched and {self._records} records")
        if self._reservation is not None:
            raise BrokenError("an exchange is over and has neither settled nor given back")

    def _perform(self, effect: Effect) -> None:  # noqa: C901 - one case for each effect
        match effect:
            case Count():
                self._ground.after(_COUNTS, self._counted)
            case Reserve(tokens):
                self._reserve(tokens)
            case Lease(tokens, slots):
                self._lease(tokens, slots)
            case Dispatch(plan):
                self._dispatch(plan)
            case Release():
                if self._work is not None and self._engine is not None:
                    self._engine.cancel(self._work)
                self._house.post(Released(self._ticket))
            case Settle(tokens):
                self._till.settle(self._taken(), tokens)
            case Refund():
                self._till.release(self._taken())
            case Record():
                self._records += 1
                self._ground.tell(f"records {self.request.number}")
            case Fail(error):
                self._fail(error)
            case _:
                assert_never(effect)

    def _counted(self) -> None:
        if not self.exchange.done:
            self._post(Counted(self.request.prompt_tokens))

    def _reserve(self, tokens: int) -> None:
        try:
            self._reservation = self._till.reserve(self.request.caller, tokens)
        except LittoralError as error:
            self._post(Refused(error))
        else:
            self._post(Reserved())

    def _taken(self) -> Reservation:
        if self._reservation is None:
            raise BrokenError("a reservation is settled or given back twice")
        reservation, self._reservation = self._reservation, None
        return reservation

    def _lease(self, tokens: int, slots: int) -> None:
        self._ticket = self._house.ticket(
            Waits(self._granted, lambda error: self._post(Refused(error)))
        )
        until = Instant(self._ground.now() + _WAIT)
        self._house.post(Wanted(self._ticket, self.request.model, tokens, until, slots))

    def _granted(self, info: EngineInfo) -> None:
        self._post(Leased(info))

    def _dispatch(self, plan: Plan) -> None:
        self._dispatched += 1
        self._work = Work(
            prompt_tokens=self.request.prompt_tokens,
            answer_tokens=self.request.answer_tokens,
            slots=plan.choices,
            token=self._token,
            ended=self._ended,
            lost=lambda error, usage: self._post(Lost(error, usage)),
        )
        self._engine = self._house.engines[self.request.model]
        self._engine.begin(self._work)

    def _token(self, token: Token) -> None:
        if token.index == 0:
            self._post(Started())
            self._say(Begins())
        self._say(token)

    def _ended(self, usage: Usage, finish: Finish) -> None:
        self._post(Ended(usage, finish))
        self._ground.after(_SEALS, lambda: self._seal(usage))

    def _seal(self, usage: Usage) -> None:
        if not self.exchange.done:
            self._post(Sealed())
            self._say(Whole(usage.completion_tokens))

    def _fail(self, error: LittoralError) -> None:
        if self._work is not None and self._work.made:
            self._lost()
        else:
            self._say(Status(error.status, error.retry_after_s))
