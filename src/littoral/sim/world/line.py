"""One connection between two hosts, as its two ends have it: in order, once, until it breaks.

What can't pass is held and tried again, as TCP does, and given up after a while: then the end that
said it hears that the line is lost. The other end hears nothing, until it says something itself or
has waited long enough; timeouts are for whoever uses a line.
"""

from collections.abc import Callable
from typing import Final, Protocol

from littoral.sim.clock import VirtualClock

__all__ = ["ACCEPTED", "End", "Laid", "Line"]

ACCEPTED: Final = "accepted"
"""What the caller hears first: somebody is there."""

_CALL: Final = "call"
_OVER: Final = "over"
_EVERY_S: Final = 1.0
_TRIES: Final = 6


class Laid(Protocol):
    """What a line must know of the links that it runs over."""

    clock: VirtualClock
    ends: dict[str, list["End"]]
    down: set[str]

    def passes(self, source: str, target: str, /) -> bool:
        """Whether what is sent arrives."""

    def delay(self, source: str, target: str, /) -> int:
        """Nanoseconds that the next thing takes."""

    def accepted(self, end: "End", /) -> bool:
        """Give the far end to the process there, if there is one."""


def _nothing(_message: object = None) -> None:
    """What an end does that nobody has."""


class End:
    """One end. `hear` takes each message; `lost` is called once, if the line ends unasked."""

    __slots__ = ("_line", "_side", "hear", "host", "lost", "open")

    def __init__(self, line: "Line", side: int, host: str) -> None:
        self._line = line
        self._side = side
        self.host = host
        self.open = side == 0
        self.hear: Callable[[object], None] = _nothing
        self.lost: Callable[[], None] = _nothing

    def say(self, message: object) -> None:
        """Send this to the other end. Nothing happens if the line is over here."""
        if self.open:
            self._line.send(self._side, message)

    def close(self) -> None:
        """Want no more of it: the other end hears that it is over, after all that was said."""
        if self.open:
            self._line.send(self._side, _OVER)
            self._gone()

    def drop(self, *, told: bool) -> None:
        """The process here is gone. `told`: its host says so to the other end."""
        if told:
            self.close()
        elif self.open:
            self._gone()

    def take(self, message: object) -> None:
        """Something arrived."""
        if message == _OVER:
            if self.open:
                self._lose()
        elif self.open:
            self.hear(message)
        elif message != ACCEPTED:
            self._line.send(self._side, _OVER)

    def give_up(self) -> None:
        """What was said here never got through."""
        if self.open:
            self._lose()

    def _lose(self) -> None:
        self._gone()
        self.lost()

    def _gone(self) -> None:
        self.open = False
        self._line.links.ends[self.host].remove(self)


class Line:
    """Carries what two ends say."""

    __slots__ = ("_arrives", "_held", "_hosts", "_tries", "ends", "links")

    def __init__(self, links: Laid, caller: str, callee: str) -> None:
        """Call; the callee's process is given its end when the call has come there."""
        self.links = links
        self._hosts = (caller, callee)
        self._arrives = [0, 0]
        self._held: tuple[list[object], list[object]] = ([], [])
        self._tries = [0, 0]
        self.ends = (End(self, 0, caller), End(self, 1, callee))
        links.ends[caller].append(self.ends[0])
        self.send(0, _CALL)

    def send(self, side: int, message: object) -> None:
        """From the end of this side to the other."""
        held = self._held[side]
        if held or not self.links.passes(*self._way(side)):
            held.append(message)
            if len(held) == 1:
                self._tries[side] = 0
                self.links.clock.after(_EVERY_S, lambda: self._try(side))
        else:
            self._carry(side, message)

    def _way(self, side: int) -> tuple[str, str]:
        return self._hosts[side], self._hosts[1 - side]

    def _try(self, side: int) -> None:
        held = self._held[side]
        if self.links.passes(*self._way(side)):
            messages = list(held)
            held.clear()
            for message in messages:
                self._carry(side, message)
            return
        self._tries[side] += 1
        if self._tries[side] < _TRIES and self._hosts[side] not in self.links.down:
            self.links.clock.after(_EVERY_S, lambda: self._try(side))
            return
        held.clear()
        self.ends[side].give_up()

    def _carry(self, side: int, message: object) -> None:
        delay = self.links.delay(*self._way(side))
        moment = max(self._arrives[side], self.links.clock.now() + delay)
        self._arrives[side] = moment
        self.links.clock.at(moment, lambda: self._arrive(1 - side, message))

    def _arrive(self, side: int, message: object) -> None:
        end = self.ends[side]
        if end.host in self.links.down:
            return
        if message != _CALL:
            end.take(message)
            return
        end.open = True
        self.links.ends[end.host].append(end)
        if self.links.accepted(end):
            self.send(side, ACCEPTED)
        else:
            end.close()
