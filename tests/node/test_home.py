"""The state directory: one holder, nothing left behind, clear words."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from littoral.node.home import Home, RunningPop
from littoral.terms.errors import HomeHeldError, HomeUnwritableError

HOLD = """
import sys
from pathlib import Path
from littoral.node.home import Home, RunningPop
import os
home = Home(Path(sys.argv[1]))
home.make()
with home.held():
    home.announce(RunningPop(os.getpid(), "http://127.0.0.1:7400", "lit_x"))
    (home.run / "engine.sock").touch()
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    process = holder(tmp_path)
    try:
        with pytest.raises(HomeHeldError) as caught, Home(tmp_path).held():
            pass
        assert f"process {process.pid}" in str(caught.value)
        assert "http://127.0.0.1:7400" in str(caught.value)
    finally:
        process.communicate()


def test_a_killed_holder_leaves_the_home_free_and_its_leftovers_are_cleared(tmp_path: Path) -> None:
    process = holder(tmp_path)
    home = Home(tmp_path)
    assert home.running() is not None
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert (home.run / "engine.sock").exists()
    assert home.running() is None, "a dead PoP's word is not taken"
    with home.held():
        assert list(home.run.iterdir()) == []


def test_after_a_good_end_nothing_is_left_in_run(tmp_path: Path) -> None:
    process = holder(tmp_path)
    process.communicate()
    assert process.returncode == 0
    assert list(Home(tmp_path).run.iterdir()) == []


def test_what_a_pop_says_of_itself_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    home = Home(tmp_path / "new")
    home.make()
    with home.held():
        home.announce(RunningPop(1, "http://127.0.0.1:1", "lit_x"))
        assert (home.run / "pop.json").stat().st_mode & 0o777 == 0o600
        assert home.path.stat().st_mode & 0o777 == 0o700


def test_an_unusable_home_is_one_clear_error_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeUnwritableError) as caught:
        Home(tmp_path / "file" / "home").make()
    assert "--home" in str(caught.value)
