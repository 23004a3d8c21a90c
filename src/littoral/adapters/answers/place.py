"""Where the cache of a home lies, and how its database is opened, or begun anew when it is damaged.

A damaged file is moved aside as `cache.db.damaged`, where the next one replaces it, and an empty
one is begun. Other processes have the old one open; they see the generation change and open the new
one. That the file is moved and not cut is what keeps them safe meanwhile: SQLite never removes the
log of a file that is no longer in its place.
"""

import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from littoral.adapters.answers.file import AnswerFile
from littoral.adapters.answers.shared import SharedNumbers
from littoral.terms.errors import OperatorError
from littoral.terms.ports import Clock

__all__ = ["CACHE_FILE", "Place", "has_answers", "is_damage"]

CACHE_FILE: Final = "cache.db"
_SHARED_FILE: Final = "cache.epoch"
_NAME_BYTES: Final = 6
"""Of a generation: SQLite's integers are signed and have 8."""


def has_answers(home: Path) -> bool:
    """Whether there ever was an answer cache in this home."""
    return (home / _SHARED_FILE).exists()


def is_damage(error: OperatorError) -> bool:
    """Whether the file can only be begun anew."""
    return error.details.get("database") == "damaged"


class Place:
    """The cache's files in one home."""

    def __init__(self, home: Path, clock: Clock) -> None:
        """Map the shared numbers.

        Raises:
            HomeUnwritableError, DiskShortError: they can't be.
        """
        self._path = home / CACHE_FILE
        self._clock = clock
        self._opening = threading.Lock()
        self.shared = SharedNumbers(home / _SHARED_FILE)

    def open(self, *, damaged_generation: int | None = None) -> AnswerFile:
        """Open the database, and make it if it is not there.

        Args:
            damaged_generation: the file in which damage was found: it is moved aside, unless
                another process has done so.

        Raises:
            DiskShortError, HomeUnwritableError, StoreError: it can't be used.
        """
        with self._opening, self.shared.held():
            if damaged_generation is not None and damaged_generation == self.shared.generation:
                self._move_aside()
            try:
                file = self._opened()
            except OperatorError as error:
                if not is_damage(error):
                    raise
                self._move_aside()
                file = self._opened()
            self.shared.generation = file.generation
            return file

    def close(self) -> None:
        """Let go of the shared numbers."""
        self.shared.close()

    def _opened(self) -> AnswerFile:
        random = self._clock.random_bytes(_NAME_BYTES)
        unix_ns = self._clock.unix_ns()
        return AnswerFile(self._path, self.shared, unix_ns=unix_ns, random=random)

    def _move_aside(self) -> None:
        with suppress(FileNotFoundError):
            self._path.replace(self._path.with_name(f"{CACHE_FILE}.damaged"))
        for suffix in ("-wal", "-shm"):
            self._path.with_name(f"{CACHE_FILE}{suffix}").unlink(missing_ok=True)
