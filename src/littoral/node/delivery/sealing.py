"""What a pull does with its intake at the beginning and the end: what was read, and the whole.

All of it blocks, and is called on threads.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import Final

from littoral.adapters.artifacts import DraftIntake, Intake
from littoral.delivery.tables import Table
from littoral.node.delivery.finding import FoundDraft
from littoral.node.delivery.shelves import FillingShelf
from littoral.terms.errors import LittoralError
from littoral.terms.ids import ArtifactId

__all__ = ["Hashing", "Sealing", "keep", "keep_heads", "sizes_of"]

log = logging.getLogger("littoral")

_STEP_BYTES: Final = 256 * 1024
_PAUSE_S: Final = 0.002
"""Between two steps of hashing: whoever writes a chunk waits for one of them at most."""


class Hashing:
    """Hashes whole files on a thread while they come, so that little is left for the end."""

    def __init__(
        self,
        intake: Intake | DraftIntake,
        threads: Executor,
        failed: Callable[[LittoralError], None],
    ) -> None:
        """Hash nothing yet.

        Args:
            intake: has the files; it may be closed meanwhile.
            threads: to hash on, one at a time.
            failed: told, on a thread, when the disk can't.
        """
        self._intake = intake
        self._threads = threads
        self._failed = failed
        self._busy = False
        self._still = threading.Event()

    def go_on(self) -> None:
        """Hash what has come since."""
        if not self._busy:
            self._busy = True
            self._still.clear()
            self._threads.submit(self._hash)

    def rest(self) -> None:
        """Leave off."""
        self._still.set()

    def _hash(self) -> None:
        try:
            while not self._still.is_set() and self._intake.hash_on(_STEP_BYTES):
                self._still.wait(_PAUSE_S)
        except LittoralError as error:
            self._failed(error)
        finally:
            self._busy = False


class Sealing:
    """Makes the whole of an artifact, on a thread, and keeps what it is."""

    def __init__(self, intake: Intake | DraftIntake, shelf: FillingShelf) -> None:
        self._intake = intake
        self._shelf = shelf
        self.artifact: ArtifactId | None = None

    def seal(self) -> None:
        """See SealIt."""
        intake = self._intake
        self._shelf.map_all()
        if isinstance(intake, DraftIntake):
            manifest, tables = intake.seal()
            self._shelf.sealed(Table(tables))
            self.artifact = manifest.artifact
        else:
            self.artifact = intake.seal()
            self._shelf.sealed(intake.table)


def sizes_of(table: Table) -> Iterator[int]:
    """Of each chunk in bytes, in the order of their numbers."""
    return (table[number].size_bytes for number in range(table.chunks))


def keep(intake: Intake | DraftIntake) -> None:
    """Have what has come stay for the next pull, as far as the disk takes it."""
    try:
        intake.commit()
    except LittoralError as error:
        log.warning("what came last is not kept: %s", error)


def keep_heads(intake: Intake | DraftIntake, found: FoundDraft) -> None:
    """Keep what was read of files to cut them: their first chunks."""
    table = intake.table
    for file, data in found.heads.items():
        first, end = table.run_of(file)
        for number in range(first, end):
            chunk = table[number]
            if chunk.start + chunk.size_bytes > len(data):
                break
            intake.write(number, data[chunk.start : chunk.start + chunk.size_bytes])
