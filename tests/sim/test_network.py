"""Descriptions of networks: what is read from them, and how a wrong one is told."""

from pathlib import Path

import pytest

from littoral.sim.network import read_network
from littoral.terms.errors import ConfigError
from tests.sim.made import written

MACHINE = """
[[site.machine]]
model = "m"
prefill_tps = 1000
decode_tps = 30
"""
SITE = f"""
[[site]]
name = "a"
rate_per_s = 1.0
{MACHINE}
"""


def test_counts_are_written_out(tmp_path: Path) -> None:
    text = SITE.replace('"a"', '"edge"\ncount = 3').replace('"m"', '"m"\ncount = 2')
    network = read_network(written(tmp_path, text))
    assert [site.name for site in network.site] == ["edge-1", "edge-2", "edge-3"]
    assert [len(site.machine) for site in network.site] == [2, 2, 2]


def test_the_most_exact_link_counts(tmp_path: Path) -> None:
    sites = "".join(
        f'[[site]]\nname = "{name}"\nzone = "{zone}"\nrate_per_s = 1\n{MACHINE}'
        for name, zone in (("a", "eu"), ("b", "eu"), ("c", "us"))
    )
    links = "".join(
        f"[[link]]\nbetween = {ends}\nrtt_ms = {rtt}\nbytes_per_s = 1e6\n"
        for ends, rtt in (('["eu", "eu"]', 20), ('["b", "a"]', 3), ('["us", "eu"]', 90))
    )
    network = read_network(written(tmp_path, sites + links))

    def rtt(one: int, other: int) -> float:
        link = network.path(network.site[one], network.site[other])
        assert link is not None
        return link.rtt_ms

    assert (rtt(0, 1), rtt(1, 0), rtt(0, 2), rtt(2, 1)) == (3, 3, 90, 90)
    assert rtt(0, 0) == network.site_rtt_ms


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("site = 3", r"Expected `array`.*\$.site"),
        (SITE.replace("rate_per_s", "rate"), "unknown field `rate`"),
        (SITE.replace("1000", "-1"), r"Expected `float` > 0.*prefill_tps"),
        (SITE.replace("1000", "nan"), "prefill_tps"),
        (SITE.replace("1000", "inf"), "prefill_tps"),
        (SITE + SITE, "two sites are called a"),
        (SITE.replace(MACHINE, ""), "no site has a machine"),
        (SITE.replace("rate_per_s = 1.0", ""), "nothing is asked"),
        (SITE + '[[link]]\nbetween = ["a", "z"]\nrtt_ms = 1\nbytes_per_s = 1', "leads to z"),
        (SITE + "[workload.models]\nother = 1", "asks for other, which no machine has"),
        (SITE + '[workload]\ntrace = "gone.jsonl"', "gone.jsonl is not there"),
        (SITE + "[workload]\nwindow_minutes = 90", "longer than window_every_h"),
        (SITE + '[[site]]\nname = "b"\nrate_per_s = 1', "nobody that b is linked with has m"),
        ("][", "Invalid"),
    ],
)
def test_a_wrong_description_says_what_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read_network(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        read_network(tmp_path / "none.toml")
