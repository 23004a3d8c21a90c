"""One attempt at one upstream: what of its answer is passed on, and when it is none.

Rules
- Streams pass as they come, cut at event boundaries and not read. Of the first events and of the
  last, enough is kept to say how it ended and what it used.
- Answers in one piece pass when all of them is there, so that an upstream that dies in the middle
  of one can still be replaced by another.
- An error that an upstream puts into its stream is an error, not an answer.
- Another PoP's answer comes with its receipt (witness.py), or is a failure: one in one piece before
  anything of it has passed, a stream at its end.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

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
from littoral.adapters.upstreams.failures import cause_of_http, error_of_http, said_in
from littoral.adapters.upstreams.target import Target
from littoral.adapters.upstreams.witness import Witness
from littoral.adapters.upstreams.words import Begun, Errand, Followed
from littoral.routing.failures import Cause, Failure
from littoral.serving.outcome import (
    Outcome,
    outcome_of_body,
    outcome_of_stream,
    stream_is_whole,
)
from littoral.terms.errors import LittoralError, ReceiptRejectedError, UpstreamFailedError
from littoral.terms.limits import ANSWER_BYTES_MAX, GATHERED_BYTES_MAX
from littoral.terms.values import Finish

__all__ = ["Attempt", "Course"]

_TAIL_PIECES: Final = 6
"""The end of a stream: usage, reason and closing mark may come in a write of their own each."""

_TAIL_BYTES: Final = 4096
"""Of one write, when many events come in it."""

_REFUSAL_BYTES_MAX: Final = 256 * 1024
"""An upstream's words about what it refuses."""


_TYPE_CHARS_MAX: Final = 128
"""A content type that goes on to the client; a longer one, or an odd one, is called JSON."""


class Course(Protocol):
    """What attempts tell of themselves: to whoever decides which of them counts."""

    errand: Errand
    """What is asked."""

    def first(self, one: "Attempt", begun: Begun) -> bool:
        """The first events of a stream: whether it is the one that counts."""

    @property
    def passed(self) -> Callable[[bytes], None]:
        """Hears events of the stream that counts."""

    def ended(self, one: "Attempt", outcome: Outcome) -> None:
        """The stream that counts is whole."""

    def whole(self, one: "Attempt", begun: Begun, body: bytes, outcome: Outcome) -> None:
        """An answer in one piece."""

    def refused(self, one: "Attempt", head: AnswerHead, body: bytes) -> None:
        """An answer that is not 200."""

    def lost(self, one: "Attempt", failure: Failure, error: LittoralError) -> None:
        """The attempt has failed."""


