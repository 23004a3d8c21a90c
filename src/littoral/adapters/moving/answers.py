"""What a mover's server says to one request, and who is told of a connection that it answers on."""

from typing import Final, Protocol

__all__ = ["HELD", "Answer", "Plain", "Turned"]

HELD: Final = "/v1/delivery/held"
"""Asked by whoever can't be dialled, and is asked over that connection from then on (held.py)."""


class Answer(Protocol):
    """What is said to one request."""

    done: bool
    """All of it has been put."""

    def refill(self) -> bool:
        """Put more of it, if there is any now, and say so."""

    def heard(self, data: bytes) -> bool:
        """Take what the peer says meanwhile; False where it may not say anything."""

    def tick(self, now: float) -> None:
        """Look at deadlines."""

    def close(self) -> None:
        """Put nothing more."""


class Turned(Protocol):
    """Who has opened a connection over which requests come."""

    def taken(self) -> None:
        """A request has begun."""

    def free(self) -> None:
        """It was answered."""

    def gone(self) -> None:
        """The connection is closed."""


class Plain:
    """An answer that is all there: a head, and some bytes that it says the number of."""

    def __init__(self) -> None:
        self.done = True

    def refill(self) -> bool:
        """It was put at once."""
        return False

    def heard(self, _data: bytes) -> bool:
        """Nothing may be said before its end."""
        return False

    def tick(self, now: float) -> None:
        """It waits for nothing but the peer."""

    def close(self) -> None:
        """Nothing to let go of."""
