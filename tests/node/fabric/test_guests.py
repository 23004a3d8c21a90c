"""Models of other PoPs, as entries beside one's own."""

from hypothesis import given
from hypothesis import strategies as st

from littoral.node.fabric.guests import Guests, guests_of, settled_digest
from littoral.routing.fleet import Fleet, Known
from littoral.terms.ids import Digest, ModelName
from littoral.terms.limits import GUEST_TARGETS_MAX
from littoral.terms.values import Kind, ToolSupport
from littoral.trust.members import Member
from tests.routing.pops import MODEL, member, model, name, pop

HERE = name(0)
ONE, OTHER = (Digest(f"sha256:{sign * 64}") for sign in "ab")


def fleet(*pops: Known) -> Fleet:
    return Fleet({known.state.pop: known for known in pops})


def anybody(_: Member, __: ModelName) -> bool:
    return True


def peers(found: Fleet) -> list[str]:
    return [target.peer for target in guests_of(found, HERE, anybody)[MODEL].upstreams]


def test_a_model_of_another_pop_is_asked_there_by_that_pops_name() -> None:
    entry = guests_of(fleet(pop(0), pop(1, model(digest=ONE))), HERE, anybody)[MODEL]
    (target,) = entry.upstreams
    assert entry.guest
    assert (target.peer, target.base_url) == (member(1).name, "https://pop/v1")
    assert (entry.digest, entry.kinds, entry.tools) == (ONE, (Kind.CHAT,), ToolSupport.NATIVE)


def test_nothing_of_this_pops_own_is_a_guest() -> None:
    assert guests_of(fleet(pop(0)), HERE, anybody) == {}


def test_pops_that_are_gone_or_drain_stay_targets_so_that_entries_do_not_flap() -> None:
    found = fleet(pop(1), pop(2, alive=False), pop(3, draining=True))
    assert peers(found) == [member(number).name for number in (1, 2, 3)]


def test_whose_owner_may_not_serve_is_left_out() -> None:
    found = fleet(pop(1), pop(2, who=member(2, owner="own-0000000000000002")))
    ours = guests_of(found, HERE, lambda who, _: who.owner == "own-0000000000000001")
    assert [target.peer for target in ours[MODEL].upstreams] == [member(1).name]


def test_under_one_name_are_the_weights_that_most_have() -> None:
    found = fleet(pop(1, model(digest=ONE)), pop(2, model(digest=OTHER)), pop(3, model(digest=ONE)))
    entry = guests_of(found, HERE, anybody)[MODEL]
    assert entry.digest == ONE
    assert len(entry.upstreams) == 2


def test_a_context_that_one_does_not_know_nobody_knows() -> None:
    found = fleet(pop(1, model(context_tokens=4_096)), pop(2, model(context_tokens=0)))
    assert guests_of(found, HERE, anybody)[MODEL].context_tokens == 0


def test_targets_are_bounded() -> None:
    found = fleet(*(pop(number) for number in range(1, GUEST_TARGETS_MAX + 20)))
    assert len(peers(found)) == GUEST_TARGETS_MAX


@given(st.lists(st.sampled_from([ONE, OTHER, None]), min_size=1, max_size=9), st.randoms())
def test_which_weights_are_meant_does_not_depend_on_the_order(
    digests: list[Digest | None], chance: st.DataObject
) -> None:
    models = [model(digest=digest) for digest in digests]
    mixed = list(models)
    chance.shuffle(mixed)  # type: ignore[attr-defined]  # a Random
    assert settled_digest(models) == settled_digest(mixed)


def test_guests_are_put_together_anew_only_when_what_they_follow_from_has_changed() -> None:
    guests = Guests()
    idle, busy, other = (
        fleet(pop(0), pop(1, said))
        for said in (model(in_flight=1), model(in_flight=5), model(digest=OTHER))
    )
    assert guests.of(idle, HERE, anybody) == guests_of(idle, HERE, anybody)
    assert guests.of(busy, HERE, anybody) is None
    assert guests.of(other, HERE, anybody) == guests_of(other, HERE, anybody)
    assert guests.of(fleet(pop(0)), HERE, anybody) == {}
    assert guests.of(other, HERE, anybody) != {}

    guests.forget()
    assert guests.of(other, HERE, lambda _, __: False) == {}
