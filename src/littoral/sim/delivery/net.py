"""A network of hosts, each behind one link with a rate up and a rate down; sites may have one, too.

Within a site, what hosts send each other passes their own links; between sites, those of the sites.

A host sends to several at once in turns, a piece each, as fair queues do; what comes in waits
behind each other at the receiver's link. A stream has so much on its way at most (its window), so
that a slow receiver does not keep a sender from others. Small messages take the delay only.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from littoral.sim.clock import VirtualClock
from littoral.terms.values import SECOND

__all__ = ["Link", "Net", "Stream"]


@dataclass(slots=True)
class Link:
    """Of one host, or one site. Rates are bytes in a second."""

    up: float
    down: float
    sent: int = 0
    """Bytes that left."""
    free_at: int = 0
    """When all that is on its way in will be in."""
    busy: bool = False


class Stream:
    """Bulk from one host to another, in order."""

    __slots__ = (
        "_flying", "_on", "_pieces", "closed", "down", "net", "source", "target", "up",
    )  # fmt: skip

    def __init__(self, net: "Net", source: str, target: str) -> None:
        self.net = net
        self.source = source
        self.target = target
        self.up, self.down = net.route(source, target)
        """The links that it passes."""
        self._pieces: deque[tuple[int, Callable[[], None] | None]] = deque()
        self._flying = 0
        self._on = False
        self.closed = False

    def send(
        self, size: int, arrived: Callable[[], None], moved: Callable[[], None] | None = None
    ) -> None:
        """So many bytes; say when the last of them is in, and when others are."""
        piece = self.net.piece
        while size > piece:
            self._pieces.append((piece, moved))
            size -= piece
        self._pieces.append((size, arrived))
        self.wake()

    def close(self) -> None:
        """What has not arrived never will."""
        self.closed = True
        self._pieces.clear()

    def wake(self) -> None:
        """Have its turn, if it has something to send and may."""
        if self._on or not self._pieces or self._flying >= self.net.window:
            return
        if self.net.passes(self.source, self.target):
            self._on = True
            self.net.queue(self)
        else:
            self.net.held.append(self)

    def turn(self) -> tuple[int, Callable[[], None] | None] | None:
        """Its next piece, if it still has one."""
        self._on = False
        if not self._pieces:
            return None
        if not self.net.passes(self.source, self.target):
            self.net.held.append(self)
            return None
        size, arrived = self._pieces.popleft()
        self._flying += size
        self.wake()
        return size, arrived

    def landed(self, size: int, arrived: Callable[[], None] | None) -> None:
        """A piece is in."""
        self._flying -= size
        if self.closed:
            return
        self.wake()
        if arrived is not None:
            arrived()


class Net:
    """See the module docstring."""

    def __init__(self, clock: VirtualClock, *, piece: int, window: int, delay_s: float) -> None:
        """Lay no links yet.

        Args:
            clock: of the world.
            piece: bytes that one stream sends in its turn.
            window: bytes of one stream that may be on their way.
            delay_s: between any two hosts, one way.
        """
        self.clock = clock
        self.piece = piece
        self.window = window
        self.delay: Final = int(delay_s * SECOND)
        self.links: dict[str, Link] = {}
        self.cut: set[tuple[str, str]] = set()
        """Directions in which nothing passes now."""
        self._site: dict[str, str] = {}
        self._turns: dict[str, deque[Stream]] = {}
        self.held: list[Stream] = []
        """Streams that wait for a cut to end."""

    def lay(self, host: str, up: float, down: float) -> None:
        """Give a host its link."""
        self.links[host] = Link(up, down)
        self._turns[host] = deque()

    def place(self, host: str, site: str) -> None:
        """A host is at a site that has a link of its own, laid under the site's name."""
        self._site[host] = site

    def route(self, source: str, target: str) -> tuple[str, str]:
        """The links that lead from one host to another: up, and down."""
        here, there = self._site.get(source, source), self._site.get(target, target)
        return (source, target) if here == there else (here, there)

    def passes(self, source: str, target: str) -> bool:
        """Whether bulk goes through now."""
        return (source, target) not in self.cut

    def mend(self) -> None:
        """Cuts are fewer than before: what waited goes on."""
        held, self.held = self.held, []
        for stream in held:
            stream.wake()

    def queue(self, stream: Stream) -> None:
        """A stream has something to send."""
        self._turns[stream.up].append(stream)
        link = self.links[stream.up]
        if not link.busy:
            self._next(stream.up, link)

    def _next(self, host: str, link: Link) -> None:
        """Have the next stream send its piece, if there is one."""
        turns = self._turns[host]
        link.busy = True
        while turns:
            stream = turns.popleft()
            piece = stream.turn()
            if piece is not None:
                self._send(stream, link, *piece)
                return
        link.busy = False

    def _send(
        self, stream: Stream, link: Link, size: int, arrived: Callable[[], None] | None
    ) -> None:
        left = self.clock.now() + int(size * SECOND / link.up)
        link.sent += size
        target = self.links[stream.down]
        arrival = max(left + self.delay, target.free_at) + int(size * SECOND / target.down)
        target.free_at = arrival
        self.clock.at(arrival, lambda: stream.landed(size, arrived))
        self.clock.at(left, lambda: self._next(stream.up, link))
