"""A plain HTTP server of one file, in ranges, as an origin of artifacts is one.

Argument: the file. Listens on PORT of every address, says so in one line of JSON, and ends when its
standard input is closed. A thread for each connection; the kernel sends from its page cache. With a
host, a number of bytes and a file it is the client instead: a single plain flow.
"""

import json
import os
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["PIECE_BYTES", "PORT", "Origin"]

PORT = 7000
_RANGE = re.compile(rb"\r\nrange: bytes=(\d+)-(\d+)\r\n", re.IGNORECASE)
PIECE_BYTES = 256 * 1024
WAIT_S = 60


class Origin:
    """A client of it, with one connection."""

    def __init__(self, host: str) -> None:
        self._connection = socket.create_connection((host, PORT), timeout=WAIT_S)
        self._connection.settimeout(None)  # a timeout would have the socket not block
        wait = struct.pack("ll", WAIT_S, 0)
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)
        self._buffer = memoryview(bytearray(PIECE_BYTES))

    def span(self, first: int, end: int) -> Iterator[memoryview]:
        """Some bytes of the file, in pieces of PIECE_BYTES, each good until the next is asked for.

        Raises:
            OSError: they do not come.
        """
        said = f"GET /file HTTP/1.1\r\nhost: origin\r\nrange: bytes={first}-{end - 1}\r\n\r\n"
        self._connection.sendall(said.encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._part(self._buffer[:1])
        if not head.startswith(b"HTTP/1.1 206 "):
            raise OSError("the origin does not give what was asked for")
        while first < end:
            piece = self._part(self._buffer[: end - first])
            first += len(piece)
            yield piece

    def _part(self, view: memoryview) -> memoryview:
        if self._connection.recv_into(view, len(view), socket.MSG_WAITALL) < len(view):
            raise OSError("the origin ended early")
        return view


def serve(connection: socket.socket, file: int) -> None:
    """Answer requests until the client leaves."""
    size = os.fstat(file).st_size
    with connection, suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        said = b""
        while True:
            while b"\r\n\r\n" not in said:
                more = connection.recv(4096)
                if not more:
                    return
                said += more
            head, _, said = said.partition(b"\r\n\r\n")
            found = _RANGE.search(head + b"\r\n")
            first, end = (int(found[1]), int(found[2]) + 1) if found else (0, size)
            fields = f"content-range: bytes {first}-{end - 1}/{size}\r\n" if found else ""
            status = "206 Partial Content" if found else "200 OK"
            length = f"content-length: {end - first}\r\n"
            connection.sendall(f"HTTP/1.1 {status}\r\n{length}{fields}\r\n".encode())
            while first < end:
                first += os.sendfile(connection.fileno(), file, first, end - first)


def serve_all(path: Path) -> None:
    """Serve until told to stop."""
    listening = socket.create_server(("", PORT), backlog=64)
    file = os.open(path, os.O_RDONLY)

    def accept() -> None:
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=serve, args=(connection, file), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print(json.dumps({"port": PORT}), flush=True)
    sys.stdin.read()


def get(host: str, size_bytes: int, path: Path) -> None:
    """The first so many bytes of the file, and in a line of JSON what it took."""
    began_s = time.perf_counter()
    with path.open("wb") as file:
        for piece in Origin(host).span(0, size_bytes):
            file.write(piece)
    print(json.dumps({"seconds": time.perf_counter() - began_s}), flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve_all(Path(sys.argv[1]))
    else:
        get(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
