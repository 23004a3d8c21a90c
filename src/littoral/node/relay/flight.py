"""One answer under way that several clients wait for: identical requests are asked once.

Rules
- Who joins gets all of the answer from its first byte, whenever it joins; each leg gets every byte
  once and in order, at its own client's pace.
- Who leaves is missed by nobody: the answer goes on while anyone waits, and is cancelled when the
  last has left. The leg that pays for it hands that on.
- What was said is kept for those that join or lag, up to a bound. Over it nobody joins any more,
  and the slowest holds the others back, so that memory is bounded.
- A failure is everybody's, and each tells its own client: before the first byte as a plain error.

It knows neither keys nor caches: `done` hears of the whole answer, once, and only if it is whole.
"""

from collections.abc import Callable
from typing import Protocol

from littoral.adapters.upstreams.words import Begun, Listener
from littoral.node.relay.feed import Feed
from littoral.serving.outcome import Outcome
from littoral.terms.errors import LittoralError
from littoral.terms.ids import ReceiptId
from littoral.terms.limits import FLIGHT_BYTES_MAX

__all__ = ["Done", "Flight", "Passenger"]

Done = Callable[["Flight", Begun, Outcome, bytes], None]


class Passenger(Listener, Protocol):
    """A leg, as a flight sees it."""

    charged: bool
    origin: ReceiptId | None


class _Seat:
    """One leg's place in the answer; the leg's feed."""

    __slots__ = ("_flight", "at", "leg", "paused")

    def __init__(self, flight: "Flight", leg: Passenger) -> None:
        self._flight = flight
        self.leg = leg
        self.at = 0
        """Pieces that it has had."""
        self.paused = False

    def pause(self) -> None:
        """Send this leg nothing for now."""
        self.paused = True
        self._flight.lags()

    def resume(self) -> None:
        """Send what it has missed, then go on."""
        self.paused = False
        self._flight.caught_up(self)

    def cancel(self) -> None:
        """This leg's client has left."""
        self._flight.leave(self)


