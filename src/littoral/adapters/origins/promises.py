"""Whether whole files are what their origins promise: a SHA-256, or the name that git gives."""

import hashlib

from littoral.terms.artifacts import OriginFile
from littoral.terms.ids import Digest
from littoral.trust.names import named

__all__ = ["WholeFile"]


class WholeFile:
    """The bytes of a file, hashed in their order as they come."""

    def __init__(self, file: OriginFile) -> None:
        """Begin before the first byte."""
        self._file = file
        self._sha256 = hashlib.sha256()
        # Weak as it is, it is all that the Hub says of small files: it tells of damage, and of
        # any change by somebody who can't make two files of one SHA-1.
        self._git = hashlib.sha1(b"blob %d\0" % file.size_bytes)  # noqa: S324
        self._is_git = file.digest is None and file.git_oid is not None

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        self._sha256.update(data)
        if self._is_git:
            self._git.update(data)

    @property
    def digest(self) -> Digest:
        """The SHA-256 of all bytes so far."""
        return named(self._sha256)

    @property
    def is_promised(self) -> bool:
        """Whether all bytes so far are the file that the origin promises.

        Where it promises nothing, no bytes are.
        """
        if self._file.digest is not None:
            return self.digest == self._file.digest
        return self._is_git and self._git.hexdigest() == self._file.git_oid
