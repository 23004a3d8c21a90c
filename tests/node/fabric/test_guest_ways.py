"""The models of other PoPs, and the way to each of them."""

from littoral.node.fabric.guests import guests_of
from littoral.routing.fleet import Fleet, Known
from littoral.terms.values import UpstreamTarget
from tests.routing.pops import MODEL, member, name, pop

HERE = pop(0)


def targets(*others: Known, here: Known = HERE) -> tuple[UpstreamTarget, ...]:
    fleet = Fleet({known.state.pop: known for known in (here, *others)})
    entry = guests_of(fleet, here.state.pop, lambda _, __: True).get(MODEL)
    return () if entry is None else entry.upstreams


def way(target: UpstreamTarget) -> tuple[str, str, str]:
    return target.base_url, target.peer, target.through


def held(number: int, *relays: int, owner: str = "own-0000000000000001") -> Known:
    who = member(number, owner=owner)
    return pop(number, url="", relays=tuple(map(name, relays)), who=who)


def test_one_that_can_be_dialled_is_asked_itself() -> None:
    (target,) = targets(pop(1, url="https://one:7401"))
    assert way(target) == ("https://one:7401/v1", member(1).name, "")


def test_one_that_can_t_be_is_asked_by_the_first_that_it_holds_connections_to() -> None:
    relay = pop(2, url="https://two:7401")
    found = targets(held(1, 9, 2, 3), relay, pop(3, url="https://three:7401"))
    assert way(found[0]) == ("https://two:7401/v1", member(1).name, member(2).name)


def test_the_connections_that_it_holds_here_come_first() -> None:
    found = targets(held(1, 2, 0), pop(2, url="https://two:7401"))
    assert way(found[0])[1:] == (member(1).name, member(1).name)


def test_one_that_nobody_passes_anything_on_to_is_no_target() -> None:
    gone, drains = pop(3, alive=False), pop(4, draining=True)
    assert targets(held(1)) == ()
    assert all(each.peer != member(1).name for each in targets(held(1, 3, 4, 9), gone, drains))


def test_an_owner_s_pops_are_relayed_by_its_own_alone() -> None:
    stranger = pop(2, who=member(2, owner="own-0000000000000002"))
    assert all(each.peer != member(1).name for each in targets(held(1, 2), stranger))
    assert targets(held(1, 0, owner="own-0000000000000002")) == ()
