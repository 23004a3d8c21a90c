"""Small files of the home that must be whole: keys, certificates, bundles.

Rules
- A file is written beside, synced, and then named: whoever reads it, and whenever this process is
  killed, it is there whole or not at all. What a killed one leaves is a draft, `.NAME.….draft`, of
  the same mode; `drop_drafts` takes it away.
- A secret is of mode 0600, and one that others can read is refused: it is no longer a secret.
"""

import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from littoral.terms.errors import IdentityError

__all__ = ["SMALL_FILE_BYTES_MAX", "drop_drafts", "read_secret", "write_once", "write_whole"]

SMALL_FILE_BYTES_MAX: Final = 64 * 1024
"""Of a file of keys that is read; ours have under 1 KB."""


def write_once(path: Path, data: bytes, *, mode: int) -> None:
    """Make a file; leave one that is there by then.

    Raises:
        OSError: it can't be written.
    """

    def name(draft: Path) -> None:
        with suppress(FileExistsError):
            path.hardlink_to(draft)

    _write(path, data, mode, name)


def write_whole(path: Path, data: bytes, *, mode: int) -> None:
    """Make a file, or put another in the place of the one that is there.

    Raises:
        OSError: it can't be written.
    """
    _write(path, data, mode, lambda draft: draft.replace(path))


def drop_drafts(path: Path) -> None:
    """Take away what writers of this file have left that were killed. None may be at work.

    Raises:
        OSError: it can't be done.
    """
    for draft in path.parent.glob(f".{path.name}.*.draft"):
        draft.unlink(missing_ok=True)


def read_secret(path: Path, *, otherwise: str) -> bytes:
    """What a file holds that only its owner may read.

    Args:
        path: the file.
        otherwise: what to do if others may have read it, to end a sentence.

    Raises:
        IdentityError: others can read it.
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise IdentityError(
                f"{path} can be read by others (mode {mode:04o}), so its key is not a secret",
                advice=f"if nobody else has had it: chmod 600 {path}; else {otherwise}",
            )
        return file.read(SMALL_FILE_BYTES_MAX)


def _write(path: Path, data: bytes, mode: int, name: Callable[[Path], object]) -> None:
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".draft", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        name(Path(draft))
    finally:
        Path(draft).unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
