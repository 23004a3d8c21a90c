"""Which machine has which model: what holds of every plan, and what some are to be like."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.placement.copies import LEAST
from littoral.placement.spread import Asked, Machine, Spread, spread
from littoral.terms.errors import ConfigError

SMALL = Machine("", "", "", 1000, 25, 4, 0.1)
MIDDLE = Machine("", "", "", 3000, 45, 8, 0.06)
LARGE = Machine("", "", "", 10_000, 80, 32, 0.03)


def sites(count: int, zones: int, *has: Machine) -> list[Machine]:
    return [
        replace(one, name=f"{site:02}/{number}", site=f"site-{site:02}", zone=f"z{site % zones}")
        for site in range(count)
        for number, one in enumerate(has)
    ]


def asked(shares: dict[str, float], per_s: float, zones: int = 1) -> list[Asked]:
    whole = sum(shares.values())
    return [
        Asked(name, {f"z{n}": per_s * share / whole / zones for n in range(zones)}, 2000, 300)
        for name, share in shares.items()
    ]


def zipf(count: int) -> dict[str, float]:
    return {f"m{n:02}": 1 / n**0.9 for n in range(1, count + 1)}


def max_over_mean(machines: list[Machine], plan: Spread) -> float:
    slots: Counter[str] = Counter()
    for one in machines:
        slots[one.site] += one.slots
    mean = sum(plan.loads[site] * count for site, count in slots.items()) / slots.total()
    return max(plan.loads.values()) / mean


@st.composite
def networks(draw: st.DrawFn) -> tuple[list[Machine], list[Asked]]:
    """Machines of any rates at sites of any size, some with a model already; no lack of them."""
    zones = draw(st.integers(1, 3))
    models = draw(st.integers(1, 6))
    kinds = draw(
        st.lists(
            st.builds(
                Machine,
                st.just(""),
                st.just(""),
                st.just(""),
                st.floats(10, 100_000),
                st.floats(1, 1000),
                st.integers(1, 64),
                st.floats(0, 1),
            ),
            min_size=1,
            max_size=12,
        )
    )
    count = draw(st.integers(LEAST * models, 40))
    machines = []
    for number in range(count):
        kind = draw(st.sampled_from(kinds))
        site = draw(st.integers(0, 8))
        has = f"m{draw(st.integers(0, models))}" if number >= LEAST * models else ""
        model = has if draw(st.booleans()) else ""
        named = replace(kind, name=f"{number}", site=f"s{site}", zone=f"z{site % zones}")
        machines.append(replace(named, model=model))
    wanted = [
        Asked(
            f"m{number}",
            {f"z{zone}": draw(st.floats(0.001, 10)) for zone in range(zones)},
            draw(st.floats(1, 50_000)),
            draw(st.floats(1, 5_000)),
        )
        for number in range(models)
    ]
    return machines, wanted


@settings(max_examples=60, deadline=None)
@given(networks(), st.randoms(use_true_random=False))
def test_every_machine_gets_one_model_and_every_model_its_copies_in_whatever_order_they_are_said(
    network: tuple[list[Machine], list[Asked]], draw: random.Random
) -> None:
    machines, wanted = network
    plan = spread(machines, wanted)
    assert set(plan.models) == {one.name for one in machines}
    known = {each.model for each in wanted} | {one.model for one in machines if one.model}
    assert set(plan.models.values()) <= known
    assert all(plan.models[one.name] == one.model for one in machines if one.model)
    assert all(plan.copies.get(each.model, 0) >= LEAST for each in wanted)
    assert set(plan.loads) == {one.site for one in machines}
    assert all(0 <= load <= 1 + 1e-9 for load in plan.loads.values())
    draw.shuffle(machines)
    draw.shuffle(wanted)
    assert spread(machines, wanted) == plan


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(20, 40),
    zones=st.integers(1, 4),
    models=st.integers(2, 8),
    busy=st.floats(0.3, 0.8),
)
def test_sites_that_are_alike_are_loaded_about_alike(
    count: int, zones: int, models: int, busy: float
) -> None:
    machines = sites(count, zones, *[SMALL] * 5, *[MIDDLE] * 4, LARGE)
    reads = sum(one.prefill_tps for one in machines)
    plan = spread(machines, asked(zipf(models), busy * reads / 2000, zones))
    assert max_over_mean(machines, plan) < 1.15


def test_a_thousand_machines_are_spread_evenly() -> None:
    machines = sites(100, 5, *[SMALL] * 5, *[MIDDLE] * 4, LARGE)
    plan = spread(machines, asked(zipf(20), 500, 5))
    assert max_over_mean(machines, plan) < 1.05


def test_a_model_has_its_part_of_the_quick_machines_and_of_each_zone() -> None:
    machines = sites(40, 4, *[SMALL] * 5, *[MIDDLE] * 4, LARGE)
    plan = spread(machines, asked({"much": 5, "some": 3, "few": 2}, 100, 4))
    large = Counter(plan.models[one.name] for one in machines if one.slots == LARGE.slots)
    assert large == {"much": 20, "some": 12, "few": 8}
    for zone in range(4):
        here = [one for one in machines if one.zone == f"z{zone}"]
        reads: Counter[str] = Counter()
        for one in here:
            reads[plan.models[one.name]] += int(one.prefill_tps)
        parts = [reads[model] / reads.total() for model in ("much", "some", "few")]
        assert parts == pytest.approx([0.5, 0.3, 0.2], abs=0.05)


def test_a_popular_model_is_at_every_site_and_two_copies_of_another_are_not_at_one() -> None:
    machines = sites(12, 1, MIDDLE, MIDDLE, MIDDLE, MIDDLE)
    plan = spread(machines, asked({"much": 10, "few": 1, "rare": 1}, 5))
    at = {(one.site, plan.models[one.name]) for one in machines}
    assert sum(model == "much" for _, model in at) == 12
    assert sum(model == "rare" for _, model in at) == plan.copies["rare"]


def test_a_zone_gets_what_its_own_clients_ask_for() -> None:
    machines = sites(10, 2, MIDDLE, MIDDLE, MIDDLE)
    wanted = [
        Asked("french", {"z0": 9.0, "z1": 1.0}, 2000, 300),
        Asked("english", {"z0": 1.0, "z1": 9.0}, 2000, 300),
    ]
    plan = spread(machines, wanted)
    has = Counter((one.zone, plan.models[one.name]) for one in machines)
    assert has["z0", "french"] >= 13
    assert has["z1", "english"] >= 13


def test_a_large_model_is_where_there_is_memory_and_has_enough() -> None:
    roomy = replace(LARGE, memory_bytes=80e9)
    tight = replace(MIDDLE, memory_bytes=16e9)
    machines = sites(10, 1, roomy, tight, tight, tight)
    small, large = asked({"small": 1, "large": 1}, 4)
    plan = spread(machines, [small, replace(large, memory_bytes=40e9, work=4.0)])
    assert all(one.memory_bytes > 40e9 for one in machines if plan.models[one.name] == "large")
    assert plan.copies["large"] >= 8  # it is four fifths of the work, and can be nowhere else


def test_what_a_machine_has_already_counts() -> None:
    machines = sites(10, 1, LARGE, MIDDLE, MIDDLE)
    mine = [replace(one, model="a") if one.slots == LARGE.slots else one for one in machines]
    plan = spread(mine, asked({"a": 1, "b": 1}, 10))
    assert plan.copies["b"] >= 18


def test_a_model_for_which_there_is_no_machine_is_told() -> None:
    machines = sites(1, 1, MIDDLE, MIDDLE)
    with pytest.raises(ConfigError, match="no machine is left for m03"):
        spread(machines, asked(zipf(3), 1))
    small, large = asked({"small": 1, "large": 1}, 1)
    tight = [replace(one, memory_bytes=1e9) for one in machines]
    with pytest.raises(ConfigError, match="has the memory is left for large"):
        spread(tight, [small, replace(large, memory_bytes=2e9)])
    with pytest.raises(ConfigError, match="site-00 has the memory for no model"):
        spread(tight, [replace(small, memory_bytes=2e9)])
    with pytest.raises(ConfigError, match="no model is asked for"):
        spread(machines, [])


def test_with_as_many_machines_as_models_each_is_somewhere() -> None:
    machines = sites(3, 1, MIDDLE)
    assert spread(machines, asked(zipf(3), 1)).copies == {"m01": 1, "m02": 1, "m03": 1}
