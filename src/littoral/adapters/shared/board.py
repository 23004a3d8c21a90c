"""A board: 64-bit words that several processes read and write in one memory-mapped file.

Rules
- The size is decided when the file is made, and its blocks are taken then: a full disk shows as an
  error at that moment, and never as a signal when a word is written.
- A file appears whole, under its name, or not at all; mode 0600.
- A word is written whole (aligned 64 bits); two words are not. Whoever changes more than one holds
  `lock`, which the kernel drops when its holder dies, however it dies. What a holder had half
  written then stays so: whoever gives words a meaning makes that state harmless, or mends it.
- The words outlive every process; they last until the file is removed.

A board is for one thread of one process, and not for a fork of it: the lock belongs to the open
file, which a fork shares. A process that wants a board opens it.
"""

import errno
import mmap
import os
import struct
import tempfile
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, flock
from pathlib import Path
from typing import Final, Self

from littoral.terms.errors import DiskShortError, HomeUnwritableError, StoreError

__all__ = ["Board", "Lock"]

_WORD_BYTES: Final = 8
_HEAD_BYTES: Final = 64
"""A cache line of our own before the words: what file this is, and its size."""

_HEAD: Final = struct.Struct("=qq")

_MARK: Final = 0x31_4452_4142_5449_4C  # LITBARD1
"""Another layout of the head takes another mark."""


_TRIES: Final = 8
"""Before a process sleeps: a holder is done in 2 µs, and waking up takes many times as long."""

_AT_ONCE: Final = LOCK_EX | LOCK_NB


class Lock:
    """Holds other processes off while one changes several words. Not reentrant."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> None:
        try:
            flock(self._descriptor, _AT_ONCE)
        except BlockingIOError:
            self._wait()

    def __exit__(self, *_: object) -> None:
        flock(self._descriptor, LOCK_UN)

    def _wait(self) -> None:
        for _ in range(_TRIES):
            with suppress(BlockingIOError):
                flock(self._descriptor, _AT_ONCE)
                return
        flock(self._descriptor, LOCK_EX)

    def keep(self) -> None:
        """Hold it until the board is closed, or this process ends."""
        flock(self._descriptor, LOCK_EX)

    def held_elsewhere(self) -> bool:
        """Whether somebody else holds it now. Not to be asked by its holder."""
        try:
            flock(self._descriptor, LOCK_SH | LOCK_NB)
        except BlockingIOError:
            return True
        flock(self._descriptor, LOCK_UN)
        return False


class Board:
    """One open file of words. Closed by whoever opened it."""

    def __init__(self, descriptor: int, path: Path | None) -> None:
        """Take over an open file that has its full size; use `create`, `open` or `private`."""
        self.path = path
        self._descriptor = descriptor
        self._map = mmap.mmap(descriptor, 0)
        whole = memoryview(self._map)
        self.words = whole[_HEAD_BYTES:].cast("q")
        """Signed 64-bit integers; all 0 in a new file."""
        self.floats = whole[_HEAD_BYTES:].cast("d")
        """The same words as floating-point numbers."""
        self.lock = Lock(descriptor)
        whole.release()

    @classmethod
    def create(cls, path: Path, words: int) -> Self:
        """Make the file, with so many words that are 0, and open it.

        Raises:
            FileExistsError: there is one of this name.
            DiskShortError, HomeUnwritableError: it can't be made.
        """
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                board = cls._new(descriptor, words, path)
                os.link(draft, path)
            except BaseException:
                os.close(descriptor)
                raise
            finally:
                draft.unlink(missing_ok=True)
        except FileExistsError:
            raise
        except OSError as error:
            raise _translated(error, path) from error
        return board

    @classmethod
    def open(cls, path: Path, words: int | None = None) -> Self:
        """Open a file that is there.

        Args:
            path: the file.
            words: how many it must have, if that matters.

        Raises:
            FileNotFoundError: there is none.
            StoreError: it is no board, or one of another size.
            HomeUnwritableError: it can't be opened.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _translated(error, path) from error
        try:
            _check(descriptor, path, words)
            return cls(descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise

    @classmethod
    def open_or_create(cls, path: Path, words: int) -> Self:
        """Open the file; make it if it is not there. Whoever comes first makes it for all.

        Raises:
            DiskShortError, HomeUnwritableError, StoreError: it can't be used.
        """
        with suppress(FileNotFoundError):
            return cls.open(path, words)
        with suppress(FileExistsError):
            return cls.create(path, words)
        return cls.open(path, words)

    @classmethod
    def private(cls, words: int) -> Self:
        """A board in a file without a name, for one process alone."""
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
        try:
            return cls._new(descriptor, words, None)
        except BaseException:
            os.close(descriptor)
            raise

    @classmethod
    def _new(cls, descriptor: int, words: int, path: Path | None) -> Self:
        assert words > 0, "an empty file can't be mapped"
        os.posix_fallocate(descriptor, 0, _HEAD_BYTES + words * _WORD_BYTES)
        os.pwrite(descriptor, _HEAD.pack(_MARK, words), 0)
        return cls(descriptor, path)

    def close(self) -> None:
        """Let go of the file and its lock. Words that others still look at stay mapped for them."""
        for view in (self.words, self.floats):
            view.release()
        with suppress(BufferError):
            self._map.close()
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check(descriptor: int, path: Path, words: int | None) -> None:
    """Make sure that a file is a board, of this size if one is given."""
    size, head = os.fstat(descriptor).st_size, os.pread(descriptor, _HEAD.size, 0)
    have = (size - _HEAD_BYTES) // _WORD_BYTES
    whole = size == _HEAD_BYTES + have * _WORD_BYTES and have > 0
    if not whole or head != _HEAD.pack(_MARK, have) or words not in (None, have):
        raise StoreError(
            f"{path} holds no shared words of this version",
            advice="stop every process of this PoP, remove the file, and start again",
        )


def _translated(error: OSError, path: Path) -> DiskShortError | HomeUnwritableError:
    """The error as an operator can mend it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskShortError(f"there is no room for {path}")
    return HomeUnwritableError(f"{path} can't be used ({error.strerror})")
