"""PoPs in processes of their own, each on a host of its own, as a fabric that is treated badly.

Each is `littoral up` or `littoral join` as a user runs it, with the echo model under a second name
where requests are to go to it. Everything waits for a condition and is bounded; what was started is
ended by its process id.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from littoral.adapters.models import Catalogue
from littoral.adapters.models.catalogue import ECHO
from littoral.terms.ids import ModelName
from littoral.web.fabric import FABRIC
from tests.conftest import ROOT
from tests.faults.network import Host, Network

__all__ = ["FAR", "Fabric", "Pop", "Stream", "fabric", "until"]

FAR: Final = "far"
"""The echo model, on those PoPs that have it."""
PATIENCE_S: Final = 20.0
"""Far longer than anything takes, on any machine."""
PORT: Final = 7400
NEVER: Final = ("a defect: please report it", "Traceback")
"""What no log of a PoP may have, whatever befalls it."""

_STRANGE: Final = (sys.executable, "-m", "tests.faults.strange")
_AS_USUAL: Final = (sys.executable, "-m", "littoral.cli")


def until(done: Callable[[], object], within_s: float = PATIENCE_S, what: str = "") -> float:
    """Wait for a condition; the seconds that it took."""
    began = time.monotonic()
    while not done():
        took = time.monotonic() - began
        assert took < within_s, f"not within {within_s:g} s{what and f': {what}'}"
        time.sleep(0.005)
    return time.monotonic() - began


class Stream:
    """An answer that comes while other things happen."""

    def __init__(
        self, pop: "Pop", tokens: int = 2_000, interval_ms: float = 10, model: str = FAR
    ) -> None:
        """Ask for so many tokens, one each `interval_ms`."""
        with pop.host.inside():
            connected = socket.create_connection(("127.0.0.1", PORT), PATIENCE_S)
        self._connection = http.client.HTTPConnection("127.0.0.1", PORT)
        self._connection.sock = connected
        body = {
            "model": model,
            "messages": [{"role": "user", "content": f"go on {time.monotonic_ns()}"}],
            "stream": True,
            "echo": {"tokens": tokens, "interval_ms": interval_ms},
        }
        fields = {"content-type": "application/json", **pop.bearer}
        self._connection.request("POST", "/v1/chat/completions", json.dumps(body), fields)
        self._answer: http.client.HTTPResponse | None = None
        self.text = b""

    @property
    def answer(self) -> http.client.HTTPResponse:
        """Its head, as soon as it is there."""
        if self._answer is None:
            self._answer = self._connection.getresponse()
        return self._answer

    def read_events(self, count: int) -> None:
        """Read until there are so many more events."""
        wanted = self.text.count(b"data: ") + count
        while self.text.count(b"data: ") < wanted:
            line = self.answer.readline()
            assert line, f"the stream ended: {self.text[-500:]!r}"
            self.text += line

    def read_rest(self) -> bytes:
        """All of it; whatever it ends with."""
        try:
            while line := self.answer.readline():
                self.text += line
        except (http.client.HTTPException, ConnectionError):
            pass
        self.close()
        return self.text

    def close(self) -> None:
        """Leave."""
        self._connection.close()


@dataclass
class Pop:
    """A PoP that runs, or ran."""

    host: Host
    home: Path
    log: Path
    process: subprocess.Popen[str]
    id: str = ""
    key: str = ""
    ended: bool = False
    looked_at: int = field(default=0, repr=False)

    # --- its life ---

    def ready(self) -> None:
        """Return once it answers."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the PoP did not start: {self.log.read_text()[-2000:]}"
        assert json.loads(line)["ready"], line
        running = json.loads((self.inside / "run" / "pop.json").read_bytes())
        self.key = running["key"]
        self.id = self.shown()["pop"]

    def gave_up(self) -> tuple[int, str]:
        """Return once it has ended by itself, with its exit status and its last words."""
        self.ended = True
        words, _ = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, words

    @property
    def inside(self) -> Path:
        """Its home, as it sees it."""
        return Path(f"/proc/{self.process.pid}/root{self.home}")

    def end(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it, in whichever way; when this returns it is gone."""
        if self.ended:
            return
        self.ended = True
        self.process.send_signal(how)
        if how is signal.SIGINT:
            self.process.send_signal(signal.SIGCONT)
        try:
            self.process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise

    def kill(self) -> None:
        """As by `kill -9`."""
        self.end(signal.SIGKILL)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It does nothing meanwhile, and its sockets stay open."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    # --- as its operator and its clients see it ---

    @property
    def bearer(self) -> Mapping[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def ask(
        self, method: str, path: str, body: object = None, timeout_s: float = PATIENCE_S
    ) -> tuple[int, Mapping[str, str], Any]:
        """Its answer: status, fields, and the body decoded."""
        status, fields, data = self.host.ask(PORT, method, path, body, self.bearer, timeout_s)
        is_json = fields.get("content-type", "").startswith("application/json")
        return status, fields, json.loads(data) if is_json else data

    def chat(self, words: str = "", model: str = FAR) -> tuple[int, str, Any]:
        """Ask a model something that nobody has asked: status, which PoP answered, and the body."""
        words = words or f"say {time.monotonic_ns()}"
        body = {"model": model, "messages": [{"role": "user", "content": words}]}
        status, fields, answer = self.ask("POST", "/v1/chat/completions", body)
        return status, fields.get("littoral-pop", ""), answer

    def shown(self) -> Any:
        """What it knows of the fabric."""
        status, _, shown = self.ask("GET", FABRIC)
        assert status == 200, shown
        return shown

    def row(self, other: "Pop") -> Any:
        """How another PoP stands here; empty if it is not known."""
        rows = {row["pop"]: row for row in self.shown()["pops"]}
        return rows.get(other.id, {})

    def reaches(self, other: "Pop") -> bool:
        """Whether it takes another PoP for one that is there."""
        return bool(self.row(other).get("reach") == "direct")

    def invite(self, **wanted: object) -> str:
        """A ticket."""
        status, _, made = self.ask("POST", f"{FABRIC}/invites", wanted)
        assert status == 201, made
        return str(made["ticket"])

    def say(self, act: str, other: "Pop") -> None:
        """Say as the operator what may become of another PoP."""
        status, _, row = self.ask("POST", f"{FABRIC}/pops/{other.id}", {"act": act})
        assert status == 200, row

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all series of this name that have these labels."""
        _, _, text = self.ask("GET", "/metrics")
        total = 0.0
        for line in text.decode().splitlines():
            if line.startswith(name) and all(f'{k}="{v}"' in line for k, v in labels.items()):
                total += float(line.rpartition(" ")[2])
        return total

    def served(self) -> float:
        """Answers of `FAR` that were computed here."""
        return self.metric("littoral_requests_total", model=FAR, source="echo")

    def works(self, model: str = FAR) -> bool:
        """Whether it has an answer of this model under way."""
        return self.metric("littoral_requests_running", model=model) > 0

    # --- what it says ---

    def said(self) -> str:
        """Its log since the last `forget`."""
        with self.log.open() as log:
            log.seek(self.looked_at)
            return log.read()

    def forget(self) -> None:
        """What was logged so far matters no more."""
        self.looked_at = self.log.stat().st_size

    def until_said(self, *parts: str, within_s: float = PATIENCE_S) -> float:
        """Wait until a line has all of these parts; the seconds that it took."""
        return until(
            lambda: any(all(each in line for each in parts) for line in self.said().splitlines()),
            within_s,
            f"{self.host.name} does not log {parts}: {self.said()[-2000:]}",
        )

    def check_log(self) -> None:
        """Nothing in it is a defect."""
        text = self.log.read_text()
        for never in NEVER:
            assert never not in text, text[-4000:]


class Fabric:
    """PoPs on the hosts of a network."""

    def __init__(self, folder: Path, hosts: Network) -> None:
        self.hosts = hosts
        self.pops: dict[str, Pop] = {}
        self._folder = folder
        self._stack = ExitStack()

    def __getitem__(self, name: str) -> Pop:
        return self.pops[name]

    def home(self, name: str, *models: str) -> Path:
        """The home of the PoP on a host; the echo model is added there under these names."""
        home = self._folder / name
        catalogue = Catalogue(home / "models")
        for model in models:
            entry = replace(ECHO, name=ModelName(model))
            with catalogue.adding(entry.name, resumable=False, progress=lambda *_: None) as staging:
                staging.commit(entry)
        return home

    def start(
        self,
        name: str,
        *words: str,
        models: Sequence[str] = (),
        around: Sequence[str] = (),
        strangely: Mapping[str, float | str] | None = None,
    ) -> Pop:
        """Run `littoral WORDS` there; `ready` returns once it answers.

        Args:
            name: of the host.
            words: the command: `up`, or `join` and a ticket.
            models: names under which it has the echo model.
            around: a command that runs it.
            strangely: see strange.py; None runs it as a user does.
        """
        home = self.home(name, *models)
        host = self.hosts[name]
        program = _AS_USUAL if strangely is None else (*_STRANGE, json.dumps(strangely))
        settings = {"home": home, "port": PORT, "fabric-host": host.address, "models": ""}
        options = [f"--{setting}={value}" for setting, value in settings.items()]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LITTORAL_")}
        log = self._folder / f"{name}.log"
        with log.open("ab") as errors:
            process = subprocess.Popen(
                host.command(*around, *program, *words, "--json", "--verbose", *options),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
                cwd=ROOT,
                start_new_session=True,
            )
        pop = self.pops[name] = Pop(host, home, log, process, looked_at=log.stat().st_size)
        self._stack.callback(pop.end)
        return pop

    def found(self, name: str, **how: Any) -> Pop:
        """The first PoP of an owner."""
        pop = self.start(name, "up", **how)
        pop.ready()
        return pop

    def joined(self, *names: str, by: Pop, **how: Any) -> list[Pop]:
        """PoPs that have joined by one PoP's tickets, started at once."""
        joining = [self.start(name, "join", by.invite(), **how) for name in names]
        for pop in joining:
            pop.ready()
        return joining

    def settled(self) -> None:
        """Return once each that runs reaches each other one."""
        running = [pop for pop in self.pops.values() if not pop.ended]
        until(
            lambda: all(
                one.reaches(other) for one in running for other in running if one is not other
            ),
            what="all PoPs reach each other",
        )

    @contextmanager
    def cut(self, pop: Pop) -> Iterator[None]:
        """Nothing reaches it meanwhile, and nothing leaves it."""
        self.hosts.cut(pop.host.name)
        try:
            yield
        finally:
            self.hosts.heal(pop.host.name)

    @contextmanager
    def deafened(self, pop: Pop, to: Pop) -> Iterator[None]:
        """What it sends to another one is lost meanwhile; what that one sends arrives."""
        self.hosts.deafen(pop.host.name, to.host.name)
        try:
            yield
        finally:
            self.hosts.undeafen(pop.host.name, to.host.name)

    def close(self) -> None:
        """End them all, and look at their logs."""
        self._stack.close()
        for pop in self.pops.values():
            pop.check_log()


@contextmanager
def fabric(folder: Path, hosts: Network) -> Iterator[Fabric]:
    """No PoP yet; all that are started end with the context."""
    made = Fabric(folder, hosts)
    try:
        yield made
    finally:
        made.close()
