"""The number of a collection's last change, where every process sees it without asking SQLite.

Rules
- Whoever writes says it just before the commit, holding the lock on writing. So what is read here
  is never behind what is committed; where a commit fails it is ahead until the next one.
- It only says whether what is in memory is the newest; what is ahead means: ask the truth.
"""

import mmap
import os
import struct
from pathlib import Path
from typing import Final

__all__ = ["Position"]

_NUMBER: Final = struct.Struct("=q")
UNKNOWN: Final = -1
"""Ask the truth."""


class Position:
    """Eight bytes of a file, mapped."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        """Map it, and make it if it is not there; where that can't be, it is unknown."""
        self._mapped: mmap.mmap | None = None
        flags = os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT
        try:
            descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        try:
            if not read_only and os.fstat(descriptor).st_size != _NUMBER.size:
                os.ftruncate(descriptor, 0)
                os.write(descriptor, _NUMBER.pack(UNKNOWN))
            access = mmap.ACCESS_READ if read_only else mmap.ACCESS_WRITE
            self._mapped = mmap.mmap(descriptor, _NUMBER.size, access=access)
        except (OSError, ValueError):
            return
        finally:
            os.close(descriptor)

    def say(self, through: int) -> None:
        """All up to this change is about to be committed. Whoever may write says it."""
        if self._mapped is not None and not self._mapped.closed:
            _NUMBER.pack_into(self._mapped, 0, through)

    def read(self) -> int:
        """The last change, or `UNKNOWN`."""
        try:
            return int(_NUMBER.unpack_from(self._mapped, 0)[0]) if self._mapped else UNKNOWN
        except ValueError:  # closed
            return UNKNOWN

    def close(self) -> None:
        """Let go of it."""
        if self._mapped is not None:
            self._mapped.close()
