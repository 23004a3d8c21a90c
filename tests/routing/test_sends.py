"""What was sent from here counts until it is over, or a record can tell of it."""

from hypothesis import given
from hypothesis import strategies as st

from littoral.routing.sends import Own, Send, Sends
from littoral.terms.values import SECOND, Instant
from tests.routing.pops import name


def at(seconds: float) -> Instant:
    return Instant(int(seconds * SECOND))


def test_a_send_counts_at_once_and_no_longer_when_it_is_over() -> None:
    sends = Sends()
    send = sends.sent(name(1), 700, at(1))
    other = sends.sent(name(1), 700, at(1))
    assert sends.own[name(1)] == Own(2, 1_400)
    sends.began(send)
    assert sends.own[name(1)] == Own(2, 700)
    sends.ended(send)
    sends.ended(send)
    sends.began(other)
    assert sends.own[name(1)] == Own(1, 0)
    sends.ended(other)
    assert sends.own == {}


def test_a_record_tells_of_what_had_arrived_when_it_was_made() -> None:
    sends = Sends()
    early, late = sends.sent(name(1), 10, at(1)), sends.sent(name(1), 20, at(1.95))
    sends.heard(name(1), at(2), rtt_s=0.1)
    assert sends.own[name(1)] == Own(1, 20)
    sends.ended(early)
    assert sends.own[name(1)] == Own(1, 20)
    sends.heard(name(1), at(3), rtt_s=0.1)
    sends.began(late)
    assert sends.own == {}


def test_a_record_of_somebody_else_changes_nothing() -> None:
    sends = Sends()
    sends.sent(name(1), 10, at(1))
    sends.heard(name(2), at(5), rtt_s=0.0)
    assert sends.own == {name(1): Own(1, 10)}


steps = st.lists(
    st.tuples(st.sampled_from(["sent", "began", "ended", "heard"]), st.integers(0, 3)), max_size=40
)


@given(steps)
def test_whatever_happens_the_counts_are_those_of_what_counts(steps: list[tuple[str, int]]) -> None:
    sends = Sends()
    all_sends: list[Send] = []
    for now, (step, number) in enumerate(steps):
        if step == "sent":
            all_sends.append(sends.sent(name(number), number * 10, at(now)))
        elif step == "heard":
            sends.heard(name(number), at(now), rtt_s=number)
        elif all_sends:
            one = all_sends[number % len(all_sends)]
            sends.began(one) if step == "began" else sends.ended(one)
        sends.check()
    for each in all_sends:
        sends.ended(each)
    sends.check()
    assert sends.own == {}
