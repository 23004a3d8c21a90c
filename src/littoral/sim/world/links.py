"""Links between hosts: delay, loss, cuts in one direction or both, hosts that are gone.

What is said on a *line* (a connection, line.py) comes once and in order, or the line breaks: at
once, when the process at the other side is gone; after a while, when what is said gets no answer;
or never, for an end that only listens, as with TCP. Records travel over the same links (names.py).

A direction is the pair (from, to). Hosts are named by short texts, clients among them.
"""

from collections.abc import Callable
from typing import Final

from littoral.sim.clock import VirtualClock
from littoral.sim.world.chance import Chance
from littoral.sim.world.line import End, Line
from littoral.terms.values import SECOND

__all__ = ["Links"]

_JITTER: Final = 0.2
_AGAIN: Final = (0.2, 1.2)
"""Seconds until what was lost is sent again."""


class Links:
    """See the module docstring."""

    def __init__(self, clock: VirtualClock, chance: Chance) -> None:
        self.clock = clock
        self._chance = chance
        self._site: dict[str, str] = {}
        self._site_delay: dict[tuple[str, str], float] = {}
        self._accept: dict[str, Callable[[End], None]] = {}
        self._watchers: list[Callable[[], None]] = []
        self.ends: dict[str, list[End]] = {}
        """Of each host, those that are open."""
        self.cut: set[tuple[str, str]] = set()
        """Directions in which nothing passes now."""
        self.loss = 0.0
        """Share of what is sent that is lost at first."""
        self.down: set[str] = set()
        """Hosts that are gone with all that is on them, so that nobody is told."""
        self.lag: dict[str, float] = {}
        """Seconds that a slow host takes before it looks at anything."""

    # --- how it is laid ------------------------------------------------------------------------

    def place(self, host: str, site: str) -> None:
        """A host is at this site."""
        self._site[host] = site
        self.ends.setdefault(host, [])

    def join(self, one: str, other: str, delay_s: float) -> None:
        """How long it takes from one site to another, one way; a site may be named twice."""
        self._site_delay[one, other] = self._site_delay[other, one] = delay_s

    def listen(self, host: str, accept: Callable[[End], None]) -> None:
        """The process on this host takes lines from now on."""
        self._accept[host] = accept

    def deaf(self, host: str) -> None:
        """The process is gone: its lines end, and others hear that, unless the host is down."""
        self._accept.pop(host, None)
        for end in list(self.ends[host]):
            end.drop(told=host not in self.down)

    # --- what is known of it -------------------------------------------------------------------

    def watch(self, changed: Callable[[], None]) -> None:
        """Be told when who can reach whom may have changed."""
        self._watchers.append(changed)

    def changed(self) -> None:
        """Cuts, or hosts that are down, are others than before."""
        for watcher in self._watchers:
            watcher()

    def passes(self, source: str, target: str) -> bool:
        """Whether what is sent arrives."""
        return (
            (source, target) not in self.cut and source not in self.down and target not in self.down
        )

    def listens(self, host: str) -> bool:
        """Whether there is a process that takes lines."""
        return host in self._accept

    def delay(self, source: str, target: str) -> int:
        """Nanoseconds that the next thing takes, with what it costs to send it again."""
        usual = self._site_delay[self._site[source], self._site[target]]
        seconds = usual * self._chance.between(1.0, 1.0 + _JITTER) + self.lag.get(target, 0.0)
        if self.loss and self._chance.happens(self.loss):
            seconds += self._chance.between(*_AGAIN)
        return int(seconds * SECOND)

    # --- what travels --------------------------------------------------------------------------

    def call(self, caller: str, callee: str) -> End:
        """Begin a line. Say what to do with what comes (`End.hear`) before anything happens."""
        return Line(self, caller, callee).ends[0]

    def accepted(self, end: End) -> bool:
        """Give the far end to the process there, if there is one."""
        accept = self._accept.get(end.host)
        if accept is None:
            return False
        accept(end)
        return True
