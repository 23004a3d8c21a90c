"""How fast each stream that leaves this machine may go, so that no queue on its way fills up.

Pure: measurements of a window of time in, paces out. What waits in a queue delays what people ask
for on the same link, and a queue that overflows costs more than a little idleness.

Rules
- A stream goes faster while its packets do not wait, and slower the longer they wait beyond
  TARGET_S, wherever that is: at this machine's uplink, or before a receiver with many sources.
- All together take no more than the *budget*: a little over the most that went through lately. It
  grows while streams could use more of it and get what they use: fast until the link was first
  seen to be full, then in small steps.
- Shares of it are fair by max-min: what a stream does not want or get is left to the others.
- While requests of people are being answered, streams have a part of the budget, and what they get
  then is no measure of the link.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from littoral.terms.limits import DELIVERY_PACE_MIN, DELIVERY_UPLINK_START, DELIVERY_YIELD_SHARE

__all__ = ["TARGET_S", "WINDOWS", "Flow", "Uplink"]

TARGET_S: Final = 0.025
"""How long packets may wait: half of what LEDBAT (RFC 6817) grants itself at most, 100 ms."""
WINDOWS: Final = 4
"""What goes through is looked at over so many: a queue on the way lets much through at once."""
_BUSY: Final = 0.95
"""Part of the time in which a stream had something to send, from which on it could use more."""
_ON_PACE: Final = 0.85
"""Part of its pace that a stream gets, from which on nothing else holds it up."""
_STEP: Final = 0.25
"""The largest change of a stream's pace for how long packets waited, in one window."""
_GROWING_FAST: Final = 2.0
_GROWING: Final = 1.05
_EAGER_WINDOWS: Final = 2
"""So many in a row, in which streams could use more, before they get it: a moment is no reason."""
_SHRINKING: Final = 0.95
_OVER: Final = 1.1
"""Of what a full link was seen to carry, so that it is seen to carry more."""
_FAIR: Final = 0.9
"""Of a fair share, that a stream has which gets what it is given, however long packets wait."""
_LEAST: Final = 0.5
"""Of a fair share, that a stream has which gets less: with 0.25, some streams starved others."""
_REMEMBERED: Final = 40
"""Windows with anything to send, whose best counts."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What one stream did in a window."""

    acked_bytes: int
    """That its receiver has confirmed."""
    busy: float
    """Part of the window in which it had unconfirmed bytes, from 0 to 1."""
    pace: float
    """That was set, bytes/s."""
    lately: float
    """What it got in the last windows while it was busy, bytes/s, their mean."""
    waited_s: float
    """How much longer its packets are on their way than the fastest ever were."""
    part: float
    """Of the paces that it was set in the last windows, it got so much, their mean."""

    @property
    def wants_more(self) -> bool:
        """It had something to send all the time."""
        return self.busy >= _BUSY

    @property
    def on_pace(self) -> bool:
        """It got what it was given."""
        return self.part >= _ON_PACE

    def demand(self, fair: float) -> float:
        """The pace that it is to have, if the budget allows, bytes/s; `fair` is its equal share."""
        off = max(-1.0, min(1.0, (TARGET_S - self.waited_s) / TARGET_S))
        if self.wants_more and not self.on_pace:
            return max(_LEAST * fair, self.lately * (1 + _STEP * off))
        return max(_FAIR * fair, self.pace * (1 + _STEP * off))


class Uplink:
    """What this machine can send, as far as it has been seen."""

    def __init__(self, start: float = DELIVERY_UPLINK_START) -> None:
        """Begin with a guess, bytes/s: what was measured last time, if anything was."""
        self._budget = start
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
        return max(DELIVERY_PACE_MIN, self._allowed(yielding=yielding) / max(1, streams))

    def window(self, flows: Sequence[Flow], seconds: float, *, yielding: bool) -> list[float]:
        """Paces for the next window, bytes/s, in the order of the flows.

        Args:
            flows: all that are open.
            seconds: the length of the window that they tell of.
            yielding: requests of people are being answered.
        """
        if not yielding and any(flow.acked_bytes for flow in flows):
            self._learn(flows, sum(flow.acked_bytes for flow in flows) / seconds)
        allowed = self._allowed(yielding=yielding)
        fair = allowed / max(1, len(flows))
        return _shares(allowed, [flow.demand(fair) for flow in flows])

    def _learn(self, flows: Sequence[Flow], total: float) -> None:
        self._totals.append(total)
        self._seen.append(sum(self._totals) / len(self._totals))
        free = [flow.on_pace and flow.waited_s < TARGET_S for flow in flows if flow.wants_more]
        eager = 2 * len(free) >= len(flows) and 2 * sum(free) > len(free)
        self._eager = self._eager + 1 if eager else 0
        if self._eager >= _EAGER_WINDOWS:
            self._budget *= _GROWING if self._full else _GROWING_FAST
        elif 2 * len(free) >= len(flows) and not eager:
            self._full = True
            least = max(_OVER * max(self._seen), DELIVERY_PACE_MIN)
            self._budget = max(min(self._budget, least), self._budget * _SHRINKING)

    def _allowed(self, *, yielding: bool) -> float:
        return self._budget * (DELIVERY_YIELD_SHARE if yielding else 1.0)


def _shares(budget: float, demands: Sequence[float]) -> list[float]:
    """Max-min fair: nobody has more than it demands, and nobody less while another has more."""
    shares = [0.0] * len(demands)
    left = budget
    order = sorted(range(len(demands)), key=demands.__getitem__)
    for place, flow in enumerate(order):
        fair = left / (len(order) - place)
        shares[flow] = max(DELIVERY_PACE_MIN, min(demands[flow], fair))
        left = max(0.0, left - shares[flow])
    return shares
