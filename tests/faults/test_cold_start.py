"""A real model is asked for while it arrives over a narrow link: it answers, or says why not."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from littoral.terms.values import ModelEntry
from littoral.web.delivery import DELIVERY
from tests.adapters.arriving.made import NO_FUSE
from tests.faults.network import NEVER_NARROW, network
from tests.faults.pops import Fabric, Pop, fabric, until
from tests.processes import mover_under

LACKING = NEVER_NARROW or NO_FUSE

pytestmark = [
    pytest.mark.skipif(bool(LACKING), reason=LACKING),
    pytest.mark.model,
]

NAME = "late"
THEIRS = "theirs"
"""What the model is called on the PoP that has it, so that nobody is asked for it but who is not
to have it yet."""
MBIT = 200
PULL_S = 60.0


class Cold:
    """Two PoPs, the second of which does not have what the first has, and is to."""

    def __init__(self, pops: Fabric, holder: Pop, late: Pop, artifact: str) -> None:
        self.pops, self.holder, self.late, self.artifact = pops, holder, late, artifact

    def begin(self, name: str = NAME) -> None:
        """Have it pulled."""
        wanted = {"reference": self.artifact, "name": name}
        assert self.late.ask("POST", f"{DELIVERY}/pulls", wanted)[0] == 202

    def cli(self, *words: str) -> str:
        """What a command on its home prints."""
        command = (sys.executable, "-m", "littoral.cli", *words, "--home", str(self.late.home))
        done = subprocess.run(
            self.late.host.command(*command),
            capture_output=True,
            text=True,
            check=False,
            timeout=PULL_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def pull(self) -> dict[str, Any]:
        shown: list[dict[str, Any]] = self.late.ask("GET", f"{DELIVERY}/pulls")[2]["pulls"]
        return shown[-1]

    def row(self, name: str = NAME) -> dict[str, Any]:
        """As the model is listed."""
        rows = self.late.ask("GET", "/v1/models")[2]["data"]
        return next((row for row in rows if row["id"] == name), {})

    def mover(self) -> psutil.Process:
        mover = mover_under(self.late.process.pid)
        assert mover is not None, "one runs"
        return mover

    def mounts(self) -> str:
        """Of this PoP, as it sees them: whoever was killed on this machine may have left others."""
        home = str(self.late.home)
        lines = Path(f"/proc/{self.late.process.pid}/mounts").read_text().splitlines()
        return "\n".join(line for line in lines if "fuse.littoral" in line and home in line)


@pytest.fixture
def cold(tmp_path: Path, smollm2: ModelEntry) -> Iterator[Cold]:
    with started(tmp_path, smollm2) as made:
        yield made


@contextmanager
def started(tmp_path: Path, smollm2: ModelEntry, *options: str) -> Iterator[Cold]:
    """Both of them; the second one with these options."""
    with network("holder", "late") as hosts, fabric(tmp_path, hosts) as pops:
        holder = pops.found("holder")
        origin = tmp_path / f"{THEIRS}.gguf"
        shutil.copyfile(smollm2.files[0].path, origin)
        holder.ask("POST", f"{DELIVERY}/pulls", {"reference": f"file:{origin}", "name": THEIRS})

        def pulled() -> str | None:
            shown = holder.ask("GET", f"{DELIVERY}/pulls")[2]["pulls"][-1]
            assert shown["stage"] != "failed", shown
            return shown["artifact"] if shown["stage"] == "done" else None

        until(pulled, PULL_S)
        artifact = pulled()
        assert artifact is not None
        origin.unlink()  # or the other, on the same disk, would read there
        late = pops.start("late", "join", holder.invite(), *options)
        late.ready()
        words = {"reference": artifact}
        until(lambda: late.ask("POST", f"{DELIVERY}/plan", words)[0] == 200)
        hosts.narrow("late", MBIT)
        yield Cold(pops, holder, late, artifact)


def asked(cold: Cold, threads: ThreadPoolExecutor) -> Future[tuple[int, str, Any]]:
    """Its answer, asked for as soon as it is known what comes."""
    until(cold.row)
    return threads.submit(cold.late.chat, "What is the capital of France?", NAME)


def test_a_request_for_what_arrives_is_answered_as_soon_as_it_is_here(cold: Cold) -> None:
    with ThreadPoolExecutor(1) as threads:
        cold.begin()
        answer = asked(cold, threads)
        until(lambda: cold.row().get("arriving", 0) > 0.1)
        assert cold.row()["state"] == "arriving"
        assert cold.row()["context_length"] == 8192
        assert "/run/arriving" in cold.mounts()
        listed = cold.cli("models", "list")
        assert re.search(r"late +arriving [0-9]+ % +chat, complete +8,192 +98.4 MB", listed), listed
        status, pop, said = answer.result(PULL_S)
        assert (status, pop) == (200, cold.late.id), said
    until(lambda: cold.pull()["stage"] == "done")
    until(lambda: not cold.mounts(), what="nothing is mounted any more")
    assert cold.row()["state"] == "ready"
    assert cold.late.chat("And of Italy?", NAME)[0] == 200
    cold.late.end()
    assert not list((cold.late.home / "run").iterdir())


def test_who_waits_hears_why_it_will_not_come_and_a_stale_mount_is_taken_away(cold: Cold) -> None:
    with ThreadPoolExecutor(1) as threads:
        cold.begin()
        answer = asked(cold, threads)
        until(lambda: cold.row().get("arriving", 0) > 0.1)
        cold.mover().kill()
        status, _, said = answer.result(PULL_S)
        assert status in {502, 503}
        assert said["error"]["code"] == "not_delivered", said
        cold.begin()
        answer = asked(cold, threads)
        until(lambda: cold.mounts().count("\n") == 0)
        status, _, said = answer.result(PULL_S)
        assert status == 200, said


def test_a_request_for_what_arrives_here_and_runs_elsewhere_is_answered_there(cold: Cold) -> None:
    assert cold.holder.chat("And of Spain?", THEIRS)[0] == 200
    until(lambda: cold.late.chat("What is the capital of France?", THEIRS)[0] == 200)
    cold.pops.hosts.narrow("late", MBIT / 5)  # long enough for the answer
    cold.begin(THEIRS)
    until(lambda: cold.row(THEIRS).get("arriving", 0) > 0.1)
    status, _, said = cold.late.chat("And of Portugal?", THEIRS)
    assert status == 200, said
    assert cold.row(THEIRS)["state"] == "arriving", "its engine was not begun"
    assert cold.pull()["stage"] == "fetching"


def test_littoral_run_waits_longer_than_a_request_and_says_how_far_it_is(
    tmp_path: Path, smollm2: ModelEntry
) -> None:
    with started(tmp_path, smollm2, "--load-wait-s", "0.5") as cold:
        cold.begin()
        words = (sys.executable, "-m", "littoral.cli", "run", NAME, "Say hello.", "--json")
        run = subprocess.run(
            cold.late.host.command(*words, "--max-tokens", "4", "--home", str(cold.late.home)),
            capture_output=True,
            text=True,
            check=False,
            timeout=PULL_S,
        )
        assert run.returncode == 0, run.stderr
        assert json.loads(run.stdout)["completion_tokens"] == 4
        told = [line for line in run.stderr.splitlines() if "is still loading (arriving, " in line]
        assert len(told) > 1
        shares = [int(line.partition("arriving, ")[2].partition(" %")[0]) for line in told]
        assert shares == sorted(shares)