class Flight:
    """One answer and the legs that it goes to: the Listener of its spring."""

    __slots__ = (
        "_begun",
        "_bytes",
        "_done",
        "_left",
        "_outcome",
        "_pieces",
        "_seats",
        "kept",
        "key",
        "origin",
        "spring",
    )

    def __init__(self, key: bytes, done: Done, left: Callable[["Flight"], None]) -> None:
        """Nobody waits yet.

        Args:
            key: what makes requests identical.
            done: hears of the whole answer.
            left: hears, once, that nobody can join any more.
        """
        self.key = key
        self.origin: ReceiptId | None = None
        """The receipt of the answer itself, which those who joined refer to."""
        self.spring: Feed | None = None
        """What makes the answer: an upstream's fetch, or a handler; until it is made."""
        self.kept = False
        """Whoever makes the answer keeps it: another worker, or what put it together."""
        self._done = done
        self._left = left
        self._seats: list[_Seat] = []
        self._begun: Begun | None = None
        self._outcome: Outcome | None = None
        self._pieces: list[bytes] | None = []
        """All that was said; None once it is over the bound."""
        self._bytes = 0

    @classmethod
    def alone(cls) -> "Flight":
        """One that nobody joins, and whose answer is not kept."""
        return cls(b"", _nothing, _nothing)

    @property
    def legs(self) -> int:
        """How many wait."""
        return len(self._seats)

    def join(self, leg: Passenger) -> _Seat:
        """Give this leg the answer too, from its beginning; the seat is its feed."""
        assert self._pieces is not None, "who may join is asked before"
        seat = _Seat(self, leg)
        self._seats.append(seat)
        if self._begun is not None:
            leg.begun(self._begun)
            self._catch_up(seat)
        return seat

    def named(self, origin: ReceiptId | None) -> None:
        """The answer's own receipt is known: those who have joined already refer to it, too."""
        self.origin = origin
        for seat in self._seats:
            seat.leg.origin = origin

    # --- what another worker's flight says of this one ---

    def joined(self, origin: ReceiptId | None) -> None:
        """This answer is another request's: nobody here pays."""
        self.named(origin)
        for seat in self._seats:
            seat.leg.charged = False

    def charge(self, *, somebody: bool) -> None:
        """Whether somebody here pays is known at its end: who began it may have left."""
        for number, seat in enumerate(self._seats):
            seat.leg.charged = somebody and number == 0

    # --- what seats say ---

    def lags(self) -> None:
        """Some leg is slow: over the bound, all wait for it."""
        if self._pieces is None and self.spring is not None:
            self.spring.pause()

    def caught_up(self, seat: _Seat) -> None:
        """This leg may be sent to again."""
        self._catch_up(seat)
        self._go_on()

    def leave(self, seat: _Seat) -> None:
        """This leg's client has left."""
        if seat not in self._seats:
            return
        self._seats.remove(seat)
        if self._seats:
            if seat.leg.charged:
                self._seats[0].leg.charged = True
            self._go_on()
            return
        self._close()
        if self._outcome is None and self.spring is not None:
            self.spring.cancel()

    # --- Listener ---

    def begun(self, begun: Begun) -> None:
        """A stream begins."""
        self._begun = begun
        for seat in list(self._seats):
            seat.leg.begun(begun)

    def data(self, data: bytes) -> None:
        """More of it."""
        if self._pieces is None:
            for seat in list(self._seats):
                seat.leg.data(data)
            return
        self._pieces.append(data)
        self._bytes += len(data)
        for seat in list(self._seats):
            if not seat.paused:
                seat.at += 1
                seat.leg.data(data)
        if self._bytes > FLIGHT_BYTES_MAX:
            self._go_over_the_bound()

    def ended(self, outcome: Outcome) -> None:
        """All of the stream has come."""
        begun = self._begun
        assert begun is not None, "ended follows begun"
        self._outcome = outcome
        self.spring = None
        self._close()
        for seat in list(self._seats):
            if not seat.paused:
                self._finish(seat)
        if self._pieces is not None:
            self._done(self, begun, outcome, b"".join(self._pieces))

    def whole(self, begun: Begun, body: bytes, outcome: Outcome) -> None:
        """An answer in one piece; clients take it at their own pace from their connections."""
        self.spring = None
        self._close()
        seats, self._seats = self._seats, []
        for seat in seats:
            seat.leg.whole(begun, body, outcome)
        self._done(self, begun, outcome, body)

    def failed(self, error: LittoralError) -> None:
        """There is no answer, or not all of it."""
        self.spring = None
        self._close()
        seats, self._seats = self._seats, []
        for seat in seats:
            seat.leg.failed(error)

    # --- seats ---

    def _catch_up(self, seat: _Seat) -> None:
        """Send all that it has missed, in one piece."""
        pieces = self._pieces
        if pieces is not None and seat.at < len(pieces):
            missed = b"".join(pieces[seat.at :])
            seat.at = len(pieces)
            seat.leg.data(missed)
        if self._outcome is not None and not seat.paused and seat in self._seats:
            self._finish(seat)

    def _finish(self, seat: _Seat) -> None:
        assert self._outcome is not None, "an answer ends once"
        self._seats.remove(seat)
        seat.leg.ended(self._outcome)

    def _go_over_the_bound(self) -> None:
        """Those that lag get what they have missed now; from here on, all go at one pace."""
        self._close()
        for seat in list(self._seats):
            self._catch_up(seat)
        self._pieces = None
        if any(seat.paused for seat in self._seats):
            self.lags()

    def _go_on(self) -> None:
        held = self._pieces is None and any(seat.paused for seat in self._seats)
        if not held and self.spring is not None and self._outcome is None:
            self.spring.resume()

    def _close(self) -> None:
        """Nobody joins from here on."""
        left, self._left = self._left, _nothing
        left(self)


def _nothing(*_: object) -> None:
    """It was said once, or is of no use to anybody."""
