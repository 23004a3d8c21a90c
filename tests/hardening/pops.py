"""A PoP in a process of its own that is treated badly, and what can be seen of it from outside.

What must hold of it whatever a test does is checked when it is stopped: no defect and no trace in
its log, and none of the secrets and texts that passed through it.
"""

import asyncio
import json
import os
import resource
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from littoral.adapters.models import Catalogue, parse_upstream
from littoral.terms.ids import ModelName
from littoral.terms.values import (
    EngineKind,
    Kind,
    ModelEntry,
    RelayPolicy,
    ToolSupport,
)
from littoral.trust.receipts import FRAME_START, Receipt, stated
from tests.conftest import started_pop
from tests.typed import typed
from tests.web.raw import PATIENCE_S, Answer, Client, get, post

__all__ = [
    "CALLS",
    "HardPop",
    "body_of",
    "cache_status",
    "check_error",
    "hard_pop",
    "is_anthropic",
    "parted",
]

PROMPT = "a prompt that nobody else may read"
"""Stands in every request of these tests, and never in a log."""

UPSTREAM_KEY = "sk-upstream-secret"

_CHAT: Mapping[str, object] = {"messages": [{"role": "user", "content": PROMPT}]}
CALLS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "chat": ("/v1/chat/completions", _CHAT),
    "chat stream": ("/v1/chat/completions", {**_CHAT, "stream": True}),
    "completion": ("/v1/completions", {"prompt": PROMPT}),
    "completion stream": ("/v1/completions", {"prompt": PROMPT, "stream": True}),
    "embedding": ("/v1/embeddings", {"input": [PROMPT]}),
    "messages": ("/v1/messages", {**_CHAT, "max_tokens": 16}),
    "messages stream": ("/v1/messages", {**_CHAT, "max_tokens": 16, "stream": True}),
    "responses": ("/v1/responses", {"input": PROMPT}),
    "responses stream": ("/v1/responses", {"input": PROMPT, "stream": True}),
}
"""Every way to ask a model something: a path, and a body that lacks the model's name."""


def body_of(call: str, model: str, **more: object) -> bytes:
    """The body of one of `CALLS`."""
    return json.dumps({"model": model, **CALLS[call][1], **more}).encode()


def parted(answer: Answer) -> tuple[bytes, bytes]:
    """A stream's own bytes, and its receipt."""
    own, found, receipt = answer.body.partition(FRAME_START)
    assert found, "a stream ends with its receipt"
    return own, receipt.strip()


def cache_status(answer: Answer) -> str:
    return answer.headers.get("cache-status", "")


def is_anthropic(path: str) -> bool:
    return path.startswith("/v1/messages")


def check_error(path: str, answer: Answer) -> dict[str, Any]:
    """The error in this answer, in the shape of the path's API, with all that ours say."""
    assert answer.headers["content-type"] == "application/json"
    whole = json.loads(answer.body)
    error = whole["error"]
    assert error["message"]
    assert error["type"]
    assert error["code"]
    assert error["fault"] in {"caller", "peer", "operator", "node"}
    if is_anthropic(path):
        assert whole["type"] == "error"
        assert whole["request_id"] == answer.headers["request-id"]
    else:
        assert set(whole) == {"error"}
        assert "param" in error
    assert answer.status == 200 or error["code"] != "internal", error
    assert isinstance(error, dict)
    return error


