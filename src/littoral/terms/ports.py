"""The few places where the rooms meet: small Protocols, at most five methods each.

Every port has a contract test (tests/contract/) that all of its adapters pass. Those of memory are
in `collections.py`.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Protocol, TypeVar

from littoral.terms.artifacts import OriginFile, OriginListing, Shelved
from littoral.terms.facts import Fact
from littoral.terms.heard import Heard
from littoral.terms.ids import ReceiptId
from littoral.terms.sources import Sources
from littoral.terms.values import (
    Ask,
    Caller,
    EngineCall,
    EngineState,
    Finish,
    Instant,
    ModelStatus,
    Usage,
)

__all__ = [
    "Answer",
    "Clock",
    "Door",
    "Engine",
    "Hear",
    "Machine",
    "Names",
    "Observe",
    "Origin",
    "Shelf",
    "Signer",
    "Status",
    "Verify",
]

Observe = Callable[[Fact], None]
"""Takes a fact and returns at once."""

Verify = Callable[[bytes, bytes, bytes], bool]
"""Ed25519: (32-byte public key, message, 64-byte signature) -> whether it holds. Never raises."""

Hear = Callable[[Sequence[Heard]], None]
"""Takes what the fabric brought, on the loop, and returns at once. Never raises."""


class Clock(Protocol):
    """Time and randomness, so that inner rooms need neither."""

    def now(self) -> Instant:
        """Monotonic nanoseconds."""

    def unix_ns(self) -> int:
        """Wall-clock nanoseconds since 1970, for what people and receipts read."""

    def random_bytes(self, count: int) -> bytes:
        """Fit for keys, ids and salts."""


class Signer(Protocol):
    """Holds one Ed25519 private key and shows only what it makes."""

    @property
    def public_key(self) -> bytes:
        """32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""


class Engine(Protocol):
    """What computes. One object is one model on one engine; every engine passes one suite."""

    async def serve(self, report: Callable[[EngineState], None]) -> None:
        """Run the engine until cancelled, saying every change of state, Ready included.

        Whatever it needs (a worker process, a connection) it starts, watches, restarts and, when
        cancelled, ends and cleans up within 2 s. Returns by itself only after
        `Down(retrying=False)`.
        """

    def open(self, call: EngineCall) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Do the work while the context is open; leaving it early cancels the work at once.

        For chat and completions with `stream`: server-sent events in OpenAI's shape, each bytes
        object one or more *whole* events, the last `data: [DONE]`; the last event before it
        carries `usage`. Without `stream`, and for embeddings: one bytes object, the JSON body.

        Iterate inside the context: what goes wrong on the way is made one of ours as it passes
        through. Raises, on entering or by the time it has been left: ContextLengthError,
        BadRequestError, UnsupportedError, EngineLostError, EngineFailedError,
        UpstreamFailedError, UpstreamTimeoutError, QueueFullError.
        """

    async def count(self, call: EngineCall) -> int | None:
        """Prompt tokens of the call after the chat template; None when the engine can't tell."""


class Answer(Protocol):
    """An answer under way, as a web handler sees it."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Response headers to send: receipt id, salt, source, PoP, limits."""

    @property
    def chunks(self) -> AsyncIterator[bytes]:
        """The engine's bytes, as `Engine.open` gives them."""

    @property
    def sources(self) -> Sources | None:
        """What memory gave for it; of a pipeline, what its steps took until now."""

    def sent(self, data: bytes) -> None:
        """Count bytes of the response body towards the receipt, before they are written."""

    async def seal(self) -> bytes:
        """End the exchange and return its signed receipt as one line of JSON, stored already.

        Waits while another process holds the database, limits.RECEIPT_WAIT_S at most.

        Called once, after `chunks` is exhausted and all of the body was `sent`.
        """

    def outcome(self) -> tuple[Usage, Finish]:
        """Usage and finish as read off the engine's bytes so far."""


class Door(Protocol):
    """The one way in: web handlers, the command line and tests all use it."""

    def authenticate(self, token: str | None) -> Caller:
        """Who holds this key. Raises KeyMissingError or KeyRejectedError."""

    def answer(self, ask: Ask, caller: Caller) -> AbstractAsyncContextManager[Answer]:
        """Admit, load, dispatch. Leaving the context without `seal` is a client that left.

        Raises: UnknownModelError, NotAllowedError, RateLimitedError, BudgetExhaustedError,
        QueueFullError, LoadingError, DrainingError, UnsupportedError, and what Engine.open raises.
        """

    async def count(self, ask: Ask, caller: Caller) -> int:
        """Prompt tokens of the ask, by the model's own tokenizer. Raises as `answer` does."""

    def models(self, caller: Caller) -> Sequence[ModelStatus]:
        """What this caller may use, sorted by name."""

    def receipt(self, receipt_id: ReceiptId, caller: Caller) -> bytes:
        """The stored receipt with its opening. Raises NotFoundError, also for other callers'."""


