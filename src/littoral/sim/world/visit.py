"""One request at one PoP in a world: the real journey, over simulated lines or an engine here.

It checks its own side of what routing promises: a request goes to nobody whom it came through, nor
to anybody who is known to be revoked, through no more PoPs than it may; and it ends in time.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol, assert_never

from msgspec import structs

from littoral.routing.board import TargetBoard
from littoral.routing.choose import Candidates
from littoral.routing.failures import Cause, Failure, failure_of_status
from littoral.routing.journey import Journey
from littoral.routing.sends import Send as Counted
from littoral.routing.sends import Sends
from littoral.routing.words import (
    Begin,
    Broke,
    Cancel,
    Effect,
    Ended,
    Event,
    Fail,
    FirstByte,
    Gone,
    Moved,
    Refused,
    Send,
    Tick,
    stage_of,
)
from littoral.sim.clock import Act
from littoral.sim.world.broken import BrokenError
from littoral.sim.world.ground import Ground
from littoral.sim.world.hearing import Hearing
from littoral.sim.world.line import ACCEPTED, End
from littoral.sim.world.says import Asked, Begins, Garbage, Request, Said, Status, Token, Whole
from littoral.sim.world.serving import Serving
from littoral.sim.world.till import Till
from littoral.terms.errors import LittoralError
from littoral.terms.ids import ModelName, PopId
from littoral.terms.limits import FABRIC_HOPS_MAX
from littoral.terms.values import SECOND, Caller, Instant, RelayPolicy
from littoral.trust.limits import Reservation

__all__ = ["At", "Visit"]

_STATUS: Final = {
    Cause.CONNECT_TIMEOUT: 504,
    Cause.FIRST_BYTE_TIMEOUT: 504,
    Cause.TOTAL_TIMEOUT: 504,
    Cause.LIMITED: 429,
    Cause.NONE_FREE: 503,
}
_NEVER: Final = Instant(0)
_SLACK: Final = SECOND // 10
"""How late a journey may be at its own end."""


class At(Protocol):
    """What a visit must know of the PoP that it is at."""

    pop: PopId
    ground: Ground
    hearing: Hearing
    board: TargetBoard
    policy: RelayPolicy
    fallbacks: Mapping[ModelName, tuple[ModelName, ...]]
    till: Till

    def row_of(self, pop: PopId, model: ModelName, /) -> int:
        """Where a model of a PoP has its health, on the board."""

    def pop_of(self, row: int, /) -> PopId:
        """Whose row it is."""

    def call(self, pop: PopId, /) -> End:
        """Begin a line to a PoP."""

    def serve(self, visit: "Visit", number: int, request: Request, /) -> Serving:
        """Have the PoP's own engine answer."""

    def caller(self, asked: Asked, /) -> Caller:
        """Whose limits it spends."""

    def left(self, visit: "Visit", /) -> None:
        """It is over."""


@dataclass(slots=True)
class _Leg:
    """One attempt: a line to another PoP, or an exchange here."""

    way: End | Serving
    sends: Sends
    counted: Counted
    accepted: bool = False
    begun: bool = False
    over: bool = False
    heard_at: Instant = _NEVER
    timer: Act | None = None


