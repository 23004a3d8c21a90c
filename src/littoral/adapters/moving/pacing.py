"""How fast each stream that leaves this machine may go, so that no queue on its way fills up.

Pure: measurements of a window of time in, paces out. What waits in a queue delays what people ask
for on the same link, and a queue that overflows costs more than a little idleness. A pace is a
bound and no reservation: within it TCP finds what receivers take.

Rules
- What all together may take is the *budget*: a little over the most that went through lately. It
  grows while streams could use more of it and get what they use: fast until the link was first
  seen to be full, then in small steps.
- Each stream may have its equal share of the budget, and as much again for *room*, since not all of
  them send at any moment. What is left over is for those that could use more and do not wait.
- Where the packets of all streams wait, and as much goes through as ever did lately, it is this
  machine's uplink that they wait for: then the room shrinks until they wait for no longer than
  TARGET_S. Where those of some wait, or less goes through than did, they wait for receivers with
  many sources, and TCP sees to that: where all PoPs fetch the same, all downlinks are full.
- While requests of people are being answered, streams have a part of the budget, and what they get
  then is no measure of the link.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from littoral.terms.limits import DELIVERY_PACE_MIN, DELIVERY_UPLINK_START, DELIVERY_YIELD_SHARE

__all__ = ["TARGET_S", "WINDOWS", "Flow", "Uplink"]

TARGET_S: Final = 0.05
"""How long packets may wait: half of what LEDBAT (RFC 6817) grants itself at most, 100 ms."""
WINDOWS: Final = 8
"""What goes through is looked at over so many: a queue on the way lets much through at once."""
_BUSY: Final = 0.95
"""Part of the time in which a stream had something to send, from which on it could use more."""
_ON_PACE: Final = 0.85
"""Part of its pace that a stream gets, from which on nothing else holds it up."""
_GROWING_FAST: Final = 2.0
_GROWING: Final = 1.05
_EAGER_WINDOWS: Final = 2
"""So many in a row, in which streams could use more, before they get it: a moment is no reason."""
_SHRINKING: Final = 0.95
_OVER: Final = 1.1
"""Of what a full link was seen to carry, so that it is seen to carry more."""
_ROOM: Final = 2.0
"""Of its equal share, that a stream may have at most where others leave nothing over."""
_LEAST_ROOM: Final = 0.5
_FILLED: Final = 0.9
"""Of the most that went through lately, from which on the uplink may be what is waited for."""
_STEP: Final = 0.1
"""The largest change of the room for how long packets waited, in one window."""
_REMEMBERED: Final = 100
"""Windows with anything to send, whose best counts: those of ten seconds."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What one stream did in a window."""

    acked_bytes: int
    """That its receiver has confirmed."""
    busy: float
    """Part of the window in which it had unconfirmed bytes, from 0 to 1."""
    waited_s: float
    """How much longer its packets are on their way than the fastest ever were."""
    part: float
    """Of the paces that it was set in the last windows, it got so much, their mean."""

    @property
    def wants_more(self) -> bool:
        """It had something to send all the time."""
        return self.busy >= _BUSY

    @property
    def free(self) -> bool:
        """Its packets do not wait."""
        return self.waited_s < TARGET_S


class Uplink:
    """What this machine can send, as far as it has been seen."""

    def __init__(self, start: float = DELIVERY_UPLINK_START) -> None:
        """Begin with a guess, bytes/s: what was measured last time, if anything was."""
        self._budget = start
        self._room = _ROOM
        self._totals: deque[float] = deque(maxlen=WINDOWS)
        self._seen: deque[float] = deque(maxlen=_REMEMBERED)
        self._full = False
        self._eager = 0
        """Windows in a row in which streams could use more."""

    @property
    def full(self) -> bool:
        """The link was seen to be full."""
        return self._full

    @property
    def measured(self) -> float | None:
        """Bytes/s that went through at most lately; None before anything did."""
        return max(self._seen, default=None)

    def share(self, streams: int, *, yielding: bool) -> float:
        """The pace of a stream that begins, one of so many, bytes/s."""
        return max(DELIVERY_PACE_MIN, self._fair(streams, yielding=yielding))

    def window(
        self, flows: Sequence[Flow], seconds: float, ended_bytes: int = 0, *, yielding: bool
    ) -> list[float]:
        """Paces for the next window, bytes/s, in the order of the flows.

        Args:
            flows: all that are open.
            seconds: the length of the window that they tell of.
            ended_bytes: that were confirmed of others, which have ended.
            yielding: requests of people are being answered.
        """
        total = (ended_bytes + sum(flow.acked_bytes for flow in flows)) / seconds
        if total and not yielding:
            self._learn(flows, total)
        self._make_room(flows)
        hungry = [flow.wants_more and flow.free for flow in flows]
        spare = max(0.0, self._allowed(yielding=yielding) - total) / max(1, sum(hungry))
        share = self.share(len(flows), yielding=yielding)
        return [share + spare if more else share for more in hungry]

    def _learn(self, flows: Sequence[Flow], total: float) -> None:
        self._totals.append(total)
        self._seen.append(sum(self._totals) / len(self._totals))
        wanting = [flow for flow in flows if flow.wants_more]
        unhindered = sum(flow.part >= _ON_PACE and flow.free for flow in wanting)
        most_want = 2 * len(wanting) >= len(flows)
        eager = most_want and 2 * unhindered > len(wanting)
        self._eager = self._eager + 1 if eager else 0
        if self._eager >= _EAGER_WINDOWS:
            self._budget *= _GROWING if self._full else _GROWING_FAST
        elif most_want and not eager:
            self._full = True
            least = max(_OVER * max(self._seen), DELIVERY_PACE_MIN)
            self._budget = max(min(self._budget, least), self._budget * _SHRINKING)

    def _make_room(self, flows: Sequence[Flow]) -> None:
        waited_s = min((flow.waited_s for flow in flows if flow.wants_more), default=0.0)
        off = max(-1.0, (TARGET_S - waited_s) / TARGET_S)
        if self._seen and self._seen[-1] < _FILLED * max(self._seen):
            off = 1.0
        self._room = max(_LEAST_ROOM, min(_ROOM, self._room * (1 + _STEP * off)))

    def _fair(self, streams: int, *, yielding: bool) -> float:
        room = min(1.0, self._room) if yielding else self._room
        return room * self._allowed(yielding=yielding) / max(1, streams)

    def _allowed(self, *, yielding: bool) -> float:
        return self._budget * (DELIVERY_YIELD_SHARE if yielding else 1.0)
