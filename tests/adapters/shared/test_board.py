"""Boards: whole words, whole files, and a lock that no dead process holds."""

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from littoral.adapters.shared import Board
from littoral.terms.errors import DiskShortError, HomeUnwritableError, StoreError

WORDS = 16


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "words.bin"


@contextmanager
def process(script: str, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """Another process with a script; killed at the end if it still runs."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        try:
            yield running
        finally:
            running.kill()


def line(running: subprocess.Popen[bytes]) -> bytes:
    assert running.stdout is not None
    return running.stdout.readline()


ADD = """
import sys
from pathlib import Path
from littoral.adapters.shared import Board
with Board.open(Path(sys.argv[1])) as board:
    for _ in range(int(sys.argv[2])):
        with board.lock:
            board.words[3] += 1
            board.words[4] += 1
"""

HOLD = """
import sys
from pathlib import Path
from littoral.adapters.shared import Board
board = Board.open(Path(sys.argv[1]))
with board.lock:
    board.words[3] = 1
    print("held", flush=True)
    sys.stdin.read()
"""


def test_what_one_process_writes_another_reads(path: Path) -> None:
    with Board.create(path, WORDS) as board:
        assert list(board.words) == [0] * WORDS
        board.words[0], board.floats[1] = -5, 0.25
        with Board.open(path) as other:
            assert (other.words[0], other.floats[1]) == (-5, 0.25)
            other.words[WORDS - 1] = 2**62
        assert board.words[WORDS - 1] == 2**62


def test_words_outlive_every_process(path: Path) -> None:
    with Board.create(path, WORDS) as board:
        board.words[2] = 7
    with Board.open_or_create(path, WORDS) as again:
        assert again.words[2] == 7


def test_only_the_owner_may_read_the_file(path: Path) -> None:
    before = os.umask(0)
    try:
        Board.create(path, WORDS).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_board_is_made_once(path: Path) -> None:
    with Board.create(path, WORDS) as board:
        board.words[0] = 1
    with pytest.raises(FileExistsError):
        Board.create(path, WORDS)
    with Board.open(path, WORDS) as kept:
        assert kept.words[0] == 1
    assert list(path.parent.iterdir()) == [path]


def test_a_board_that_is_not_there_is_not_opened(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Board.open(path)


@pytest.mark.parametrize("content", [b"", b"x", bytes(200), bytes(64), b"LITBARD1" * 20])
def test_a_file_of_another_kind_is_not_taken_for_a_board(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match="remove the file"):
        Board.open_or_create(path, WORDS)


def test_a_board_of_another_size_is_refused(path: Path) -> None:
    Board.create(path, WORDS).close()
    with pytest.raises(StoreError):
        Board.open(path, WORDS + 1)


def test_a_full_disk_is_said_when_the_board_is_made(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DiskShortError):
        Board.create(path, WORDS)
    assert not list(path.parent.iterdir())


def test_a_directory_that_is_not_there_is_said(path: Path) -> None:
    with pytest.raises(HomeUnwritableError):
        Board.create(path / "in" / "nothing", WORDS)


def test_two_processes_that_hold_the_lock_by_turns_lose_no_change(path: Path) -> None:
    with Board.create(path, WORDS) as board:
        with process(ADD, path, 5000) as one, process(ADD, path, 5000) as other:
            assert (one.wait(60), other.wait(60)) == (0, 0)
        assert (board.words[3], board.words[4]) == (10_000, 10_000)


def test_a_lock_is_seen_to_be_held_by_others(path: Path) -> None:
    with Board.create(path, WORDS) as board, Board.open(path) as other:
        with board.lock:
            assert other.lock.held_elsewhere()
        assert not other.lock.held_elsewhere()
        with Board.open(path) as kept:
            kept.lock.keep()
            assert board.lock.held_elsewhere()
        assert not board.lock.held_elsewhere()


def test_a_process_killed_with_the_lock_holds_it_no_longer(path: Path) -> None:
    with Board.create(path, WORDS) as board, process(HOLD, path) as holder:
        assert line(holder) == b"held\n"
        assert board.lock.held_elsewhere()
        holder.send_signal(signal.SIGKILL)
        holder.wait(30)
        with board.lock:
            assert board.words[3] == 1


def test_a_private_board_has_no_name(tmp_path: Path) -> None:
    with Board.private(WORDS) as board, board.lock:
        board.words[0] = 3
        assert board.path is None
        assert list(board.words[:2]) == [3, 0]
