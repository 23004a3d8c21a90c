"""What is measured: a PoP as people run it, and the proxies that people run instead.

Rules
- Each runs on the measured core alone, with one worker, in front of the same two upstreams.
- A peer that is not installed, does not start or does not answer is `Absent` with its reason.
- Everything started here is ended here, with its children.
"""

import contextlib
import http.client
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.stand import configurations
from bench.stand.cores import MEASURED, on_core, processes_of
from bench.stand.native import Upstream, free_port, request_bytes
from bench.stand.report import note
from bench.stand.running import ROOT

__all__ = [
    "PEERS",
    "PEERS_FOLDER",
    "Absent",
    "Peer",
    "Proxy",
    "asked",
    "environment",
    "peers_running",
    "program",
]

PEERS_FOLDER = ROOT / ".peers"
SYSTEM = PEERS_FOLDER / "system"
"""Where packages of the system were unpacked, when it had not installed them itself."""
READY_WAIT_S, STOP_WAIT_S = 120.0, 10.0
KEY = "sk-bench"


@dataclass(frozen=True, slots=True)
class Proxy:
    """Something that answers on a port, and the process at the root of its tree."""

    name: str
    port: int
    key: str
    pid: int
    model: str = "stand"
    tls: bool = False

    def processes(self) -> list[int]:
        """Every process of it that is alive now."""
        return processes_of(self.pid)


@dataclass(frozen=True, slots=True)
class Absent:
    """A peer that can't be measured here."""

    name: str
    reason: str


Command = Callable[[int, Upstream, Path], Sequence[str | Path]]
"""From a port, the upstreams and a folder to write into, the words that start a peer."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One proxy by its name, and how it is started."""

    name: str
    environment: str
    """The folder of .peers that it is installed in."""
    program: str
    arguments: Command

    def path(self) -> str | None:
        """Where its program is."""
        return program(self.program, PEERS_FOLDER / self.environment / "bin")


def program(name: str, *places: Path) -> str | None:
    """Where a peer's program is: in one of these places, unpacked, or installed."""
    unpacked = (SYSTEM / "usr/sbin", SYSTEM / "usr/bin")
    path = [*map(str, (*places, *unpacked)), os.defpath, "/usr/sbin", "/usr/local/sbin"]
    return shutil.which(name, path=os.pathsep.join(path))


def _worker_urls(port: int, upstream: Upstream) -> list[str]:
    """What the three routers of one family are told alike."""
    return [
        *("--host", "127.0.0.1", "--port", str(port), "--policy", "round_robin"),
        *("--worker-urls", *upstream.urls),
        *("--prometheus-port", str(free_port()), "--log-level", "error"),
    ]


def _written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def _nginx(port: int, upstream: Upstream, folder: Path) -> list[str | Path]:
    path = _written(folder, "nginx.conf", configurations.nginx(port, upstream.ports))
    return ["-p", folder, "-c", path]


def _nginx_cache(port: int, upstream: Upstream, folder: Path) -> list[str | Path]:
    text = configurations.nginx(port, upstream.ports, cache=str(folder / "kept"))
    return ["-p", folder, "-c", _written(folder, "nginx.conf", text)]


def _haproxy(port: int, upstream: Upstream, folder: Path) -> list[str | Path]:
    text = configurations.haproxy(port, upstream.ports)
    return ["-db", "-f", _written(folder, "haproxy.cfg", text)]


def _envoy(port: int, upstream: Upstream, folder: Path) -> list[str | Path]:
    path = _written(folder, "envoy.json", configurations.envoy(port, upstream.ports))
    return ["-c", path, "--concurrency", "1", "-l", "error", "--use-dynamic-base-id"]


def _litellm(*, cache: bool) -> Command:
    def arguments(port: int, upstream: Upstream, folder: Path) -> list[str | Path]:
        text = configurations.litellm(upstream.ports, KEY, cache=cache)
        path = _written(folder, "litellm.yaml", text)
        address: list[str | Path] = ["--host", "127.0.0.1", "--port", str(port)]
        return ["--config", path, *address, "--num_workers", "1", "--telemetry", "False"]

    return arguments


def _launched(port: int, upstream: Upstream, _: Path) -> list[str]:
    return ["launch", *_worker_urls(port, upstream)]


