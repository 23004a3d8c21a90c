"""Chunks that somebody waits for come first, and cost nearly nothing."""

import pytest

from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.words import Wanted
from littoral.terms.ids import PopId
from littoral.terms.values import SECOND
from tests.delivery.test_delivered import Lab

SIZE_MB = 63


class Watched:
    """When chunks came that were wanted, one after the other."""

    def __init__(self, lab: Lab, pop: PopId, chunks: list[int]) -> None:
        self.lab, self.pop, self.left = lab, pop, chunks
        self.came_s: dict[int, float] = {}

    def want(self) -> None:
        """Read on, as far as all is there; then say what is wanted, and look again."""
        pop = self.lab.world.pops[self.pop]
        while self.left and self.left[0] in pop.store:
            self.came_s[self.left.pop(0)] = self.lab.world.clock.now() / SECOND
        if self.left:
            pop.take(Wanted(ChunkSet.of([self.left[0]])))
            pop.machine.check()
            self.lab.at(0.01, self.want)


@pytest.mark.parametrize("pops", [1, 4])
def test_the_last_chunk_comes_at_once_where_it_is_wanted_first(pops: int) -> None:
    lab = Lab(ups=(12.5,) * pops, size_mb=SIZE_MB)
    last = len(lab.world.sizes) - 1
    watched = [Watched(lab, pop, [last, 0, 1, 2]) for pop in lab.pops]
    for each in watched:
        lab.at(1.0, each.want)
    lab.pull()
    assert all(each.came_s[last] < 1.6 and each.came_s[2] < 1.7 for each in watched)
    assert lab.took_s() <= 1.06 * lab.bound_s()
    assert lab.world.egress <= 1 + (pops + 1) * 0.25 / SIZE_MB + 0.01


def test_who_begins_in_the_middle_is_read_on_for() -> None:
    lab = Lab(ups=(12.5,), size_mb=SIZE_MB)
    middle = list(range(120, 180))
    watched = Watched(lab, lab.pops[0], list(middle))
    lab.at(1.0, watched.want)
    lab.pull()
    alone_s = len(middle) * 0.262 / 12.5
    assert watched.came_s[middle[-1]] - 1.0 < 2.5 * alone_s, "half of the link is theirs, or more"
    assert lab.took_s() <= 1.06 * lab.bound_s()
    assert lab.world.egress <= 1.02
