"""A simulated Door and Status: deterministic answers, and a record of what handlers did with them.

It keeps the rules of the ports (`tests/web/test_fake_door.py` checks that) and fails a test
loudly when a handler breaks one: `seal` before the chunks are exhausted, `sent` after `seal`.

Steer it with a `Script`: what it answers, where it waits, where it breaks.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from littoral.terms.errors import (
    KeyMissingError,
    KeyRejectedError,
    LittoralError,
    NotAllowedError,
    NotFoundError,
    UnknownModelError,
)
from littoral.terms.ids import Digest, KeyId, ModelName, ReceiptId
from littoral.terms.sources import Sources
from littoral.terms.values import (
    Ask,
    Caller,
    EngineInfo,
    EngineKind,
    Finish,
    Kind,
    ModelEntry,
    ModelStatus,
    Ready,
    Usage,
)

KEY = "lit_user"
OPERATOR_KEY = "lit_operator"
NARROW_KEY = "lit_narrow"
CHAT_MODEL = ModelName("tiny-chat")
EMBED_MODEL = ModelName("tiny-embed")
WORDS = ("Paris", " is", " the", " capital", ".")
USAGE = Usage(prompt_tokens=7, completion_tokens=len(WORDS))

CALLERS = {
    KEY: Caller(key_id=KeyId("kuser00000000"), name="user"),
    OPERATOR_KEY: Caller(key_id=KeyId("koperator0000"), name="operator", operator=True),
    NARROW_KEY: Caller(key_id=KeyId("knarrow000000"), name="narrow", models=(EMBED_MODEL,)),
}


def _entry(name: ModelName, engine: EngineKind, kinds: tuple[Kind, ...]) -> ModelEntry:
    return ModelEntry(
        name=name,
        engine=engine,
        kinds=kinds,
        context_tokens=2048,
        size_bytes=1_000,
        licence="Apache-2.0",
        origin="made for tests",
        description=f"{name} of the fake door",
        digest=Digest("sha256:" + "ab" * 32),
    )


def _status(entry: ModelEntry, *, loaded: bool) -> ModelStatus:
    info = EngineInfo(entry.engine, "fake 1.0", "cpu", slots=2, context_tokens=2048)
    return ModelStatus(entry=entry, state=Ready(info) if loaded else None)


MODELS = (
    _status(
        _entry(CHAT_MODEL, EngineKind.ECHO, (Kind.CHAT, Kind.COMPLETE)),
        loaded=True,
    ),
    _status(_entry(EMBED_MODEL, EngineKind.ONNX, (Kind.EMBED,)), loaded=False),
)


def sse(value: object) -> bytes:
    """One whole server-sent event, as an engine gives it."""
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def _usage_object(usage: Usage) -> dict[str, object]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def chat_stream(
    words: Sequence[str] = WORDS, *, model: str = CHAT_MODEL, finish: str = "stop"
) -> list[bytes]:
    """Events of a streamed chat answer, each one bytes object."""
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}

    def chunk(delta: dict[str, object], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return sse({**base, "choices": [choice]})

    return [
        chunk({"role": "assistant", "content": None}),
        *(chunk({"content": word}) for word in words),
        chunk({}, finish),
        sse({**base, "choices": [], "usage": _usage_object(USAGE)}),
        DONE,
    ]


def chat_body(
    words: Sequence[str] = WORDS, *, model: str = CHAT_MODEL, finish: str = "stop"
) -> list[bytes]:
    """The whole JSON body of a chat answer."""
    message = {"role": "assistant", "content": "".join(words)}
    return [
        json.dumps(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": model,
                "choices": [{"index": 0, "message": message, "finish_reason": finish}],
                "usage": _usage_object(USAGE),
            }
        ).encode()
    ]


def completion_stream(words: Sequence[str] = WORDS) -> list[bytes]:
    """Events of a streamed legacy completion; its last chunk carries the usage."""
    base = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": CHAT_MODEL}
    texts = [
        sse({**base, "choices": [{"index": 0, "text": word, "finish_reason": None}]})
        for word in words
    ]
    last = {
        **base,
        "choices": [{"index": 0, "text": "", "finish_reason": "stop"}],
        "usage": _usage_object(USAGE),
    }
    return [*texts, sse(last), DONE]


def completion_body(words: Sequence[str] = WORDS) -> list[bytes]:
    """The whole JSON body of a legacy completion."""
    return [
        json.dumps(
            {
                "id": "cmpl-1",
                "object": "text_completion",
                "created": 1,
                "model": CHAT_MODEL,
                "choices": [{"index": 0, "text": "".join(words), "finish_reason": "stop"}],
                "usage": _usage_object(USAGE),
            }
        ).encode()
    ]


def embedding_body(count: int = 1) -> list[bytes]:
    """The whole JSON body of an embeddings answer."""
    data = [
        {"object": "embedding", "index": index, "embedding": [0.6, 0.8]} for index in range(count)
    ]
    usage = {"prompt_tokens": 3 * count, "total_tokens": 3 * count}
    return [
        json.dumps({"object": "list", "model": EMBED_MODEL, "data": data, "usage": usage}).encode()
    ]


@dataclass
class Script:
    """What the next answers do."""

    chunks: Sequence[bytes] | None = None
    """Bytes to give instead of the default ones for the kind of ask."""
    refuse: LittoralError | None = None
    """Raised instead of admitting."""
    fail_after: int | None = None
    """`error` is raised after this many chunks."""
    error: LittoralError | None = None
    hold_at: int | None = None
    """Before this chunk, wait for `release`; an ask not admitted yet is -1."""
    release: asyncio.Event = field(default_factory=asyncio.Event)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the answer waits."""
    usage: Usage = USAGE
    finish: Finish = Finish.STOP
    counted: int = 7
    sources: Sources | None = None


