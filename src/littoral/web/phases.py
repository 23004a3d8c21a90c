"""What a connection is doing, and how its client takes what is sent."""

import enum

__all__ = ["Phase", "Taking"]


class Phase(enum.Enum):
    """What a connection is doing."""

    IDLE = "between requests"
    HEAD = "a head arrives"
    BODY = "a body arrives"
    ANSWER = "the handler works"
    LAST = "everything was said; the client reads it and closes"
    GONE = "closed"


class Taking:
    """How a client takes what waits for it."""

    __slots__ = ("_pending_bytes", "_since")

    def __init__(self) -> None:
        self._pending_bytes = 0
        self._since: float | None = None

    def since(self, pending_bytes: int, now: float) -> float:
        """Seconds since it last took a byte, while some wait for it."""
        before, self._pending_bytes = self._pending_bytes, pending_bytes
        if not pending_bytes:
            self._since = None
            return 0.0
        if self._since is None or pending_bytes < before:
            self._since = now
        return now - self._since
