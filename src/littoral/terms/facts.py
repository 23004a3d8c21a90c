"""What happened, as values.

Cores and drivers return or emit facts; logs, metrics and the audit trail are folded from this one
stream (node/telemetry.py). A fact never holds a secret, a prompt or an answer.
"""

from dataclasses import dataclass

import msgspec

from littoral.terms.ids import KeyId, ModelName, OwnerId, PopId, ReceiptId, SiteName, ZoneName
from littoral.terms.values import Finish, Kind, Source, Usage

__all__ = [
    "RequestRefused",
    "RequestRelayed",
    "RequestQueued",
    "FirstToken",
    "RequestEnded",
    "UpstreamTried",
    "BreakerMoved",
    "FellBack",
    "CacheChanged",
    "CacheMissed",
    "ReuseJudged",
    "ReuseChecked",
    "ReceiptLost",
    "ReceiptsHalted",
    "ModelLoading",
    "ModelReady",
    "ModelUnloaded",
    "WorkerDied",
    "ThreadsStepped",
    "MemberJoined",
    "JoinRefused",
    "MemberRenewed",
    "StandingChanged",
    "PopSeen",
    "PopChanged",
    "PopGone",
    "PopHeld",
    "PopBack",
    "RecordRejected",
    "RecordSaid",
    "StrangersRefused",
    "FileSent",
    "PullEnded",
    "StepEnded",
    "Fact",
]


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """A request ended before an engine saw it."""

    api: str
    code: str
    status: int
    model: ModelName | None = None
    key_id: KeyId | None = None


@dataclass(frozen=True, slots=True)
class RequestQueued:
    """A request waits for a slot of its model (`waiting` counts it)."""

    model: ModelName
    waiting: int


@dataclass(frozen=True, slots=True)
class FirstToken:
    """The first bytes of an answer left for the client."""

    model: ModelName
    seconds: float


# A Struct, as every request makes one: a frozen dataclass of this size takes ten times as long.
class RequestEnded(msgspec.Struct, frozen=True, kw_only=True):
    """An answered request is over; it has exactly one receipt, unless its model has none."""

    receipt_id: ReceiptId | None
    api: str
    kind: Kind
    model: ModelName
    key_id: KeyId
    source: Source
    finish: Finish
    usage: Usage
    queue_s: float
    first_token_s: float | None
    total_s: float
    cache: str = ""
    """`hit`, `reused`, `partial`, `joined`, `miss`, or nothing: not looked up."""
    target: str = ""
    """Which upstream answered; empty when none did."""


@dataclass(frozen=True, slots=True)
class CacheMissed:
    """A handler is to make an answer; whoever is answered by calls says so as its request ends."""

    model: ModelName
    result: str
    """`miss` or `partial`, as in `RequestEnded.cache`."""


@dataclass(frozen=True, slots=True)
class UpstreamTried:
    """One attempt at an upstream is over. `outcome`: answered, or why not (`timeout`, `5xx`, …)."""

    model: ModelName
    target: str
    outcome: str
    hedged: bool = False


@dataclass(frozen=True, slots=True)
class BreakerMoved:
    """A target is left alone for a while, is tried again, or takes requests as usual."""

    model: ModelName
    target: str
    state: str
    """`open`, `half_open` or `closed`."""


@dataclass(frozen=True, slots=True)
class FellBack:
    """A request was answered by another model than the one asked for."""

    asked: ModelName
    model: ModelName


@dataclass(frozen=True, slots=True)
class CacheChanged:
    """Answers were stored in, or dropped from, the answer cache."""

    entries: int
    """Positive: stored. Negative: dropped to make room, or expired."""
    bytes: int


@dataclass(frozen=True, slots=True)
class ReuseJudged:
    """A request that opted into reuse by meaning was looked up: `hit`, `explored` or `none`."""

    model: ModelName
    outcome: str
    shadow: bool


@dataclass(frozen=True, slots=True)
class ReuseChecked:
    """A stored answer was compared with the model's own to another question."""

    model: ModelName
    right: bool
    certified: bool
    """It could have been served: its wrong share is that of what is served."""
    shadow: bool


@dataclass(frozen=True, slots=True)
class ReceiptLost:
    """An answer was given and its receipt could not be kept: the disk is full, say."""

    model: ModelName
    code: str


@dataclass(frozen=True, slots=True)
class ReceiptsHalted:
    """No receipt can be kept, until it is said that this is over."""

    reason: str
    """`full`, `held` or `damaged`: what ails the database; else the code of the error."""
    over: bool = False


@dataclass(frozen=True, slots=True)
class ModelLoading:
    """An engine is being started."""

    model: ModelName
    reason: str


@dataclass(frozen=True, slots=True)
class ModelReady:
    """An engine takes calls."""

    model: ModelName
    seconds: float
    build: str


@dataclass(frozen=True, slots=True)
class ModelUnloaded:
    """An engine was stopped: `idle`, `evicted for NAME`, `asked`, `stopping`."""

    model: ModelName
    reason: str


