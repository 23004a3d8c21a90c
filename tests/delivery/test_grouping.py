"""Who pulls together with whom."""

from littoral.delivery.grouping import company
from littoral.delivery.words import Role
from littoral.terms.ids import PopId, SiteName


def pops(count: int, at: int = 0) -> list[PopId]:
    return [PopId(f"pop-{number:016x}") for number in range(at, at + count)]


def roles_of(sites: dict[PopId, SiteName]) -> dict[PopId, dict[PopId, Role]]:
    return {pop: company(pop, sites) for pop in sites}


def agree(roles: dict[PopId, dict[PopId, Role]]) -> None:
    """Links have two ends, and both think the same of it."""
    other = {Role.EQUAL: Role.EQUAL, Role.SPRING: Role.BELOW, Role.BELOW: Role.SPRING}
    for pop, its in roles.items():
        for peer, role in its.items():
            assert roles[peer][pop] is other[role]


def test_the_pops_of_one_site_are_one_group_without_a_head() -> None:
    roles = roles_of(dict.fromkeys(pops(8), SiteName("here")))
    agree(roles)
    assert all(len(its) == 7 and set(its.values()) == {Role.EQUAL} for its in roles.values())


def test_one_of_each_site_reads_for_it() -> None:
    sites = {pop: SiteName(f"site-{int(pop[4:], 16) % 100}") for pop in pops(1_000)}
    roles = roles_of(sites)
    agree(roles)
    heads = [pop for pop, its in roles.items() if Role.SPRING not in its.values()]
    assert heads == pops(100)
    assert all(len(roles[head]) == 99 + 9 for head in heads)
    assert all(len(its) == 9 for pop, its in roles.items() if pop not in heads)


def test_sites_of_one_pop_each_are_one_group() -> None:
    roles = roles_of({pop: SiteName(f"site-{pop}") for pop in pops(5)})
    agree(roles)
    assert all(len(its) == 4 and set(its.values()) == {Role.EQUAL} for its in roles.values())


def test_a_large_site_is_cut_into_groups() -> None:
    roles = roles_of(dict.fromkeys(pops(200), SiteName("here")))
    agree(roles)
    heads = [pop for pop, its in roles.items() if Role.BELOW in its.values()]
    assert len(heads) == 4
    assert max(len(its) for its in roles.values()) < 75


def test_a_pop_alone_has_no_company() -> None:
    assert company(pops(1)[0], {pops(1)[0]: SiteName("here")}) == {}
