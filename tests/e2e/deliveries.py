"""What tests of delivery share: PoPs of one owner, origins that count what leaves them, pulls."""

import json
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import psutil

from littoral.adapters.artifacts import Shelf
from littoral.terms.ids import ArtifactId
from littoral.web.delivery import DELIVERY
from tests.adapters.models.made import safetensors_bytes
from tests.conftest import started_pop
from tests.e2e.sides import FREE, Side, until
from tests.processes import mover_under
from tests.typed import typed

MOVER = ("--mover-port", "0")
_TENSOR_BYTES = 1024 * 1024
_PIECE_BYTES = 16 * 1024
_WAIT_S = 60


class Tap:
    """Lets the bytes of a server out, counts them, and can be closed after so many.

    Open, it is as wide as a link that carries so many bytes in a second.
    """

    def __init__(self, bytes_per_s: float = 200e6) -> None:
        self.out_bytes = 0
        self.bytes_per_s = bytes_per_s
        self._free_at = 0.0
        self._gone = threading.Event()
        self._bytes_max: float = float("inf")
        self._changed = threading.Condition()

    def close_after(self, count: int) -> None:
        """No more than so many bytes leave it in all, until it is opened."""
        with self._changed:
            self._bytes_max = count

    def open(self) -> None:
        """Whatever is asked for leaves it."""
        with self._changed:
            self._bytes_max = float("inf")
            self._changed.notify_all()

    def break_off(self) -> None:
        """Nothing leaves it any more, and no client waits."""
        self._gone.set()
        with self._changed:
            self._changed.notify_all()

    def pour(self, client: BufferedIOBase, body: bytes) -> None:
        """Write a body, as far as may be."""
        for start in range(0, len(body), _PIECE_BYTES):
            piece = body[start : start + _PIECE_BYTES]
            with self._changed:
                self._changed.wait_for(lambda: self._may(piece), _WAIT_S)  # noqa: B023
                now = time.monotonic()
                self._free_at = max(self._free_at, now) + len(piece) / self.bytes_per_s
                wait_s = self._free_at - now
                self.out_bytes += len(piece)
            if self._gone.wait(wait_s):
                raise ConnectionAbortedError("the origin is gone")
            client.write(piece)

    def _may(self, piece: bytes) -> bool:
        return self._gone.is_set() or self.out_bytes + len(piece) <= self._bytes_max


