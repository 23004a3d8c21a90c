"""Folders as locks between processes: no lock file is ever left.

A lock ends with its holder, however that ends.
"""

import fcntl
import os
import threading
from pathlib import Path
from typing import Final

from littoral.adapters.models.digests import Progress

__all__ = ["is_free", "is_still", "lock"]

LOOK_AGAIN_S: Final = 0.2
"""Between two looks at a lock that another process holds."""


def lock(descriptor: int, progress: Progress | None = None) -> None:
    """Wait for the lock on an open folder. `progress` is told of the wait, and may raise to end it.

    Without `progress` it is waited for in silence, for locks that nobody holds for long.
    """
    while not _try_lock(descriptor):
        if progress is not None:
            progress("waiting for another process that is adding it", 0, None)
        threading.Event().wait(LOOK_AGAIN_S)


def is_still(descriptor: int, directory: Path) -> bool:
    """Whether the folder that was opened is the one of this name."""
    try:
        return os.fstat(descriptor).st_ino == directory.stat().st_ino
    except FileNotFoundError:
        return False


def is_free(directory: Path) -> bool:
    """Whether nobody holds the lock now."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
