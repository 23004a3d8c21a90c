"""Whether the numbers of changes may have been used twice, and what follows from it.

A commit is not synced to the disk (`synchronous=NORMAL`): the death of the process loses nothing,
a power cut may take the last commits. Their numbers are then used again, for other changes, and an
index or a replica that has seen the lost ones would take these for known.

Rules
- So a collection has an era, a name by chance. Whoever opens a truth that was not closed, on a
  machine that has been started since, begins another one.
- What is derived carries the era that it was made in, and is worth nothing in another.
"""

import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from littoral.adapters.store.database import Database

__all__ = ["era_now", "left_open"]

_BOOT_FILE: Final = Path("/proc/sys/kernel/random/boot_id")
_NAME_BYTES: Final = 6


def left_open(truth: Path) -> bool:
    """Whether somebody has it open, or had until they were killed; asked before it is opened."""
    log = truth.with_name(truth.name + "-wal")
    return log.exists() and log.stat().st_size > 0


def era_now(database: Database, *, was_open: bool, read_only: bool) -> str:
    """The era, begun anew where that is needed.

    Args:
        database: the truth.
        was_open: what `left_open` said.
        read_only: only say which it is.
    """
    ((name, then),) = database.read("SELECT name, boot FROM era")
    if read_only:
        return str(name)
    boot = ""
    with suppress(OSError):  # other systems: every death counts as a power cut
        boot = _BOOT_FILE.read_text().strip()
    if name and boot == then and (boot or not was_open):
        return str(name)  # without waiting for who writes
    with database.transaction():
        name, then = map(str, database.read("SELECT name, boot FROM era")[0])
        lost = was_open and (not boot or boot != then)
        if lost or not name:
            name = secrets.token_hex(_NAME_BYTES)
        database.write("UPDATE era SET name = ?, boot = ?", (name, boot))
    return name
