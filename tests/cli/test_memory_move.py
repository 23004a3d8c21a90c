"""`littoral memory move`."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from littoral.adapters.memory.embedded import open_collections
from littoral.cli.main import command_line
from littoral.node.config import load_config
from littoral.node.home import Home
from littoral.node.memory.drivers import drivers_of
from littoral.terms.errors import ConfigError, IdentityError
from littoral.terms.memory import CollectionSpec


def run(home: Path, *options: str) -> tuple[int, str]:
    command = ["memory", "move", *options, "--home", str(home)]
    ended = CliRunner().invoke(command_line("memory"), command)
    return ended.exit_code, " ".join((ended.stdout + ended.stderr).split())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    opened = open_collections(tmp_path)
    opened.create(CollectionSpec(name="docs"))
    opened.close()
    return tmp_path


def test_says_what_is_missing(home: Path) -> None:
    for options, said in (
        (("docs", "--to", "pgvector"), "name it in memory_servers"),
        (("docs", "--to", "embedded"), "docs is kept by embedded already"),
        (("else", "--to", "embedded"), "there is no collection named 'else'"),
    ):
        status, shown = run(home, *options)
        assert status, shown
        assert said in shown


def test_is_refused_while_a_pop_uses_the_home(home: Path) -> None:
    place = Home(home)
    place.make()
    with place.held():
        status, shown = run(home, "docs", "--to", "pgvector")
    assert status == 3
    assert "is held by process" in shown


def variable(name: str) -> str | None:
    return "k" if name == "ITS_KEY" else None


def test_settings_name_servers_and_where_their_secrets_are(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hidden away\n")
    secret.chmod(0o600)
    told = {
        "home": str(tmp_path),
        "memory_driver": "pgvector",
        "memory_servers": "pgvector=postgresql://littoral@127.0.0.1/x,qdrant=https://127.0.0.1:1",
        "memory_secrets": f"pgvector={secret},qdrant=env:ITS_KEY",
    }
    opened = drivers_of(load_config(told, {}), variable=variable)
    assert set(opened) == {"embedded", "pgvector", "qdrant"}
    for driver in opened.values():
        driver.close()
    with pytest.raises(ConfigError, match="that is not set"):
        drivers_of(load_config(told, {}), variable=lambda _: None)
    secret.chmod(0o644)
    with pytest.raises(IdentityError):
        drivers_of(load_config(told, {}))
    for wrong in (
        {"memory_driver": "milvus"},
        {"memory_servers": "postgres=x"},
        {"memory_servers": "pgvector"},
        {"memory_servers": "pgvector=nothing of the kind", "memory_secrets": ""},
        {"memory_secrets": f"pgvector={tmp_path / 'nowhere'}"},
    ):
        with pytest.raises(ConfigError):
            drivers_of(load_config({**told, **wrong}, {}))
