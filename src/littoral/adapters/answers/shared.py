"""A few bytes that all processes on one cache see at once: `HOME/cache.epoch`, mapped into memory.

It holds two numbers. The *epoch* goes up with every purge: whoever has entries in memory compares
it at each look-up (under 0.1 µs) and drops them when it has moved. The *generation* names the
database file that is in use: it is another one after a damaged file was begun anew.

Both are written only under a lock: the epoch under the database's write lock, the generation under
this file's own (`held`). The file is written out in full when it is made, so that a full disk shows
there and not as a fault in memory, and it is never cut or replaced.
"""

import fcntl
import mmap
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from littoral.terms.errors import DiskShortError, HomeUnwritableError, StoreError

__all__ = ["SharedNumbers"]

_FILE_BYTES: Final = 4096
_EPOCH: Final = 0
_GENERATION: Final = 1

_HELD_WAIT_S: Final = 1.0
_HELD_PAUSE_S: Final = 0.01
"""Opening takes a few milliseconds."""


class SharedNumbers:
    """The numbers of one home, as they are now in every process."""

    def __init__(self, path: Path) -> None:
        """Map the file, and make it if it is not there.

        Raises:
            HomeUnwritableError, DiskShortError: it can't be made.
        """
        self._path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HomeUnwritableError(f"{path} can't be written ({error.strerror})") from None
        try:
            self._fill()
            self._map = mmap.mmap(self._descriptor, _FILE_BYTES)
        except OSError as error:
            os.close(self._descriptor)
            raise DiskShortError(f"{path} can't be made ({error.strerror})") from None
        self.words = memoryview(self._map).cast("Q")
        """The epoch is the first of them, for whoever reads it millions of times."""

    @property
    def epoch(self) -> int:
        """How many purges there have been."""
        return self.words[_EPOCH]

    @epoch.setter
    def epoch(self, value: int) -> None:
        self.words[_EPOCH] = value

    @property
    def generation(self) -> int:
        """Which database file is in use; 0 before the first."""
        return self.words[_GENERATION]

    @generation.setter
    def generation(self, value: int) -> None:
        self.words[_GENERATION] = value

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only process that opens, or begins anew, the database file.

        Raises:
            StoreError: another process has been at it for all of _HELD_WAIT_S.
        """
        for _ in range(int(_HELD_WAIT_S / _HELD_PAUSE_S)):
            if self._taken():
                break
            time.sleep(_HELD_PAUSE_S)
        else:
            raise StoreError(
                f"{self._path} is held by another process",
                advice="try again in a moment",
                details={"database": "held"},
            )
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file."""
        self.words.release()
        self._map.close()
        os.close(self._descriptor)

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _fill(self) -> None:
        os.fchmod(self._descriptor, 0o600)
        missing = _FILE_BYTES - os.fstat(self._descriptor).st_size
        if missing > 0:
            os.pwrite(self._descriptor, bytes(missing), _FILE_BYTES - missing)
