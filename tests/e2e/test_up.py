"""`littoral up` as an operator meets it: starts, refusals, stops, kills."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from openai import APIConnectionError, APIError, OpenAI

from tests.certificates import self_signed
from tests.conftest import CHAT_MODEL, started_pop

LITTORAL = [sys.executable, "-m", "littoral.cli"]


def littoral(*arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LITTORAL_")}
    return subprocess.run(
        [*LITTORAL, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )


@pytest.fixture
def home(tmp_path: Path, models_home: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    (home / "models").symlink_to(models_home / "models")
    return home


def test_the_first_start_makes_key_and_identity_and_later_starts_are_ready_within_5_s(
    home: Path,
) -> None:
    with started_pop(home) as first:
        assert first.key.startswith("lit_")
        assert (home / "identity.key").stat().st_mode & 0o777 == 0o600
        assert (home / "littoral.db").stat().st_mode & 0o777 == 0o600
        assert first.key.encode() not in (home / "littoral.db").read_bytes()
    began = time.perf_counter()
    with started_pop(home) as second:
        assert time.perf_counter() - began < 5
        assert second.key == "", "the key is shown once"
        client = OpenAI(base_url=f"{second.url}/v1", api_key=first.key)
        assert CHAT_MODEL in [model.id for model in client.models.list()]


def test_ctrl_c_stops_within_5_s_and_leaves_no_process_socket_or_file(home: Path) -> None:
    starter = started_pop(home)
    with starter as pop:
        children = psutil.Process(pop.pid).children(recursive=True)
        assert len(children) == 2, "one worker for each local model"
        began = time.perf_counter()
        starter.process.send_signal(signal.SIGINT)
        starter.process.wait(timeout=5)
        assert time.perf_counter() - began < 5
        assert starter.process.returncode == 0
        assert [child for child in children if child.is_running()] == []
        assert list((home / "run").iterdir()) == []
        assert not [path for path in home.rglob("*") if path.suffix in {".new", ".tmp", ".sock"}]


def test_a_pop_killed_hard_leaves_no_worker_and_the_next_start_is_clean(home: Path) -> None:
    starter = started_pop(home, models=CHAT_MODEL)
    with starter as pop:
        children = psutil.Process(pop.pid).children(recursive=True)
        os.kill(pop.pid, signal.SIGKILL)
        starter.process.wait(timeout=5)
        _, alive = psutil.wait_procs(children, timeout=5)
        assert alive == []
        with started_pop(home, models=CHAT_MODEL) as again:
            assert again.url


def test_a_second_up_on_the_same_home_says_who_holds_it(home: Path) -> None:
    with started_pop(home, models="echo") as pop:
        second = littoral("up", "--home", str(home), "--port", "0")
        assert second.returncode == 3
        assert f"process {pop.pid}" in second.stderr
        assert pop.url in second.stderr
        assert len(second.stderr.strip().splitlines()) == 1


def test_a_port_in_use_is_one_clear_line_and_nothing_is_downloaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = littoral("up", "--home", str(tmp_path / "new"), "--port", str(port))
    assert refused.returncode == 3
    assert str(port) in refused.stderr
    assert "--port" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert list((tmp_path / "new" / "models").iterdir()) == []


def test_listening_beyond_this_machine_without_tls_is_refused(tmp_path: Path) -> None:
    refused = littoral("up", "--home", str(tmp_path), "--host", "0.0.0.0", "--port", "0")
    assert refused.returncode == 3
    assert "--expose-without-tls" in refused.stderr


def test_an_unusable_home_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = littoral("up", "--home", str(tmp_path / "file" / "home"))
    assert refused.returncode == 3
    assert "--home" in refused.stderr


def test_a_model_that_does_not_fit_in_memory_says_both_numbers_and_the_pop_serves_on(
    home: Path,
) -> None:
    with started_pop(home, "--memory-bytes", "10000000", models=CHAT_MODEL) as pop:
        client = OpenAI(base_url=f"{pop.url}/v1", api_key=pop.key, max_retries=0)
        with pytest.raises(Exception, match=r"needs [\d,]+ MB .* may use 10 MB") as caught:
            client.chat.completions.create(
                model=CHAT_MODEL, messages=[{"role": "user", "content": "hi"}]
            )
        assert getattr(caught.value, "status_code", None) == 503
        said = client.chat.completions.create(
            model="echo", messages=[{"role": "user", "content": "still here"}]
        )
        assert said.choices[0].message.content


def test_run_starts_a_pop_for_the_while_when_none_runs(home: Path) -> None:
    asked = littoral(
        "run",
        CHAT_MODEL,
        "What is the capital of France?",
        "--home",
        str(home),
        "--temperature",
        "0",
    )
    assert asked.returncode == 0, asked.stderr
    assert "Paris" in asked.stdout
    assert list((home / "run").iterdir()) == []


def test_doctor_finds_this_machine_well_and_says_so_in_json(home: Path) -> None:
    checked = littoral("doctor", "--home", str(home), "--port", "0", "--json")
    findings = json.loads(checked.stdout)["findings"]
    assert checked.returncode == 0, findings
    assert {"memory", "disk", "home", "model", "port"} <= {finding["what"] for finding in findings}


def test_a_stream_under_way_at_a_stop_ends_within_5_s_with_an_honest_last_event(
    home: Path,
) -> None:
    starter = started_pop(home, "--drain-s", "0.2", models=CHAT_MODEL)
    with starter as pop:
        client = OpenAI(base_url=f"{pop.url}/v1", api_key=pop.key, max_retries=0, timeout=30)
        stream = client.completions.create(
            model=CHAT_MODEL,
            prompt="Tell me",
            max_tokens=7000,
            stream=True,
            extra_body={"ignore_eos": True},
        )
        next(iter(stream))
        began = time.perf_counter()
        starter.process.send_signal(signal.SIGINT)
        with pytest.raises(APIError, match="stopping"):
            for _ in stream:
                pass
        starter.process.wait(timeout=5)
        assert time.perf_counter() - began < 5


def test_with_tls_the_commands_of_this_machine_trust_the_certificate_that_the_pop_shows(
    home: Path, tmp_path: Path
) -> None:
    certificate, key = self_signed(tmp_path, "pop.example")
    options = ("--host", "0.0.0.0", "--tls-cert", certificate, "--tls-key", key)
    with started_pop(home, *options, models="echo") as pop:
        assert pop.url.startswith("https://127.0.0.1:")
        asked = littoral("run", "echo", "over TLS", "--home", str(home))
        assert asked.returncode == 0, asked.stderr
        assert "over TLS" in asked.stdout
        stranger = OpenAI(base_url=f"{pop.url}/v1", api_key=pop.key, max_retries=0)
        with pytest.raises(APIConnectionError):
            stranger.models.list()
