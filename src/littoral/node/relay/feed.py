"""What feeds an answer to a client, and what those have in common that are fed."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Protocol

from littoral.terms.errors import LittoralError
from littoral.terms.ids import ReceiptId
from littoral.web.hot import Reply

__all__ = ["Fed", "Feed", "Guest", "Legs"]


class Feed(Protocol):
    """Where the bytes come from: a flight, or what makes its answer."""

    def pause(self) -> None:
        """Send nothing for now."""

    def resume(self) -> None:
        """Send on."""

    def cancel(self) -> None:
        """Nobody waits any more."""


class Fed(ABC):
    """Who is sent an answer: what its client does, its feed learns (hot.Underway)."""

    __slots__ = ("feed",)

    def __init__(self) -> None:
        self.feed: Feed | None = None

    def pause(self) -> None:
        """The client is slow."""
        if self.feed is not None:
            self.feed.pause()

    def resume(self) -> None:
        """The client has caught up."""
        if self.feed is not None:
            self.feed.resume()

    @abstractmethod
    def failed(self, error: LittoralError) -> None:
        """There is no answer, or not all of it."""


class Legs:
    """All who are being fed."""

    def __init__(self) -> None:
        self._all: set[Fed] = set()
        self.none = asyncio.Event()
        """Set while there are none."""
        self.none.set()

    def __iter__(self) -> Iterator[Fed]:
        return iter(list(self._all))

    def __len__(self) -> int:
        return len(self._all)

    def add(self, leg: Fed) -> None:
        """One more."""
        self._all.add(leg)
        self.none.clear()

    def left(self, leg: Fed) -> None:
        """One less."""
        self._all.discard(leg)
        if not self._all:
            self.none.set()


class Guest(Fed, ABC):
    """One who is fed, and whose limits, receipt and facts are somebody else's to keep."""

    __slots__ = ("_left", "_reply", "charged", "origin")

    def __init__(
        self, reply: Reply, left: Callable[["Guest"], None], *, charged: bool = True
    ) -> None:
        """Wait for a feed.

        Args:
            reply: the way to the client.
            left: hears, once, that nothing more will be sent.
            charged: whether the answer is made for it (flight.Passenger).
        """
        super().__init__()
        self._reply = reply
        self._left = left
        self.charged = charged
        self.origin: ReceiptId | None = None

    def gone(self) -> None:
        """The client has left, or died; the answer goes on if somebody else waits."""
        feed, self.feed = self.feed, None
        if feed is not None:
            feed.cancel()
        self._left(self)

    def _over(self) -> None:
        self.feed = None
        self._left(self)
