"""Processes under measurement: a PoP as people start it, and its rivals."""

import json
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from bench.stand.cores import on_core
from bench.stand.report import note

__all__ = ["ROOT", "Running", "end_on_signal", "pop", "read_line", "rival"]

ROOT = Path(__file__).resolve().parent.parent.parent
READY_WAIT_S = 300.0
STOP_WAIT_S = 15.0


@dataclass(frozen=True, slots=True)
class Running:
    """A process that has said that it is ready, and what it said."""

    process: subprocess.Popen[str]
    said: dict[str, object]

    def ask(self, line: object) -> dict[str, object]:
        """Give a rival one line of JSON and take its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(line) + "\n")
            self.process.stdin.flush()
            return read_line(self.process.stdout)
        except (BrokenPipeError, EOFError) as error:
            raise EOFError(how_ended(self.process)) from error

    def rss_mb(self) -> float:
        """Resident memory of this one process, without its workers."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 1e6


@contextmanager
def running(
    command: Sequence[str | Path],
    core: int | None = None,
    hears: Callable[[str], None] = lambda _: None,
    told: str = "",
    wait_s: float = READY_WAIT_S,
) -> Iterator[Running]:
    """Start a process, wait for its first line of JSON, and end it afterwards.

    Args:
        command: what to start.
        core: that it runs on alone.
        hears: takes each line of its log as it comes, on a thread.
        told: a line that it reads first, if it reads one.
        wait_s: for its first line.
    """
    with nullcontext() if core is None else on_core(core):
        process = subprocess.Popen(command, cwd=ROOT, stdin=-1, stdout=-1, stderr=-1, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    if told:
        process.stdin.write(told + "\n")
        process.stdin.flush()
    tail: list[str] = []
    reader = threading.Thread(target=keep_tail, args=(process.stderr, tail, hears), daemon=True)
    reader.start()
    try:
        try:
            said = read_line(process.stdout, wait_s)
        except (TimeoutError, EOFError, ValueError) as error:
            name, used_s = Path(command[0]).name, cpu_s_of(process.pid)
            said_not = how_ended(process) if isinstance(error, EOFError) else str(error)
            why = f"{name}: {said_not} ({used_s:,.0f} s of a core)"
            raise RuntimeError(f"{why}: {''.join(tail)}") from error
        yield Running(process, said)
    finally:
        with suppress(BrokenPipeError):  # it has ended, with something unread
            process.stdin.close()  # a rival ends at this, a PoP at the signal
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            note(f"{Path(command[0]).name} did not stop when asked; killed")
            process.kill()
            process.wait()
        process.stdout.close()
        reader.join(STOP_WAIT_S)


def how_ended(process: subprocess.Popen[str]) -> str:
    """What is known of a process that says nothing any more."""
    with suppress(subprocess.TimeoutExpired):
        status = process.wait(STOP_WAIT_S)
        by = f"by signal {-status}" if status < 0 else f"with status {status}"
        return f"ended without a word {by}"
    return "closed its output"


def cpu_s_of(pid: int) -> float:
    """Seconds of a core that a process and its children have used; 0 where it is gone."""
    used_s = 0.0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                times = each.cpu_times()
                used_s += times.user + times.system
    return used_s


def keep_tail(stream: IO[str], tail: list[str], hears: Callable[[str], None]) -> None:
    """Empty a pipe so that its writer never blocks, keeping the last lines for an error."""
    with stream:
        for line in stream:
            hears(line)
            tail.append(line)
            del tail[:-20]


def read_line(stream: IO[str], wait_s: float = READY_WAIT_S) -> dict[str, object]:
    """The next line of JSON, or an error when none comes."""
    if not select.select([stream], [], [], wait_s)[0]:
        raise TimeoutError(f"said nothing in {wait_s:,.0f} s")
    line = stream.readline()
    if not line:
        raise EOFError("ended without a word")
    said = json.loads(line)
    assert isinstance(said, dict)
    return said


def end_on_signal() -> None:
    """Let a termination signal end everything that was started, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


@contextmanager
def pop(home: Path, *options: str, core: int | None = None) -> Iterator[Running]:
    """A PoP on a free port, ready for requests; on one core alone if it is named."""
    command = Path(sys.executable).parent / "littoral"
    words: list[str | Path] = [command, "up", "--home", home, "--port", "0", "--json", *options]
    with running(words, core) as started:
        yield started


@contextmanager
def rival(python: Path, module: str, *arguments: str) -> Iterator[Running]:
    """A peer: a module of bench.peers run by the interpreter of its own environment."""
    with running([python, ROOT / "bench/peers" / f"{module}.py", *arguments]) as started:
        yield started
