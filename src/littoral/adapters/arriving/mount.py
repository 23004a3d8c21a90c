"""A tree of folders of files, read-only, whose bytes may still be on their way.

    offered --withdrawn--> found by nobody any more --last handle closed--> forgotten

Rules
- A read is answered with bytes that are here and checked, or waits; one of what will never be here
  fails with EIO. Who waits may be killed: the kernel then asks for the wait to end, and it does.
- What was opened goes on to be read when it is withdrawn.
- All of it is called on one loop, and nothing in it blocks. Nobody on that loop, nor any thread of
  its process, may read what is mounted: only this loop would answer.
"""

import asyncio
import errno
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from littoral.adapters.arriving import words
from littoral.adapters.arriving.mounting import mounted, unmounted
from littoral.adapters.arriving.words import Asked, Code, Node

__all__ = ["Bytes", "Mount", "Take"]

log = logging.getLogger("littoral")

Take = Callable[[Sequence[memoryview] | None], None]
"""Takes the bytes of a read, in pieces; None: they will never be here. Called once."""

_TURN: Final = 64
"""Questions that are looked at before the loop does something else."""


class Bytes(Protocol):
    """One file that may still arrive."""

    @property
    def size_bytes(self) -> int:
        """Of all of it."""

    def read(self, start: int, end: int, take: Take) -> Callable[[], None]:
        """Have these bytes given as soon as all of them are here, at once if they are.

        Returns: what ends the wait; `take` is then not called any more.
        """


@dataclass(frozen=True, slots=True)
class _Folder:
    node: Node
    files: Mapping[str, Node]


