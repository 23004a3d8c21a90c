"""`littoral demo` as a person meets it: what it tells is so, and nothing stays behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from openai import OpenAI

from tests.conftest import CHAT_MODEL

WAIT_S = 120
MARK = "DEMO_OF_TEST"
"""A variable by which all that a demo has started is found, whoever its parent is by then."""


@dataclass
class Demo:
    """`littoral demo` as a child process, with a folder for temporary files of its own."""

    folder: Path
    home: Path

    def start(self, *options: str) -> "subprocess.Popen[str]":
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LITTORAL_")}
        return subprocess.Popen(
            [sys.executable, "-m", "littoral.cli", "demo", "--home", str(self.home), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment | {"TMPDIR": str(self.folder), MARK: str(self.folder)},
            start_new_session=True,
        )

    def run(self, *options: str) -> "subprocess.CompletedProcess[str]":
        process = self.start(*options)
        out, errors = process.communicate(timeout=WAIT_S)
        return subprocess.CompletedProcess(process.args, process.returncode, out, errors)

    def processes(self) -> list[psutil.Process]:
        """All of it that runs."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == str(self.folder):
                    found.append(process)
            except psutil.Error:  # it has ended, or is another user's
                continue
        return found

    def check_nothing_is_left(self) -> None:
        assert psutil.wait_procs(self.processes(), timeout=5)[1] == []
        assert list(self.folder.iterdir()) == []


@pytest.fixture
def demo(models_home: Path) -> Iterator[Demo]:
    with tempfile.TemporaryDirectory(prefix="lit-") as folder:  # sockets want short paths
        yield Demo(Path(folder), models_home)


def ends(told: dict[str, Any], step: str) -> tuple[str, str, str]:
    """By whom an answer came, from where, and its text."""
    answer = told[step]["answer"]
    return answer["by"], answer["source"], answer["text"]


def test_what_it_tells_is_so_and_nothing_is_left(demo: Demo) -> None:
    ran = demo.run("--json")
    assert ran.returncode == 0, ran.stderr
    demo.check_nothing_is_left()
    (line,) = ran.stdout.splitlines()
    told = json.loads(line)

    machines = {each["name"]: each for each in told["formed"]["machines"]}
    pops = {name: each["pop"] for name, each in machines.items()}
    assert [each["site"] for each in machines.values()] == ["paris", "paris", "origin"]
    assert [each["zone"] for each in machines.values()] == ["eu", "eu", "us"]
    assert [each["models"] for each in machines.values()][:2] == [[], [CHAT_MODEL]]
    assert CHAT_MODEL in machines["origin"]["models"]
    assert machines["edge 2"]["rtt_ms"] < 2 * told["formed"]["delay_ms"]
    assert machines["origin"]["rtt_ms"] >= 2 * told["formed"]["delay_ms"]

    by, source, text = ends(told, "nearest")
    assert (by, source) == ("edge 2", "neighbour")
    assert "Paris" in text
    near, far = told["nearest"]["answer"]["reasons"]
    assert near.startswith(pops["edge 2"])
    assert far.startswith(pops["origin"])

    assert ends(told, "repeated") == ("edge 1", "cache", text)
    again = told["repeated"]["answer"]
    assert again["cache_status"].startswith("littoral; hit")
    assert again["first_ms"] < told["nearest"]["answer"]["first_ms"]

    by, source, text = ends(told, "failed_over")
    assert (by, source) == ("origin", "neighbour")
    assert "Rome" in text
    answer = told["failed_over"]["answer"]
    assert answer["first_ms"] >= 2 * told["formed"]["delay_ms"]
    assert [reason.split()[0] for reason in answer["reasons"]] == [pops["origin"]]
    for step in ("nearest", "repeated", "failed_over"):
        assert told[step]["answer"]["pop"] == pops["edge 1"]

    refused = told["refused"]
    assert refused["claimed"].endswith(f"/zone/eu/site/paris/pop/{pops['edge 2']}")
    assert refused["links"] == 0
    assert "unknown ca" in refused["said"]
    assert "self-signed certificate" in refused["log"]
    assert "used" in refused["stolen"]
    assert "used_up" in refused["stolen_log"]

    proven = told["proven"]
    assert proven["receipt"] == told["nearest"]["answer"]["receipt"]
    assert proven["accepted"]
    assert {each["standing"] for each in proven["lines"]} == {"proven"}
    (neighbour,) = [each["text"] for each in proven["lines"] if each["name"] == "neighbour"]
    assert pops["edge 2"] in neighbour
    assert not proven["altered_accepted"]
    assert {each["name"] for each in proven["altered"]} == {"response", "text"}


