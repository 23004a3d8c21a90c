"""A door that embeds by counting words, so that texts with words in common are near each other."""

import base64
import json
import math
import zlib
from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

from littoral.memory.filters import words_of
from littoral.terms.ids import KeyId, ModelName, ReceiptId
from littoral.terms.ports import Answer
from littoral.terms.sources import Sources
from littoral.terms.values import (
    Ask,
    Caller,
    EngineKind,
    Finish,
    Kind,
    ModelEntry,
    ModelStatus,
    Usage,
)

MODEL = ModelName("counting")
DIMENSIONS = 64

OPERATOR = Caller(KeyId("koperator0000"), "operator", operator=True)
ALICE = Caller(KeyId("kalice0000000"), "alice", models=(), tenant="acme")
BOB = Caller(KeyId("kbob000000000"), "bob")


def vector_of(text: str) -> bytes:
    """A vector of length one."""
    counts = [0.01] * DIMENSIONS
    for word in words_of(text):
        counts[zlib.crc32(word.encode()) % DIMENSIONS] += 1.0
    length = math.hypot(*counts)
    return array("f", [count / length for count in counts]).tobytes()


class Counted:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self.headers: Mapping[str, str] = {}
        self.sealed = False
        self.sources: Sources | None = None

    @property
    def chunks(self) -> AsyncIterator[bytes]:
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        yield self._body

    def sent(self, data: bytes) -> None:
        assert data

    async def seal(self) -> bytes:
        self.sealed = True
        return b"{}"

    def outcome(self) -> tuple[Usage, Finish]:
        return Usage(), Finish.DONE


class CountingDoor:
    """See `terms.ports.Door`; of its methods, those that memory uses."""

    def __init__(self, *, says_dimensions: bool = True) -> None:
        self.batches: list[list[str]] = []
        self.callers: list[Caller] = []
        self._says = says_dimensions

    def authenticate(self, token: str | None) -> Caller:
        raise NotImplementedError

    @asynccontextmanager
    async def answer(self, ask: Ask, caller: Caller) -> AsyncIterator[Answer]:
        texts = cast("list[str]", ask.body["input"])
        assert (ask.kind, ask.model) == (Kind.EMBED, MODEL)
        self.batches.append(texts)
        self.callers.append(caller)
        data = [{"embedding": base64.b64encode(vector_of(text)).decode()} for text in texts]
        answer = Counted(json.dumps({"data": data}).encode())
        yield answer
        assert answer.sealed, "each answer is sealed"

    async def count(self, ask: Ask, caller: Caller) -> int:
        raise NotImplementedError

    def models(self, caller: Caller) -> Sequence[ModelStatus]:
        dimensions = DIMENSIONS if self._says else None
        entry = ModelEntry(MODEL, EngineKind.ONNX, (Kind.EMBED,), 256, dimensions=dimensions)
        return [ModelStatus(entry, None)] if caller.models is None else []

    def receipt(self, receipt_id: ReceiptId, caller: Caller) -> bytes:
        raise NotImplementedError
