"""`littoral memory context`: what it says, and what it refuses before it asks anybody."""

from pathlib import Path

import typer
from typer.testing import CliRunner

from littoral.cli import memory
from littoral.cli.memory import in_words
from littoral.terms.contextual import ContextShown, ContextState
from littoral.terms.errors import ConfigError

app = typer.Typer()
memory.register(app)


def test_the_work_is_begun_or_ended_but_not_both(tmp_path: Path) -> None:
    words = ["memory", "context", "docs", "--model", "writer", "--stop", "--home", str(tmp_path)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == ConfigError("").exit_code
    assert "say one" in result.stderr


def test_one_line_says_how_far_it_is() -> None:
    none = ContextShown(collection="docs", state=ContextState.NONE)
    assert "`littoral memory context docs --model MODEL`" in in_words(none)
    running = ContextShown(
        collection="docs",
        state=ContextState.RUNNING,
        model="writer",
        written=7,
        without=1,
        left=4,
        waits="clients use the model",
    )
    assert in_words(running) == (
        "contexts by writer: running, 7 written, 1 without, 4 left; clients use the model"
    )
