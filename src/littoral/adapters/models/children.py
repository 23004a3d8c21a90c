"""Runs a short-lived process while somebody watches and may stop it.

Rules
- The watcher is called at least four times a second, also while the process says nothing; when it
  raises, the process is ended before the exception goes on.
- An unwanted process is interrupted first, as a person would, so that it cleans up after itself.
"""

import select
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, Final

__all__ = ["run_watched"]

WATCH_S: Final = 0.25
STOP_WAIT_S: Final = 3.0
"""An interrupted pip removes its temporary files well within this time."""

LINE_BYTES_MAX: Final = 64 * 1024
"""A longer line is given out in pieces."""


def run_watched(
    command: Sequence[str], said: Callable[[str], None], watch: Callable[[], None]
) -> int:
    """Run to the end and give the exit status back.

    Args:
        command: program and arguments; no shell.
        said: takes each line of its standard output and standard error.
        watch: called often; raising ends the process.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
    ) as child:
        assert child.stdout is not None
        try:
            _listen(child.stdout, said, watch)
            while True:
                watch()
                with suppress(subprocess.TimeoutExpired):
                    return child.wait(WATCH_S)
        except BaseException:
            child.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                child.wait(STOP_WAIT_S)
            child.kill()
            raise


def _listen(output: IO[bytes], said: Callable[[str], None], watch: Callable[[], None]) -> None:
    """Hand on lines until the other end is closed."""
    rest = b""
    while True:
        watch()
        if not select.select([output], [], [], WATCH_S)[0]:
            continue
        piece = output.read(LINE_BYTES_MAX)
        *lines, rest = (rest + piece).split(b"\n")
        if not piece or len(rest) > LINE_BYTES_MAX:
            lines, rest = [*lines, rest], b""
        for line in lines:
            if text := line.decode("utf-8", "replace").strip():
                said(text)
        if not piece:
            return
