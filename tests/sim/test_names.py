"""The simulated fabric: the same each time, as bad as is asked for, and whole again at the end."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from littoral.sim.clock import VirtualClock
from littoral.sim.names import Air, Weather
from littoral.terms.facts import PopGone
from littoral.terms.limits import FABRIC_LEASE_S
from littoral.terms.values import SECOND
from tests.fabric_made import Pop
from tests.fabric_stand import SimStand, Standing

POPS = [Pop(number) for number in range(1, 5)]
SHARES = st.floats(0, 0.9)


async def fabric(seed: int, weather: Weather) -> tuple[VirtualClock, Air, list[Standing]]:
    chance = Random(seed).random
    clock = VirtualClock(chance)
    air = Air(clock, chance, weather)
    standing = [Standing(pop, air.names(pop.id), clock) for pop in POPS]
    for each in standing:
        await each.open()
        each.introduce()
    return clock, air, standing


def events(standing: list[Standing]) -> list[list[object]]:
    return [list(each.facts) for each in standing]


@given(st.integers(0, 1000), SHARES, SHARES, st.lists(st.integers(0, 5), max_size=30))
async def test_when_the_weather_has_passed_all_know_the_latest_of_all(
    seed: int, lost: float, twice: float, happens: list[int]
) -> None:
    clock, air, standing = await fabric(seed, Weather((0.0, 2.0), lost=lost, twice=twice))
    for what in happens:
        match what:
            case 4:
                air.cut({POPS[0].id, POPS[1].id}, {POPS[2].id})
            case 5:
                air.heal()
            case _:
                standing[what].say()
        clock.run(0.3)
        for each in standing:
            each.view.check()
    latest = [each.say() for each in standing]
    air.heal()
    clock.run(10)
    for one in standing:
        for two, seq in zip(standing, latest, strict=True):
            if one is not two:
                assert one.seq_of(two.pop) == seq
                assert one.sees(two.pop)


async def test_the_same_seed_gives_the_same_world() -> None:
    worlds = []
    for seed in (1, 1, 2):
        clock, air, standing = await fabric(seed, Weather(lost=0.5, twice=0.5))
        air.cut({POPS[0].id})
        clock.run(5)
        worlds.append((events(standing), clock.random_bytes(8)))
    assert worlds[0] == worlds[1]
    assert worlds[0] != worlds[2]


async def test_both_sides_of_a_cut_see_the_other_gone_after_a_lease_and_back_after_it() -> None:
    clock, air, (one, two, three, _) = await fabric(3, Weather())
    clock.run(1)
    air.cut({POPS[0].id}, {POPS[1].id, POPS[2].id, POPS[3].id})
    clock.run(FABRIC_LEASE_S - 0.1)
    assert one.sees(two.pop)
    clock.run(0.2)
    assert not one.sees(two.pop)
    assert not two.sees(one.pop)
    assert two.sees(three.pop)
    latest = one.say()
    clock.run(5)
    assert two.seq_of(one.pop) < latest
    air.heal()
    clock.run(0.1)
    assert two.seq_of(one.pop) == latest
    assert one.sees(two.pop)
    assert not [fact for fact in three.facts if fact == PopGone(two.pop.id, "left")]


async def test_a_cut_that_is_shorter_than_a_lease_is_not_noticed() -> None:
    clock, air, (one, two, *_) = await fabric(4, Weather())
    clock.run(1)
    air.cut({POPS[0].id})
    latest = one.say()
    clock.run(1)
    air.heal()
    clock.run(3)
    assert two.seq_of(one.pop) == latest
    assert not [fact for fact in two.facts if isinstance(fact, PopGone)]


async def test_who_crashed_hears_and_says_nothing() -> None:
    stand = SimStand()
    one, two = await stand.start(1), await stand.start(2)
    await stand.until(lambda: one.sees(two.pop) and two.sees(one.pop))
    await stand.kill(two.pop)
    before = two.seq_of(one.pop)
    one.say()
    two.say()
    stand.clock.run(5)
    assert two.seq_of(one.pop) == before
    assert not one.sees(two.pop)


def test_time_passes_from_act_to_act_in_the_order_they_were_asked_for() -> None:
    clock = VirtualClock(Random(1).random)
    done: list[str] = []
    clock.after(2, lambda: done.append("late"))
    clock.after(1, lambda: clock.after(0, lambda: done.append("then")))
    clock.after(1, lambda: done.append("first"))
    clock.run(1)
    assert (done, clock.now()) == (["first", "then"], SECOND)
    clock.run(1)
    assert done == ["first", "then", "late"]
    assert clock.unix_ns() == 1_700_000_002 * SECOND