class WebServer:
    """Files by HTTP, in ranges."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.tap = Tap()
        owner = self

        class Handler(_Handler):
            web = owner

        self.server = _Server(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def die(self) -> None:
        """Be gone from now on."""
        self.server.shutdown()
        self.server.server_close()
        self.tap.break_off()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # with its own 5, three PoPs wait for each other

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves in the middle is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: WebServer

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        content = self.web.files.get(self.path.lstrip("/"))
        if content is None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        start, end = 0, len(content)
        self.send_response(206 if found else 200)
        if found:
            start, end = int(found[1]), min(int(found[2] or end) + 1, end)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
        self.send_header("Content-Length", str(end - start))
        self.send_header("ETag", f'"{hash(content)}"')
        self.end_headers()
        self.web.tap.pour(self.wfile, content[start:end])


@contextmanager
def web_server(files: Mapping[str, bytes]) -> Iterator[WebServer]:
    """One that listens until the context ends."""
    made = WebServer(files)
    thread = threading.Thread(target=made.server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield made
    finally:
        made.die()
        thread.join(5)


def weights(seed: int, count: int = 16) -> bytes:
    """A safetensors file of so many tensors of a mebibyte each."""
    table: dict[str, object] = {
        f"layer.{number:03}": {
            "dtype": "F32",
            "shape": [_TENSOR_BYTES // 4],
            "data_offsets": [number * _TENSOR_BYTES, (number + 1) * _TENSOR_BYTES],
        }
        for number in range(count)
    }
    return safetensors_bytes(table, random.Random(seed).randbytes(count * _TENSOR_BYTES))


@contextmanager
def pops(folder: Path, *sites: str, hub: str = "https://huggingface.co") -> Iterator[list[Side]]:
    """PoPs of one owner that know each other, one for each site that is named."""
    options = (*MOVER, "--hub-endpoint", hub)
    with ExitStack() as stack:
        home = folder / "pop-1"
        start = started_pop(home, "--site", sites[0], *FREE, *options, models="")
        first = stack.enter_context(start)
        sides = [Side(first, home, first.key)]
        for number, site in enumerate(sites[1:], 2):
            ticket = sides[0].cli("invite", "--site", site)["ticket"]
            home = folder / f"pop-{number}"
            joining = started_pop(home, *FREE, *options, models="", joins=ticket)
            running = stack.enter_context(joining)
            sides.append(Side(running, home, running.key))
        for side in sides:
            side.get(f"{DELIVERY}/store")  # its mover runs
        if len(sides) > 1:
            settled(*sides)
        yield sides


def settled(*sides: Side) -> None:
    """Wait until each sees all others, and where they deliver from."""

    def sees_all(side: Side) -> bool:
        rows = [row for row in side.cli("pops")["pops"] if row["reach"] == "direct"]
        return len(rows) == len(sides) - 1 and all(row["mover_address"] for row in rows)

    for side in sides:
        until(lambda side=side: sees_all(side))  # type: ignore[misc]


class Pulling:
    """`littoral pull` as a process of its own."""

    def __init__(self, side: Side, reference: str, *options: str) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "littoral.cli", "pull", reference),
                *("--home", str(side.home), "--json", *options),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ended(self) -> dict[str, Any]:
        """What it says at its end, which is a good one."""
        out, errors = self.process.communicate(timeout=_WAIT_S)
        assert self.process.returncode == 0, errors + out
        shown: dict[str, Any] = json.loads(out)
        assert shown["stage"] == "done"
        return shown

    def failed(self) -> str:
        """What it says of its failure."""
        out, errors = self.process.communicate(timeout=_WAIT_S)
        assert self.process.returncode != 0, out
        return errors + out


def pull(side: Side, reference: str, *options: str) -> dict[str, Any]:
    """A pull, from its beginning to its good end."""
    return Pulling(side, reference, *options).ended()


def begin(side: Side, reference: str) -> None:
    """Have a pull begin, at once."""
    side.post(f"{DELIVERY}/pulls", {"reference": reference})


def ended(side: Side, reference: str) -> dict[str, Any]:
    """A pull that was begun, once it has come to its good end."""
    until(lambda: under_way(side, reference)["stage"] in {"done", "failed", "cancelled"})
    shown = under_way(side, reference)
    assert shown["stage"] == "done", shown
    return shown


def under_way(side: Side, reference: str) -> dict[str, Any]:
    """A pull as the PoP shows it now."""
    shown = side.get(f"{DELIVERY}/pulls")["pulls"]
    return next((each for each in reversed(shown) if each["reference"] == reference), {})


def has_come(side: Side, reference: str, count: int) -> bool:
    """Whether so many bytes of a pull under way are there."""
    return int(under_way(side, reference).get("here_bytes", 0)) >= count


def bytes_of(side: Side, artifact: str) -> list[bytes]:
    """The files of a whole artifact on a PoP's disk."""
    with Shelf(side.home / "artifacts").hold(ArtifactId(artifact)) as held:
        return [path.read_bytes() for path in held.paths]


def committed(side: Side) -> bool:
    """Whether something of a draft would be there after a power cut."""
    maps = (side.home / "artifacts" / "drafts").glob("*/*.map")
    return any(path.stat().st_size for path in maps)


def log_of(side: Side) -> str:
    """What its mover has logged."""
    log = side.home / "logs" / "mover.log"
    return log.read_text() if log.exists() else ""


def rot(side: Side, artifact: str, at: int) -> None:
    """Flip a bit of the first file of an artifact, behind the PoP's back."""
    with Shelf(side.home / "artifacts").hold(ArtifactId(artifact)) as held:
        path = held.paths[0]
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    path.chmod(0o444)


def mover_of(side: Side) -> psutil.Process:
    """The mover's process."""
    mover = mover_under(side.pop.pid)
    assert mover is not None, "one runs"
    return mover


def sees_whole(side: Side, artifact: str) -> bool:
    """Whether a PoP knows that somebody who can be reached has all of it."""
    return typed("pull", artifact, "--plan", "--home", str(side.home)).returncode == 0
