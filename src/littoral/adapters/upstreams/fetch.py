"""One answer, from whichever upstream can give it.

The journey (routing/journey.py) decides who is asked, when another is, and when it is over. This
performs it: each attempt is a request on its target's line, and the bytes of the one that wins go
to the listener.

The request's own fault (400) goes to the client in the upstream's own words, if they are in the
API's shape. What else passes, and what does not, is said in attempt.py.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, assert_never

from littoral.adapters.http.words import AnswerHead
from littoral.adapters.upstreams.attempt import Attempt
from littoral.adapters.upstreams.failures import error_of_status, may_pass, seconds_in
from littoral.adapters.upstreams.target import Target
from littoral.adapters.upstreams.words import Begun, Errand, Listener
from littoral.routing.failures import Cause, Failure, failure_of_status
from littoral.routing.journey import Journey
from littoral.routing.words import Cancel, Effect, Fail, Moved, Send
from littoral.serving.outcome import Outcome
from littoral.terms.errors import (
    LittoralError,
    QueueFullError,
    RequirementUnmetError,
    UpstreamFailedError,
    UpstreamTimeoutError,
)
from littoral.terms.facts import BreakerMoved, FellBack, UpstreamTried
from littoral.terms.values import SECOND, Finish

if TYPE_CHECKING:
    from littoral.adapters.upstreams.upstreams import Route, Upstreams

__all__ = ["Fetch"]


class Fetch:
    """One answer on its way."""

    __slots__ = (
        "_error",
        "_journey",
        "_listener",
        "_over",
        "_refusal",
        "_ticks",
        "_timer",
        "_tries",
        "_upstreams",
        "errand",
        "passed",
        "route",
    )

    def __init__(
        self, upstreams: "Upstreams", route: "Route", errand: Errand, listener: Listener
    ) -> None:
        """Ask nobody yet."""
        self._upstreams = upstreams
        self.route = route
        self.errand = errand
        """What is asked."""
        self._listener = listener
        self.passed = listener.data
        """Hears events of the stream that counts: each token, so without a function in between."""
        spin = int.from_bytes(upstreams.clock.random_bytes(8), "little")
        plain = errand.passage is None and not route.passes_on
        stages = route.stages if plain else upstreams.stages(route, errand, spin)
        self._journey = Journey(upstreams.board, stages, spin)
        self._ticks = route.ticks or stages[0].total < route.stages[0].total
        self._tries: list[Attempt] = []
        """Let go of at the end: they know this fetch, and a cycle waits for the collector."""
        self._error: LittoralError | None = None
        self._refusal: tuple[Attempt, AnswerHead, bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    def start(self) -> None:
        """Ask the first upstream. If none may be asked, the listener hears so at once."""
        self._do(self._journey.begin(self._upstreams.clock.now()))

    def pause(self) -> None:
        """Read no more for now."""
        if self._journey.winner >= 0 and not self._over:
            one = self._tries[self._journey.winner]
            one.asking.pause(one)

    def resume(self) -> None:
        """Read on."""
        if self._journey.winner >= 0 and not self._over:
            one = self._tries[self._journey.winner]
            one.asking.resume(one)

    def cancel(self) -> None:
        """Nobody waits any more: whatever is under way is closed at once."""
        if not self._over:
            self._over = True
            self._do(self._journey.gone(self._upstreams.clock.now()))
            self._tries.clear()

    def story(self) -> list[str]:
        """What became of each attempt, one line each."""
        return self._journey.story(self._upstreams.name_of)

    # --- what attempts say ---

    def first(self, one: Attempt, begun: Begun) -> bool:
        """The first bytes of an answer: whether it is the one that counts."""
        if not self._wins(one):
            return False
        self._listener.begun(begun)
        return not self._over

    def _wins(self, one: Attempt) -> bool:
        """Whether this attempt's answer is the one that counts."""
        journey = self._journey
        effects = journey.first_byte(one.number, self._upstreams.clock.now())
        if effects:
            self._do(effects)
        if self._over or journey.winner != one.number:
            return False
        if len(self._tries) > 1:
            self._note(one, "answered")
        if one.target.entry is not self.route.entry:
            self._upstreams.observe(FellBack(self.route.entry.name, one.target.entry.name))
        return True

    def ended(self, one: Attempt, outcome: Outcome) -> None:
        """The stream that counts is whole."""
        if not self._over:
            self._close(one)
            self._listener.ended(outcome)

    def whole(self, one: Attempt, begun: Begun, body: bytes, outcome: Outcome) -> None:
        """An answer in one piece."""
        if self._wins(one):
            self._close(one)
            self._listener.whole(begun, body, outcome)

    def _close(self, one: Attempt) -> None:
        self._over = True
        self._tries.clear()
        self._journey.ended(one.number, self._upstreams.clock.now())

    def refused(self, one: Attempt, head: AnswerHead, body: bytes) -> None:
        """An answer that is not 200."""
        failure = failure_of_status(head.status, seconds_in(head))
        if failure.cause is Cause.CALLER:
            self._refusal = one, head, body
        self.lost(one, failure, error_of_status(head, body, one.target.key, one.target.pop))

    def lost(self, one: Attempt, failure: Failure, error: LittoralError) -> None:
        """An attempt has failed."""
        if self._over:
            return
        self._error = error
        self._note(one, failure.outcome)
        now = self._upstreams.clock.now()
        if self._journey.winner == one.number:
            self._do(self._journey.broke(one.number, failure, now))
        else:
            self._do(self._journey.refused(one.number, failure, now))
            self._set_timer()  # it may pause before it tries again

    def _note(self, one: Attempt, outcome: str) -> None:
        hedged = self._journey.attempts[one.number].hedged
        fact = UpstreamTried(one.target.entry.name, one.target.name, outcome, hedged)
        self._upstreams.observe(fact)

    # --- what the journey says ---

    def _do(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send():
                    self._send(effect.attempt, self.route.targets[effect.stage][effect.row])
                case Cancel(attempt):
                    self._tries[attempt].cancel()
                case Moved(stage, row, state):
                    target = self.route.targets[stage][row]
                    fact = BreakerMoved(target.entry.name, target.name, state.value)
                    self._upstreams.observe(fact)
                case Fail(failure):
                    self._fail(failure)
                case _:
                    assert_never(effect)
        if self._ticks or self._timer is not None:
            self._set_timer()

    def _send(self, attempt: int, target: Target) -> None:
        followed = self._upstreams.followed(self.errand, target)
        one = Attempt(self, attempt, target, followed)
        self._tries.append(one)
        left_s = (self._journey.total_at - self._upstreams.clock.now()) / SECOND
        one.asking = target.ask(self.errand, one, left_s)

    def _fail(self, failure: Failure) -> None:
        if self._over:
            return
        self._over = True
        self._tries.clear()
        refusal, self._refusal = self._refusal, None
        if refusal is not None and failure.cause is Cause.CALLER:
            one, head, body = refusal
            if may_pass(self.errand.api, body, one.target.key):
                begun = one.begun(head)
                begun.refusal = self._error
                self._listener.whole(begun, body, Outcome(Finish.FAILED, None))
                return
        self._listener.failed(self._error or self._none_free(failure))

    def _none_free(self, failure: Failure) -> LittoralError:
        model, passage = self.route.entry.name, self.errand.passage
        if failure.cause is Cause.NONE_FREE and passage is not None and passage.requires:
            return RequirementUnmetError(
                f"no PoP that answers for {model} has what is required: {passage.requires}"
            )
        return _none_free(model, failure)

    def _set_timer(self) -> None:
        """Hedges and pauses need the time; all other deadlines are the connection's."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        moment = None if self._over else self._journey.deadline()
        if moment is not None:
            delay_s = max(0, moment - self._upstreams.clock.now()) / SECOND
            self._timer = self._upstreams.loop.call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._do(self._journey.tick(self._upstreams.clock.now()))
        self._set_timer()  # a timer may be a little early


def _none_free(model: str, failure: Failure) -> LittoralError:
    """Nobody could be asked at all, or in time."""
    if failure.cause is Cause.TOTAL_TIMEOUT:
        return UpstreamTimeoutError(f"nobody could answer for {model} within the time given")
    if failure.cause is Cause.LIMITED:
        return QueueFullError(
            f"every upstream of {model} limits this PoP at the moment",
            advice="try again later; this is not your own limit",
            retry_after_s=failure.retry_after_s,
        )
    return UpstreamFailedError(
        f"no upstream of {model} can be asked now: {failure.words()}",
        advice="try again in a moment; its operator sees them with `littoral models show`",
        retry_after_s=2.0,
    )
