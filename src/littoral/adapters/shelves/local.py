"""A shelf of whole files on this machine's disk.

It gives what it is told that there is, checks every byte that leaves (`CheckedFiles`), and fetches
nothing. Reading and hashing are done on threads, a bounded piece at a time: a client that takes its
time holds up nobody, and costs the memory of one piece.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from littoral.adapters.shelves.checked import CheckedFiles
from littoral.delivery.access import check_may_read, unknown_repository, unknown_revision
from littoral.terms.artifacts import OriginFile, Shelved
from littoral.terms.errors import CallerError
from littoral.terms.ids import Digest
from littoral.terms.limits import PIECE_BYTES_MAX
from littoral.terms.values import Caller

__all__ = ["LocalShelf"]


class LocalShelf:
    """See `terms/ports.py::Shelf`. `OriginFile.place` is a path; each file has its digest."""

    def __init__(self, shelved: Callable[[], Iterable[Shelved]]) -> None:
        """Give these.

        Args:
            shelved: all that there is now; asked at each request, so it must be quick.
        """
        self._shelved = shelved
        self._checked = CheckedFiles()
        self._learning: WeakValueDictionary[Digest, asyncio.Lock] = WeakValueDictionary()
        self._learners = asyncio.Semaphore(_LEARNERS_MAX)

    async def find(self, repository: str, revision: str, caller: Caller) -> Shelved:
        """What a revision of a repository is now; see the port."""
        found = await self.revisions(repository, caller)
        for each in found:
            if revision in each.names or revision == each.commit:
                return each
        raise unknown_revision(repository, revision)

    async def revisions(self, repository: str, caller: Caller) -> Sequence[Shelved]:
        """All revisions of a repository, the present one first; see the port."""
        there = [each for each in self._shelved() if each.repository == repository]
        allowed = [each for each in there if _may_read(caller, each)]
        if not allowed:
            for each in there:
                check_may_read(caller, each)
            raise unknown_repository(repository)
        return sorted(allowed, key=lambda each: ("main" not in each.names, each.names))

    def repositories(self, caller: Caller) -> Sequence[str]:
        """Names of what the caller may read; see the port."""
        return sorted({each.repository for each in self._shelved() if _may_read(caller, each)})

    @asynccontextmanager
    async def open(
        self, file: OriginFile, start: int, end: int
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The checked bytes of a file; see the port."""
        left = threading.Event()
        async with aclosing(self._pieces(file, start, end, left)) as pieces:
            try:
                yield pieces
            finally:
                left.set()

    async def _pieces(
        self, file: OriginFile, start: int, end: int, left: threading.Event
    ) -> AsyncGenerator[bytes, None]:
        assert file.digest is not None, "what is whole has been hashed"
        path, digest, checked = Path(file.place), file.digest, self._checked
        while start < end:
            if not checked.knows(digest):
                await self._learn(path, digest, left)
            upto = min(end, (start // PIECE_BYTES_MAX + 1) * PIECE_BYTES_MAX)
            piece = await asyncio.to_thread(checked.read, path, digest, start, upto)
            if piece is not None:
                yield piece
                start = upto

    async def _learn(self, path: Path, digest: Digest, left: threading.Event) -> None:
        # Those who wait for the same file, or for a turn, wait here and hold no thread.
        lock = self._learning.setdefault(digest, asyncio.Lock())
        async with lock, self._learners:
            await asyncio.to_thread(self._checked.learn, path, digest, lambda: not left.is_set())


_LEARNERS_MAX: Final = 2
"""Files that are hashed whole at a time: each keeps a core busy."""


def _may_read(caller: Caller, shelved: Shelved) -> bool:
    try:
        check_may_read(caller, shelved)
    except CallerError:
        return False
    return True
