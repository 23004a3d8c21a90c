"""A PoP with a shelf of made repositories, for the official clients of front doors."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from littoral.adapters.shelves import LocalShelf
from littoral.terms.artifacts import Shelved
from littoral.terms.facts import Fact
from littoral.terms.ports import Shelf
from littoral.terms.values import Caller
from littoral.web.app import App, Desks
from littoral.web.files import FileDesk
from tests.adapters.shelves.made import shelved
from tests.web.fake_door import EMBED_MODEL, KEY, FakeDoor, FakeStatus
from tests.web.raw import Answer, Client, Served, get, serving

WORDS = [f"[unused{number}]" for number in range(3)] + ["[UNK]", "hello", "world"]
TOKENIZER: dict[str, object] = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": {"type": "Lowercase"},
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": None,
    "decoder": None,
    "model": {
        "type": "WordLevel",
        "vocab": {word: number for number, word in enumerate(WORDS)},
        "unk_token": "[UNK]",
    },
}
WEIGHTS = bytes(range(251)) * 12_000
"""3 MB: several reads."""
FILES = {
    "README.md": b"# tiny\n",
    "config.json": json.dumps({"model_type": "bert", "hidden_size": 8}).encode(),
    "tokenizer.json": json.dumps(TOKENIZER).encode(),
    "model.safetensors": WEIGHTS,
    "onnx/model.onnx": b"onnx" * 10_000,
    "onnx/quantised/model int8.onnx": b"int8" * 20_000,
    "empty": b"",
}


@dataclass
class Pop:
    """A server with a shelf."""

    served: Served
    facts: list[Fact] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"{self.served.server.url}/hub"

    async def get(self, path: str, *fields: str, method: str = "GET", key: str = KEY) -> Answer:
        client = await self.served.client()
        asked = get(path, f"Authorization: Bearer {key}", *fields)
        return await client.ask(asked.replace(b"GET", method.encode(), 1), method)

    async def client(self) -> Client:
        return await self.served.client(limit=2**16)


@asynccontextmanager
async def pop_with(
    shelf: Shelf, *, sending_max: int = 128, count: Callable[[Caller], object] = id
) -> AsyncIterator[Pop]:
    facts: list[Fact] = []
    files = FileDesk(shelf, facts.append, count, sending_max=sending_max)
    app = App(FakeDoor(), FakeStatus(), Desks(files=files))
    async with serving(app.handler(), gate=app.gate()) as served:
        yield Pop(served, facts)
        assert not served.defects


def repositories(folder: Path) -> Sequence[Shelved]:
    """What the tests pull: a public model with two revisions, a private one, a data set."""
    return (
        shelved(folder, "acme/tiny", FILES, models=(EMBED_MODEL,)),
        shelved(folder, "acme/tiny", {"old.txt": b"old"}, names=("v1/old",), models=(EMBED_MODEL,)),
        shelved(folder, "acme/secret", {"a": b"secret"}, private=True),
        shelved(folder, "legacy", {"a": b"legacy"}),
        shelved(folder, "datasets/acme/tiny", {"train.csv": b"a,b\n1,2\n"}),
    )


def shelf_in(folder: Path) -> LocalShelf:
    there = repositories(folder)
    return LocalShelf(lambda: there)
