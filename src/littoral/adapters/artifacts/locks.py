"""Locks on whole files: who reads one shares it, who drops one has it alone.

A lock is on an open file, so it ends with the process that has it, however that ends. The writer
has a file alone for a moment to see whether anybody holds it, and else only to drop it.
"""

import fcntl
import os
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import Final

__all__ = ["have_alone", "is_held", "share"]

TRIES: Final = 50
PAUSE_S: Final = 0.004
"""Between two tries to share a file."""


def share(descriptor: int) -> bool:
    """Lock an open file together with others; False where the writer goes on having it alone."""
    for _ in range(TRIES):
        if _locked(descriptor, fcntl.LOCK_SH):
            return True
        Event().wait(PAUSE_S)
    return False


def have_alone(path: Path, stack: ExitStack) -> bool:
    """Have a file alone until the stack ends; False where somebody holds it.

    A file that is not there is had by nobody else.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    stack.callback(os.close, descriptor)
    return _locked(descriptor, fcntl.LOCK_EX)


def is_held(path: Path) -> bool:
    """Whether somebody holds a file now."""
    with ExitStack() as stack:
        return not have_alone(path, stack)


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
