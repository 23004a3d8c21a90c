"""PoPs that nobody can dial, on hosts of their own: asked over the connections that they hold."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from littoral.adapters.models import Catalogue
from littoral.adapters.models.catalogue import ECHO
from littoral.terms.ids import ModelName
from littoral.trust.receipts import FRAME_START, stated
from tests.faults.network import UNAVAILABLE, Host, network
from tests.hardening.pops import parted
from tests.web.raw import Answer

pytestmark = pytest.mark.skipif(bool(UNAVAILABLE), reason=UNAVAILABLE)

FAR = ModelName("far")
WAIT_S = 40
LONG = {"tokens": 5_000, "interval_ms": 20}


class Pop:
    """A PoP in a process of its own, on a host of its own."""

    def __init__(self, host: Host, home: Path, log: Path) -> None:
        self.host = host
        self.home = home
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self.port = 0
        self.key = ""
        self.pid = 0

    def command(self, *words: str) -> list[str]:
        return self.host.command(sys.executable, "-m", "littoral.cli", *words)

    def start(self, *words: str) -> None:
        """Run it, ready when this returns."""
        command = self.command(*words, "--json", "--home", str(self.home), "--port", "0")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LITTORAL_")}
        with self._log.open("a") as errors:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._log.read_text()
        ready = json.loads(line)
        self.port, self.pid = int(ready["url"].rpartition(":")[2]), ready["pid"]
        self.key = ready["key"] or self.key

    def stop(self) -> None:
        """Let it stop in order."""
        os.kill(self.pid, signal.SIGINT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.communicate()
            self._process = None

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def rows(self) -> list[dict[str, Any]]:
        """What `littoral pops` shows."""
        done = subprocess.run(
            self.command("pops", "--json", "--home", str(self.home)),
            check=True,
            capture_output=True,
            text=True,
        )
        rows: list[dict[str, Any]] = json.loads(done.stdout)["pops"]
        return rows

    def reach(self) -> dict[str, str]:
        """How it sees all PoPs."""
        return {row["pop"]: row["reach"] for row in self.rows()}

    def in_flight(self) -> int:
        """Requests of `far` here."""
        shown = self.host.json(self.port, "/v1/fabric", self.bearer)
        rows = [row for row in shown["pops"] if row["reach"] == "here"]
        return sum(each["in_flight"] for each in rows[0]["models"] if each["name"] == FAR)

    def ask(self, **more: object) -> Answer:
        """A streamed chat with `far`."""
        body = {"model": FAR, "stream": True, "messages": [{"role": "user", "content": "hello"}]}
        status, headers, answer = self.host.ask(
            self.port, "POST", "/v1/chat/completions", {**body, **more}, self.bearer
        )
        return Answer(status, dict(headers), answer, [])

    def begin(self, **more: object) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """The same, of which only the first bytes are read."""
        with self.host.inside():
            connected = socket.create_connection(("127.0.0.1", self.port), 20)
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.sock = connected
        body = {"model": FAR, "stream": True, "messages": [{"role": "user", "content": "hello"}]}
        data = json.dumps({**body, **more}).encode()
        fields = {"content-type": "application/json", **self.bearer}
        connection.request("POST", "/v1/chat/completions", data, fields)
        answer = connection.getresponse()
        assert answer.read(6) == b"data: "
        return connection, answer


def until(done: Callable[[], Any], what: str) -> None:
    """Wait for it."""
    deadline = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def have_far(home: Path) -> None:
    """A model that no other PoP has."""
    catalogue = Catalogue(home / "models")
    with catalogue.adding(FAR, resumable=False, progress=lambda *_: None) as staging:
        staging.commit(replace(ECHO, name=FAR))


def listens_beyond_loopback(host: Host) -> bool:
    with host.inside():
        rows = [
            line.split()
            for file in ("tcp", "tcp6")
            for line in Path(f"/proc/thread-self/net/{file}").read_text().splitlines()[1:]
        ]
    return any(row[3] == "0A" and not row[1].startswith("0100007F") for row in rows)


def test_two_pops_that_nobody_can_dial_serve_each_other_over_those_that_can(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        hosts = stack.enter_context(network("gateway", "first", "second", "far"))
        pops = {
            name: Pop(host, tmp_path / name, tmp_path / f"{name}.log")
            for name, host in hosts.hosts.items()
        }
        for pop in pops.values():
            stack.callback(pop.kill)
        first, second, gateway, far = (pops[name] for name in ("first", "second", "gateway", "far"))
        first.start("up", "--models", "", "--fabric-host", first.host.address)
        status, _, answer = first.host.ask(
            first.port, "POST", "/v1/fabric/invites", {"uses": 3}, first.bearer
        )
        assert status == 201, answer
        ticket = json.loads(answer)["ticket"]
        second.start("join", ticket, "--models", "")
        have_far(far.home)
        far.start("join", ticket, "--models", FAR, "--fabric-dials-out")
        gateway.start("join", ticket, "--models", "", "--fabric-dials-out")
        assert not listens_beyond_loopback(far.host)
        assert not listens_beyond_loopback(gateway.host)

        def reaches(*direct_or_relayed: str) -> bool:
            seen = sorted(gateway.reach().values())
            return seen == sorted(("here", *direct_or_relayed))

        until(lambda: reaches("direct", "direct", "relayed"), "all are seen")
        until(lambda: gateway.ask().status == 200, "it is answered")
        answered = gateway.ask()
        own, receipt = parted(answered)
        assert b"hello" in own
        assert answered.headers["littoral-source"] == "neighbour"
        parent = stated(receipt).parent
        assert parent is not None
        assert gateway.reach()[parent.pop] == "relayed"
        issuers = {row["reach"] for row in gateway.rows() if row["issuer"]}
        assert issuers == {"direct"}, "who can't be dialled can't renew certificates"

        client, _ = gateway.begin(echo=LONG)
        until(lambda: far.in_flight() == 1, "it is at work")
        client.close()
        until(lambda: far.in_flight() == 0, "it has heard that nobody waits")

        first.kill()
        until(lambda: reaches("direct", "gone", "relayed"), "one is gone")
        until(lambda: gateway.ask().status == 200, "the other one passes on")

        client, stream = gateway.begin(echo={"tokens": 80, "interval_ms": 20})
        second.stop()
        rest = stream.read()
        assert b"data: [DONE]" in rest, "what is under way when the relay stops is not cut off"
        assert FRAME_START in rest
        client.close()
        until(lambda: gateway.ask().status != 200, "nobody passes on any more")
