"""The bytes of files that clients have sent: `HOME/files/ab/abcd…`, named by what they hash to.

Rules
- A file is written beside, synced, and then named: it is there whole or not at all.
- Bytes are given only if they still hash to their name (I1).
- Directories have mode 0700, files 0600.

Blocks; called on threads.
"""

import errno
import hashlib
import os
import secrets
from collections.abc import Container
from pathlib import Path
from typing import Final

from littoral.terms.errors import (
    DiskShortError,
    HomeUnwritableError,
    NotFoundError,
    OperatorError,
    StoreError,
)
from littoral.terms.ids import Digest, digest_of_hex

__all__ = ["Vault"]

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_PREFIX: Final = "sha256:"


class Vault:
    """Bytes by their digests."""

    def __init__(self, folder: Path) -> None:
        """Look at nothing yet."""
        self._folder = folder

    @staticmethod
    def digest(data: memoryview) -> Digest:
        """What these bytes are named by."""
        return digest_of_hex(hashlib.sha256(data).hexdigest())

    def keep(self, digest: Digest, data: memoryview) -> None:
        """Keep bytes under their name.

        Raises:
            DiskShortError, HomeUnwritableError: they can't be.
        """
        path = self._path(digest)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.draft")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if path.exists():
                return
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                draft.rename(path)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise self._translated(error) from error

    def read(self, digest: Digest) -> bytes:
        """The bytes of this name.

        Raises:
            NotFoundError: there are none.
            StoreError: they are other bytes by now, or can't be read.
        """
        try:
            data = self._path(digest).read_bytes()
        except FileNotFoundError:
            raise NotFoundError(
                "the bytes of this file are no longer here", advice="delete it and send it again"
            ) from None
        except OSError as error:
            raise self._translated(error) from error
        if self.digest(memoryview(data)) != digest:
            raise StoreError(
                "a file that a client has sent is damaged on disk",
                advice="delete it and send it again, and look after the disk",
            )
        return data

    def checked(self, digest: Digest) -> Path:
        """Where the bytes of this name are, once it is sure that they are those.

        Raises:
            As `read`.
        """
        self.read(digest)
        return self._path(digest)

    def drop(self, digest: Digest) -> None:
        """Forget bytes, if they are there."""
        try:
            self._path(digest).unlink(missing_ok=True)
        except OSError as error:
            raise self._translated(error) from error

    def sweep(self, needed: Container[Digest]) -> int:
        """Drop what nobody needs, which a killed process has left; say how many. None may write."""
        dropped = 0
        try:
            for path in self._folder.glob("*/*"):
                if _PREFIX + path.name not in needed:
                    path.unlink(missing_ok=True)
                    dropped += 1
        except OSError as error:
            raise self._translated(error) from error
        return dropped

    def _path(self, digest: Digest) -> Path:
        name = digest.removeprefix(_PREFIX)
        return self._folder / name[:2] / name

    def _translated(self, error: OSError) -> OperatorError:
        if error.errno in _FULL:
            return DiskShortError(
                "the disk is full: files can't be kept",
                advice="free some space; nothing that was kept before is lost",
            )
        return HomeUnwritableError(f"{self._folder} can't be used ({error.strerror})")
