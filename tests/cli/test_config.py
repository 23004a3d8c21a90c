"""`littoral config`, as it is typed."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from littoral.cli import config, doctor, keys
from littoral.node.settings import SETTINGS
from tests.certificates import self_signed

app = typer.Typer()
for command in (config, doctor, keys):
    command.register(app)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a user's own littoral.toml would lie."""
    monkeypatch.setenv("HOME", str(tmp_path))
    home = tmp_path / ".littoral"
    home.mkdir()
    return home / "littoral.toml"


def write(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o600)


def run(*arguments: str, **variables: str) -> Result:
    return CliRunner(env={"COLUMNS": "240", **variables}).invoke(app, arguments)


def test_every_setting_is_shown_with_its_value_and_where_it_came_from(file: Path) -> None:
    write(file, 'models = ["a", "b"]\nqueue = 5')
    arguments = ("config", "show", "--port", "0", "--expose-without-tls")
    table = run(*arguments, LITTORAL_SLOTS="3").stdout
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in table.splitlines()}
    assert rows["models"] == f"a, b names file {file}, line 1"
    assert rows["queue"] == f"5 requests file {file}, line 2"
    assert rows["slots"] == "3 requests environment LITTORAL_SLOTS"
    assert rows["port"] == "0 port flag --port"
    assert rows["expose_without_tls"] == "true flag flag --expose-without-tls"
    assert rows["tls_cert"] == "none path default"
    told = json.loads(run(*arguments, "--json", LITTORAL_SLOTS="3").stdout)
    assert told["file"] == str(file)
    assert [each["name"] for each in told["settings"]] == [row.name for row in SETTINGS]
    by_name = {each["name"]: each for each in told["settings"]}
    assert by_name["models"]["value"] == ["a", "b"]
    assert by_name["home"]["value"] == str(file.parent)
    assert by_name["port"] == {
        "name": "port",
        "value": 0,
        "unit": "port",
        "source": "flag",
        "place": "--port",
    }


def test_without_a_file_that_is_said(file: Path) -> None:
    for arguments in (("config", "show"), ("config", "check")):
        result = run(*arguments)
        assert result.exit_code == 0
        assert f"there is no {file}" in result.output
    assert json.loads(run("config", "check", "--json").stdout) == {"ok": True, "file": None}


def test_a_wrong_file_is_told_with_its_line_by_the_check_and_by_every_command(file: Path) -> None:
    write(file, "\nprot = 1")
    for arguments in (
        ("config", "check"),
        ("config", "check", str(file)),
        ("config", "show"),
        ("keys", "list"),
        ("doctor",),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert f"{file}, line 2: 'prot' is not a setting: did you mean port?" in result.stderr
    error = json.loads(run("config", "check", "--json").stdout)["error"]
    assert (error["code"], error["exit_code"]) == ("bad_setting", 2)


def test_a_file_can_be_checked_before_it_is_used(file: Path, tmp_path: Path) -> None:
    write(file, "nonsense")
    write(tmp_path / "new.toml", "port = 1")
    result = run("config", "check", str(tmp_path / "new.toml"))
    assert (result.exit_code, result.stdout) == (0, f"ok: read {tmp_path / 'new.toml'}\n")
    assert run("config", "check", str(tmp_path / "other.toml")).exit_code == 2
    write(file, f'home = "{tmp_path}"')
    assert run("config", "check", str(file)).exit_code == 2, "as `up` would say"


def test_certificate_and_key_are_opened_by_the_check(file: Path) -> None:
    self_signed(file.parent, "localhost")
    write(file, 'tls_cert = "cert.pem"\ntls_key = "key.pem"')
    assert run("config", "check").exit_code == 0
    write(file, 'tls_cert = "cert.pem"\ntls_key = "no-key.pem"')
    result = run("config", "check")
    assert result.exit_code == 2
    assert "No such file" in result.stderr


def test_the_example_can_be_put_into_use(file: Path) -> None:
    text = run("config", "example").stdout
    assert json.loads(run("config", "example", "--json").stdout) == {"text": text}
    assert tomllib.loads(text) == {}
    write(file, text.replace("# port = 7400", "port = 7401"))
    told = json.loads(run("config", "show", "--json").stdout)["settings"]
    assert [each["name"] for each in told if each["source"] != "default"] == ["port"]


def test_the_command_that_is_installed_reads_the_file(file: Path, tmp_path: Path) -> None:
    write(tmp_path / "apart.toml", 'home = "elsewhere"\nqueue = 5')
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LITTORAL_")}

    def littoral(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "littoral.cli", *arguments],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
            env={**environment, "COLUMNS": "100", "NO_COLOR": "1"},
        ).stdout

    told = json.loads(littoral("config", "show", "--config", f"{tmp_path}/apart.toml", "--json"))
    values = {each["name"]: each["value"] for each in told["settings"]}
    assert (values["home"], values["queue"]) == (str(tmp_path / "elsewhere"), 5)
    assert "--config" in littoral("up", "--help")
