"""What the Linux kernel asks of a file system in user space, and the answers, as bytes.

As in `linux/fuse.h`, protocol 7.31, of which every later kernel speaks at least so much; only what
a tree of read-only files needs. Numbers are of the machine's own byte order.

It opens nothing and keeps nothing.
"""

import struct
import sys
from dataclasses import dataclass
from typing import Final

__all__ = [
    "ASKED_BYTES_MAX",
    "FILE",
    "FOLDER",
    "ROOT",
    "Asked",
    "Code",
    "Node",
    "attributes",
    "entry",
    "filled",
    "greeted",
    "head",
    "listed",
    "opened",
    "read_of",
]

ASKED_BYTES_MAX: Final = 64 * 1024
"""Of one question; none that is answered here has as much."""

ROOT: Final = 1
FOLDER: Final = 0o040_500
FILE: Final = 0o100_400

_ASKED: Final = struct.Struct("=IIQQIIIHH")
_HEAD: Final = struct.Struct("=IiQ")
_INIT: Final = struct.Struct("=IIII")
_GREETING: Final = struct.Struct("=IIIIHHIIHHIIH22x")
_ATTRIBUTES: Final = struct.Struct("=QQQQQQIIIIIIIIII")
_ENTRY: Final = struct.Struct("=QQQQII")
_FOUND: Final = struct.Struct("=QII")
_OPENED: Final = struct.Struct("=QII")
_READ: Final = struct.Struct("=QQI")
_LISTED: Final = struct.Struct("=QQII")
_FILLED: Final = struct.Struct("=QQQQQIIII24x")

_MAJOR: Final = 7
_MINOR: Final = 31
_ASYNC_READ: Final = 1
_MAX_PAGES: Final = 1 << 22
_PAGES: Final = 256
"""Of one read at most: 1 MiB."""
_BACKGROUND: Final = 64
"""Reads ahead that may wait at a time."""
_WRITE_BYTES: Final = 4096
_BLOCK_BYTES: Final = 512


class Code:
    """What is asked, by number; what is not among these is answered with ENOSYS."""

    LOOKUP: Final = 1
    FORGET: Final = 2
    GETATTR: Final = 3
    OPEN: Final = 14
    READ: Final = 15
    STATFS: Final = 17
    RELEASE: Final = 18
    INIT: Final = 26
    OPENDIR: Final = 27
    READDIR: Final = 28
    RELEASEDIR: Final = 29
    INTERRUPT: Final = 36
    DESTROY: Final = 38
    BATCH_FORGET: Final = 42


@dataclass(frozen=True, slots=True)
class Asked:
    """One question."""

    code: int
    unique: int
    """What its answer is to be called."""
    node: int
    """The file or folder that it is about; see Node."""
    body: bytes

    @staticmethod
    def of(data: bytes) -> "Asked":
        """As it was read from the kernel."""
        _, code, unique, node, *_ = _ASKED.unpack_from(data)
        return Asked(code, unique, node, data[_ASKED.size :])

    @property
    def name(self) -> str:
        """Of LOOKUP: what is looked for; other bytes than UTF-8 are no name here."""
        return self.body.rstrip(b"\0").decode(errors="replace")

    @property
    def handle(self) -> int:
        """Of READ, RELEASE and READDIR: what `opened` gave. Of INTERRUPT: which question."""
        return int.from_bytes(self.body[:8], sys.byteorder)


@dataclass(frozen=True, slots=True)
class Node:
    """A file or a folder."""

    number: int
    mode: int
    """FILE or FOLDER."""
    size_bytes: int = 0


def head(unique: int, size_bytes: int, error: int = 0) -> bytes:
    """What comes before the bytes of an answer: `size_bytes` of them, or an errno and none."""
    return _HEAD.pack(_HEAD.size + size_bytes, -error, unique)


def greeted(body: bytes) -> bytes:
    """The answer to INIT: what is spoken here, of what the kernel offers."""
    _, _, ahead, offered = _INIT.unpack_from(body)
    flags = offered & (_ASYNC_READ | _MAX_PAGES)
    return _GREETING.pack(
        *(_MAJOR, _MINOR, ahead, flags, _BACKGROUND, _BACKGROUND * 3 // 4, _WRITE_BYTES, 1),
        *(_PAGES, 0, 0, 0, 0),
    )


def _attributes(node: Node, owner: tuple[int, int]) -> bytes:
    blocks = -(-node.size_bytes // _BLOCK_BYTES)
    times = (0,) * 6
    return _ATTRIBUTES.pack(
        *(node.number, node.size_bytes, blocks, *times, node.mode, 1, *owner, 0, 4096, 0)
    )


def attributes(node: Node, owner: tuple[int, int]) -> bytes:
    """The answer to GETATTR; `owner` is a user and a group. It is to be asked each time."""
    return _FOUND.pack(0, 0, 0) + _attributes(node, owner)


def entry(node: Node, owner: tuple[int, int]) -> bytes:
    """The answer to LOOKUP."""
    return _ENTRY.pack(node.number, 0, 0, 0, 0, 0) + _attributes(node, owner)


def opened(handle: int) -> bytes:
    """The answer to OPEN and OPENDIR."""
    return _OPENED.pack(handle, 0, 0)


def read_of(body: bytes) -> tuple[int, int, int]:
    """What READ and READDIR ask for: handle, start, and bytes at most."""
    handle, start, size = _READ.unpack_from(body)
    return handle, start, size


def listed(names: list[tuple[str, Node]], start: int, most: int) -> bytes:
    """The answer to READDIR: as many names from the `start`-th on as there is room for."""
    found = b""
    for at, (name, node) in enumerate(names[start:], start + 1):
        raw = name.encode()
        one = _LISTED.pack(node.number, at, len(raw), node.mode >> 12) + raw
        one += b"\0" * (-len(one) % 8)
        if len(found) + len(one) > most:
            break
        found += one
    return found


def filled(size_bytes: int) -> bytes:
    """The answer to STATFS: of so many bytes, and full."""
    blocks = -(-size_bytes // 4096)
    return _FILLED.pack(blocks, 0, 0, 0, 0, 4096, 255, 4096, 0)
