"""How fast each stream that leaves this machine may go: a share of what the uplink has shown.

Pure: measurements of a window of time in, paces out. A queue that overflows somewhere on the way
costs more than a little idleness, so streams are paced, each a little over its fair share.

Rules
- The *budget* is what all streams together may take. It grows while streams could use more of it
  and get what they use: fast until the link was first seen to be full, then in steps of a tenth.
- When most of what is sent gets less than its pace, the link is full: the budget is a little over
  the most that went through in the last windows. Windows with little to send say nothing.
- Shares are fair by max-min: a stream that is held up elsewhere (a slow receiver) has a little over
  what it gets, and leaves the rest to the others.
- While requests of people are being answered, streams have a part of the budget, and what they get
  then is no measure of the link.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from littoral.terms.limits import DELIVERY_PACE_MIN, DELIVERY_UPLINK_START, DELIVERY_YIELD_SHARE

__all__ = ["Flow", "Uplink"]

_BUSY: Final = 0.95
"""Part of the time in which a stream had something to send, from which on it could use more."""
_ON_PACE: Final = 0.85
"""Part of its pace that a stream gets, from which on nothing else holds it up."""
_GROWING_FAST: Final = 1.5
_GROWING: Final = 1.1
_OVER: Final = 1.1
"""Of what goes through when the link is full, so that it is seen to grow."""
_HELD_UP: Final = 1.25
"""Of what a stream gets that is held up elsewhere, so that it is seen to be let go."""
_REMEMBERED: Final = 12
"""Windows with a full link, whose best counts."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What one stream did in a window."""

    acked_bytes: int
    """That its receiver has confirmed."""
    busy: float
    """Part of the window in which it had unconfirmed bytes, from 0 to 1."""
    pace: float
    """That was set, bytes/s."""

    def rate(self, seconds: float) -> float:
        """Bytes/s while it was busy."""
        return self.acked_bytes / (seconds * max(self.busy, 0.05))


class Uplink:
    """What this machine can send, as far as it has been seen."""

    def __init__(self, start: float = DELIVERY_UPLINK_START) -> None:
        """Begin with a guess, bytes/s: what was measured last time, if anything was."""
        self._budget = start
        self._full: deque[float] = deque(maxlen=_REMEMBERED)
        self._best = 0.0

    @property
    def measured(self) -> float | None:
        """Bytes/s that go through at most; None before anything did."""
        return max(self._full) if self._full else self._best or None

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
        rates = [flow.rate(seconds) for flow in flows]
        busy = [flow.busy >= _BUSY for flow in flows]
        on_pace = [rate >= _ON_PACE * flow.pace for rate, flow in zip(rates, flows, strict=True)]
        total = sum(flow.acked_bytes for flow in flows) / seconds
        held_up = [here and not well for here, well in zip(busy, on_pace, strict=True)]
        eager = sum(here and well for here, well in zip(busy, on_pace, strict=True))
        if not yielding and flows:
            self._learn(total, eager, sum(held_up), len(flows))
        demands = [
            _HELD_UP * rate if held else float("inf")
            for rate, held in zip(rates, held_up, strict=True)
        ]
        return _shares(self._allowed(yielding=yielding), demands)

    def _learn(self, total: float, eager: int, held_up: int, flows: int) -> None:
        self._best = max(self._best, total)
        if eager > held_up and 2 * eager >= flows:
            self._budget *= _GROWING if self._full else _GROWING_FAST
        elif held_up > eager and 2 * held_up >= flows:
            self._full.append(total)
            self._budget = max(_OVER * max(self._full), DELIVERY_PACE_MIN)

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
