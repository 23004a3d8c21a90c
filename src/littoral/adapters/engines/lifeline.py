"""The worker's end of the line between a PoP and its worker process.

The PoP starts a worker, writes its arguments as one JSON line to its standard input and keeps
that open. The worker answers on its standard output with JSON lines: `{"stage": …}` on the way,
then `{"ready": {…}}`, or `{"error": …}` when it can't. It lives as long as the PoP does: the end
of its input ends it, and so does the kernel where it can (`PR_SET_PDEATHSIG`). Signals from the
terminal are the PoP's business and are ignored here.

This module runs in worker processes only.
"""

import ctypes
import os
import signal
import sys
import threading
from typing import Final, TextIO

import msgspec

__all__ = ["Line", "begin", "take_signals"]

_PR_SET_PDEATHSIG: Final = 1
_ARGUMENTS_BYTES_MAX: Final = 64 * 1024


class Line:
    """What the worker says to its PoP."""

    def __init__(self, out: TextIO) -> None:
        """Write to `out`, which nothing else in the process writes to."""
        self._out = out

    def stage(self, stage: str) -> None:
        """Say what is being done."""
        self._say({"stage": stage})

    def ready(self, **facts: object) -> None:
        """Say that requests are taken, and what the PoP should know."""
        self._say({"ready": facts})

    def fail(self, error: str) -> None:
        """Say why there will be no worker. Trying again would not help."""
        self._say({"error": error})

    def _say(self, message: dict[str, object]) -> None:
        self._out.write(msgspec.json.encode(message).decode() + "\n")
        self._out.flush()


def begin() -> tuple[dict[str, object], Line]:
    """Tie this process to its PoP; give the arguments and the line to answer on."""
    take_signals()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    arguments = msgspec.json.decode(
        sys.stdin.buffer.readline(_ARGUMENTS_BYTES_MAX), type=dict[str, object]
    )
    if os.getppid() != arguments.pop("parent"):  # it died before the kernel was told
        os._exit(0)
    # Libraries write to standard output as they please; keep the line for ourselves.
    line = Line(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    threading.Thread(target=_end_with_input, name="lifeline", daemon=True).start()
    return arguments, line


def take_signals() -> None:
    """Ignore the terminal's interrupt, and end at once when told to; libraries may differ."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end_with_input() -> None:
    while os.read(0, 4096):  # not through a buffer, whose lock an ending interpreter needs
        pass
    os._exit(0)
