"""News between two movers: lines of JSON, pushed both ways over one connection as they are said.

One side has asked `POST .../news` with a body that does not end, and the other answers with one.
What the lines mean is not known here.

Rules
- An empty line is a sign of life, said when there was nothing else to say for a while. A peer that
  is silent for DELIVERY_STALL_S is gone.
- A line has a bound, and so has what was said and not taken by the peer; one that takes nothing is
  given up.
"""

from littoral.adapters.http.words import ConnectionLostError, HttpError
from littoral.adapters.moving.heads import Message
from littoral.adapters.moving.lines import Lines, said
from littoral.adapters.moving.wire import Wire, late
from littoral.adapters.moving.words import HearsNews
from littoral.terms.limits import (
    DELIVERY_ALIVE_S,
    DELIVERY_NEWS_BYTES_MAX,
    DELIVERY_NEWS_LINE_BYTES_MAX,
    DELIVERY_STALL_S,
)

__all__ = ["NewsLink"]


class NewsLink:
    """One end of it, once both heads have gone."""

    done = False
    """It never ends by itself."""

    def __init__(self, wire: Wire, message: Message, now: float) -> None:
        """Begin to say.

        Args:
            wire: to the peer.
            message: whose body the peer's lines are.
            now: by the loop's clock.
        """
        self._wire = wire
        self._lines = Lines(message, DELIVERY_NEWS_LINE_BYTES_MAX)
        self._queued_bytes = 0
        self._said_at = self._heard_at = now
        self._has_said = self._has_heard = False
        """Since the last look at the clock."""
        self._hears: HearsNews | None = None

    def hear(self, hears: HearsNews) -> None:
        """Tell this one of all that comes."""
        self._hears = hears

    def say(self, line: bytes) -> None:
        """Push a line to the peer, which must not have a line end in it."""
        wire = self._wire
        if wire.closed:
            return
        assert len(line) <= DELIVERY_NEWS_LINE_BYTES_MAX, "whoever says it keeps the bound"
        chunk = said(line)
        self._queued_bytes += len(chunk)
        if self._queued_bytes > DELIVERY_NEWS_BYTES_MAX:
            wire.fail(ConnectionLostError("the peer does not take what it is told"))
            return
        self._has_said = True
        wire.put(chunk)
        wire.push()

    def refill(self) -> bool:
        """All was sent."""
        self._queued_bytes = 0
        return False

    def heard(self, data: bytes) -> bool:
        """Take what the peer says.

        Raises:
            MalformedError: not in lines, or one that is too long.
            ConnectionLostError: it has said its last.
        """
        self._has_heard = True
        for line in self._lines.feed(data):
            if line and self._hears is not None:
                self._hears.told(line)
        if self._lines.over:
            raise ConnectionLostError("the peer has said its last")
        return True

    def tick(self, now: float) -> None:
        """Give a sign of life, and look for the peer's.

        Raises:
            WaitedTooLongError: there was none for too long.
        """
        if self._has_heard:
            self._heard_at, self._has_heard = now, False
        late(now, self._heard_at, DELIVERY_STALL_S, "without a sign of life")
        if self._has_said:
            self._said_at, self._has_said = now, False
        elif now - self._said_at >= DELIVERY_ALIVE_S:
            self.say(b"")

    def close(self) -> None:
        """Nothing to let go of."""

    def lost(self, error: HttpError | None) -> None:
        """It is over."""
        hears, self._hears = self._hears, None
        if hears is not None:
            hears.parted(error)