class Mount:
    """One mount, of one process."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, folder: Path, idle: Callable[[], None]
    ) -> None:
        """Mount it.

        Args:
            loop: of the thread that this is called on.
            folder: where; what is stale there is taken away first.
            idle: told when nothing is offered and nothing is open any more; it may `close`.

        Raises:
            NoMountError: there can be none.
        """
        self._way = mounted(folder)
        self._loop = loop
        self._folder = folder
        self._idle = idle
        self._owner = os.getuid(), os.getgid()
        self._last = words.ROOT
        self._folders: dict[str, _Folder] = {}
        self._nodes: dict[int, Node] = {words.ROOT: Node(words.ROOT, words.FOLDER)}
        """All that were ever offered, for who has one open."""
        self._files: dict[int, Bytes] = {}
        """Those that are offered, by the number of their node."""
        self._open: dict[int, Bytes] = {}
        """By handle."""
        self._waits: dict[int, Callable[[], None]] = {}
        """What ends each read that waits, by the name of its question."""
        loop.add_reader(self._way, self._asked)

    @property
    def is_idle(self) -> bool:
        """Nothing is offered, and nobody has anything open."""
        return not self._folders and not self._open

    @property
    def closed(self) -> bool:
        """It is no mount any more."""
        return self._way < 0

    def offer(self, name: str, files: Mapping[str, Bytes]) -> Path:
        """Show a folder of this name with these files, and say where it is."""
        nodes = {}
        for file, what in files.items():
            node = self._new(words.FILE, what.size_bytes)
            nodes[file], self._files[node.number] = node, what
        self._folders[name] = _Folder(self._new(words.FOLDER, 0), nodes)
        return self._folder / name

    def withdraw(self, name: str) -> None:
        """Nobody is to open these files any more."""
        folder = self._folders.pop(name, None)
        if folder is not None:
            for node in folder.files.values():
                del self._files[node.number]
            self._look_idle()

    def close(self) -> None:
        """Unmount it. Who still has something open reads no more of it."""
        if self.closed:
            return
        self._loop.remove_reader(self._way)
        for end in self._waits.values():
            end()
        self._waits.clear()
        unmounted(self._folder)
        os.close(self._way)
        self._way = -1

    def _new(self, mode: int, size_bytes: int) -> Node:
        self._last += 1
        node = self._nodes[self._last] = Node(self._last, mode, size_bytes)
        return node

    def _look_idle(self) -> None:
        if self.is_idle:
            self._loop.call_soon(self._idle)

    # --- what the kernel asks -------------------------------------------------------------------

    def _asked(self) -> None:
        for _ in range(_TURN):
            if self.closed:
                return
            try:
                data = os.read(self._way, words.ASKED_BYTES_MAX)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ENOENT:
                    continue  # who asked has left
                log.warning("what arrives can't be read from its mount: %s", error.strerror)
                self.close()
                return
            self._answer(Asked.of(data))

    def _answer(self, asked: Asked) -> None:
        match asked.code:
            case Code.FORGET | Code.BATCH_FORGET | Code.DESTROY:
                pass  # these have no answer
            case Code.INTERRUPT:
                self._interrupt(asked.handle)
            case Code.READ:
                self._read(asked)
            case Code.RELEASE:
                self._open.pop(asked.handle, None)
                self._say(asked.unique, b"")
                self._look_idle()
            case _:
                found = self._found(asked)
                if isinstance(found, int):
                    self._refuse(asked.unique, found)
                else:
                    self._say(asked.unique, found)

    def _found(self, asked: Asked) -> bytes | int:
        """The answer to what is answered at once, or an errno."""
        node = self._nodes.get(asked.node)
        match asked.code:
            case Code.INIT:
                return words.greeted(asked.body)
            case Code.STATFS:
                return words.filled(sum(each.size_bytes for each in self._files.values()))
            case Code.OPENDIR:
                return words.opened(0)
            case Code.RELEASEDIR:
                return b""
            case _:
                return errno.ENOENT if node is None else self._found_of(node, asked)

    def _found_of(self, node: Node, asked: Asked) -> bytes | int:
        match asked.code:
            case Code.LOOKUP:
                there = dict(self._names(asked.node)).get(asked.name)
                return errno.ENOENT if there is None else words.entry(there, self._owner)
            case Code.GETATTR:
                return words.attributes(node, self._owner)
            case Code.OPEN:
                return self._opened(asked)
            case Code.READDIR:
                _, start, most = words.read_of(asked.body)
                names = [(".", node), ("..", self._nodes[words.ROOT]), *self._names(asked.node)]
                return words.listed(names, start, most)
            case _:
                return errno.ENOSYS

    def _names(self, number: int) -> list[tuple[str, Node]]:
        """What is in a folder."""
        if number == words.ROOT:
            return [(name, folder.node) for name, folder in self._folders.items()]
        inside = (each for each in self._folders.values() if each.node.number == number)
        return [found for folder in inside for found in folder.files.items()]

    def _opened(self, asked: Asked) -> bytes | int:
        what = self._files.get(asked.node)
        if what is None:
            return errno.ENOENT
        self._last += 1
        self._open[self._last] = what
        return words.opened(self._last)

    def _read(self, asked: Asked) -> None:
        handle, start, size = words.read_of(asked.body)
        what, unique = self._open.get(handle), asked.unique
        if what is None:
            self._refuse(unique, errno.EBADF)
            return
        end = min(start + size, what.size_bytes)
        if start >= end:
            self._say(unique, b"")
            return
        told = False

        def take(pieces: Sequence[memoryview] | None) -> None:
            nonlocal told
            told = True
            self._waits.pop(unique, None)
            if pieces is None:
                self._refuse(unique, errno.EIO)
            else:
                self._say(unique, *pieces)

        forget = what.read(start, end, take)
        if not told:
            self._waits[unique] = forget

    def _interrupt(self, unique: int) -> None:
        """Who waits for this is to be ended."""
        forget = self._waits.pop(unique, None)
        if forget is not None:
            forget()
            self._refuse(unique, errno.EINTR)

    def _refuse(self, unique: int, error: int) -> None:
        self._write([words.head(unique, 0, error)])

    def _say(self, unique: int, *pieces: bytes | memoryview) -> None:
        self._write([words.head(unique, sum(map(len, pieces))), *pieces])

    def _write(self, pieces: Sequence[bytes | memoryview]) -> None:
        if self.closed:
            return
        try:
            os.writev(self._way, pieces)
        except OSError as error:
            if error.errno != errno.ENOENT:  # who asked has left
                log.warning("what arrives can't be given: %s", error.strerror)