@dataclass
class HardPop:
    """A running PoP."""

    url: str
    key: str
    home: Path
    pid: int
    log: Path
    models: list[str] = field(default_factory=list)
    looked_at: int = 0
    """So much of the log has been checked."""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    def add(
        self,
        *ports: int,
        tools: ToolSupport = ToolSupport.NATIVE,
        native: tuple[str, ...] = (),
        fallbacks: tuple[str, ...] = (),
        **policy: Any,
    ) -> str:
        """A model of its own for one test, at upstreams on these ports; its name.

        Args:
            ports: of the loopback.
            tools: as its entry says; what is not native has all its chats translated.
            native: APIs that the upstreams speak beside the usual ones.
            fallbacks: models to ask when none of the upstreams can answer.
            policy: how requests are sent on; one attempt unless it says more.
        """
        name = ModelName(f"up-{len(self.models)}")
        self.models.append(name)
        key_file = self.home / "upstream-key"
        key_file.write_text(UPSTREAM_KEY)
        targets = [
            parse_upstream(
                f"http://127.0.0.1:{port}/v1",
                model="theirs",
                key_file=str(key_file),
                native_apis=native,
            )
            for port in ports
        ]
        entry = ModelEntry(
            name=name,
            engine=EngineKind.UPSTREAM,
            kinds=(Kind.CHAT, Kind.COMPLETE, Kind.EMBED),
            context_tokens=0,
            tools=tools,
            upstreams=tuple(targets),
            fallbacks=tuple(map(ModelName, fallbacks)),
            relay=RelayPolicy(**{"attempts": 1} | policy),
        )
        catalogue = Catalogue(self.home / "models")
        with catalogue.adding(name, resumable=False, progress=lambda *_: None) as staging:
            staging.commit(entry)
        return name

    async def receipt(self, answer: Answer) -> Receipt:
        """What the receipt of an answer states."""
        path = f"/v1/receipts/{answer.headers['littoral-receipt']}"
        async with self.client() as client:
            found = await client.ask(get(path, f"Authorization: Bearer {self.key}"))
        assert found.status == 200
        return stated(found.body)

    def command(self, *arguments: str) -> dict[str, Any]:
        """What a command says that is typed beside it."""
        done = typed(*arguments, "--home", str(self.home), "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        said = json.loads(done.stdout)
        assert isinstance(said, dict)
        return said

    def made_key(self, *options: str) -> dict[str, Any]:
        """Another key, of a name that no other has: what is said of it when it is made."""
        return self.command("keys", "create", f"k{os.urandom(4).hex()}", *options)

    def new_key(self, *options: str) -> str:
        """Another key."""
        return str(self.made_key(*options)["key"])

    async def open(self, limit: int = 2**20) -> Client:
        """A connection to it."""
        async with asyncio.timeout(PATIENCE_S):
            return Client(*await asyncio.open_connection("127.0.0.1", self.port, limit=limit))

    @asynccontextmanager
    async def client(self, limit: int = 2**20) -> AsyncIterator[Client]:
        """A connection to it, closed at the end."""
        client = await self.open(limit)
        try:
            yield client
        finally:
            client.leave()

    def post(self, path: str, body: bytes, *fields: str) -> bytes:
        """A request with the key."""
        return post(body, path, f"Authorization: Bearer {self.key}", *fields)

    async def ask(self, path: str, body: bytes, *fields: str) -> Answer:
        """The answer to one request on a connection of its own."""
        async with self.client() as client:
            return await client.ask(self.post(path, body, *fields), "POST")

    async def ask_as(self, key: str, path: str, body: bytes, *fields: str) -> Answer:
        """The answer to a request with another key."""
        async with self.client() as client:
            request = post(body, path, f"Authorization: Bearer {key}", *fields)
            return await client.ask(request, "POST")

    async def call(self, call: str, model: str, **more: object) -> Answer:
        """The answer to one of `CALLS`."""
        return await self.ask(CALLS[call][0], body_of(call, model, **more))

    async def check_alive(self) -> None:
        """It answers somebody else, and in time."""
        async with self.client() as client:
            assert (await client.ask(get("/healthz"))).status == 200
        answer = await self.call("chat", "echo", max_tokens=4)
        assert answer.status == 200

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    async def descriptors_at_most(self, most: int) -> None:
        """Return once it holds no more than so many; fails when it never does."""
        async with asyncio.timeout(PATIENCE_S):
            while self.descriptors() > most:
                await asyncio.sleep(0.01)

    @contextmanager
    def without_descriptors(self) -> Iterator[None]:
        """It can open nothing more meanwhile; what it has open stays so."""
        was = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (0, was[1]))
        try:
            yield
        finally:
            resource.prlimit(self.pid, resource.RLIMIT_NOFILE, was)

    def memory_bytes(self) -> int:
        """What it has in memory now."""
        return self._memory("VmRSS")

    @contextmanager
    def grows_at_most(self, most_bytes: int) -> Iterator[None]:
        """The most that it ever had in memory meanwhile, over what it has now, is bounded."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")  # the peak begins anew
        before = self.memory_bytes()
        yield
        grown_mb = (self._memory("VmHWM") - before) / 2**20
        assert grown_mb <= most_bytes / 2**20

    def _memory(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {name}")

    def cpu_s(self) -> float:
        """Processor time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def check_log(self) -> None:
        """Since the last look nothing was logged that is a defect, and nothing that is a secret."""
        with self.log.open() as log:
            log.seek(self.looked_at)
            text = log.read()
            self.looked_at = log.tell()
        for never in ("a defect: please report it", "Traceback", PROMPT, self.key, UPSTREAM_KEY):
            assert never not in text, text[-2000:]


@contextmanager
def hard_pop(folder: Path, *options: str, files_max: int | None = None) -> Iterator[HardPop]:
    """`littoral up -v` without a model of its own, but the echo model and those that tests add."""
    log = folder / "log"
    starter = started_pop(
        folder / "home", "--verbose", *options, models="", log=log, files_max=files_max
    )
    with starter as running:
        pop = HardPop(running.url, running.key, running.home, running.pid, log)
        yield pop
        pop.check_log()
    pop.check_log()
