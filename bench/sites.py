"""One model to 1,000 PoPs at 100 sites, simulated: how often it crosses between sites, how quickly.

The network: 100 sites of ten PoPs, 10 Gbit/s for each PoP within its site, 1 Gbit/s each way for
each site and for the origin, 10 ms between any two. The machines that decide are the real ones;
links are as in `sim/delivery/net.py`.

What is left out, for the time that it takes: the file has 2.8 GB of the 70 GB that are meant, so
that what is lost at the beginning and at the end counts 25 times as much as it would; and of the
sites all but one have only their head, as nothing that the others do passes between sites. `--gb`
and `--full` change both.
"""

import argparse
import sys
import time

from bench.stand.report import at_most, note, print_report
from littoral.delivery.cutting import HUGE_FILE_BYTES, HUGE_PIECE_BYTES, LARGE_PIECE_BYTES
from littoral.delivery.grouping import company
from littoral.delivery.words import ORIGIN
from littoral.sim.clock import VirtualClock
from littoral.sim.delivery.net import Net
from littoral.sim.delivery.world import World, pop_name
from littoral.terms.ids import SiteName
from littoral.terms.values import SECOND

SITES, POPS_EACH = 100, 10
WAN, LAN = 125e6, 1.25e9


def built(gigabytes: float, full: int) -> World:
    """The network, all of whose PoPs have just been told to pull."""
    size = int(gigabytes * 1e9)
    chunk = HUGE_PIECE_BYTES if size > HUGE_FILE_BYTES else LARGE_PIECE_BYTES
    net = Net(VirtualClock(lambda: 0.5), piece=chunk // 4, window=chunk, delay_s=0.01)
    net.lay(ORIGIN, WAN, 1e12)
    world = World(1, [chunk] * (size // chunk), net, checks=False)
    for number in range(SITES * POPS_EACH):
        pop, site = pop_name(number), f"site-{number % SITES}"
        if number < SITES:
            net.lay(site, WAN, WAN)
        elif number % SITES >= full:
            continue
        net.lay(pop, LAN, LAN)
        net.place(pop, site)
        world.sites[pop] = SiteName(site)
    for pop, site in list(world.sites.items()):
        world.add(pop, site, expected=company(pop, world.sites))
    return world


def main() -> int:
    """Run it once: it is the same each time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=2.8, help="Size of the file.")
    parser.add_argument("--full", type=int, default=1, help="Sites with all of their PoPs.")
    options = parser.parse_args()
    began = time.perf_counter()
    world = built(options.gb, options.full)
    note(f"{len(world.pops)} machines pull {len(world.sizes)} chunks each")
    world.run(3_600)
    size = sum(world.sizes)
    sent = world.net.links[ORIGIN].sent
    sent += sum(world.net.links[f"site-{number}"].sent for number in range(SITES))
    last_s = max(pop.ended or 0 for pop in world.pops.values()) / SECOND
    bound_s = size / WAN
    note(f"the last PoP after {last_s:.1f} s; {time.perf_counter() - began:.0f} s of this machine")
    promises = [
        at_most("bytes between sites, of one copy each", [sent / size / SITES], 1.1, "x"),
        at_most("time, of the least that links allow", [last_s / bound_s], 1.2, "x"),
    ]
    print_report("sites", promises, {}, rounds=1)
    return 0 if all(promise.holds for promise in promises) else 1


if __name__ == "__main__":
    sys.exit(main())
