"""One answer, from whichever upstream can give it.

The journey (routing/journey.py) decides who is asked, when another is, and when it is over. This
performs it: each attempt is a request on its target's line, and the bytes of the one that wins go
to the listener.

Rules
- Streams pass as they come, cut at event boundaries and not read. Of the first events and of the
  last, enough is kept to say how it ended and what it used.
- Answers in one piece pass when all of them is there, so that an upstream that dies in the middle
  of one can still be replaced by another.
- An error that an upstream puts into its stream is an error, not an answer.
- The request's own fault (400) goes to the client in the upstream's own words.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, assert_never

from littoral.adapters.http.events import (
    DONE,
    EventCutter,
    EventTooLongError,
    data_of,
    each,
    error_in,
)
from littoral.adapters.http.hop import Call
from littoral.adapters.http.words import (
    AnswerHead,
    HttpError,
    MalformedError,
    NoConnectionFreeError,
)
from littoral.adapters.upstreams.failures import (
    cause_of_http,
    error_of_http,
    error_of_status,
    may_pass,
    said_in,
    seconds_in,
)
from littoral.adapters.upstreams.target import Target
from littoral.adapters.upstreams.words import Begun, Errand, Listener
from littoral.routing.failures import Cause, Failure, failure_of_status
from littoral.routing.journey import Journey
from littoral.routing.words import Cancel, Effect, Fail, Moved, Send
from littoral.serving.outcome import (
    Outcome,
    outcome_of_body,
    outcome_of_stream,
    stream_is_whole,
)
from littoral.terms.errors import LittoralError, QueueFullError, UpstreamFailedError
from littoral.terms.facts import BreakerMoved, FellBack, UpstreamTried
from littoral.terms.limits import ANSWER_BYTES_MAX, GATHERED_BYTES_MAX
from littoral.terms.values import SECOND, Finish

if TYPE_CHECKING:
    from littoral.adapters.upstreams.upstreams import Route, Upstreams

__all__ = ["Fetch"]

_TAIL_PIECES: Final = 6
"""The end of a stream: usage, reason and closing mark may come in a write of their own each."""

_TAIL_BYTES: Final = 4096
"""Of one write, when many events come in it."""

_REFUSAL_BYTES_MAX: Final = 256 * 1024
"""An upstream's words about what it refuses."""


