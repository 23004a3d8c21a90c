"""`littoral origins`, as it is typed: what is kept, what is shown of it, and what is refused."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from littoral.adapters.origins import Credential
from littoral.adapters.origins.kept import CredentialFile
from littoral.cli import origins
from littoral.terms.errors import BadRequestError, NotFoundError

SECRET = "hf_of-nobody-else"
app = typer.Typer()
origins.register(app)


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(f"{SECRET}\n")
    return file


def run(home: Path, *arguments: str) -> Result:
    result = CliRunner(env={"COLUMNS": "240"}).invoke(
        app, ["origins", *arguments, "--home", str(home)]
    )
    assert SECRET not in result.output
    return result


def test_a_login_is_kept_listed_without_its_secret_and_taken_back(
    tmp_path: Path, token: Path
) -> None:
    home = tmp_path / "home"
    assert run(home, "login", "https://HuggingFace.co", "--token-file", str(token)).exit_code == 0
    pair = ("login", "registry.example:5000", "--token-file", str(token), "--user", "robot")
    assert run(home, *pair).exit_code == 0
    assert CredentialFile(home).read() == {
        "huggingface.co": Credential(SECRET),
        "registry.example:5000": Credential(SECRET, "robot"),
    }
    shown = json.loads(run(home, "list", "--json").stdout)
    assert shown["hosts"] == [
        {"host": "huggingface.co", "shown": "token"},
        {"host": "registry.example:5000", "shown": "pair"},
    ]
    assert "robot" not in run(home, "list").output
    assert run(home, "logout", "huggingface.co").exit_code == 0
    assert list(CredentialFile(home).read()) == ["registry.example:5000"]


def test_what_can_not_be_is_said(tmp_path: Path, token: Path) -> None:
    home = tmp_path / "home"
    empty = tmp_path / "empty"
    empty.write_text("\n")
    for arguments, error in (
        (("logout", "a.example"), NotFoundError),
        (("login", "no host", "--token-file", str(token)), BadRequestError),
        (("login", "a.example", "--token-file", str(tmp_path / "none")), BadRequestError),
        (("login", "a.example", "--token-file", str(empty)), BadRequestError),
    ):
        assert run(home, *arguments).exit_code == error.exit_code
    assert "no server is shown anything" in run(home, "list").stdout
