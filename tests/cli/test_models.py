"""`littoral models`, as it is typed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from littoral.cli import models
from tests.adapters.models.hub_server import running_hub
from tests.adapters.models.made import gguf_bytes

app = typer.Typer()
models.register(app)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(gguf_bytes())
    return path


def run(home: Path, *arguments: str, **environment: str) -> Result:
    """Type a command in a terminal wide enough for every table."""
    runner = CliRunner(env={"COLUMNS": "240", "HF_TOKEN": None, "HF_ENDPOINT": None, **environment})
    return runner.invoke(app, ["models", *arguments, "--home", str(home)])


def test_an_empty_home_lists_the_test_engine_and_what_can_be_added(tmp_path: Path) -> None:
    assert "echo (test)" in run(tmp_path, "list").stdout
    shown = run(tmp_path, "list", "--available").stdout
    assert "smollm2-135m" in shown
    assert "1.09 GB to fetch" in shown
    listed = json.loads(run(tmp_path, "list", "--available", "--json").stdout)
    assert [model["name"] for model in listed["models"]] == ["echo"]
    assert {offer["name"]: offer["licence"] for offer in listed["available"]} == {
        "smollm2-135m": "Apache-2.0",
        "all-minilm-l6-v2": "Apache-2.0",
        "qwen2.5-coder-1.5b": "Apache-2.0",
    }


def test_a_file_is_added_shown_and_removed(tmp_path: Path, weights: Path) -> None:
    added = run(tmp_path, "add", str(weights))
    assert added.exit_code == 0
    assert "tiny is ready: Tiny" in added.stdout
    assert "hashing tiny.gguf" in added.stderr
    shown = run(tmp_path, "show", "tiny").stdout
    assert "2,048 tokens" in shown
    assert str(weights) in shown
    assert json.loads(run(tmp_path, "show", "tiny", "--json").stdout)["licence"] == "mit"
    assert "tiny is removed" in run(tmp_path, "remove", "tiny").stdout
    assert run(tmp_path, "show", "tiny").exit_code == 5
    assert weights.exists()


def test_with_json_standard_output_is_one_document(tmp_path: Path, weights: Path) -> None:
    added = run(tmp_path, "add", str(weights), "--name", "a/b:c", "--copy", "--json")
    document = json.loads(added.stdout)
    assert (document["name"], document["engine"]) == ("a/b:c", "llama")
    assert document["digest"].startswith("sha256:")
    removed = json.loads(run(tmp_path, "remove", "a/b:c", "--json").stdout)
    assert removed["freed_bytes"] > weights.stat().st_size
    missing = run(tmp_path, "show", "a/b:c", "--json")
    assert json.loads(missing.stdout)["error"]["code"] == "model_not_found"


def test_an_upstream_is_added_without_asking_it(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-secret")
    added = run(
        tmp_path,
        *("add", "upstream:http://127.0.0.1:9/v1", "--name", "big", "--kind", "chat,embed"),
        *("--context", "4096", "--key-file", str(key), "--key-header", "api-key", "--json"),
    )
    document = json.loads(added.stdout)
    assert document["kinds"] == ["chat", "embed"]
    assert [upstream["model"] for upstream in document["upstreams"]] == ["big"]
    assert "sk-secret" not in added.output


def test_a_file_comes_from_the_hub_that_is_named(tmp_path: Path) -> None:
    with running_hub() as servers:
        servers.files["a/b"] = {"tiny.gguf": gguf_bytes()}
        servers.behaviour.token = "hf_secret"
        token = tmp_path / "token"
        token.write_text("hf_secret\n")
        home = tmp_path / "home"
        option = run(
            home, "add", "hf:a/b", "--endpoint", servers.endpoint, "--token-file", str(token)
        )
        assert option.exit_code == 0, option.output
        variables = {"HF_ENDPOINT": servers.endpoint, "HF_TOKEN": "hf_secret"}
        variable = run(home, "add", "hf:a/b:tiny", "--name", "other", **variables)
        assert variable.exit_code == 0, variable.output
        refused = run(home, "add", "hf:a/b", "--name", "third", HF_ENDPOINT=servers.endpoint)
    assert refused.exit_code == 4
    assert "HF_TOKEN" in refused.stderr
    assert "hf_secret" not in option.output + variable.output + refused.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gpt-9",), "neither a built-in model nor a file"),
        (("smollm2-135m", "--copy"), "--copy goes with a local file only"),
        (("./x.gguf", "--context", "5"), "--context goes with an upstream only"),
        (("./x.gguf", "--endpoint", "http://h"), "--endpoint goes with the Hub only"),
        (("./none.gguf",), "can't be read"),
        (("hf:a/b", "--endpoint", "h"), "no web address"),
        (("hf:a/b", "--token-file", "none"), "none can't be read"),
        (("upstream:http://h/v1",), "needs a name"),
        (("upstream:http://h/v1", "--name", "x", "--kind", "sing"), "unknown word"),
        (("./x.gguf", "--name", "No Name"), "is not a model name"),
    ],
)
def test_what_makes_no_sense_is_one_line_with_a_remedy(
    tmp_path: Path, weights: Path, arguments: tuple[str, ...], words: str
) -> None:
    if arguments[-2:-1] == ("--name",) and arguments[0].startswith("."):
        arguments = (str(weights), *arguments[1:])
    refused = run(tmp_path, "add", *arguments)
    assert refused.exit_code == 5
    assert words in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_damage_and_unfinished_adds_are_listed_beside_the_rest(
    tmp_path: Path, weights: Path
) -> None:
    run(tmp_path, "add", str(weights), "--name", "broken")
    (tmp_path / "models" / "broken" / "entry.json").write_text("{")
    (tmp_path / "models" / ".half.partial").mkdir()
    listed = run(tmp_path, "list")
    assert listed.exit_code == 0
    assert "models remove broken" in listed.stderr
    assert "unfinished: half" in listed.stderr
    document = json.loads(run(tmp_path, "list", "--json").stdout)
    assert document["unfinished"] == [{"name": "half", "size_bytes": 0}]
    assert len(document["damaged"]) == 1


def test_ctrl_c_ends_an_add_and_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "slow.gguf"
    source.write_bytes(gguf_bytes(data=bytes(1000)))
    script = (
        "import typer\n"
        "from littoral.cli import models\n"
        "import littoral.adapters.models.digests as digests\n"
        "def stuck(*_):\n"
        "    import threading\n"
        "    print('here', flush=True)\n"
        "    threading.Event().wait(60)\n"
        "digests.digest_of_file = stuck\n"
        "app = typer.Typer(); models.register(app); app()\n"
    )
    command = [sys.executable, "-c", script, "models", "add", str(source), "--home", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"here\n"
        os.kill(child.pid, signal.SIGINT)
        assert child.wait(20) == 130
    assert list((tmp_path / "models").iterdir()) == []