class Fetch:
    """One answer on its way."""

    __slots__ = (
        "_errand",
        "_error",
        "_journey",
        "_listener",
        "_over",
        "_refusal",
        "_timer",
        "_tries",
        "_upstreams",
        "route",
    )

    def __init__(
        self, upstreams: "Upstreams", route: "Route", errand: Errand, listener: Listener
    ) -> None:
        """Ask nobody yet."""
        self._upstreams = upstreams
        self.route = route
        self._errand = errand
        self._listener = listener
        spin = int.from_bytes(upstreams.clock.random_bytes(8), "little")
        self._journey = Journey(upstreams.board, route.stages, spin)
        self._tries: list[_Try] = []
        self._error: LittoralError | None = None
        self._refusal: tuple[_Try, AnswerHead, bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    def start(self) -> None:
        """Ask the first upstream. If none may be asked, the listener hears so at once."""
        self._do(self._journey.begin(self._upstreams.clock.now()))

    def pause(self) -> None:
        """Read no more for now."""
        if self._journey.winner >= 0:
            one = self._tries[self._journey.winner]
            one.asking.pause(one)

    def resume(self) -> None:
        """Read on."""
        if self._journey.winner >= 0:
            one = self._tries[self._journey.winner]
            one.asking.resume(one)

    def cancel(self) -> None:
        """Nobody waits any more: whatever is under way is closed at once."""
        if not self._over:
            self._over = True
            self._do(self._journey.gone(self._upstreams.clock.now()))

    def story(self) -> list[str]:
        """What became of each attempt, one line each."""
        return self._journey.story(self._upstreams.name_of)

    # --- what attempts say ---

    @property
    def errand(self) -> Errand:
        """What is asked."""
        return self._errand

    def first(self, one: "_Try", begun: Begun) -> bool:
        """The first bytes of an answer: whether it is the one that counts."""
        if not self._wins(one):
            return False
        self._listener.begun(begun)
        return not self._over

    def _wins(self, one: "_Try") -> bool:
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

    def passed(self, data: bytes) -> None:
        """Bytes of the answer that counts."""
        self._listener.data(data)

    def ended(self, one: "_Try", outcome: Outcome) -> None:
        """The stream that counts is whole."""
        if not self._over:
            self._close(one)
            self._listener.ended(outcome)

    def whole(self, one: "_Try", begun: Begun, body: bytes, outcome: Outcome) -> None:
        """An answer in one piece."""
        if self._wins(one):
            self._close(one)
            self._listener.whole(begun, body, outcome)

    def _close(self, one: "_Try") -> None:
        self._over = True
        self._journey.ended(one.number, self._upstreams.clock.now())

    def refused(self, one: "_Try", head: AnswerHead, body: bytes) -> None:
        """An answer that is not 200."""
        failure = failure_of_status(head.status, seconds_in(head))
        if failure.cause is Cause.CALLER:
            self._refusal = one, head, body
        self.lost(one, failure, error_of_status(head, body, one.target.key))

    def lost(self, one: "_Try", failure: Failure, error: LittoralError) -> None:
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

    def _note(self, one: "_Try", outcome: str) -> None:
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
        if self.route.ticks or self._timer is not None:
            self._set_timer()

    def _send(self, attempt: int, target: Target) -> None:
        one = _Try(self, attempt, target)
        self._tries.append(one)
        one.asking = target.ask(self._errand, one)

    def _fail(self, failure: Failure) -> None:
        if self._over:
            return
        self._over = True
        if self._refusal is not None and failure.cause is Cause.CALLER:
            one, head, body = self._refusal
            if may_pass(self._errand.api, body, one.target.key):
                begun = one.begun(head)
                begun.refusal = self._error
                self._listener.whole(begun, body, Outcome(Finish.FAILED, None))
                return
        self._listener.failed(self._error or _none_free(self.route.entry.name, failure))

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


class _Try:
    """One attempt at one target; hears of its answer."""

    __slots__ = (
        "_cache_control",
        "_cutter",
        "_fetch",
        "_first",
        "_gathered",
        "_head",
        "_pieces",
        "_tail",
        "_type",
        "asking",
        "number",
        "target",
    )

    asking: Call

    def __init__(self, fetch: Fetch, number: int, target: Target) -> None:
        self._fetch = fetch
        self.number = number
        self.target = target
        self._head: AnswerHead | None = None
        self._type = "application/json"
        self._cache_control = ""
        self._cutter: EventCutter | None = None
        self._first = b""
        """The first events of a stream; nothing until they are here."""
        self._tail: deque[bytes] | None = None
        """The last events of a stream."""
        self._pieces: list[bytes] = []
        self._gathered = 0

    def cancel(self) -> None:
        """Close it; nothing more is wanted of it."""
        self._let_go()
        self.asking.cancel(self)

    def begun(self, head: AnswerHead) -> Begun:
        """What the listener is told of it."""
        target = self.target
        return Begun(
            head.status, self._type, target.entry, target.info, target.name, self._cache_control
        )

    # --- Hears ---

    def head(self, head: AnswerHead) -> None:
        """Know what kind of answer it is going to be."""
        self._head = head
        encoding = ""
        for name, value in head.fields:
            match name.lower():
                case b"content-type":
                    self._type = value.decode("latin-1").strip()
                case b"content-encoding":
                    encoding = value.decode("latin-1").strip()
                case b"cache-control":
                    self._cache_control = value.decode("latin-1").strip()
                case _:
                    pass
        if head.status != 200:
            return
        if encoding not in {"", "identity"}:
            self._give_up(MalformedError("an encoding that was not asked for"))
        elif "text/event-stream" in self._type:
            self._cutter = EventCutter()
            self._tail = deque(maxlen=_TAIL_PIECES)
        elif self._fetch.errand.stream:
            self._give_up(MalformedError("it answered without streaming"))

    def data(self, data: bytes) -> None:
        """Pass events on; gather anything else."""
        if self._cutter is None:
            self._gather(data)
            return
        try:
            events = self._cutter.feed(data)
        except EventTooLongError as error:
            self._give_up(MalformedError(f"it sent {error}"))
            return
        if events:
            self._pass(events)

    def end(self) -> None:
        """All of it is here."""
        head = self._head
        assert head is not None, "the head comes first"
        if self._cutter is not None:
            self._end_stream()
            return
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._let_go()
        if head.status != 200:
            self._fetch.refused(self, head, body)
            return
        outcome = outcome_of_body(body) if _is_text(body) else None
        if outcome is None:
            what = "the upstream answered 200 with something else than an answer"
            self._fetch.lost(self, Failure(Cause.MALFORMED), UpstreamFailedError(what))
        else:
            self._fetch.whole(self, self.begun(head), body, outcome)

    def lost(self, error: HttpError) -> None:
        """Part of it is missing, or all."""
        self._let_go()
        self._fetch.lost(self, Failure(cause_of_http(error)), error_of_http(error))

    # --- streams ---

    def _pass(self, events: bytes) -> None:
        if (error := error_in(events)) is not None:
            said = said_in(error, self.target.key)
            self.asking.cancel(self)
            told = UpstreamFailedError(f"the upstream failed in the middle: {said}")
            self._fetch.lost(self, Failure(Cause.SERVER_ERROR), told)
            return
        if not self._first:
            self._first = events[: events.find(b"\n\n") + 2]
            assert self._head is not None, "the head comes first"
            if not self._fetch.first(self, self.begun(self._head)):
                return
        assert self._tail is not None, "a stream has an end"
        if len(events) > _TAIL_BYTES:
            self._tail.append(events[events.find(b"\n\n", len(events) - _TAIL_BYTES) + 2 :])
        else:
            self._tail.append(events)
        if self._fetch.errand.usage:
            events = _without_usage(events)
        if events:
            self._fetch.passed(events)

    def _end_stream(self) -> None:
        assert self._cutter is not None, "a stream is cut"
        assert self._tail is not None, "a stream has an end"
        rest = self._cutter.rest()
        if data_of(rest) == b"[DONE]":
            self._pass(rest.rstrip() + b"\n\n")
            rest = b""
        tail = b"".join(self._tail)
        outcome = outcome_of_stream(self._first + tail)
        api = self._fetch.errand.api
        if not stream_is_whole(api, tail):
            if outcome.finish is Finish.FAILED or api in {"messages", "responses"}:
                error = UpstreamFailedError("the upstream ended its answer in the middle")
                self._fetch.lost(self, Failure(Cause.BROKEN), error)
                return
            self._fetch.passed(DONE)
        self._fetch.ended(self, outcome)

    # --- whole answers ---

    def _gather(self, data: bytes) -> None:
        self._pieces.append(data)
        self._gathered += len(data)
        upstreams = self.target.gathering
        upstreams.bytes += len(data)
        assert self._head is not None, "the head comes first"
        most = ANSWER_BYTES_MAX if self._head.status == 200 else _REFUSAL_BYTES_MAX
        if self._gathered > most:
            self._give_up(MalformedError(f"an answer of over {most} bytes"))
        elif upstreams.bytes > GATHERED_BYTES_MAX:
            self._give_up(NoConnectionFreeError("too much is being gathered"))

    def _let_go(self) -> None:
        self.target.gathering.bytes -= self._gathered
        self._gathered = 0
        self._pieces = []

    def _give_up(self, error: HttpError) -> None:
        self.asking.cancel(self)
        self.lost(error)


def _is_text(body: bytes) -> bool:
    """Whether it is UTF-8, as JSON must be."""
    if body.isascii():
        return True
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _without_usage(events: bytes) -> bytes:
    """The events without the one that holds the usage alone, which the client did not ask for."""
    if b'"choices":[]' not in events and b'"choices": []' not in events:
        return events
    return b"".join(event for event in each(events) if not _is_usage_alone(data_of(event)))


def _is_usage_alone(payload: bytes) -> bool:
    outcome = outcome_of_stream(b"data: " + payload + b"\n")
    return b'"choices":[]' in payload.replace(b" ", b"") and outcome.usage is not None


def _none_free(model: str, failure: Failure) -> LittoralError:
    """Nobody could be asked at all."""
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
