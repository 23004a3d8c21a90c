"""A world of deliveries drawn from a seed: a few PoPs, odd links, and much that goes wrong.

What must hold in the end is asserted here; what must hold after each event, in `pop.py` and by
`check()` of the machines.
"""

from functools import partial
from itertools import pairwise
from typing import Final

from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.words import ORIGIN, Wanted
from littoral.sim.clock import VirtualClock
from littoral.sim.delivery.net import Net
from littoral.sim.delivery.pop import SimPop
from littoral.sim.delivery.world import World, pop_name
from littoral.sim.world.chance import Chance
from littoral.terms.ids import PopId

__all__ = ["drawn", "lived"]

_TROUBLE_S: Final = 8.0
"""All faults are over by then."""
_LIMIT_S: Final = 120.0


def drawn(seed: int) -> World:
    """The world of this seed, with its PoPs and all that will happen."""
    chance = Chance(seed, "deliveries")
    net = Net(
        VirtualClock(lambda: 0.5),
        piece=16 * 1024,
        window=64 * 1024,
        delay_s=chance.between(0, 0.05),
    )
    net.lay(ORIGIN, chance.between(0.5e6, 8e6), 1e12)
    sizes = [1 + chance.below(65_536) for _ in range(20 + chance.below(150))]
    world = World(seed, sizes, net, draft=chance.happens(0.4))
    cuts = sorted({0, len(sizes), *(chance.below(len(sizes)) for _ in range(3))})
    world.files = list(pairwise(cuts))
    names = [pop_name(number) for number in range(2 + chance.below(6))]
    chance.shuffle(names)
    sites = 1 + chance.below(3)
    late = names[1:][: chance.below(3)]
    for pop in names:
        net.lay(pop, chance.between(0.3e6, 6e6), chance.between(0.3e6, 8e6))
        has = ChunkSet()
        if chance.happens(0.3):
            has = ChunkSet.of(chunk for chunk in range(len(sizes)) if chance.happens(0.4))
        begins = chance.between(0, _TROUBLE_S) if pop in late else chance.between(0, 0.2)
        site = f"site-{chance.below(sites)}"
        expected = [each for each in names if each not in late]
        net.clock.after(begins, partial(world.add, pop, site, has, expected))
    if chance.happens(0.4):
        world.liars[chance.one_of(names)] = chance.between(0.01, 0.5)
    _trouble(world, names, chance)
    _readers(world, names, Chance(seed, "readers"))
    return world


def _trouble(world: World, names: list[PopId], chance: Chance) -> None:
    """Kills, cuts, and origins that fall silent."""
    clock = world.clock
    for _ in range(chance.below(4)):
        moment = chance.between(0.1, _TROUBLE_S - 1)
        match chance.below(3):
            case 0 if len(names) > 2:
                pop = chance.one_of(names)
                clock.after(moment, partial(world.kill, pop))
            case 1:
                some = chance.some_of(names, 1, max(1, len(names) - 1))
                rest = [pop for pop in names if pop not in some]
                clock.after(moment, partial(world.cut, some, rest))
            case _:
                some = chance.some_of(names, 1, len(names))
                clock.after(moment, partial(_silence_origin, world, some))
    clock.after(_TROUBLE_S, world.mend)


def _readers(world: World, names: list[PopId], chance: Chance) -> None:
    """Here and there somebody waits for chunks, as engines do that read what arrives."""
    count = len(world.sizes)
    for _ in range(chance.below(8)):
        first = chance.below(count)
        chunks = ChunkSet.of_runs([(first, min(count, first + 1 + chance.below(6)))])
        moment = chance.between(0.1, _TROUBLE_S)
        world.clock.after(moment, partial(_want, world, chance.one_of(names), chunks))


def _want(world: World, name: PopId, chunks: ChunkSet) -> None:
    pop = world.pops.get(name)
    if pop is not None and pop.alive and not pop.machine.done:
        pop.take(Wanted(chunks))


def _silence_origin(world: World, pops: list[PopId]) -> None:
    """What comes from the origin stops for these; what was under way does not go on later."""
    world.cut([ORIGIN], pops)
    for pop in pops:
        if pop in world.pops:
            world.pops[pop].lose_origin()


def lived(seed: int) -> World:
    """The world of this seed, after its end.

    Raises:
        AssertionError: something did not hold; its text has the end of the story.
    """
    world = drawn(seed)
    try:
        world.run(_LIMIT_S, at_least_s=_TROUBLE_S + 0.1)
        for pop in world.pops.values():
            if pop.alive:
                _check(world, pop)
    except Exception as error:
        story = "\n".join(world.tail)
        raise AssertionError(f"in the world of seed {seed}: {error!r}\n{story}") from error
    return world


def _check(world: World, pop: SimPop) -> None:
    assert not pop.failed, f"{pop.pop} gave up: {pop.failed}"
    assert pop.ended is not None
    assert set(pop.store) == set(range(len(world.sizes)))
    if pop.pop not in world.liars:
        assert not any(copy.forged for copy in pop.store.values()), "wrong bytes, right name"
    assert pop.blamed <= set(world.liars), "only who lies is blamed"
