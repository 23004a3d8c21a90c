"""`littoral keys`, as it is typed."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from littoral.adapters.store import open_store
from littoral.cli import keys, receipts, verify
from littoral.terms.errors import KeyRejectedError
from littoral.terms.values import KeyLimits

NOW = 1_764_000_000
app = typer.Typer()
for command in (keys, receipts, verify):
    command.register(app)


def run(home: Path, *arguments: str) -> Result:
    """Type a command in a terminal wide enough for every table."""
    return CliRunner(env={"COLUMNS": "240"}).invoke(app, [*arguments, "--home", str(home)])


def test_a_key_is_printed_once_and_works(tmp_path: Path) -> None:
    result = run(tmp_path, "keys", "create", "laptop")
    assert result.exit_code == 0
    token = result.stdout.strip()
    with open_store(tmp_path) as store:
        assert store.keys.authenticate(token, NOW).name == "laptop"
    for arguments in (("keys", "list"), ("keys", "list", "--json"), ("keys", "revoke", "laptop")):
        shown = run(tmp_path, *arguments)
        assert shown.exit_code == 0
        assert token.split("_", 2)[2] not in shown.output


def test_what_a_key_allows_is_said_when_it_is_made(tmp_path: Path) -> None:
    arguments = ["--expires=30d", "--model=tiny", "--model=other", "--operator", "--json"]
    limits = ["--requests-per-minute=1", "--tokens-per-minute=2", "--tokens-per-day=3"]
    shared = ["--tenant=acme", "--reuse-error-max=0.02", "--label=board", "--label=finance"]
    made = json.loads(
        run(tmp_path, "keys", "create", "laptop", *arguments, *limits, *shared).stdout
    )
    assert made["key"].startswith("lit_")
    assert made["expires_unix_s"] - made["created_unix_s"] == 30 * 86_400
    with open_store(tmp_path) as store:
        caller = store.keys.authenticate(made["key"], made["created_unix_s"])
    assert caller.models == ("tiny", "other")
    assert caller.limits == KeyLimits(1, 2, 3)
    assert caller.operator
    assert (caller.scope, caller.reuse_error_max) == ("tenant:acme", 0.02)
    assert (made["tenant"], made["reuse_error_max"]) == ("acme", 0.02)
    assert list(caller.labels) == made["labels"] == ["board", "finance"]


def test_the_list_shows_every_key_with_its_state(tmp_path: Path) -> None:
    run(tmp_path, "keys", "create", "laptop", "--tokens-per-day", "5000", "--operator")
    run(
        tmp_path, "keys", "create", "old", "--model=tiny", "--tenant=acme", "--reuse-error-max=0.02"
    )
    run(tmp_path, "keys", "revoke", "old")
    listed = json.loads(run(tmp_path, "keys", "list", "--json").stdout)["keys"]
    assert [(key["name"], key["state"]) for key in listed] == [
        ("laptop", "live"),
        ("old", "revoked"),
    ]
    table = run(tmp_path, "keys", "list").stdout
    for word in (
        "laptop (operator)",
        "5000 tokens/day",
        "revoked",
        "tiny",
        "never",
        "acme",
        "0.02 wrong",
        "own",
    ):
        assert word in table


def test_a_revoked_key_opens_nothing(tmp_path: Path) -> None:
    token = run(tmp_path, "keys", "create", "laptop").stdout.strip()
    assert run(tmp_path, "keys", "revoke", "laptop").exit_code == 0
    with open_store(tmp_path) as store, pytest.raises(KeyRejectedError):
        store.keys.authenticate(token, NOW)


@pytest.mark.parametrize("life", ["30", "d", "-1d", "0d", "soon", "1y"])
def test_a_life_that_is_no_duration_is_refused_with_an_example(tmp_path: Path, life: str) -> None:
    result = run(tmp_path, "keys", "create", "laptop", f"--expires={life}")
    assert result.exit_code == 5
    assert "30d" in result.stderr


@pytest.mark.parametrize("option", ["--tenant=a b", "--reuse-error-max=1.5"])
def test_an_impossible_grant_is_refused_with_an_example(tmp_path: Path, option: str) -> None:
    result = run(tmp_path, "keys", "create", "laptop", option)
    assert result.exit_code == 5
    assert "use 1 to 64" in result.stderr or "0.02" in result.stderr


def test_a_taken_name_and_an_unknown_key_are_said_in_one_line(tmp_path: Path) -> None:
    run(tmp_path, "keys", "create", "laptop")
    taken = run(tmp_path, "keys", "create", "laptop")
    unknown = run(tmp_path, "keys", "revoke", "nobody", "--json")
    assert (taken.exit_code, unknown.exit_code) == (5, 5)
    assert taken.stderr.count("\n") == 1
    assert json.loads(unknown.stdout)["error"]["code"] == "not_found"


def test_without_a_home_there_is_nothing_to_list(tmp_path: Path) -> None:
    result = run(tmp_path / "none", "keys", "list")
    assert result.exit_code == 2
    assert "littoral up" in result.stderr
