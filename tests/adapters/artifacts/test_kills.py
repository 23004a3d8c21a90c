"""A process that is killed leaves what it said, whole and right, and the next goes on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from littoral.adapters.artifacts import Shelf
from tests.adapters.artifacts.filler import CHUNKS, large
from tests.adapters.artifacts.made import store_in

ROOT = Path(__file__).parents[3]


def run(folder: Path, lines: int) -> list[str]:
    """Run a process until it has said so many lines, then kill it at once; what it said."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    command = [sys.executable, "-m", "tests.adapters.artifacts.filler", str(folder)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line.strip())
            if len(said) == lines:
                process.send_signal(signal.SIGKILL)
                break
    return said


def test_a_killed_process_loses_nothing_that_it_said(tmp_path: Path) -> None:
    source = large()
    shelf = Shelf(tmp_path / "artifacts")
    said = -1
    for _ in range(3):
        lines = run(tmp_path, 5)
        assert int(lines[0].split()[1]) >= said + 1
        said = max(said, *(int(line.split()[1]) for line in lines[1:]))
        assert shelf.held(source.artifact).mask & (1 << said + 1) - 1 == (1 << said + 1) - 1
        assert shelf.verify(source.artifact, lambda done, total: None) == []
        assert not shelf.complete(source.artifact)
    assert said < CHUNKS
    assert run(tmp_path, 10**6)[-1] == "sealed"
    with shelf.hold(source.artifact) as holding:
        assert tuple(path.read_bytes() for path in holding.paths) == source.files
    store = store_in(tmp_path)
    assert store.gc().files == 0
    store.close()
