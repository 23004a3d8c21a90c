"""`littoral run` as a person meets it: a conversation on a terminal, and answers that are saved."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import CHAT_MODEL, RunningPop
from tests.e2e.test_up import littoral

WAIT_S = 30.0


class _Terminal:
    """A command on a terminal, and a person before it."""

    def __init__(self, *arguments: str) -> None:
        self._screen, inside = pty.openpty()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LITTORAL_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "littoral.cli", *arguments],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            env=environment,
            start_new_session=True,
        )
        os.close(inside)

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def ctrl_c(self) -> None:
        """What a terminal does: it signals the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def until(self, words: str) -> str:
        """Watch until these words are shown; give all that was shown up to then."""
        shown, deadline = "", time.monotonic() + WAIT_S
        while words not in shown:
            left_s = deadline - time.monotonic()
            ready, _, _ = select.select([self._screen], [], [], max(left_s, 0))
            assert ready, f"{words!r} was not shown, but {shown!r}"
            shown += os.read(self._screen, 4096).decode(errors="replace")
        return shown

    def ended(self) -> int:
        return self.process.wait(timeout=5)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._screen)


@contextmanager
def conversation(model: str, home: Path, *options: str) -> Iterator[_Terminal]:
    terminal = _Terminal("run", model, "--home", str(home), *options)
    try:
        terminal.until(">>> ")
        yield terminal
    finally:
        terminal.close()


def test_ctrl_c_at_the_prompt_ends_the_command_at_once(pop: RunningPop) -> None:
    with conversation("echo", pop.home) as person:
        person.type("half a line")
        person.ctrl_c()
        assert person.ended() == 0


def test_ctrl_c_ends_a_command_that_runs_its_own_pop_and_leaves_nothing(tmp_path: Path) -> None:
    with conversation("echo", tmp_path) as person:
        person.type("one two\n")
        assert "receipt rcpt_" in person.until(">>> ")
        person.ctrl_c()
        assert person.ended() == 0
    assert list((tmp_path / "run").iterdir()) == []


def test_ctrl_d_ends_a_conversation(pop: RunningPop) -> None:
    with conversation("echo", pop.home) as person:
        person.type("\x04")
        assert person.ended() == 0


def test_ctrl_c_ends_an_answer_and_not_the_conversation(pop: RunningPop) -> None:
    options = ("--max-tokens", "6000", "--temperature", "0")
    with conversation(CHAT_MODEL, pop.home, *options) as person:
        for _ in range(2):
            person.type("Count from 1 to 1000: 1, 2, 3,\n")
            person.until(" 4")
            person.ctrl_c()
            shown = person.until(">>> ")
            assert "was ended" in shown
            assert "receipt" not in shown
        person.type("Say yes.\n")
        assert "receipt rcpt_" in person.until(">>> ")


def test_an_answer_is_saved_in_a_new_file_of_ones_own(pop: RunningPop, tmp_path: Path) -> None:
    file = tmp_path / "answer"
    ask = ("run", "echo", "hello", "--home", str(pop.home), "--save", str(file))
    asked = littoral(*ask)
    assert asked.returncode == 0, asked.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    assert littoral("verify", str(file), "--home", str(pop.home)).returncode == 0
    before = file.read_bytes()
    again = littoral(*ask)
    assert again.returncode == 5
    assert "is there already" in again.stderr
    assert "hello" not in again.stdout, "nothing was asked"
    assert file.read_bytes() == before


def test_an_answer_that_cannot_be_saved_is_not_asked_for(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "none" / "answer"
    refused = littoral("run", "echo", "hello", "--home", str(home), "--save", str(file))
    assert refused.returncode == 3
    assert refused.stderr.count("\n") == 1
    assert str(file) in refused.stderr
    assert not home.exists(), "no PoP was started"


def test_a_failed_answer_leaves_no_file(pop: RunningPop, tmp_path: Path) -> None:
    file = tmp_path / "answer"
    asked = littoral("run", "no-such", "hi", "--home", str(pop.home), "--save", str(file))
    assert asked.returncode != 0
    assert not file.exists()


def test_a_conversation_is_not_saved(tmp_path: Path) -> None:
    terminal = _Terminal("run", "echo", "--home", str(tmp_path), "--save", str(tmp_path / "file"))
    try:
        terminal.until("receipts save")
        assert terminal.ended() == 5
    finally:
        terminal.close()
    assert not (tmp_path / "file").exists()
