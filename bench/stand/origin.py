"""The origin of a file: nginx, as many origins are one; and a client of it that does nothing else.

As a program it is the client: with a host, a number of bytes and a path it gets the first so many
bytes of the file over a single plain flow, and says in a line of JSON what that took.
"""

import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.stand.native import StandError
from bench.stand.proxies import environment, program
from tests.faults.network import Host

__all__ = ["PORT", "serving"]

PORT = 7000
PIECE_BYTES = 256 * 1024
WAIT_S = 60
_START_WAIT_S = 20.0
_CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log stderr;
events {{ worker_connections 256; }}
http {{
    access_log off; etag on; sendfile on; tcp_nopush on; keepalive_requests 100000;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{ listen {address}:{port}; root {root}; }}
}}
"""


@contextmanager
def serving(host: Host, path: Path, folder: Path) -> Iterator[int]:
    """Serve with nginx on a host, from the folder of a file; its process.

    Raises:
        StandError: it is not here, or does not start.
    """
    command = program("nginx")
    if command is None:
        raise StandError("nginx is not installed")
    folder.mkdir(exist_ok=True)
    configuration = folder / "nginx.conf"
    configuration.write_text(
        _CONFIGURATION.format(folder=folder, address=host.address, port=PORT, root=path.parent)
    )
    words = host.command(command, "-p", str(folder), "-c", str(configuration), "-e", "stderr")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, env=environment(), stdout=log, stderr=log)
    try:
        _until_it_listens(host, process)
        yield process.pid
    finally:
        process.terminate()
        process.wait(_START_WAIT_S)


def _until_it_listens(host: Host, process: subprocess.Popen[bytes]) -> None:
    deadline = time.perf_counter() + _START_WAIT_S
    while time.perf_counter() < deadline and process.poll() is None:
        with suppress(OSError), host.inside(), socket.create_connection((host.address, PORT), 1):
            return
        time.sleep(0.02)
    raise StandError("nginx does not start")


def _pieces(host: str, name: str, size_bytes: int) -> Iterator[memoryview]:
    """The first so many bytes of a file, in pieces, each good until the next is asked for."""
    with socket.create_connection((host, PORT), timeout=WAIT_S) as connection:
        connection.settimeout(None)  # a timeout would have the socket not block
        wait = struct.pack("ll", WAIT_S, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)
        said = f"GET /{name} HTTP/1.1\r\nhost: {host}\r\nrange: bytes=0-{size_bytes - 1}\r\n\r\n"
        connection.sendall(said.encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            part = connection.recv(1)
            if not part:
                raise OSError("the origin ended early")
            head += part
        if not head.startswith(b"HTTP/1.1 206 "):
            raise OSError("the origin does not give what was asked for")
        buffer = memoryview(bytearray(PIECE_BYTES))
        while size_bytes:
            count = connection.recv_into(buffer, min(size_bytes, PIECE_BYTES), socket.MSG_WAITALL)
            if not count:
                raise OSError("the origin ended early")
            size_bytes -= count
            yield buffer[:count]


def get(host: str, name: str, size_bytes: int, path: Path) -> None:
    """Write the first so many bytes of a file, and say how long that took."""
    began_s = time.perf_counter()
    with path.open("wb") as file:
        for piece in _pieces(host, name, size_bytes):
            file.write(piece)
    print(json.dumps({"seconds": time.perf_counter() - began_s}), flush=True)


if __name__ == "__main__":
    get(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
