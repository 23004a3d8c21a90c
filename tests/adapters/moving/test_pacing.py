"""Streams find what a link carries, share it fairly, and leave room for what people ask for."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.adapters.moving.pacing import TARGET_S, Flow, Uplink
from littoral.terms.limits import DELIVERY_PACE_MIN, DELIVERY_YIELD_SHARE

WINDOW_S = 0.1
MB = 1e6


@dataclass
class Link:
    """Streams over one uplink with a queue; each may have a limit of its own (a slow receiver)."""

    rate: float
    limits: list[float]
    uplink: Uplink = field(default_factory=Uplink)
    paces: list[float] = field(init=False)
    waited_s: float = 0.0
    total: float = 0.0

    def __post_init__(self) -> None:
        count = len(self.limits)
        self.paces = [self.uplink.share(count, yielding=False)] * count

    def windows(self, count: int, *, busy: float = 1.0, yielding: bool = False) -> None:
        for _ in range(count):
            wanted = [min(*each) * busy for each in zip(self.paces, self.limits, strict=True)]
            part = min(1.0, self.rate / sum(wanted))
            queued_s = self.waited_s + (sum(wanted) / self.rate - 1) * WINDOW_S
            self.waited_s = max(0.0, min(0.08, queued_s))
            self.total = sum(wanted) * part
            flows = [
                Flow(
                    int(rate * part * WINDOW_S),
                    busy,
                    0.06 if limit < pace else self.waited_s,
                    rate * part / busy / pace,
                )
                for rate, pace, limit in zip(wanted, self.paces, self.limits, strict=True)
            ]
            self.paces = self.uplink.window(flows, WINDOW_S, yielding=yielding)

    def means(self) -> tuple[float, float]:
        """What goes through, and the sum of all paces, over some more windows."""
        totals, paces = [], []
        for _ in range(20):
            self.windows(1)
            totals.append(self.total)
            paces.append(sum(self.paces))
        return sum(totals) / 20, sum(paces) / 20


@pytest.mark.parametrize("rate", [0.5 * MB, 12 * MB, 125 * MB, 1250 * MB])
@pytest.mark.parametrize("streams", [1, 7])
def test_a_link_of_any_rate_is_found_and_filled(rate: float, streams: int) -> None:
    link = Link(rate, [float("inf")] * streams)
    link.windows(100)
    total, paced = link.means()
    assert total >= 0.9 * rate
    assert paced <= 1.3 * rate
    measured = link.uplink.measured
    assert measured is not None
    assert 0.9 * rate <= measured <= 1.05 * rate


def test_a_quick_link_is_found_out_in_few_windows() -> None:
    link = Link(1250 * MB, [float("inf")])
    link.windows(9)
    assert link.total >= 0.9 * 1250 * MB


def test_a_link_that_grows_is_seen_to_grow() -> None:
    link = Link(12 * MB, [float("inf")] * 4)
    link.windows(40)
    link.rate = 24 * MB
    link.windows(120)
    total, _ = link.means()
    assert total >= 0.85 * 24 * MB


def test_a_link_that_shrinks_is_not_flooded() -> None:
    link = Link(24 * MB, [float("inf")] * 4)
    link.windows(40)
    link.rate = 6 * MB
    link.windows(150)
    _, paced = link.means()
    assert paced <= 1.5 * 6 * MB


def test_what_a_slow_receiver_does_not_take_is_left_to_the_others() -> None:
    link = Link(12 * MB, [0.3 * MB, float("inf"), float("inf"), float("inf")])
    link.windows(80)
    total, _ = link.means()
    assert total >= 0.9 * 12 * MB


def test_streams_with_little_to_send_do_not_make_the_link_seem_slow() -> None:
    link = Link(12 * MB, [float("inf")] * 4)
    link.windows(20)
    before = sum(link.paces)
    link.windows(20, busy=0.2)
    assert sum(link.paces) >= 0.8 * before


def test_bulk_yields_while_people_are_answered_and_is_measured_no_worse_for_it() -> None:
    link = Link(12 * MB, [float("inf")] * 3)
    link.windows(40)
    measured = link.uplink.measured
    link.windows(3, yielding=True)
    assert sum(link.paces) <= DELIVERY_YIELD_SHARE * 1.3 * 12 * MB
    assert link.uplink.measured == measured
    link.windows(8)
    assert link.total >= 0.8 * 12 * MB


@given(
    st.lists(
        st.builds(
            Flow,
            st.integers(0, 10**9),
            st.floats(0, 1),
            st.floats(0, 10),
            st.floats(0, 100),
        ),
        max_size=20,
    ),
    st.floats(1e-3, 10),
    st.booleans(),
)
def test_paces_are_always_some_and_never_over_the_budget(
    flows: list[Flow], seconds: float, yielding: bool
) -> None:
    uplink = Uplink()
    for _ in range(3):
        paces = uplink.window(flows, seconds, yielding=yielding)
        assert len(paces) == len(flows)
        assert all(pace >= DELIVERY_PACE_MIN for pace in paces)


def test_where_all_packets_wait_streams_slow_down_and_where_some_do_the_others_do_not() -> None:
    waiting = Flow(100_000, 1.0, 3 * TARGET_S, 0.5)
    quick = Flow(100_000, 1.0, 0.0, 1.0)
    for flows, slower in (([waiting] * 10, True), ([waiting, *[quick] * 9], False)):
        uplink = Uplink(10 * MB)
        for _ in range(20):
            paces = uplink.window(flows, WINDOW_S, yielding=False)
        assert (max(paces) < 1.1 * MB) is slower


def test_where_all_receivers_are_full_what_they_do_not_take_slows_nobody_down() -> None:
    uplink = Uplink(10 * MB)
    sent = Flow(150_000, 1.0, TARGET_S, 0.8)
    for _ in range(20):
        before = uplink.window([sent] * 7, WINDOW_S, yielding=False)
    waits = Flow(60_000, 1.0, 2 * TARGET_S, 0.4)
    for _ in range(40):
        paces = uplink.window([waits] * 7, WINDOW_S, yielding=False)
    assert min(paces) >= 0.8 * min(before)


def test_a_stream_that_is_left_alone_has_the_link_at_once() -> None:
    link = Link(12 * MB, [float("inf")] * 8)
    link.windows(40)
    idle = Flow(0, 0.0, 0.0, 1.0)
    last = Flow(int(link.paces[0] * WINDOW_S), 1.0, 0.0, 1.0)
    paces = link.uplink.window([*[idle] * 7, last], WINDOW_S, yielding=False)
    assert paces[-1] >= 0.8 * 12 * MB


def test_what_ended_streams_sent_counts_as_what_the_link_carries() -> None:
    uplink = Uplink(10 * MB)
    flow = Flow(100_000, 1.0, 2 * TARGET_S, 0.5)
    for _ in range(200):
        uplink.window([flow], WINDOW_S, int(0.7 * MB), yielding=False)
    assert uplink.measured == pytest.approx(8 * MB, rel=0.01)