class Visit:
    """See the module docstring."""

    def __init__(self, at: At, end: End, asked: Asked) -> None:
        """Nothing is sent yet.

        Args:
            at: the PoP.
            end: of the line to whoever asks.
            asked: the request.
        """
        self.asked = asked
        self.begun = False
        self.over = False
        self._at = at
        self._end = end
        self._spin = at.ground.chance.bits()
        self._since = at.ground.now()
        self._models: list[ModelName] = []
        """Of each stage: the one that is asked for, and those that may do as well."""
        self._legs: dict[int, _Leg] = {}
        self._inbox: deque[Event] = deque()
        self._stepping = False
        self._timer: Act | None = None
        self._timer_at: Instant | None = None
        self._journey: Journey | None = None
        self._total = 0
        self._tokens = 0
        self._reservation: Reservation | None = None

    @property
    def request(self) -> Request:
        """What is asked."""
        return self.asked.request

    def begin(self) -> None:
        """Choose, and send."""
        at, model = self._at, self.request.model
        if at.pop in self.asked.via or len(self.asked.via) > FABRIC_HOPS_MAX:
            self._refuse(508)
            return
        stages = []
        for each in (model, *at.fallbacks.get(model, ())):
            order = at.hearing.order(self.asked, each, self._spin)
            if order:
                rows = tuple(at.row_of(pop, each) for pop in order)
                stage = stage_of(Candidates(rows, (1,) * len(rows)), at.policy)
                stages.append(stage.for_one(order=rows, within=self.asked.within))
                self._models.append(each)
        if not stages:
            self._refuse(404)
            return
        if not self._reserved():
            return
        self._total = stages[0].total
        self._journey = Journey(at.board, stages, self._spin)
        self._end.lost = lambda: self._post(Gone())
        self._post(Begin())

    def _reserved(self) -> bool:
        """Whether whoever asks may spend what this may cost; if not, that has been told."""
        most = self.request.prompt_tokens + self.request.answer_tokens
        try:
            self._reservation = self._at.till.reserve(self._at.caller(self.asked), most)
        except LittoralError as error:
            self._refuse(error.status, error.retry_after_s)
            return False
        return True

    def check(self) -> None:
        """Assert that it is not later than it may be."""
        if self.over or self._journey is None:
            return
        if self._at.ground.now() > self._since + self._total + _SLACK:
            raise BrokenError(f"request {self.request.number} should have ended by now")

    # --- what attempts say ---------------------------------------------------------------------

    def heard(self, number: int, message: object) -> None:
        """An attempt says something."""
        leg = self._legs[number]
        if leg.over:
            return
        leg.heard_at = self._at.ground.now()
        if message == ACCEPTED:
            leg.accepted = True
            return
        assert isinstance(message, Said)
        self._said(number, leg, message)

    def lost(self, number: int) -> None:
        """An attempt's line ended, or its engine did."""
        leg = self._legs[number]
        if not leg.over:
            cause = Cause.BROKEN if leg.accepted else Cause.CONNECT
            self._failed(number, leg, Failure(cause))

    def _said(self, number: int, leg: _Leg, message: Said) -> None:
        match message:
            case Begins():
                leg.begun = True
                leg.sends.began(leg.counted)
                self._post(FirstByte(number))
                if not leg.over and not self.begun:
                    self.begun = True
                    self._end.say(message)
            case Token():
                self._tokens += 1
                self._end.say(message)
            case Whole():
                self._finish_leg(leg)
                self._post(Ended(number))
                self._end.say(message)
                self._finish()
            case Status(status, retry_after_s):
                self._failed(number, leg, failure_of_status(status, retry_after_s))
            case Garbage():
                self._failed(number, leg, Failure(Cause.MALFORMED))
            case _:
                assert_never(message)

    def _failed(self, number: int, leg: _Leg, failure: Failure) -> None:
        begun = leg.begun
        self._finish_leg(leg)
        self._post(Broke(number, failure) if begun else Refused(number, failure))

    # --- what the journey says -----------------------------------------------------------------

    def _post(self, event: Event) -> None:
        self._inbox.append(event)
        if self._stepping or self._journey is None:
            return
        self._stepping = True
        gone = False
        while self._inbox:
            event = self._inbox.popleft()
            gone = gone or isinstance(event, Gone)
            for effect in self._journey.step(event, self._at.ground.now()):
                self._perform(effect)
            self._journey.check()
            self._at.board.check()
        self._stepping = False
        if gone:
            self._finish()
        self._set_timer()

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send():
                self._send(effect)
            case Cancel(attempt):
                leg = self._legs[attempt]
                if not leg.over:
                    self._finish_leg(leg)
            case Fail(failure):
                self._fail(failure)
            case Moved(_, row, state):
                pop = self._at.pop_of(row)
                self._at.ground.tell(f"breaker of {pop} is {state.value}")
            case _:
                assert_never(effect)

    def _send(self, send: Send) -> None:
        at, asked, number = self._at, self.asked, send.attempt
        pop = at.pop_of(send.row)
        self._may_go_to(pop)
        at.ground.tell(f"sends {self.request.number} to {pop}{' (hedge)' if send.hedged else ''}")
        now = at.ground.now()
        sends = at.hearing.sends[self._models[send.stage]]
        counted = sends.sent(pop, self.request.prompt_tokens, now)
        request = structs.replace(self.request, model=self._models[send.stage])
        if pop == at.pop:
            serving = at.serve(self, number, request)
            self._legs[number] = _Leg(serving, sends, counted, accepted=True)
            serving.begin()
            return
        end = at.call(pop)
        self._legs[number] = _Leg(end, sends, counted)
        end.hear = lambda message: self.heard(number, message)
        end.lost = lambda: self.lost(number)
        left = self._since + self._total - now
        end.say(Asked(request, (*asked.via, at.pop), left))
        at.ground.after(at.policy.connect_s, lambda: self._connected(number))

    def _may_go_to(self, pop: PopId) -> None:
        number, hearing = self.request.number, self._at.hearing
        if pop in hearing.revoked:
            raise BrokenError(f"request {number} goes to {pop}, which is known to be revoked")
        if pop in self.asked.via:
            raise BrokenError(f"request {number} goes back to {pop}")
        if pop != self._at.pop and len(self.asked.via) >= FABRIC_HOPS_MAX:
            raise BrokenError(f"request {number} goes on to {pop} after {len(self.asked.via)} PoPs")

    def _connected(self, number: int) -> None:
        """Time is up for connecting; from now on, for silence after the first byte."""
        leg = self._legs[number]
        if leg.over:
            return
        if not leg.accepted:
            self._failed(number, leg, Failure(Cause.CONNECT_TIMEOUT))
            return
        between = int(self._at.policy.between_bytes_s * SECOND)
        silent = self._at.ground.now() - leg.heard_at
        if leg.begun and silent >= between:
            self._failed(number, leg, Failure(Cause.BETWEEN_BYTES_TIMEOUT))
            return
        wait = between - silent if leg.begun else between // 2
        leg.timer = self._at.ground.after(wait / SECOND, lambda: self._connected(number))

    def _finish_leg(self, leg: _Leg) -> None:
        """Nothing more is wanted of it."""
        leg.over = True
        if leg.timer is not None:
            leg.timer.call_off()
        leg.sends.ended(leg.counted)
        leg.sends.check()
        if isinstance(leg.way, End):
            leg.way.close()
        else:
            leg.way.cancel()

    # --- its end -------------------------------------------------------------------------------

    def _fail(self, failure: Failure) -> None:
        self._at.ground.tell(f"request {self.request.number} fails: {failure.words()}")
        if self.begun:
            self._finish()
        else:
            status = failure.status or _STATUS.get(failure.cause, 502)
            self._refuse(status, failure.retry_after_s)

    def _refuse(self, status: int, retry_after_s: float | None = None) -> None:
        self._end.say(Status(status, retry_after_s))
        self._finish()

    def _finish(self) -> None:
        if not self.over:
            self.over = True
            if not all(leg.over for leg in self._legs.values()):
                raise BrokenError(f"request {self.request.number} ends and leaves an attempt")
            if self._reservation is not None:
                prompt = self.request.prompt_tokens if self.begun else 0
                self._at.till.settle(self._reservation, prompt + self._tokens)
            self._end.close()
            self._at.left(self)

    def _set_timer(self) -> None:
        moment = None if self._journey is None else self._journey.deadline()
        if moment == self._timer_at:
            return
        if self._timer is not None:
            self._timer.call_off()
            self._timer = None
        self._timer_at = moment
        if moment is not None:
            self._timer = self._at.ground.at(moment, self._tick)

    def _tick(self) -> None:
        self._timer_at = None
        self._post(Tick())
