"""The fleet as a value: whatever order things are heard in, everybody keeps the same."""

import itertools
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.routing.fleet import (
    Fleet,
    Known,
    LinkState,
    ModelState,
    PopState,
    decoded,
    encoded,
    later,
)
from littoral.terms.errors import RecordRejectedError
from littoral.terms.ids import ModelName, PopId
from littoral.terms.values import Instant, Kind
from littoral.trust.members import Member

POP = PopId("pop-0123456789abcdef")
MEMBER = Member.of_name(f"spiffe://own-0123456789abcdef/zone/z/site/s/pop/{POP}")
MOVED = Member.of_name(f"spiffe://own-0123456789abcdef/zone/z/site/t/pop/{POP}")

STATES = st.builds(
    PopState,
    pop=st.just(POP),
    boot=st.integers(0, 2),
    seq=st.integers(0, 2),
    memory_free=st.integers(0, 3),
    links=st.lists(st.builds(LinkState, st.just(POP), st.floats()), max_size=2).map(tuple),
)


def known(state: PopState, member: Member = MEMBER, *, alive: bool = True) -> Known:
    return Known(member, state, Instant(1), alive)


@given(STATES, STATES, STATES)
def test_the_later_of_states_is_the_same_for_everybody(
    one: PopState, two: PopState, three: PopState
) -> None:
    kept = {encoded(later(later(a, b), c)) for a, b, c in itertools.permutations((one, two, three))}
    kept |= {
        encoded(later(a, later(b, c))) for a, b, c in itertools.permutations((one, two, three))
    }
    assert len({bytes_without_sign(each) for each in kept}) == 1
    assert later(one, one) is one


def bytes_without_sign(state: bytes) -> bytes:
    """Nought with and without a sign are equal, so either may be kept."""
    return state.replace(msgspec.msgpack.encode(-0.0), msgspec.msgpack.encode(0.0))


def test_a_record_that_changes_nothing_leaves_the_fleet_as_it_is() -> None:
    old, new = PopState(POP, 1, 1), PopState(POP, 1, 2)
    fleet = Fleet({}).heard(known(new))
    assert fleet.heard(known(new)) is fleet
    assert fleet.heard(known(old)) is fleet
    assert fleet.without(PopId("pop-none")) is fleet


def test_a_member_that_moved_is_known_by_its_new_name_though_its_state_is_the_same() -> None:
    fleet = Fleet({}).heard(known(PopState(POP, 1, 1)))
    assert fleet.heard(known(PopState(POP, 1, 1), MOVED)).pops[POP].member == MOVED


def test_what_was_said_is_kept_of_one_that_left_until_it_is_no_member() -> None:
    fleet = Fleet({}).heard(known(PopState(POP, 1, 1)))
    gone = fleet.left(POP)
    assert gone.pops[POP] == known(PopState(POP, 1, 1), alive=False)
    assert gone.left(POP) is gone
    assert gone.heard(known(PopState(POP, 1, 1))) == fleet
    assert gone.without(POP).pops == {}


def test_a_state_is_read_as_it_was_written_with_fields_of_later_versions_passed_over() -> None:
    state = PopState(POP, 1, 1, models=(ModelState(ModelName("m"), (Kind.CHAT,), slots=4),))
    assert decoded(encoded(state)) == state
    fields = msgspec.msgpack.decode(encoded(state))
    assert decoded(msgspec.msgpack.encode({**fields, "tomorrow": [1]})) == state


@pytest.mark.parametrize(
    "wrong",
    [
        {"pop": "pop-1"},
        {"seq": -1},
        {"seq": 2**63},
        {"url": "http://host:1"},
        {"url": "https://host:1/\n"},
        {"links": [[POP, math.nan]]},
        {"links": [[POP, math.inf]]},
        {"links": [[POP, 1.0]] * 300},
        {"models": [{"name": "No Model", "kinds": []}]},
        {"models": [{"name": "m", "kinds": [], "decode_tps": -1.0}]},
        {"artifacts": ["sha256:0"]},
        {"version": "a b"},
    ],
)
def test_a_state_that_is_out_of_bounds_is_refused(wrong: dict[str, object]) -> None:
    fields = {"pop": POP, "boot": 1, "seq": 1, **wrong}
    with pytest.raises(RecordRejectedError, match="can't be used"):
        decoded(msgspec.msgpack.encode(fields))


@given(st.binary(max_size=100))
def test_what_is_no_state_is_refused(data: bytes) -> None:
    with pytest.raises(RecordRejectedError):
        decoded(data)
