"""The stand's upstream and client, which are small C programs: built here, started and asked.

They are C so that they are never what a proxy waits for: on one core together they exchange about
100,000 answers a second. Everything about what they do is in upstream.c and load.c.
"""

import http.client
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from bench.stand.cores import STAND, on_core
from bench.stand.running import ROOT, read_line

__all__ = [
    "NUMBER_HERE",
    "Answered",
    "Counts",
    "StandError",
    "Upstream",
    "free_port",
    "load",
    "request_bytes",
    "upstream",
]

HERE = Path(__file__).resolve().parent
BUILT = ROOT / ".peers/stand"
LOAD_WAIT_S = 90.0
NUMBER_HERE = "@" * 12
"""In a prompt: the client writes a number there that no other request has."""


class StandError(RuntimeError):
    """The stand itself does not work, or not with this target; the text says why."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What the client saw; load.c says what each number is. Times are in microseconds."""

    answered: int
    errors: int
    unfinished: int
    redials: int
    events: int
    seconds: float
    cpu_seconds: float
    whole_p50: int
    whole_p99: int
    first_p50: int
    first_p99: int
    delay_p50: int
    delay_p99: int
    first_error: str


@dataclass(frozen=True, slots=True)
class Counts:
    """What reached the upstream since its start."""

    requests: int
    connections: int
    """That carried a request."""
    open: int
    abandoned: int
    """Connections that were closed while an answer was under way."""
    abandoned_us: int
    """When the last of these was closed, on the monotonic clock."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """A running upstream: one process that listens on two ports, as two servers would."""

    ports: tuple[int, int]
    pid: int

    @property
    def urls(self) -> tuple[str, str]:
        """Where the two are, without the version segment."""
        first, second = self.ports
        return f"http://127.0.0.1:{first}", f"http://127.0.0.1:{second}"

    def counts(self) -> Counts:
        """What has reached it; asking is not counted."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[0], timeout=5)
        try:
            connection.request("GET", "/stand/counts")
            return msgspec.json.decode(connection.getresponse().read(), type=Counts)
        finally:
            connection.close()


def built(name: str) -> Path:
    """The program, compiled when it is older than its source.

    Raises:
        StandError: there is no C compiler here, or this is not Linux, whose calls they make.
    """
    source, program = HERE / f"{name}.c", BUILT / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        compiler = shutil.which("cc")
        if compiler is None:
            raise StandError("the stand is written in C, and there is no compiler (cc) here")
        BUILT.mkdir(parents=True, exist_ok=True)
        command: list[str | Path] = [compiler, "-O2", "-o", program, source]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise StandError(f"{source.name} does not compile: {done.stderr.strip()[:300]}")
    return program


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


@contextmanager
def upstream() -> Iterator[Upstream]:
    """An upstream on two free ports, ended afterwards.

    Raises:
        StandError: it can't be built.
    """
    ports = (free_port(), free_port())
    with on_core(STAND):
        process = subprocess.Popen(
            [built("upstream"), *map(str, ports)], stdin=-1, stdout=-1, text=True
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        read_line(process.stdout)
        yield Upstream(ports, process.pid)
    finally:
        process.stdin.close()  # it ends at this
        process.wait()
        process.stdout.close()


def request_bytes(
    key: str, prompt: str, *, model: str = "stand", stream: bool = False, temperature: float = 0.7
) -> bytes:
    """One whole request of 0.55 KB, as an SDK sends it."""
    prompt = f"{prompt} {'littoral ' * 30}"
    body = {
        "model": model,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": prompt},
        ],
        "max_tokens": 128,
        "temperature": temperature,
        "stream": stream,
    }
    text = json.dumps(body)
    head = (
        "POST /v1/chat/completions HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Authorization: Bearer {key}",
        f"Content-Length: {len(text)}",
    )
    return ("\r\n".join(head) + "\r\n\r\n" + text).encode()


def load(
    port: int,
    request: Path,
    connections: int,
    how: Literal["seconds", "each", "total"],
    amount: float,
    *,
    ramp_ms: int = 0,
) -> Answered:
    """Send a request over and over; load.c says how.

    Raises:
        StandError: nobody listens, or the client gave up.
    """
    arguments = [str(port), str(request), str(connections), how, str(amount), str(ramp_ms)]
    with on_core(STAND):
        try:
            done = subprocess.run(
                [built("load"), *arguments],
                check=False,
                capture_output=True,
                text=True,
                timeout=LOAD_WAIT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise StandError("the load did not end in time") from error
    if done.returncode:
        raise StandError(done.stderr.strip() or f"the client ended with {done.returncode}")
    return msgspec.json.decode(done.stdout.encode(), type=Answered)