PEERS = {
    peer.name: peer
    for peer in (
        Peer("nginx", "system", "nginx", _nginx),
        Peer("haproxy", "system", "haproxy", _haproxy),
        Peer("envoy", "relay", "envoy", _envoy),
        Peer("vllm-router", "relay", "vllm-router", lambda port, up, _: _worker_urls(port, up)),
        Peer("sglang-router", "relay", "sglang-router", _launched),
        Peer(
            "smg",
            "smg",
            "smg",
            lambda port, up, _: [
                "launch",
                *_worker_urls(port, up),
                "--disable-tokenizer-autoload",
            ],
        ),
        Peer("litellm", "cache", "litellm", _litellm(cache=False)),
        Peer("litellm-cache", "cache", "litellm", _litellm(cache=True)),
        Peer("nginx-cache", "system", "nginx", _nginx_cache),
    )
}


def environment() -> dict[str, str]:
    """The caller's, without proxies in between, telemetry and downloads."""
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    libraries = [str(path) for path in (SYSTEM / "usr/lib").glob("*-linux-gnu*")]
    return {
        **kept,
        "NO_PROXY": "*",
        "RUST_LOG": "error",
        "LITELLM_TELEMETRY": "False",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        **({"LD_LIBRARY_PATH": os.pathsep.join(libraries)} if libraries else {}),
    }


@contextmanager
def peers_running(
    names: Sequence[str], upstream: Upstream, folder: Path
) -> Iterator[Mapping[str, Proxy | Absent]]:
    """All of these, started beside each other and ready, or absent with the reason."""
    with ExitStack() as stack:
        begun = {name: stack.enter_context(_begun(PEERS[name], upstream, folder)) for name in names}
        deadline = time.monotonic() + READY_WAIT_S
        ready: dict[str, Proxy | Absent] = {}
        for name, one in begun.items():
            ready[name] = one if isinstance(one, Absent) else _ready(one, folder, deadline)
            found = ready[name]
            note(f"  {name}: {found.reason if isinstance(found, Absent) else 'ready'}")
        yield ready


@contextmanager
def _begun(
    peer: Peer, upstream: Upstream, folder: Path
) -> Iterator[tuple[Proxy, subprocess.Popen[bytes]] | Absent]:
    program = peer.path()
    if program is None:
        yield Absent(peer.name, f"{peer.program} is not installed here")
        return
    own, port = folder / peer.name, free_port()
    own.mkdir()
    command = [program, *peer.arguments(port, upstream, own)]
    with on_core(MEASURED), (own / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(),
            cwd=own,
            start_new_session=True,
        )
    try:
        yield Proxy(peer.name, port, KEY, process.pid), process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the whole group to end, then make it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_WAIT_S)


def _ready(
    begun: tuple[Proxy, subprocess.Popen[bytes]], folder: Path, deadline: float
) -> Proxy | Absent:
    """Wait until it answers as the upstream does, streamed and not."""
    proxy, process = begun
    pause, why = threading.Event(), "it did not answer"
    while time.monotonic() < deadline and process.poll() is None:
        try:
            whole, streamed = asked(proxy)[1], asked(proxy, stream=True)[1]
            if b"choices" in whole and b"t=0" in streamed:
                return proxy
            why = "its answers are not the upstream's"
        except (OSError, http.client.HTTPException) as error:
            why = str(error)
        pause.wait(0.3)
    if process.poll() is not None:
        why = f"it ended with {process.returncode}"
    said = (folder / proxy.name / "log").read_text(errors="replace").strip().splitlines()
    return Absent(proxy.name, f"{why}: {said[-1][:200]}" if said else why)


def asked(proxy: Proxy, *, stream: bool = False) -> tuple[http.client.HTTPMessage, bytes]:
    """One answer in clear text: its header fields and its body.

    Raises:
        OSError, http.client.HTTPException: there is none.
    """
    raw = request_bytes(proxy.key, "Are you ready?", model=proxy.model, stream=stream)
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
    try:
        head, _, body = raw.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        connection.request("POST", "/v1/chat/completions", body, fields)
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise http.client.HTTPException(f"{response.status} {answer[:200]!r}")
        return response.headers, answer
    finally:
        connection.close()
