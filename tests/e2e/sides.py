"""PoPs of one network as their users hold them: by a home, by commands, and as a client."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from littoral.node.home import Home
from tests.conftest import CHAT_MODEL, RunningPop, started_pop
from tests.typed import typed

PATIENCE_S = 30
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
FREE = ("--fabric-port", "0", "--state-port", "0")


@dataclass
class Side:
    """One PoP of the network."""

    pop: RunningPop
    home: Path
    key: str = field(repr=False)

    def cli(self, *words: str) -> Any:
        """What a command on its home prints as JSON."""
        done = typed(*words, "--home", str(self.home), "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)

    def get(self, path: str) -> Any:
        """What it answers an operator who asks."""
        return self._operate(path, None)

    def post(self, path: str, body: object) -> Any:
        """What it answers an operator who tells it something."""
        return self._operate(path, json.dumps(body).encode())

    def _operate(self, path: str, body: bytes | None) -> Any:
        running = Home(self.home).running()
        assert running is not None
        headers = {"authorization": f"Bearer {running.key}", "content-type": "application/json"}
        request = urllib.request.Request(f"{running.url}{path}", body, headers)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.loads(answer.read())

    def ask(self, path: str, body: object, **headers: str) -> tuple[int, Mapping[str, str], bytes]:
        """A client's request."""
        request = urllib.request.Request(
            f"{self.pop.url}{path}",
            json.dumps(body).encode(),
            {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
            | {name.replace("_", "-"): value for name, value in headers.items()},
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, low(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, low(error.headers), error.read()

    def chat(self, **headers: str) -> tuple[int, Mapping[str, str], bytes]:
        body = {"model": CHAT_MODEL, "messages": QUESTION, "temperature": 0, "max_tokens": 12}
        return self.ask("/v1/chat/completions", body, **headers)

    def sees(self, *reaches: str) -> bool:
        """Whether it sees its PoPs in these ways."""
        return sorted(row["reach"] for row in self.cli("pops")["pops"]) == sorted(reaches)


def low(headers: Any) -> Mapping[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        time.sleep(0.05)


@contextmanager
def founder(home: Path, models_home: Path, *options: str) -> Iterator[Side]:
    """The first PoP of a network, with the model."""
    home.mkdir(exist_ok=True)
    if not (home / "models").exists():
        (home / "models").symlink_to(models_home / "models")
    options = ("--site", "paris", "--zone", "eu", *FREE, *options)
    with started_pop(home, *options, models=CHAT_MODEL) as pop:
        yield Side(pop, home, pop.key)


@contextmanager
def joined(home: Path, ticket: str, *options: str) -> Iterator[Side]:
    """A PoP without a model that joins by this ticket, and runs."""
    with started_pop(home, *FREE, *options, models="", joins=ticket) as pop:
        yield Side(pop, home, pop.key)


@contextmanager
def founder_without(home: Path, *options: str) -> Iterator[Side]:
    """The first PoP of another network, without a model."""
    with started_pop(home, "--site", "oslo", "--zone", "no", *FREE, *options, models="") as pop:
        yield Side(pop, home, pop.key)


def state_address(home: Path) -> str:
    """Where a PoP listens for the state of the fabric, as its issuer tells newcomers."""
    side = Side(RunningPop("", "", home, 0), home, "")
    rows = side.cli("pops")["pops"]
    return str(next(row["state_address"] for row in rows if row["reach"] == "here"))
