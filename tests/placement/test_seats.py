"""Seats: a prompt's past is used again by its own key, and by no other."""

from hypothesis import given
from hypothesis import strategies as st

from littoral.placement.seats import Seat, Seats


def taken(seats: Seats, tenant: str, prompt: bytes) -> Seat:
    seat = seats.take(tenant, prompt)
    assert seat is not None
    return seat


def asked(seats: Seats, tenant: str, prompt: bytes) -> Seat:
    seat = taken(seats, tenant, prompt)
    seats.give(seat)
    return seat


def test_a_conversation_goes_on_in_the_slot_that_holds_it() -> None:
    seats = Seats(4)
    first = asked(seats, "a", b"system; user: hello")
    asked(seats, "a", b"another prompt altogether")
    again = asked(seats, "a", b"system; user: hello; assistant: hi; user: and now")
    assert again == Seat(first.slot, reuse=True)


def test_a_slot_without_a_past_comes_before_one_with_another_prompt() -> None:
    seats = Seats(2)
    first = asked(seats, "a", b"one")
    assert asked(seats, "a", b"two").slot != first.slot


def test_another_keys_past_is_never_used_again_even_for_the_same_prompt() -> None:
    seats = Seats(1)
    asked(seats, "a", b"a secret")
    assert asked(seats, "b", b"a secret").reuse is False
    assert asked(seats, "a", b"a secret").reuse is False, "by now the slot holds b's"
    assert asked(seats, "a", b"a secret").reuse is True


def test_a_key_leaves_others_slots_alone_while_it_has_its_own() -> None:
    seats = Seats(2)
    own = asked(seats, "a", b"one")
    asked(seats, "b", b"two")
    assert asked(seats, "a", b"three").slot == own.slot


def test_when_all_are_taken_there_is_none() -> None:
    seats = Seats(1)
    taken(seats, "a", b"x")
    assert seats.take("a", b"y") is None


PROMPTS = st.binary(max_size=6)


@given(st.lists(st.tuples(st.sampled_from("abc"), PROMPTS, st.booleans()), max_size=60))
def test_whatever_is_asked_a_reused_past_is_ones_own(steps: list[tuple[str, bytes, bool]]) -> None:
    seats, held, last = Seats(3), list[Seat](), dict[int, str]()
    for tenant, prompt, give_one in steps:
        if give_one and held:
            seats.give(held.pop(0))
        seat = seats.take(tenant, prompt)
        if seat is None:
            assert len(held) == 3
            continue
        assert seat.slot not in {other.slot for other in held}
        assert seat.reuse == (last.get(seat.slot, tenant) == tenant)
        last[seat.slot] = tenant
        held.append(seat)
