"""`littoral simulate`, as it is typed."""

import json
from pathlib import Path

import typer
from typer.testing import CliRunner, Result

from littoral.cli import doctor, simulate
from tests.sim.made import written
from tests.tidy.test_source import ROOT

app = typer.Typer()
for command in (simulate, doctor):
    command.register(app)
EXAMPLE = str(ROOT / "examples/three-sites.toml")


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "240"}).invoke(app, ["simulate", *arguments])


def test_it_prints_a_line_for_each_policy_and_each_site() -> None:
    result = run(EXAMPLE, "--hours", "1", "--policy", "predicted", "--policy", "round-robin")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "0.25 hours simulated, seed 1"
    assert [line.split()[0] for line in lines[3:5]] == ["predicted", "round-robin"]
    assert "predicted, by site" in lines
    assert sum(line.startswith("paris ") for line in lines) == 2


def test_json_is_one_document_and_the_same_for_the_same_seed() -> None:
    options = (EXAMPLE, "--hours", "1", "--policy", "predicted", "--seed", "5", "--json")
    first, again = run(*options), run(*options)
    assert first.stdout == again.stdout
    (report,) = json.loads(first.stdout)["reports"]
    assert (report["policy"], report["seed"]) == ("predicted", 5)
    assert report["total"]["requests"] == sum(site["requests"] for site in report["sites"])


def test_an_unknown_policy_and_a_wrong_file_are_told(tmp_path: Path) -> None:
    unknown = run(EXAMPLE, "--policy", "best")
    assert unknown.exit_code == 5
    assert "predicted, least-loaded" in unknown.stderr
    wrong = run(str(written(tmp_path, "site = 3")))
    assert wrong.exit_code == 2
    assert "docs/simulate.md" in wrong.stderr


def test_what_the_machines_get_is_told_with_the_commands_for_it() -> None:
    open_example = str(ROOT / "examples/which-where.toml")
    result = run(open_example, "--plan")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("31 of 32 machines named no model")
    assert sum(line.startswith("toronto ") for line in lines) == 1
    assert any(line.startswith("littoral place large-70b --sites ") for line in lines)
    assert "simulated" not in result.stdout
    told = json.loads(run(open_example, "--plan", "--json").stdout)
    assert told["reports"] == []
    assert told["plan"]["planned"] == 31
    assert sum(told["plan"]["copies"].values()) == 32


def test_with_a_policy_the_plan_is_told_first() -> None:
    options = ("--policy", "predicted", "--hours", "1")
    result = run(str(ROOT / "examples/which-where.toml"), *options)
    assert result.stdout.index("named no model") < result.stdout.index("0.25 hours simulated")
    assert "named no model" not in run(EXAMPLE, *options).stdout
