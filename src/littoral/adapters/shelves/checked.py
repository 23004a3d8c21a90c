"""Files whose every byte is checked again each time it is read, whoever has touched the disk.

A file is hashed whole before its first byte is given: if it has its SHA-256, the BLAKE3 of each of
its pieces is remembered under that digest. From then on each piece that is read is compared with
what is remembered, so that a rotten sector, a truncated or an exchanged file never leaves here.

Rules
- What is remembered belongs to a digest, not to a path: right bytes stay right wherever they lie.
- Hashing that is broken off, because nobody waits any more, goes on where it was.
- A file that was found wrong is not hashed again until it looks otherwise.
- All of it blocks, on threads; nothing here knows requests.
"""

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from blake3 import blake3

from littoral.adapters.models.digests import FileMark, mark_of
from littoral.delivery.git_names import sha256_hex
from littoral.terms.errors import DigestMismatchError
from littoral.terms.ids import Digest
from littoral.terms.limits import PIECE_BYTES_MAX, SHELF_PIECES_KNOWN_MAX

__all__ = ["PIECE_BYTES", "CheckedFiles"]

PIECE_BYTES: Final = 256 * 1024
"""Checked at a time: the smallest read costs reading and hashing so much."""

_HASH_BYTES: Final = 32


class CheckedFiles:
    """What is known of the pieces of files. One object for all; its methods may be called at once.

    Memory: 32 bytes a piece, 128 kB for each GB; those not read for longest are forgotten.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[Digest, bytes] = OrderedDict()
        """The BLAKE3 of each piece, one after the other."""
        self._pieces = 0
        self._hashing: dict[Path, _Hashing] = {}
        self._wrong: dict[Path, tuple[Digest, FileMark]] = {}

    def knows(self, digest: Digest) -> bool:
        """Whether a file of this digest can be read without hashing it whole first."""
        with self._lock:
            return digest in self._known

    def learn(self, path: Path, digest: Digest, wanted: Callable[[], bool]) -> None:
        """Hash a file whole, unless that was done; others who want the same wait.

        Args:
            path: of the file.
            digest: what it must have.
            wanted: asked after each piece; when it says no, what was done is kept for the next.

        Raises:
            DigestMismatchError: it can't be read, or has other bytes.
        """
        with self._lock:
            hashing = self._hashing.get(path)
            if hashing is None or hashing.digest != digest:
                while len(self._hashing) >= _UNDER_WAY_MAX:
                    del self._hashing[next(iter(self._hashing))]
                hashing = self._hashing[path] = _Hashing(path, digest)
        with hashing.lock:
            if self.knows(digest):
                return
            self._check_not_wrong(path, digest)
            if not hashing.go_on(wanted):
                return
            self._settle(hashing)

    def read(self, path: Path, digest: Digest, start: int, end: int) -> bytes | None:
        """The bytes from `start` up to `end` of a file that was learnt; None if that is forgotten.

        Raises:
            DigestMismatchError: they are not the file's any more, or can't be read.
        """
        with self._lock:
            known = self._known.get(digest)
            if known is None:
                return None
            self._known.move_to_end(digest)
        first, last = start // PIECE_BYTES, -(-end // PIECE_BYTES)
        at = first * PIECE_BYTES
        data = _read(path, at, last * PIECE_BYTES - at)
        for number in range(first, last):
            begin = number * PIECE_BYTES - at
            piece = memoryview(data)[begin : begin + PIECE_BYTES]
            place = number * _HASH_BYTES
            if blake3(piece).digest() != known[place : place + _HASH_BYTES]:
                raise _damaged(path, digest)
        return data[start - at : end - at]

    def _check_not_wrong(self, path: Path, digest: Digest) -> None:
        found = self._wrong.get(path)
        if found is not None and found == (digest, _mark(path, digest)):
            raise _damaged(path, digest)

    def _settle(self, hashing: "_Hashing") -> None:
        """Remember what came of hashing a file."""
        path, digest = hashing.path, hashing.digest
        right = hashing.is_right
        with self._lock:
            self._hashing.pop(path, None)
            if not right:
                while len(self._wrong) >= _WRONG_KNOWN_MAX:
                    del self._wrong[next(iter(self._wrong))]
                self._wrong[path] = digest, hashing.mark
                raise _damaged(path, digest)
            self._known[digest] = bytes(hashing.pieces)
            self._pieces += len(hashing.pieces) // _HASH_BYTES
            while self._pieces > SHELF_PIECES_KNOWN_MAX and len(self._known) > 1:
                _, forgotten = self._known.popitem(last=False)
                self._pieces -= len(forgotten) // _HASH_BYTES


_WRONG_KNOWN_MAX: Final = 256
"""Files."""

_UNDER_WAY_MAX: Final = 64
"""Files that are being hashed, or whose hashing was broken off."""


class _Hashing:
    """A file that is being hashed whole."""

    def __init__(self, path: Path, digest: Digest) -> None:
        self.lock = threading.Lock()
        self.path = path
        self.digest = digest
        self._begin()

    def _begin(self) -> None:
        self.mark = _mark(self.path, self.digest)
        self.pieces = bytearray()
        self._whole = hashlib.sha256()
        self._done = 0

    @property
    def is_right(self) -> bool:
        return self._whole.hexdigest() == sha256_hex(self.digest)

    def go_on(self, wanted: Callable[[], bool]) -> bool:
        """Hash to the end of the file; False if nobody wants it any more."""
        if _mark(self.path, self.digest) != self.mark:
            self._begin()
        while data := _read(self.path, self._done, PIECE_BYTES_MAX):
            self._whole.update(data)
            for begin in range(0, len(data), PIECE_BYTES):
                self.pieces += blake3(memoryview(data)[begin : begin + PIECE_BYTES]).digest()
            self._done += len(data)
            if not wanted():
                return False
        return True


def _mark(path: Path, digest: Digest) -> FileMark:
    try:
        return mark_of(path)
    except OSError as error:
        raise _damaged(path, digest) from error


def _read(path: Path, start: int, size: int) -> bytes:
    """Up to `size` bytes from `start` on; fewer only at the end of the file."""
    try:
        with path.open("rb", buffering=0) as file:
            parts = []
            while size > 0 and (part := os.pread(file.fileno(), size, start)):
                parts.append(part)
                start, size = start + len(part), size - len(part)
    except OSError as error:
        raise DigestMismatchError(
            f"{path.name} can't be read ({error.strerror})", advice=_ADVICE
        ) from error
    return parts[0] if len(parts) == 1 else b"".join(parts)


_ADVICE: Final = "its operator should remove it and add it again; another PoP may have it"


def _damaged(path: Path, digest: Digest) -> DigestMismatchError:
    return DigestMismatchError(
        f"{path.name} on this PoP is not what it was any more, and was not served",
        advice=_ADVICE,
        details={"expected": digest},
    )