class Attempt:
    """One attempt at one target; hears of its answer."""

    __slots__ = (
        "_cache_control",
        "_cutter",
        "_fetch",
        "_first",
        "_followed",
        "_gathered",
        "_head",
        "_pieces",
        "_tail",
        "_type",
        "_why",
        "_witness",
        "asking",
        "number",
        "target",
    )

    asking: Call

    def __init__(
        self, fetch: Course, number: int, target: Target, followed: Followed | None = None
    ) -> None:
        self._fetch = fetch
        self._followed = followed
        self._why = "" if followed is None else followed.why
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
        self._witness: Witness | None = None
        """Of another PoP's answer."""

    def cancel(self) -> None:
        """Close it; nothing more is wanted of it."""
        self._over()
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
        encoding = self._read(head)
        if head.status != 200:
            return
        if self.target.witnessed:
            try:
                self._witness = self._witness_of(head)
            except MalformedError as error:
                self._give_up(error)
                return
        if encoding and encoding != "identity":
            self._give_up(MalformedError("an encoding that was not asked for"))
        elif "text/event-stream" in self._type:
            self._cutter = EventCutter()
            self._tail = deque(maxlen=_TAIL_PIECES)
        elif self._fetch.errand.stream:
            self._give_up(MalformedError("it answered without streaming"))

    def _read(self, head: AnswerHead) -> str:
        """Keep what goes on of the head; the encoding of what follows."""
        encoding = ""
        for name, value in head.fields:
            match name:
                case b"content-type" if value != b"application/json":
                    kind = value.decode("latin-1").strip()
                    if kind.isascii() and kind.isprintable() and len(kind) <= _TYPE_CHARS_MAX:
                        self._type = kind
                case b"content-encoding":
                    encoding = value.decode("latin-1").strip()
                case b"cache-control":
                    self._cache_control = value.decode("latin-1").strip()
                case _:
                    pass
        return encoding

    def _witness_of(self, head: AnswerHead) -> Witness:
        target, errand = self.target, self._fetch.errand
        assert target.pop is not None, "another PoP has answered"
        assert errand.passage is not None, "it was sent one"
        request, nonce = target.body_of(errand), errand.passage.nonce
        return Witness(head, pop=target.pop, request=request, nonce=nonce)

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
        self._over()
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
            return
        if self._witness is not None:
            self._witness.heard(body)
        countersigned = self._countersigned(outcome)
        if countersigned is not None:
            self._fetch.whole(self, self.begun(head), body, countersigned)

    def _countersigned(self, outcome: Outcome) -> Outcome | None:
        """With the receipt of another PoP whose answer it is; None if that is false, and lost."""
        if self._witness is None:
            return outcome
        try:
            parent = self._witness.countersigned(self._why)
        except ReceiptRejectedError as error:
            told = UpstreamFailedError(f"{self.target.pop} has answered, but {error.message}")
            self._fetch.lost(self, Failure(Cause.MALFORMED), told)
            return None
        usage = outcome.usage or parent.usage
        return msgspec.structs.replace(outcome, usage=usage, parent=parent)

    def lost(self, error: HttpError) -> None:
        """Part of it is missing, or all."""
        self._over()
        self._let_go()
        self._fetch.lost(self, Failure(cause_of_http(error)), error_of_http(error))

    # --- streams ---

    def _pass(self, events: bytes) -> None:
        if (error := error_in(events)) is not None:
            said = said_in(error, self.target.key)
            self._over()
            self.asking.cancel(self)
            told = UpstreamFailedError(f"the upstream failed in the middle: {said}")
            self._fetch.lost(self, Failure(Cause.SERVER_ERROR), told)
            return
        if self._witness is not None:
            events = self._witness.events(events)
            if not events:
                return
        if not self._first:
            self._first = events[: events.find(b"\n\n") + 2]
            assert self._head is not None, "the head comes first"
            if self._followed is not None:
                self._followed.began()
            if not self._fetch.first(self, self.begun(self._head)):
                return
        assert self._tail is not None, "a stream has an end"
        if len(events) > _TAIL_BYTES:
            self._tail.append(events[events.find(b"\n\n", len(events) - _TAIL_BYTES) + 2 :])
        else:
            self._tail.append(events)
        if self.target.adds_usage(self._fetch.errand):
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
        countersigned = self._countersigned(outcome)
        if countersigned is not None:
            self._fetch.ended(self, countersigned)

    # --- whole answers ---

    def _gather(self, data: bytes) -> None:
        size, of_all = len(data), self.target.gathering
        self._pieces.append(data)
        self._gathered += size
        of_all.bytes += size
        assert self._head is not None, "the head comes first"
        most = ANSWER_BYTES_MAX if self._head.status == 200 else _REFUSAL_BYTES_MAX
        if self._gathered > most:
            self._give_up(MalformedError(f"an answer of over {most} bytes"))
        elif of_all.bytes > GATHERED_BYTES_MAX:
            self._give_up(NoConnectionFreeError("too much is being gathered"))

    def _let_go(self) -> None:
        self.target.gathering.bytes -= self._gathered
        self._gathered = 0
        self._pieces = []

    def _over(self) -> None:
        followed, self._followed = self._followed, None
        if followed is not None:
            followed.ended()

    def _give_up(self, error: HttpError) -> None:
        self.asking.cancel(self)
        self.lost(error)


_NO_CHOICES: Final = (b'"choices":[]', b'"choices": []')


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
    if events.rfind(b"[]") < 0:  # for all but one of the events of a stream
        return events
    found = [at for mark in _NO_CHOICES if (at := events.find(mark)) >= 0]
    if not found:
        return events
    start = events.rfind(b"\n\n", 0, min(found)) + 1  # the events before it are as they were
    start += start > 0
    rest = (event for event in each(events[start:]) if not _is_usage_alone(event))
    return events[:start] + b"".join(rest)


def _is_usage_alone(event: bytes) -> bool:
    if not any(mark in event for mark in _NO_CHOICES):
        return False
    return outcome_of_stream(b"data: " + data_of(event) + b"\n").usage is not None