def test_what_it_tells_of_delivery_is_so_and_nothing_is_left(demo: Demo) -> None:
    ran = demo.run("--deliver", "--json")
    assert ran.returncode == 0, ran.stderr
    demo.check_nothing_is_left()
    (line,) = ran.stdout.splitlines()
    told = json.loads(line)
    size = told["shared"]["arrived"][0]["size_bytes"]

    lacking = told["lacking"]
    assert [each["site"] for each in lacking["machines"]] == ["paris", "paris", "lyon"]
    assert CHAT_MODEL in lacking["refused"]

    shared = told["shared"]
    assert size <= shared["left_bytes"] <= 1.1 * size
    assert len({each["artifact"] for each in shared["arrived"]}) == 1
    for each in shared["arrived"]:
        assert each["origin_bytes"] + each["neighbour_bytes"] >= size

    resumed = told["resumed"]
    arrived = resumed["arrived"]
    assert 0 < arrived["reused_bytes"] <= resumed["killed_at_bytes"] + size // 4
    assert arrived["reused_bytes"] + arrived["origin_bytes"] >= size

    caught, (flipped,) = told["caught"], told["mended"]["rotten"]
    assert f"{lacking['machines'][0]['pop']} gave wrong bytes as chunk" in caught["log"]
    assert caught["log"].rpartition(" ")[2] == flipped.rpartition(" ")[2]
    assert caught["arrived"]["origin_bytes"] <= caught["tensor_bytes"], "it may come first"
    assert caught["arrived"]["artifact"] == arrived["artifact"]
    for each in told["mended"]["mended"], told["mended"]["third"]:
        assert each["origin_bytes"] + each["neighbour_bytes"] <= 1.1 * caught["tensor_bytes"]

    answers = told["asked"]["answers"]
    assert [each["by"] for each in answers] == ["paris 1", "paris 2", "lyon"]
    assert all("Paris" in each["text"] for each in answers)
    assert told["seconds"] < 90


def test_kept_pops_answer_a_client_until_ctrl_c_ends_them(demo: Demo) -> None:
    process = demo.start("--keep", "--json")
    assert process.stdout is not None
    kept = json.loads(process.stdout.readline())
    client = OpenAI(base_url=kept["url"], api_key=kept["key"], max_retries=0, timeout=30)
    said = client.chat.completions.create(
        model=CHAT_MODEL,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
    )
    assert said.choices[0].message.content
    assert all(Path(home).is_dir() for home in kept["homes"].values())
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, errors
    demo.check_nothing_is_left()


@pytest.mark.parametrize(
    ("number", "options"),
    [
        (signal.SIGINT, ()),
        (signal.SIGTERM, ()),
        (signal.SIGHUP, ()),
        (signal.SIGINT, ("--deliver",)),
    ],
)
def test_a_signal_in_the_middle_leaves_nothing(
    demo: Demo, number: signal.Signals, options: tuple[str, ...]
) -> None:
    process = demo.start(*options)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("1 "):
            break
    while len(demo.processes()) < 3:  # itself, the first PoP, and its engine or the second
        assert process.poll() is None
    process.send_signal(number)
    out, errors = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130, errors
    assert "All PoPs" not in out
    assert "Traceback" not in errors
    demo.check_nothing_is_left()


def test_a_step_that_fails_says_what_the_pops_logged_and_leaves_nothing(
    demo: Demo, tmp_path: Path, models_home: Path
) -> None:
    model = tmp_path / "models" / CHAT_MODEL
    shutil.copytree(models_home / "models" / CHAT_MODEL, model)
    (weights,) = model.glob("*.gguf")
    weights.write_bytes(b"not what was added")
    demo.home = tmp_path
    ran = demo.run()
    assert ran.returncode == 70
    assert "the last lines of origin:" in ran.stderr
    assert f"error: origin can't load {CHAT_MODEL}" in ran.stderr
    demo.check_nothing_is_left()
