"""`littoral pull` as it is typed: what is not to be said together is refused at once."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from littoral.cli import pull
from littoral.terms.errors import BadRequestError

app = typer.Typer()
pull.register(app)


@pytest.mark.parametrize(
    "more", [("--name", "mine"), ("--base", "hf:a/b"), ("--plan",), ("--detach",)]
)
def test_with_to_nothing_else_can_be_said(tmp_path: Path, more: tuple[str, ...]) -> None:
    words = ["hf:owner/repo", "--to", "berlin", *more, "--home", str(tmp_path)]
    result = CliRunner(env={"COLUMNS": "240"}).invoke(app, words)
    assert result.exit_code == BadRequestError.exit_code
    assert "leave out --name" in result.output
