"""A pipeline is defined and looked at with commands; asked as a model, it says that it can't be."""

import json
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from littoral.delivery.pipelines import read_pipeline
from tests.conftest import RunningPop, started_pop

EXAMPLE = (Path(__file__).parents[2] / "docs/pipelines.md").read_text()
WRITTEN = EXAMPLE.partition("```toml\n")[2].partition("```")[0]


@pytest.fixture
def pop(tmp_path: Path) -> Iterator[RunningPop]:
    with started_pop(tmp_path / "home", models="") as running:
        yield running


def littoral(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "littoral.cli", "pipeline", *words, "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_example_of_the_documentation_is_a_pipeline() -> None:
    assert read_pipeline(WRITTEN).name == tomllib.loads(WRITTEN)["name"]


def test_commands_define_list_and_show(pop: RunningPop, tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "handbook.toml"
    file.write_text(WRITTEN)
    defined = littoral(home, "define", str(file), "--json")
    assert defined.returncode == 0, defined.stderr
    row = json.loads(defined.stdout)
    listed = littoral(home, "list")
    assert "handbook" in listed.stdout
    assert "embed, recall, rerank, generate" in " ".join(listed.stdout.split())
    shown = littoral(home, "show", row["artifact"])
    assert "Answer from these passages alone." in shown.stdout
    assert "handbook-2026" in shown.stdout
    file.write_text(WRITTEN.replace('does = "rerank"', 'does = "sort"'))
    refused = littoral(home, "define", str(file))
    assert refused.returncode != 0
    assert "step 3 does 'sort'" in " ".join(refused.stderr.split())
    missing = littoral(home, "define", str(tmp_path / "none.toml"))
    assert "can't be read" in " ".join(missing.stderr.split())


def test_asked_as_a_model_it_says_that_it_can_not_be_run_yet(pop: RunningPop) -> None:
    body = {"model": "pipeline:handbook", "messages": [{"role": "user", "content": "Hello"}]}
    asked = urllib.request.Request(
        f"{pop.url}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {pop.key}", "Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked, timeout=30)
    error = json.loads(refused.value.read())["error"]
    assert error["code"] == "unsupported"
    assert "not be run yet" in error["message"]
