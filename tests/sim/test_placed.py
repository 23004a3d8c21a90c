"""Machines that name no model get one: by what is asked, and where it can be reached."""

from pathlib import Path

import msgspec
import pytest

from littoral.placement.spread import HOURS
from littoral.sim.network import Link, Machine, Model, Network, Site, Workload, read_network
from littoral.sim.placed import placed
from littoral.sim.run import simulate
from littoral.sim.workload import mean_tokens, requests
from littoral.terms.errors import ConfigError
from tests.sim.made import network, written
from tests.tidy.test_source import ROOT

OPEN = Machine(prefill_tps=2000, decode_tps=40, slots=4)


def described(**shares: float) -> Network:
    """Three sites of four machines, none of which names a model."""
    sites = tuple(Site(f"s{n}", "eu", 0, 0.5, (OPEN,) * 4) for n in range(3))
    return Network(sites, (Link(("eu", "eu"), 20, 1e7),), Workload(models=shares))


def test_each_machine_gets_a_model_and_what_names_one_keeps_it() -> None:
    told = described(much=4, some=1, few=1)
    first = told.site[0]
    named = msgspec.structs.replace(OPEN, model="few")
    told = msgspec.structs.replace(
        told, site=(msgspec.structs.replace(first, machine=(named, *[OPEN] * 3)), *told.site[1:])
    )
    full, plan = placed(told)
    assert not full.open()
    assert full.site[0].machine[0] == named
    assert plan.planned == 11
    assert plan.copies == {"few": 2, "much": 8, "some": 2}
    assert [sum(site.models.values()) for site in plan.sites] == [4, 4, 4]
    assert placed(told) == (full, plan)


def test_what_is_planned_can_be_simulated_and_is_loaded_as_expected() -> None:
    told = described(much=4, some=1, few=1)
    full, plan = placed(told)
    report = simulate(full, "predicted", 1, 12.0)
    assert report.total.refused == 0
    mean = sum(site.load for site in plan.sites) / len(plan.sites)
    assert report.total.load == pytest.approx(mean, rel=0.1)
    assert HOURS[0] < 1 < HOURS[-1]


def test_a_heavier_model_makes_a_machine_slower_and_needs_its_memory() -> None:
    told = described(large=1, small=1)
    sites = tuple(
        msgspec.structs.replace(
            site, machine=(msgspec.structs.replace(OPEN, memory_gb=80), *site.machine[1:])
        )
        for site in told.site
    )
    tight = [
        msgspec.structs.replace(
            site,
            machine=(site.machine[0], *[msgspec.structs.replace(OPEN, memory_gb=8)] * 3),
        )
        for site in sites
    ]
    full, _ = placed(
        msgspec.structs.replace(
            told, site=tuple(tight), model=(Model("large", memory_gb=40, work=4),)
        )
    )
    for site in full.site:
        large = [each for each in site.machine if each.model == "large"]
        assert [each.memory_gb for each in large] == [80] * len(large)
        assert all(each.prefill_tps == 500 and each.decode_tps == 10 for each in large)
        assert all(each.prefill_tps == 2000 for each in site.machine if each.model == "small")


def test_sites_that_nothing_joins_have_all_models_each() -> None:
    sites = tuple(Site(name, name, 0, 0.1, (OPEN,) * 4) for name in ("one", "two"))
    _, plan = placed(Network(sites, (), Workload(models={"a": 9, "b": 1})))
    assert all(set(site.models) == {"a", "b"} for site in plan.sites)


def test_clients_who_reach_no_machine_with_a_model_are_told() -> None:
    sites = (
        Site("one", "one", 0, 0.1, (OPEN,)),
        Site("two", "two", 0, 0.1, (OPEN,)),
        Site("far", "far", 0, 0.1),
    )
    links = (Link(("one", "two"), 1, 1e6), Link(("two", "far"), 1, 1e6))
    with pytest.raises(ConfigError, match="nobody that far is linked with has"):
        placed(Network(sites, links, Workload(models={"a": 1, "b": 1})))


def test_the_commands_have_as_many_copies_where_the_plan_has_them() -> None:
    _, plan = placed(described(much=4, few=1))
    few, much = plan.commands
    assert few == "littoral place few --sites " + ",".join(
        site.site for site in plan.sites if "few" in site.models
    )
    assert much == f"littoral place much --sites s0,s1,s2 --replicas {plan.copies['much']}"


def test_mean_lengths_are_those_of_what_is_asked(tmp_path: Path) -> None:
    told = network(turns=4, answer_tokens=50)
    asked = list(requests(told, 1, 200.0))
    prompt, answer = mean_tokens(told)
    assert prompt == pytest.approx(sum(each.prompt_tokens for each in asked) / len(asked), rel=0.1)
    assert answer == pytest.approx(sum(each.answer_tokens for each in asked) / len(asked), rel=0.1)
    trace = tmp_path / "trace.csv"
    trace.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2024-01-01 00:00:00,100,10\n2024-01-01 00:00:01,300,20\n"
    )
    assert mean_tokens(network(trace=str(trace))) == (200.0, 15.0)


MACHINE = "[[site.machine]]\nprefill_tps = 1000\ndecode_tps = 30\n"
SITE = f'[[site]]\nname = "a"\nrate_per_s = 1.0\n{MACHINE}'
ASKED = "[workload.models]\nm = 1\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (SITE, "no machine names a model, and workload.models names none"),
        (SITE + ASKED + '[[model]]\nname = "z"', "model z is neither asked for nor named"),
        (SITE + ASKED + '[[model]]\nname = "m"\n[[model]]\nname = "m"', "m is told of twice"),
        (
            SITE + ASKED + '[[model]]\nname = "m"\nwork = 0',
            r"Expected `float` > 0.*model\[0\].work",
        ),
        (SITE.replace("prefill", 'model = ""\nprefill') + ASKED, r"matching regex.*machine"),
    ],
)
def test_a_wrong_description_says_what_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read_network(written(tmp_path, text))


def test_the_example_is_placed_evenly() -> None:
    network = read_network(ROOT / "examples/which-where.toml")
    full, plan = placed(network)
    assert plan.load_max_over_mean < 1.2
    assert simulate(full, "predicted", 1, 3.0).load_max_over_mean < 1.3
