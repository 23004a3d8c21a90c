"""What is under way and may be opened already: its files, on a mount.

Rules
- Files are shown of artifacts only, whose hashes are known; of a draft nobody can tell whether a
  byte is right. Every chunk is hashed again before the first byte of it is given.
- What a reader waits for is told to the pull, which has it come sooner.
- Where there can be no mount, nothing is shown, and engines wait until the files are whole.

All of it is called on the mover's loop.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from blake3 import blake3

from littoral.adapters.arriving import Mount, NoMountError, Take
from littoral.delivery.chunk_set import ChunkSet
from littoral.node.delivery.shelves import FillingShelf

__all__ = ["Arriving", "ArrivingFile", "Showing"]

log = logging.getLogger("littoral")


class Arriving:
    """The mount of a mover; it is there as long as something is on it, or open."""

    def __init__(self, folder: Path) -> None:
        """Mount nothing yet.

        Args:
            folder: where to, once there is something to show.
        """
        self._folder = folder
        self._mount: Mount | None = None
        self._impossible = False

    def show(
        self,
        name: str,
        shelf: FillingShelf,
        paths: tuple[str, ...],
        want: Callable[[ChunkSet], None],
    ) -> "Showing | None":
        """Have the files of an artifact be opened from now on; None where there is no mount.

        Args:
            name: of the folder that they are in.
            shelf: what is here of them.
            paths: of its files, in order.
            want: told which chunks somebody waits for.
        """
        mount = self._mounted()
        if mount is None:
            return None
        files = [ArrivingFile(shelf, file, want) for file in range(len(paths))]
        names = [path.replace("/", "%2F") for path in paths]
        folder = mount.offer(name, dict(zip(names, files, strict=True)))
        return Showing(mount, name, tuple(folder / each for each in names), files)

    def close(self) -> None:
        """Unmount it."""
        if self._mount is not None:
            self._mount.close()
            self._mount = None

    def _mounted(self) -> Mount | None:
        if self._mount is not None and not self._mount.closed:
            return self._mount
        if self._impossible:
            return None
        try:
            self._mount = Mount(asyncio.get_running_loop(), self._folder, self._idle)
        except NoMountError as error:
            log.info("engines wait until files are whole: %s", error)
            self._impossible = True
            return None
        return self._mount

    def _idle(self) -> None:
        if self._mount is not None and self._mount.is_idle:
            self.close()


class Showing:
    """The files of one artifact, as long as they arrive."""

    def __init__(
        self, mount: Mount, name: str, paths: tuple[Path, ...], files: "list[ArrivingFile]"
    ) -> None:
        self._mount = mount
        self._name = name
        self.paths = paths
        """Where each may be opened."""
        self._files = files

    def end(self, *, whole: bool) -> None:
        """It is whole, and opened where it is kept; or it will never be."""
        self._mount.withdraw(self._name)
        if not whole:
            for file in self._files:
                file.fail()


class ArrivingFile:
    """One file of a shelf (arriving.Bytes)."""

    def __init__(self, shelf: FillingShelf, file: int, want: Callable[[ChunkSet], None]) -> None:
        """Nobody reads it yet.

        Args:
            shelf: of its artifact.
            file: which of its files.
            want: told which chunks somebody waits for.
        """
        self._shelf = shelf
        self._file = file
        self._table: Final = shelf.intake.table
        self._want = want
        self._checked = bytearray(self._table.chunks)
        self._waits: list[_Wait] = []
        self._unwatch: Callable[[], None] | None = None
        self._failed = False

    @property
    def size_bytes(self) -> int:
        """See Bytes."""
        return self._table.size_of(self._file)

    def read(self, start: int, end: int, take: Take) -> Callable[[], None]:
        """See Bytes."""
        wait = _Wait(start, end, take)
        if not self._given(wait):
            self._waits.append(wait)
            if self._unwatch is None:
                self._unwatch = self._shelf.watch(self._came)
            self._want(ChunkSet.of(self._lacking(wait)))
        return lambda: self._forget(wait)

    def fail(self) -> None:
        """What is not here will not come."""
        self._failed = True
        for wait in self._waits:
            wait.take(None)
        self._waits.clear()
        self._watch_less()

    def _came(self, number: int) -> None:
        low, high = self._table.run_of(self._file)
        if not low <= number < high:
            return
        chunk = self._table[number]
        for wait in [each for each in self._waits if each.touches(chunk.start, chunk.size_bytes)]:
            if self._given(wait):
                self._waits.remove(wait)
        self._watch_less()

    def _forget(self, wait: "_Wait") -> None:
        if wait in self._waits:
            self._waits.remove(wait)
            self._watch_less()

    def _watch_less(self) -> None:
        if not self._waits and self._unwatch is not None:
            self._unwatch()
            self._unwatch = None

    def _lacking(self, wait: "_Wait") -> Iterator[int]:
        first, last = self._table.run_over(self._file, wait.start, wait.end)
        return (number for number in range(first, last) if self._shelf.held(number) is None)

    def _given(self, wait: "_Wait") -> bool:
        """Whether a read is over: its bytes were given, or never will be."""
        pieces = []
        first, last = self._table.run_over(self._file, wait.start, wait.end)
        for number in range(first, last):
            held = self._shelf.held(number)
            if held is None:
                if self._failed:
                    wait.take(None)
                return self._failed
            if not self._checked[number]:
                if blake3(held.data).digest() != held.digest:
                    log.error("chunk %d of what arrives has rotted on disk", number)
                    wait.take(None)
                    return True
                self._checked[number] = 1
            start = self._table[number].start
            pieces.append(held.data[max(0, wait.start - start) : wait.end - start])
        wait.take(pieces)
        return True


class _Wait:
    """One read that waits for its bytes."""

    __slots__ = ("end", "start", "take")

    def __init__(self, start: int, end: int, take: Take) -> None:
        self.start = start
        self.end = end
        self.take = take

    def touches(self, start: int, size_bytes: int) -> bool:
        """Whether it waits for any of these bytes."""
        return start < self.end and self.start < start + size_bytes