class Status(Protocol):
    """What monitoring asks for."""

    def ready(self) -> tuple[bool, Mapping[str, object]]:
        """Whether new requests are taken, and the reasons, JSON-shaped."""

    def metrics(self) -> bytes:
        """Prometheus text exposition."""


class Names(Protocol):
    """The fabric as this PoP is in it: it says records to all, and hears those of all others.

    Whoever comes late hears the latest record of each topic of those who are there. Records may
    come twice, and out of order; of one topic some may be left out, but never the latest for good.
    What this PoP says itself it does not hear.
    """

    async def open(self, hear: Hear) -> None:
        """Be in the fabric from now on, and hear. Comes back before anybody need be there.

        Raises:
            PortInUseError, IdentityError, ConfigError: it can't listen, or lacks its certificate.
        """

    def say(self, topic: str, record: bytes) -> None:
        """Say this to all, now and to whoever comes later; it replaces what was said on the topic.

        Returns at once, and may be called before `open`. The topic names this PoP as its maker:
        of no other is whoever comes late told.
        """

    async def reopen(self, seeds: Sequence[str] = ()) -> None:
        """Go on with the certificates that the files hold now, without seeming to leave.

        Args:
            seeds: `HOST:PORT` of PoPs to dial from now on, besides those known before.

        Raises:
            As `open`; then it goes on as far as it can, and `reopen` may be tried again.
        """

    async def close(self) -> None:
        """Leave, so that all others hear it at once. Nothing is heard any more."""

    def linked(self) -> int:
        """How many others there is a link to now."""


class Origin(Protocol):
    """Where artifacts come from: immutable bytes by name, in ranges. Blocks; called on threads.

    What goes wrong is an `OriginError`. `OriginBrokeError`: ask again, at once or as its
    `retry_after_s` says; `OriginChangedError`: call `find` again; `OriginRefusedError`: don't.
    """

    def find(self, reference: str) -> OriginListing:
        """What a reference of this kind means now.

        Raises:
            BadRequestError: it is no reference of this kind.
            OriginError: the origin can't be reached, refuses, or has nothing of that name.
        """

    def read(
        self, file: OriginFile, start: int, end: int
    ) -> AbstractContextManager[Iterator[bytes]]:
        """The bytes of a file from `start` up to `end`, in pieces of any size, each once.

        Leaving the context early closes the transfer.

        Raises, on entering or on the way:
            OriginError: it broke off, stalled, or is another file by now.
        """


class Shelf(Protocol):
    """Artifacts as clients know them: repositories with revisions and files.

    What is listed may still be on its way; every byte that is given has been checked against what
    its file is listed under. Each method gives a caller what `delivery/access.py` allows it.
    """

    async def find(self, repository: str, revision: str, caller: Caller) -> Shelved:
        """What a revision (branch, tag or commit) of a repository (`Shelved.repository`) is now.

        Raises:
            NotFoundError: it is neither here nor to be had (`delivery/access.py` says what).
            NotAllowedError: this caller may not read it, though it may know of it.
            OriginError: nobody who may have it can be asked now.
        """

    async def revisions(self, repository: str, caller: Caller) -> Sequence[Shelved]:
        """All revisions of a repository that are known here, the present `main` first.

        Raises:
            As `find`.
        """

    def repositories(self, caller: Caller) -> Sequence[str]:
        """Repositories that are known here, sorted."""

    def open(
        self, file: OriginFile, start: int, end: int
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes of a listed file from `start` up to `end`, in pieces, each once.

        A piece that has not arrived is waited for. Leaving the context early ends the work.

        Raises, on entering or on the way:
            DigestMismatchError: the bytes here are not those of the file any more.
            OriginError: they can't be had, or not now.
        """


E_contra = TypeVar("E_contra", contravariant=True)
F_co = TypeVar("F_co", covariant=True)


class Machine(Protocol[E_contra, F_co]):
    """Decides between awaits: events in, effects out; never touches the world."""

    def step(self, event: E_contra, now: Instant) -> Sequence[F_co]:
        """Take one event and say what to do. Depends on its arguments and past events only."""

    def deadline(self) -> Instant | None:
        """When the machine wants to hear of the time, if nothing else happens."""

    @property
    def done(self) -> bool:
        """No further event changes anything."""

    def check(self) -> None:
        """Assert every invariant of the machine."""