@dataclass(frozen=True, slots=True)
class WorkerDied:
    """An engine's process ended by itself; `lost` requests ended with an error."""

    model: ModelName
    exit_status: int
    lost: int


@dataclass(frozen=True, slots=True)
class ThreadsStepped:
    """An engine got another number of threads, because its measured rate asked for it."""

    model: ModelName
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class MemberJoined:
    """A PoP was admitted to the fabric and has a certificate."""

    pop: PopId
    zone: ZoneName
    site: SiteName
    issuer: bool
    """It may issue certificates too."""


@dataclass(frozen=True, slots=True)
class JoinRefused:
    """A PoP was refused a certificate, for one `reason` (`unknown`, `used_up`, `signature`, …)."""

    asked: str
    """`join`, `renew` or `come_back`."""
    reason: str


@dataclass(frozen=True, slots=True)
class MemberRenewed:
    """A PoP has a new certificate; `returned`: its last one had run out."""

    pop: PopId
    returned: bool


@dataclass(frozen=True, slots=True)
class StandingChanged:
    """A PoP is now `admitted`, `drained`, `removed` or `revoked`, by an operator's word."""

    pop: PopId
    standing: str


@dataclass(frozen=True, slots=True)
class PopSeen:
    """A PoP is in the view of the fabric that was not: its state and a good card are there."""

    pop: PopId
    owner: OwnerId
    zone: ZoneName
    site: SiteName


@dataclass(frozen=True, slots=True)
class PopChanged:
    """A PoP has moved to another site, or has other models than before."""

    pop: PopId
    site: SiteName
    models: tuple[ModelName, ...]


@dataclass(frozen=True, slots=True)
class PopGone:
    """A PoP can't be reached any more, or is not to be used any more."""

    pop: PopId
    reason: str
    """`left`, `silent`, `expired` or `early` (its certificate, by the clock here), `certificate`
    (bad in another way) or `not_admitted`."""


@dataclass(frozen=True, slots=True)
class PopBack:
    """A PoP that could not be reached can be."""

    pop: PopId


@dataclass(frozen=True, slots=True)
class PopHeld:
    """A PoP that can't be dialled holds connections to this one from now on, or no longer."""

    pop: PopId
    held: bool


@dataclass(frozen=True, slots=True)
class RequestRelayed:
    """A request was passed to a PoP that holds connections to this one, and is over."""

    pop: PopId
    outcome: str
    """`answered`, `lost` (by the PoP that was asked) or `left` (by the one that asks)."""


@dataclass(frozen=True, slots=True)
class RecordSaid:
    """This PoP has said a record to all others."""

    kind: str
    """`state`, `card`, `admission` or `owner`."""
    size_bytes: int
    """Of the record, once, however many hear it."""


@dataclass(frozen=True, slots=True)
class RecordRejected:
    """Records were dropped: they are not what their maker may say there."""

    topic: str
    """The key that they came under, at most 120 characters."""
    reason: str
    """`malformed`, `signature`, `misplaced`, `certificate` or `not_admitted`."""
    records: int
    """How many since the last such fact."""


@dataclass(frozen=True, slots=True)
class StrangersRefused:
    """Somebody has dialled as a PoP, with a certificate that no trusted owner has signed."""

    reason: str
    """Of the last of them, in OpenSSL's words."""
    connections: int
    """How many since the last such fact."""


@dataclass(frozen=True, slots=True)
class FileSent:
    """A file of an artifact, or a range of one, was given to a client; its sending is over."""

    api: str
    """By which door: `hub` or `oci`."""
    bytes: int
    """How many left."""
    outcome: str
    """`whole` (all that was asked for), `left` (by the client) or `failed`."""


@dataclass(frozen=True, slots=True)
class PullEnded:
    """A pull of an artifact is over."""

    outcome: str
    """`done`, `failed` or `cancelled`."""
    origin_bytes: int
    neighbour_bytes: int
    reused_bytes: int
    wrong_chunks: int


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A step of an answer from memory is over: of a pipeline, or the recall before any other."""

    does: str
    """`embed`, `recall`, `rerank` or `generate`."""
    outcome: str
    """`done`, `skipped` (there was nothing to change) or `failed`."""
    seconds: float


Fact = (
    RequestRefused
    | RequestQueued
    | FirstToken
    | RequestEnded
    | UpstreamTried
    | BreakerMoved
    | FellBack
    | CacheChanged
    | CacheMissed
    | ReuseJudged
    | ReuseChecked
    | ReceiptLost
    | ReceiptsHalted
    | ModelLoading
    | ModelReady
    | ModelUnloaded
    | WorkerDied
    | ThreadsStepped
    | MemberJoined
    | JoinRefused
    | MemberRenewed
    | StandingChanged
    | PopSeen
    | PopChanged
    | PopGone
    | PopBack
    | PopHeld
    | RequestRelayed
    | RecordSaid
    | RecordRejected
    | StrangersRefused
    | FileSent
    | PullEnded
    | StepEnded
)
