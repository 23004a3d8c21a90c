"""A tree of groups: between sites each chunk goes to each site once, whatever is within."""

from littoral.delivery.grouping import company
from littoral.delivery.words import ORIGIN
from littoral.sim.clock import VirtualClock
from littoral.sim.delivery.net import Net
from littoral.sim.delivery.world import World, pop_name
from littoral.terms.ids import SiteName
from littoral.terms.values import SECOND

WAN = 125e6
LAN = 1.25e9
CHUNK = 1024 * 1024


def sites(count: int, pops_each: int, chunks: int) -> World:
    """So many sites with a WAN link each, where all PoPs are to have a file of so many chunks."""
    net = Net(VirtualClock(lambda: 0.5), piece=CHUNK, window=2 * CHUNK, delay_s=0.005)
    net.lay(ORIGIN, WAN, 1e12)
    world = World(1, [CHUNK] * chunks, net, checks=False)
    for number in range(count * pops_each):
        pop, site = pop_name(number), f"site-{number % count}"
        if number < count:
            net.lay(site, WAN, WAN)
        net.lay(pop, LAN, LAN)
        net.place(pop, site)
        world.sites[pop] = SiteName(site)
    for pop, site in list(world.sites.items()):
        world.add(pop, site, expected=company(pop, world.sites))
    return world


def copies(world: World, count: int) -> float:
    """Of the file, that passed between sites or came from the origin, for each site."""
    links = [world.net.links[f"site-{number}"].sent for number in range(count)]
    return (sum(links) + world.net.links[ORIGIN].sent) / sum(world.sizes) / count


def test_six_sites_of_three_pops_take_one_copy_each_in_the_least_time() -> None:
    world = sites(6, 3, 900)
    world.run(60)
    assert copies(world, 6) <= 1.02
    last = max(pop.ended or 0 for pop in world.pops.values()) / SECOND
    assert last <= 1.15 * sum(world.sizes) / WAN


def test_a_site_whose_head_dies_has_another() -> None:
    world = sites(4, 3, 400)
    world.clock.after(1.5, lambda: world.kill(pop_name(1)))
    world.run(60)
    assert all(pop.ended is not None for pop in world.pops.values() if pop.alive)
    assert copies(world, 4) <= 1.4
