"""The streams that leave this machine, measured and paced: what `pacing` says, done to sockets.

The kernel counts for each connection what was confirmed and how long there was something to send
(TCP_INFO), and keeps the pace that it is given (SO_MAX_PACING_RATE). Where it does neither, as on
systems other than Linux, streams go as TCP lets them, and nothing is measured.
"""

import asyncio
import socket
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from littoral.adapters.moving.pacing import WINDOWS, Flow, Uplink
from littoral.adapters.moving.wire import Wire
from littoral.terms.limits import DELIVERY_UPLINK_START, DELIVERY_WINDOW_S

__all__ = ["Flows"]

_PACED: Final = sys.platform == "linux"
_SO_MAX_PACING_RATE: Final = 47
_INFO_BYTES: Final = 192
_NUMBER: Final = Struct("=Q")
_SHORT: Final = Struct("=I")
_RTT_AT, _ACKED_AT, _RTT_MIN_AT, _BUSY_US_AT = 68, 120, 148, 168
"""Where struct tcp_info of Linux has tcpi_rtt, _bytes_acked, _min_rtt, _busy_time, since 4.10."""
_NOTICEABLE: Final = 0.03
"""Changes of a pace by a smaller part are not worth a system call."""


@dataclass(slots=True)
class _Stream:
    acked_bytes: int
    busy_us: int
    since: float
    """Of what it did when, it was looked at last."""
    pace: float = 0.0
    parts: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOWS))
    """What it got in the last windows, of the paces that were set then."""


class Flows:
    """All streams of bulk that leave, on one uplink."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        in_flight: Callable[[], int],
        start: float = DELIVERY_UPLINK_START,
    ) -> None:
        """Measure nothing yet.

        Args:
            loop: that the connections are on.
            in_flight: how many requests of people are being answered now.
            start: what the uplink is taken for at first, bytes/s.
        """
        self._loop = loop
        self._in_flight = in_flight
        self._uplink = Uplink(start)
        self._streams: dict[Wire, _Stream] = {}
        self._ending: dict[Wire, int] = {}
        """Those that have ended, of which not all is confirmed: what was, when looked at last."""
        self._late_bytes = 0
        """Of those that began again, what was confirmed of before."""
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def measured(self) -> float | None:
        """What the uplink carries, bytes/s; None before anything is known."""
        return self._uplink.measured

    @property
    def streams(self) -> int:
        """How many leave now."""
        return len(self._streams)

    def begin(self, wire: Wire) -> None:
        """Pace this one from now on."""
        if not _PACED:
            return
        now = self._loop.time()
        if self._timer is None:
            self._since = now
            self._ending.clear()
            self._timer = self._loop.call_later(DELIVERY_WINDOW_S, self._look)
        acked_bytes, busy_us, _ = _info(wire)
        self._late_bytes += acked_bytes - self._ending.pop(wire, acked_bytes)
        self._streams[wire] = _Stream(acked_bytes, busy_us, now)
        pace = self._uplink.share(len(self._streams), yielding=self._yielding())
        for each, stream in self._streams.items():
            if stream.pace == 0.0 or stream.pace > pace:
                _set(each, stream, pace)

    def end(self, wire: Wire) -> None:
        """All that it sends was put; its connection may be closed already."""
        stream = self._streams.pop(wire, None)
        if stream is None:
            return
        if not wire.closed:
            self._ending[wire] = stream.acked_bytes
        if not self._streams and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _yielding(self) -> bool:
        return self._in_flight() > 0

    def _look(self) -> None:
        now = self._loop.time()
        seconds, self._since = max(now - self._since, 1e-3), now
        self._timer = self._loop.call_later(DELIVERY_WINDOW_S, self._look)
        flows = [_flow(wire, stream, now) for wire, stream in self._streams.items()]
        ended_bytes = self._ended_bytes()
        paces = self._uplink.window(flows, seconds, ended_bytes, yielding=self._yielding())
        for (wire, stream), pace in zip(self._streams.items(), paces, strict=True):
            if abs(pace - stream.pace) > _NOTICEABLE * stream.pace:
                _set(wire, stream, pace)

    def _ended_bytes(self) -> int:
        """What was confirmed of streams that have ended, since this was looked at last."""
        total, self._late_bytes = self._late_bytes, 0
        for wire, before in list(self._ending.items()):
            acked_bytes = before if wire.closed else _info(wire)[0]
            if acked_bytes == before:
                del self._ending[wire]
            else:
                self._ending[wire] = acked_bytes
                total += acked_bytes - before
        return total


def _info(wire: Wire) -> tuple[int, int, float]:
    """Bytes confirmed and microseconds busy since the connection began; seconds of waiting now."""
    info = wire.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    if len(info) < _BUSY_US_AT + _NUMBER.size:
        return 0, 0, 0.0
    (acked,) = _NUMBER.unpack_from(info, _ACKED_AT)
    (busy_us,) = _NUMBER.unpack_from(info, _BUSY_US_AT)
    (rtt_us,), (rtt_us_min,) = (_SHORT.unpack_from(info, at) for at in (_RTT_AT, _RTT_MIN_AT))
    return acked, busy_us, max(0, rtt_us - rtt_us_min) / 1e6


def _flow(wire: Wire, stream: _Stream, now: float) -> Flow:
    seconds, stream.since = max(now - stream.since, 1e-3), now
    acked_bytes, busy_us, waited_s = _info(wire)
    acked, busy = acked_bytes - stream.acked_bytes, (busy_us - stream.busy_us) / 1e6
    stream.acked_bytes, stream.busy_us = acked_bytes, busy_us
    busy = min(1.0, busy / seconds)
    stream.parts.append(acked / (seconds * max(busy, 0.05)) / stream.pace)
    return Flow(acked, busy, waited_s, sum(stream.parts) / len(stream.parts))


def _set(wire: Wire, stream: _Stream, pace: float) -> None:
    stream.pace = pace
    _pace(wire, int(pace))


def _pace(wire: Wire, bytes_s: int) -> None:
    wire.connection.setsockopt(socket.SOL_SOCKET, _SO_MAX_PACING_RATE, _NUMBER.pack(bytes_s))
