"""How quickly an artifact gets to all PoPs, against the least time that their links allow."""

from littoral.delivery.words import ORIGIN
from littoral.sim.clock import VirtualClock
from littoral.sim.delivery.net import Net
from littoral.sim.delivery.world import World, pop_name
from littoral.terms.values import SECOND

MB = 1_000_000
CHUNK = 256 * 1024


class Lab:
    """Some PoPs that pull a file of so many megabytes. Rates are megabytes in a second."""

    def __init__(
        self, ups: list[float], origin: float, size_mb: int, downs: list[float] | None = None
    ) -> None:
        net = Net(VirtualClock(lambda: 0.5), piece=32 * 1024, window=256 * 1024, delay_s=0.002)
        net.lay(ORIGIN, origin * MB, 1e12)
        self.ups, self.downs, self.origin, self.size_mb = ups, downs or ups, origin, size_mb
        self.world = World(1, [CHUNK] * (size_mb * MB // CHUNK), net, checks=False)
        self.pops = [pop_name(number) for number in range(len(ups))]
        for pop, up, down in zip(self.pops, self.ups, self.downs, strict=True):
            net.lay(pop, up * MB, down * MB)

    def bound_s(self) -> float:
        """Kumar and Ross, 2006."""
        count = len(self.ups)
        swarm = count / (self.origin + sum(self.ups))
        return self.size_mb * max(1 / self.origin, 1 / min(self.downs), swarm)

    def pull(self) -> "Lab":
        for pop in self.pops:
            self.world.add(pop, expected=self.pops)
        self.world.run(20 * self.bound_s())
        return self

    def last_s(self) -> float:
        return max((pop.ended or 0) / SECOND for pop in self.world.pops.values())


def test_eight_pops_with_equal_links() -> None:
    lab = Lab([12.5] * 8, 12.5, 63).pull()
    assert lab.last_s() <= 1.1 * lab.bound_s()
    assert lab.world.egress <= 1.01