class FakeAnswer:
    """One answer and what became of it."""

    def __init__(self, script: Script, chunks: Sequence[bytes], number: int) -> None:
        self.script = script
        self.receipt_id = ReceiptId(f"rcpt_{number:032x}")
        self.body = bytearray()
        """Everything that `sent` was told."""
        self.sealed = False
        self.abandoned = asyncio.Event()
        """The context was left without `seal`."""
        self.exhausted = False
        self._given = list(chunks)

    @property
    def headers(self) -> Mapping[str, str]:
        return {
            "littoral-receipt": self.receipt_id,
            "littoral-salt": "00" * 16,
            "littoral-source": "echo",
            "littoral-pop": "pop-0123456789abcdef",
        }

    @property
    def sources(self) -> Sources | None:
        return self.script.sources

    @property
    def chunks(self) -> AsyncIterator[bytes]:
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[bytes]:
        for index, chunk in enumerate(self._given):
            await self._maybe_hold(index)
            if self.script.fail_after == index:
                assert self.script.error is not None
                raise self.script.error
            yield chunk
        await self._maybe_hold(len(self._given))
        self.exhausted = True

    async def _maybe_hold(self, index: int) -> None:
        if self.script.hold_at == index:
            self.script.held.set()
            await self.script.release.wait()

    def sent(self, data: bytes) -> None:
        assert not self.sealed, "bytes were sent after the receipt was sealed"
        assert not self.abandoned.is_set(), "bytes were sent after the answer was left"
        self.body += data

    async def seal(self) -> bytes:
        assert self.exhausted, "sealed before the chunks were exhausted"
        assert not self.sealed, "sealed twice"
        self.sealed = True
        return json.dumps({"receipt": self.receipt_id, "bytes": len(self.body)}).encode()

    def outcome(self) -> tuple[Usage, Finish]:
        return self.script.usage, self.script.finish


class FakeDoor:
    """Answers from its script and remembers every ask, in order."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.asks: list[Ask] = []
        self.answers: list[FakeAnswer] = []
        self.counted: list[Ask] = []
        self.receipts: dict[ReceiptId, bytes] = {}

    def authenticate(self, token: str | None) -> Caller:
        if token is None:
            raise KeyMissingError("no API key came with the request")
        if token not in CALLERS:
            raise KeyRejectedError("the API key is not accepted")
        return CALLERS[token]

    @asynccontextmanager
    async def answer(self, ask: Ask, caller: Caller) -> AsyncIterator[FakeAnswer]:
        self.asks.append(ask)
        self._check(ask, caller)
        if self.script.hold_at == -1:
            self.script.held.set()
            await self.script.release.wait()
        answer = FakeAnswer(self.script, self._chunks(ask), len(self.answers) + 1)
        self.answers.append(answer)
        try:
            yield answer
        finally:
            if not answer.sealed:
                answer.abandoned.set()

    async def count(self, ask: Ask, caller: Caller) -> int:
        self.counted.append(ask)
        self._check(ask, caller)
        return self.script.counted

    def models(self, caller: Caller) -> Sequence[ModelStatus]:
        allowed = caller.models
        return [each for each in MODELS if allowed is None or each.entry.name in allowed]

    def receipt(self, receipt_id: ReceiptId, caller: Caller) -> bytes:
        if receipt_id not in self.receipts:
            raise NotFoundError("no such receipt")
        return self.receipts[receipt_id]

    def _check(self, ask: Ask, caller: Caller) -> None:
        if self.script.refuse is not None:
            raise self.script.refuse
        if ask.model not in {each.entry.name for each in MODELS}:
            raise UnknownModelError(f"no model is named {ask.model}", param="model")
        if caller.models is not None and ask.model not in caller.models:
            raise NotAllowedError(f"this key may not use {ask.model}", param="model")

    def _chunks(self, ask: Ask) -> Sequence[bytes]:
        if self.script.chunks is not None:
            return self.script.chunks
        match ask.kind, ask.stream:
            case Kind.CHAT, True:
                return chat_stream()
            case Kind.CHAT, False:
                return chat_body()
            case Kind.COMPLETE, True:
                return completion_stream()
            case Kind.COMPLETE, False:
                return completion_body()
            case _:
                given = ask.body.get("input")
                return embedding_body(len(given) if isinstance(given, list) else 1)


class FakeStatus:
    """Ready or not, with fixed metrics."""

    def __init__(self) -> None:
        self.is_ready = True

    def ready(self) -> tuple[bool, Mapping[str, object]]:
        return self.is_ready, {"models": {CHAT_MODEL: "ready"}}

    def metrics(self) -> bytes:
        return b"# TYPE littoral_requests_total counter\nlittoral_requests_total 1\n"
