"""What streams send is counted whole, also what is confirmed after they have ended."""

from struct import pack_into

import pytest

from littoral.adapters.moving import flows as module
from littoral.adapters.moving.flows import Flows
from littoral.adapters.moving.wire import Wire
from littoral.terms.limits import DELIVERY_WINDOW_S

pytestmark = pytest.mark.skipif(not module._PACED, reason="this kernel measures no streams")


class Loop:
    """The clock and the one timer of a loop, moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timer: tuple[float, object] | None = None

    def time(self) -> float:
        return self.now

    def call_later(self, delay_s: float, call: object) -> "Loop":
        self.timer = self.now + delay_s, call
        return self

    def cancel(self) -> None:
        self.timer = None

    def window(self) -> None:
        assert self.timer is not None
        self.now, call = self.timer
        assert callable(call)
        call()


class Stream:
    """A wire of which the kernel tells what it is told here; it is its own connection."""

    closed = False

    def __init__(self) -> None:
        self.acked_bytes = 0
        self.busy_us = 0
        self.pace = 0

    @property
    def connection(self) -> "Stream":
        return self

    def getsockopt(self, _level: int, _name: int, size: int) -> bytes:
        info = bytearray(size)
        pack_into("=Q", info, 120, self.acked_bytes)
        pack_into("=Q", info, 168, self.busy_us)
        return bytes(info)

    def setsockopt(self, _level: int, _name: int, value: bytes) -> None:
        self.pace = int.from_bytes(value, "little")


def made() -> tuple[Flows, Loop]:
    loop = Loop()
    return Flows(loop, lambda: 0), loop  # type: ignore[arg-type]


def a_wire(stream: Stream) -> Wire:
    return stream  # type: ignore[return-value]


def test_short_streams_one_after_another_are_measured_as_one_long_one() -> None:
    flows, loop = made()
    steady, short = Stream(), Stream()
    flows.begin(a_wire(steady))
    for _ in range(10):
        steady.acked_bytes += 1_000
        flows.begin(a_wire(short))
        short.acked_bytes += 400_000  # a part is confirmed while it sends,
        flows.end(a_wire(short))
        short.acked_bytes += 100_000  # and the rest once it has ended
        loop.window()
    assert flows.measured == pytest.approx(501_000 / DELIVERY_WINDOW_S, rel=0.01)


def test_what_was_confirmed_before_a_stream_began_again_is_not_its_own() -> None:
    flows, loop = made()
    steady, again = Stream(), Stream()
    flows.begin(a_wire(steady))
    flows.begin(a_wire(again))
    flows.end(a_wire(again))
    again.acked_bytes += 300_000
    flows.begin(a_wire(again))
    loop.window()
    assert flows.measured == pytest.approx(300_000 / DELIVERY_WINDOW_S)
    loop.window()
    assert flows.measured == pytest.approx(300_000 / DELIVERY_WINDOW_S), "counted once"


def test_a_stream_keeps_its_pace_for_what_it_has_put_when_it_ends() -> None:
    flows, loop = made()
    stream = Stream()
    flows.begin(a_wire(stream))
    pace = stream.pace
    assert pace > 0
    flows.end(a_wire(stream))
    assert stream.pace == pace
    assert loop.timer is None, "nobody looks while nothing leaves"


def test_closed_streams_are_forgotten() -> None:
    flows, loop = made()
    steady, gone = Stream(), Stream()
    flows.begin(a_wire(steady))
    flows.begin(a_wire(gone))
    gone.acked_bytes += 5_000
    flows.end(a_wire(gone))
    gone.closed = True
    loop.window()
    assert not flows._ending
