"""One request on its way through its upstreams, as a machine.

    new --Begin--> trying | pausing | done       sent; or a `Retry-After` is waited out
    trying --FirstByte--> answering              the first to answer wins, the others are cancelled
    trying --Refused--> trying | pausing | done  the next target, the same after a pause, or none
    trying | pausing --Tick--> …                 a hedge, the end of a pause, a target given up
    answering --Ended--> done                    the whole answer came
    answering --Broke--> done                    an honest failure
    any --Gone--> done                           the client left; what runs is cancelled

A journey has ordered stages: the model asked for, then each model to fall back to. A stage has its
targets, and its own number of attempts; the whole has one deadline, the first stage's.

Rules
- After the first byte nothing is sent again, whatever happens (invariant I2).
- It ends once: in Ended, in Gone, or in one `Fail`.
- The caller's own fault ends it at once, and goes nowhere else.
- Another target of the stage is asked at once; one that was asked already only after a pause that
  doubles, or the one that it asked for. A `Retry-After` longer than patience is not waited out.
- The next stage is asked when no target of this one may be. Only when none of any stage may be, and
  nothing was sent yet, an open target is asked as a last resort.
- A hedge is one second attempt, at another target, and counts as an attempt.
- Whatever an attempt says after it is over changes nothing.

It keeps the board: what is in flight is counted by it alone. The connection's own timeouts
(connect, between bytes) are its driver's, and come as failures.
"""

from collections.abc import Callable, Sequence
from typing import Final, assert_never

from littoral.routing.board import BreakerState, TargetBoard
from littoral.routing.choose import NOBODY, choose, next_spin
from littoral.routing.failures import Cause, Failure
from littoral.routing.words import (
    Attempt,
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
    Stage,
    Tick,
)
from littoral.terms import limits
from littoral.terms.values import SECOND, Instant

__all__ = ["Journey"]

_PAUSE: Final = int(limits.RETRY_PAUSE_S * SECOND)
_PAUSE_MAX: Final = int(limits.RETRY_PAUSE_S_MAX * SECOND)
_PATIENCE: Final = int(limits.RETRY_AFTER_PATIENCE_S * SECOND)
_SILENT: Final = Failure(Cause.FIRST_BYTE_TIMEOUT)


