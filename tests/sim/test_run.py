"""Whole runs: conserved, repeatable, and what hand and reason say of them."""

from pathlib import Path

import msgspec
import pytest

from littoral.sim.network import Machine, Network, Site, Workload, read_network
from littoral.sim.placed import placed
from littoral.sim.policies import POLICIES
from littoral.sim.run import simulate
from littoral.sim.workload import requests
from tests.sim.made import PLAIN, network
from tests.tidy.test_source import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.toml"))


@pytest.mark.parametrize("policy", POLICIES)
def test_every_request_ends_exactly_once_though_machines_are_overrun(policy: str) -> None:
    small = (msgspec.structs.replace(PLAIN, queue=2),)
    sites = tuple(
        msgspec.structs.replace(site, machine=small, rate_per_s=4 * site.rate_per_s)
        for site in network().site
    )
    busy = msgspec.structs.replace(network(), site=sites)
    report = simulate(busy, policy, 1, 0.5)  # it ends in Run.check
    asked = list(requests(busy, 1, 0.5))
    assert report.total.requests == len(asked)
    assert report.total.refused > 0
    assert sum(site.requests for site in report.sites) == report.total.requests
    assert 0.8 < report.total.load < 1.1  # the last ones are over after the end


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_seed_gives_the_same_report(policy: str) -> None:
    first = simulate(network(), policy, 7, 0.5)
    assert simulate(network(), policy, 7, 0.5) == first
    assert simulate(network(), policy, 8, 0.5).total != first.total


def test_one_request_at_a_time_takes_what_can_be_worked_out() -> None:
    machine = Machine(model="m", prefill_tps=1000, decode_tps=10)
    load = Workload(prompt_tokens=500, prompt_spread=0, answer_tokens=21, answer_spread=0)
    alone = Network(
        (Site("a", rate_per_s=0.0005, machine=(machine,)),), (), load, site_bytes_per_s=1e6
    )
    total = simulate(alone, "least-loaded", 1, 100.0).total
    first_s = 0.0005 + 500 * 4 / 1e6 + 0.5
    assert total.first_token_p50_s == pytest.approx(first_s, abs=1e-5)
    assert total.whole_p50_s == pytest.approx(first_s + 2.0, abs=1e-5)
    assert (total.elsewhere, total.bytes_between_sites, total.prompt_kept) == (0, 0, 0)
    assert total.load == pytest.approx(total.requests * 2.5 / 360_000, rel=0.01)
    assert total.reading == pytest.approx(total.requests * 0.5 / 360_000, rel=0.01)


def test_bytes_between_sites_are_those_of_prompts_and_answers_served_elsewhere() -> None:
    described = network(prompt_spread=0, answer_spread=0, turns=1, system_tokens=0)
    here, there = described.site
    clients = msgspec.structs.replace(here, machine=())
    without = msgspec.structs.replace(described, site=(clients, there))
    served = simulate(without, "round-robin", 1, 0.5).sites[0]
    assert served.elsewhere == 1.0
    answered = served.requests - served.refused
    assert answered * 40_800 <= served.bytes_between_sites <= served.requests * 40_800


def test_conversations_find_their_past_where_it_is() -> None:
    kept = {
        policy: simulate(network(think_s=20, answer_tokens=20), policy, 1, 4.0).total.prompt_kept
        for policy in POLICIES
    }
    assert kept["prefix-only"] > kept["round-robin"] + 0.1
    assert kept["predicted"] > kept["round-robin"] + 0.1


def test_prediction_avoids_a_machine_that_is_slow() -> None:
    here, there = network(answer_tokens=20).site
    slow = msgspec.structs.replace(PLAIN, prefill_tps=100)
    sites = (msgspec.structs.replace(here, machine=(slow, PLAIN)), there)
    lame = msgspec.structs.replace(network(answer_tokens=20), site=sites)
    first = {
        policy: simulate(lame, policy, 1, 2.0).total.first_token_p50_s or 0
        for policy in ("predicted", "round-robin")
    }
    assert first["predicted"] < 0.7 * first["round-robin"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path: Path) -> None:
    report = simulate(placed(read_network(path))[0], "predicted", 1, 3.0)
    assert report.total.requests > 100
    assert report.total.refused == 0


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 2


def test_what_a_site_has_read_is_told_beside_its_slots_at_work() -> None:
    here, there = network().site
    report = simulate(network(answer_tokens=1, answer_spread=0), "round-robin", 1, 1.0)
    slow, quick = report.sites
    assert quick.load < slow.load  # it has as many requests, and is done with them sooner
    rates = [site.machine[0].prefill_tps for site in (here, there)]
    read = [site.reading * rate for site, rate in zip((slow, quick), rates, strict=True)]
    assert report.total.reading == pytest.approx(sum(read) / sum(rates), abs=1e-5)
    assert report.reading_max_over_mean == pytest.approx(slow.reading / report.total.reading)
