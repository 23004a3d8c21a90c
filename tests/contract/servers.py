"""Real servers for the suites of this folder: on this machine, or where `make test` put them."""

import contextlib
import hashlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

ROOT = Path(__file__).parent.parent.parent
SYSTEM = ROOT / ".peers" / "system"
START_WAIT_S = 20.0


def program(name: str) -> str:
    """Where a server of the system is; the test is skipped where it is nowhere."""
    places = [str(SYSTEM / folder) for folder in ("usr/sbin", "usr/bin")]
    found = shutil.which(name) or shutil.which(name, path=":".join([*places, "/usr/sbin"]))
    if found is None:
        pytest.skip(f"{name} is not here and could not be unpacked")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[int]:
    """A server, from when it takes connections until the context ends; its port."""
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as child:
        try:
            _wait_for(child, port, log)
            yield port
        finally:
            child.terminate()
            child.wait(10)


def _wait_for(child: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    until = time.monotonic() + START_WAIT_S
    while time.monotonic() < until and child.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(0.02)
    raise RuntimeError(f"{child.args!r} did not start: {log.read_text()[-2000:]}")


@contextmanager
def nginx(folder: Path) -> Iterator[int]:
    """nginx over `folder/www`; its port. `/moved/` redirects to itself under another name."""
    (folder / "www").mkdir(parents=True)
    port = free_port()
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"""
        daemon off; master_process off; pid {folder}/pid; error_log stderr;
        events {{ worker_connections 64; }}
        http {{
            access_log off; etag on; {temporary}
            server {{
                listen 127.0.0.1:{port};
                root {folder}/www;
                location /named/ {{
                    alias {folder}/www/;
                    include {folder}/digest.conf;
                }}
            }}
        }}
        """
    )
    (folder / "digest.conf").write_text("")
    command = [
        program("nginx"),
        "-p",
        str(folder),
        "-c",
        str(folder / "nginx.conf"),
        "-e",
        "stderr",
    ]
    with running(command, port, folder / "log") as listening:
        yield listening


@contextmanager
def bucket_server(folder: Path) -> Iterator[int]:
    """An S3 server whose buckets are the folders of `folder`; its port."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [sys.executable, "-m", "localbucket", str(folder), "--port", str(port)]
    with running(command, port, folder.parent / "log") as listening:
        yield listening


@contextmanager
def registry(folder: Path, auth: str = "") -> Iterator[int]:
    """The registry that Docker made, with nothing in it; its port."""
    folder.mkdir(parents=True)
    port = free_port()
    (folder / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n{auth}"
    )
    command = [program("docker-registry"), "serve", str(folder / "config.yml")]
    with running(command, port, folder / "log") as listening:
        yield listening


class Pushed:
    """Puts artifacts into a registry, as its protocol has it."""

    def __init__(self, port: int, headers: dict[str, str] | None = None) -> None:
        self.base = f"http://127.0.0.1:{port}/v2"
        self.headers = headers or {}

    def blob(self, name: str, content: bytes) -> dict[str, object]:
        """Upload one; what a manifest says of it."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        with self._send("POST", f"{self.base}/{name}/blobs/uploads/", b"") as answer:
            place = answer.headers["Location"]
        mark = "&" if "?" in place else "?"
        self._send("PUT", f"{place}{mark}{urlencode({'digest': digest})}", content).close()
        return {"digest": digest, "size": len(content)}

    def manifest(self, name: str, tag: str, document: dict[str, object]) -> str:
        """Upload one; its digest."""
        body = json.dumps(document).encode()
        kind = str(document["mediaType"])
        self._send("PUT", f"{self.base}/{name}/manifests/{tag}", body, kind).close()
        return f"sha256:{hashlib.sha256(body).hexdigest()}"

    def _send(self, method: str, url: str, body: bytes, kind: str = "application/octet-stream"):  # type: ignore[no-untyped-def]
        headers = {**self.headers, "Content-Type": kind}
        return urlopen(Request(url, body, headers, method=method), timeout=10)