class Journey:
    """One request. The direct methods are the events; `step` takes them as values."""

    __slots__ = (
        "_board", "_done", "_failure", "_hedge_at", "_left", "_live", "_pause_until", "_spin",
        "_stage", "_stages", "attempts", "total_at", "winner",
    )  # fmt: skip

    def __init__(self, board: TargetBoard, stages: Sequence[Stage], spin: int) -> None:
        """Send nothing yet.

        Args:
            board: health and load, which this keeps for its attempts.
            stages: the model asked for, then those to fall back to; at least one.
            spin: a random number of 64 bits.
        """
        self._board = board
        self._stages = stages
        self._spin = spin
        self._stage = 0
        self._left = stages[0].attempts
        """Attempts that this stage may still make."""
        self._hedge_at = self._pause_until = self.total_at = 0
        self._live = 0
        self._done = False
        self._failure: Failure | None = None
        self.attempts: list[Attempt] = []
        """All so far, in order; an attempt's number is its index."""
        self.winner = NOBODY
        """The attempt whose answer this is, once it has begun."""

    # --- events --------------------------------------------------------------------------------

    def begin(self, now: Instant) -> Sequence[Effect]:
        """Choose the first target."""
        assert not self.total_at, "a journey begins once"
        stage = self._stages[0]
        self.total_at = now + stage.total
        row, last_resort = choose(self._board, stage.candidates, now, self._spin)
        if row >= 0 and not last_resort and self._left > 0:
            return self._send(row, now)
        return self._go_on(now)

    def first_byte(self, attempt: int, now: Instant) -> Sequence[Effect]:
        """The first to answer wins."""
        one = self.attempts[attempt]
        if not one.live or self.winner >= 0:
            return ()
        self.winner = attempt
        moved = self._board.first_byte(one.row, now - one.sent_at, now)
        if moved is None and self._live == 1:
            return ()
        effects: list[Effect] = [] if moved is None else [Moved(one.stage, one.row, moved)]
        for number, other in enumerate(self.attempts):
            if other.live and number != attempt:
                self._over(other)
                self._board.outpaced(other.row, now - other.sent_at, now)
                effects.append(Cancel(number))
        return effects

    def ended(self, attempt: int, now: Instant) -> Sequence[Effect]:
        """The answer is whole."""
        del now
        one = self.attempts[attempt]
        if one.live:
            assert attempt == self.winner, "an answer begins before it ends"
            self._over(one)
            self._board.ended(one.row)
            self._done = True
        return ()

    def refused(self, attempt: int, failure: Failure, now: Instant) -> Sequence[Effect]:
        """Go elsewhere, try again, or give up."""
        one = self.attempts[attempt]
        if not one.live:
            return ()
        assert attempt != self.winner, "after the first byte it broke"
        effects = self._lose(one, failure, now)
        if failure.final:
            return self._fail(failure, effects)
        if self._live:
            return effects
        return self._go_on(now, effects)

    def broke(self, attempt: int, failure: Failure, now: Instant) -> Sequence[Effect]:
        """An answer that began and was lost is an honest failure; no other engine takes over."""
        one = self.attempts[attempt]
        if not one.live:
            return ()
        assert attempt == self.winner, "before the first byte it is refused"
        return self._fail(failure, self._lose(one, failure, now))

    def tick(self, now: Instant) -> Sequence[Effect]:
        """Do what is due."""
        if now >= self.total_at and not self._done:
            return self._too_late(now)
        if self._done or self.winner >= 0:
            return ()
        effects: list[Effect] = []
        for number, one in enumerate(self.attempts):
            if one.live and now >= one.sent_at + self._stages[one.stage].first_byte:
                effects += (Cancel(number), *self._lose(one, _SILENT, now))
        if self._pause_until:
            if now >= self._pause_until:
                self._pause_until = 0
                return self._go_on(now, effects, paused=True)
        elif not self._live:
            return self._go_on(now, effects)
        elif self._hedge_at and now >= self._hedge_at:
            self._hedge(now, effects)
        return effects

    def gone(self, now: Instant) -> Sequence[Effect]:
        """Cancel what runs."""
        del now
        self._done = True
        return self._cancel_all()

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        """Take one event and say what to do, in order."""
        match event:
            case Begin():
                return self.begin(now)
            case Refused(attempt, failure):
                return self.refused(attempt, failure, now)
            case FirstByte(attempt):
                return self.first_byte(attempt, now)
            case Ended(attempt):
                return self.ended(attempt, now)
            case Broke(attempt, failure):
                return self.broke(attempt, failure, now)
            case Tick():
                return self.tick(now)
            case Gone():
                return self.gone(now)
            case _:
                assert_never(event)

    # --- what is known -------------------------------------------------------------------------

    def deadline(self) -> Instant | None:
        """When to say Tick, if nothing else happens."""
        if self._done or not self.total_at:
            return None
        until = self.total_at
        if self.winner < 0:
            if self._pause_until:
                until = min(until, self._pause_until)
            elif self._hedge_at:
                until = min(until, self._hedge_at)
            for one in self.attempts:
                if one.live:
                    until = min(until, one.sent_at + self._stages[one.stage].first_byte)
        return Instant(until)

    @property
    def done(self) -> bool:
        """Nothing is under way, and nothing will be."""
        return self._done

    def story(self, name: Callable[[int], str]) -> list[str]:
        """What became of each attempt, one line each; `name` gives a row's."""
        return [
            f"{name(one.row)}: {one.became(won=number == self.winner)}"
            for number, one in enumerate(self.attempts)
        ]

    def check(self) -> None:
        """Assert what must hold between any two events."""
        live = [number for number, one in enumerate(self.attempts) if one.live]
        assert len(live) == self._live <= 2
        if self._done:
            assert not live
        elif self.total_at:
            assert bool(live) != bool(self._pause_until), "it is trying, or pausing"
        if self.winner >= 0:
            assert live in ([], [self.winner])
        for number, stage in enumerate(self._stages):
            assert sum(one.stage == number for one in self.attempts) <= stage.attempts
        assert len({self.attempts[number].row for number in live}) == len(live), "hedged elsewhere"

    # --- where to go ---------------------------------------------------------------------------

    def _go_on(
        self, now: Instant, effects: list[Effect] | None = None, *, paused: bool = False
    ) -> Sequence[Effect]:
        """Send somewhere, pause, or fail; nothing is under way."""
        effects = effects if effects is not None else []
        while True:
            if self._left > 0:
                row = self._free(now, paused=paused)
                if row != NOBODY:
                    return self._send(row, now, effects)
                if self._pause_until:
                    return effects
            if self._stage + 1 >= len(self._stages):
                break
            self._stage += 1
            self._left = self._stages[self._stage].attempts
            paused = False
        return self._nobody(now, effects)

    def _free(self, now: Instant, *, paused: bool) -> int:
        """A target of this stage that may be asked now; or NOBODY, perhaps after a pause."""
        row, last_resort = self._untried(now)
        if row != NOBODY and not last_resort:
            return row
        candidates = self._stages[self._stage].candidates
        here = [one for one in self.attempts if one.stage == self._stage]
        barred = [one.row for one in here if one.failure is not None and one.failure.lasting]
        row, last_resort = choose(self._board, candidates, now, self._spun(), barred)
        if row == NOBODY:
            return NOBODY
        if not last_resort:  # one that was tried
            if paused:
                return row
            self._pause(min(_PAUSE << min(len(here) - 1, 16), _PAUSE_MAX), now)
        elif not paused:
            aside = self._board.aside_until(row) - now
            if 0 < aside <= _PATIENCE and self._board.state(row, now) is not BreakerState.OPEN:
                self._pause(2 * aside, now)
        return NOBODY

    def _pause(self, most: int, now: Instant) -> None:
        """Wait between half of it and all, unless that is longer than the request may take."""
        until = now + most // 2 + self._spun() % (most // 2 + 1)
        if until < self.total_at:
            self._pause_until = until

    def _nobody(self, now: Instant, effects: list[Effect]) -> Sequence[Effect]:
        """No stage has a target that may be asked."""
        if self._failure is not None:
            return self._fail(self._failure, effects)
        failure = Failure(Cause.NONE_FREE)
        for number, stage in enumerate(self._stages):
            row, _ = choose(self._board, stage.candidates, now, self._spun())
            if row == NOBODY or stage.attempts <= 0:
                continue
            if (aside := self._board.aside_until(row) - now) <= 0:
                self._stage, self._left = number, stage.attempts
                return self._send(row, now, effects, last_resort=True)
            if failure.cause is Cause.NONE_FREE:
                failure = Failure(Cause.LIMITED, retry_after_s=aside / SECOND)
        return self._fail(failure, effects)

    def _hedge(self, now: Instant, effects: list[Effect]) -> None:
        self._hedge_at = 0
        row, last_resort = self._untried(now)
        if self._left > 0 and row != NOBODY and not last_resort:
            self._send(row, now, effects, hedged=True)

    def _untried(self, now: Instant) -> tuple[int, bool]:
        """What `choose` says of the targets of this stage that were not asked yet."""
        tried = [one.row for one in self.attempts if one.stage == self._stage]
        candidates = self._stages[self._stage].candidates
        return choose(self._board, candidates, now, self._spun(), tried)

    # --- what is done --------------------------------------------------------------------------

    def _send(  # an attempt has this many sides
        self,
        row: int,
        now: Instant,
        effects: list[Effect] | None = None,
        *,
        hedged: bool = False,
        last_resort: bool = False,
    ) -> Sequence[Effect]:
        number, index = len(self.attempts), self._stage
        self.attempts.append(Attempt(index, row, now, hedged))
        self._left -= 1
        self._live += 1
        stage = self._stages[index]
        if stage.hedge_after and not hedged:
            self._hedge_at = now + stage.hedge_after
        moved = self._board.sent(row, now)
        send = Send(number, index, row, hedged, last_resort)
        if effects is None:
            if moved is None:
                return (send,)
            effects = []
        if moved is not None:
            effects.append(Moved(index, row, moved))
        effects.append(send)
        return effects

    def _lose(self, one: Attempt, failure: Failure, now: Instant) -> list[Effect]:
        """An attempt failed: what the board makes of it."""
        self._over(one)
        one.failure = self._failure = failure
        if failure.cause is Cause.CALLER:
            moved = self._board.caller_fault(one.row, now)
        else:
            begun = self.winner >= 0
            moved = self._board.failed(one.row, failure, now, begun=begun)
        return [] if moved is None else [Moved(one.stage, one.row, moved)]

    def _too_late(self, now: Instant) -> Sequence[Effect]:
        """The deadline of the whole. Who was silent for most of it is blamed."""
        failure = Failure(Cause.TOTAL_TIMEOUT)
        effects: list[Effect] = []
        for number, one in enumerate(self.attempts):
            if one.live:
                effects.append(Cancel(number))
                elapsed = now - one.sent_at if self.winner < 0 else 0
                if 2 * elapsed >= self._stages[0].total:
                    effects += self._lose(one, failure, now)
                else:
                    self._over(one)
                    one.failure = failure
                    self._board.outpaced(one.row, elapsed, now)
        return self._fail(failure, effects)

    def _fail(self, failure: Failure, effects: list[Effect]) -> Sequence[Effect]:
        effects += (*self._cancel_all(), Fail(failure))
        self._done = True
        self._pause_until = 0
        return effects

    def _cancel_all(self) -> list[Effect]:
        cancels: list[Effect] = []
        for number, one in enumerate(self.attempts):
            if one.live:
                self._over(one)
                self._board.abandoned(one.row)
                cancels.append(Cancel(number))
        return cancels

    def _over(self, one: Attempt) -> None:
        one.live = False
        self._live -= 1

    def _spun(self) -> int:
        """The next random number made of the one given."""
        self._spin = next_spin(self._spin)
        return self._spin ^ (self._spin >> 32)
