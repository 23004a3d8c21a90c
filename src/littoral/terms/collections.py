"""The ports of memory: what keeps collections, and how the rest of a PoP uses them."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from littoral.terms.filters import (
    Filter,
)
from littoral.terms.memory import (
    Ability,
    Applied,
    CollectionShown,
    CollectionSpec,
    Found,
    Page,
    Recall,
    Recalled,
    Record,
    Scan,
    Search,
    Write,
)
from littoral.terms.replicas import Changes, Followed
from littoral.terms.values import Caller

__all__ = ["Collection", "Collections", "Memory", "OpenCollection", "Prompt", "Replicated"]


class Collection(Protocol):
    """One collection of a driver. Blocks; called on threads, from any number of them at once.

    Each method sees every change that was applied before it was called (read your writes).
    All raise `StoreError` or `DiskShortError` where the store fails, `UpstreamFailedError` where a
    server does, and `BadRequestError` for values that the collection can't take: then nothing of
    the call was done.
    """

    def apply(self, writes: Sequence[Write]) -> Applied:
        """Make these changes, in this order, all or none. They are kept when this returns.

        A driver without `Ability.PATCH` makes them one after the other; each is whole.
        """

    def search(self, search: Search) -> Found:
        """The best records, best first; of equal scores the lower id first.

        Raises:
            UnsupportedError: the driver lacks an ability that the search needs.
        """

    def fetch(self, ids: Sequence[str], *, with_vectors: bool = False) -> Sequence[Record]:
        """Those that are there, in the order asked for."""

    def scan(self, scan: Scan) -> Page:
        """Records in the order of their ids."""

    def count(self, where: Filter | None = None) -> int:
        """How many there are, or how many match."""


class Collections(Protocol):
    """A driver: where collections are kept. Blocks; called on threads."""

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it can do of what not every driver can."""

    def create(self, spec: CollectionSpec) -> None:
        """Make a collection. Raises ConflictError if there is one of this name and scope."""

    def drop(self, name: str, scope: str = "") -> None:
        """Forget a collection and all in it. Raises NotFoundError."""

    def open(self, name: str, scope: str = "") -> Collection:
        """The collection; the same object each time. Raises NotFoundError."""

    def describe(self) -> Sequence[CollectionShown]:
        """All there are, by scope and name."""

    def close(self) -> None:
        """Let go of everything."""


@runtime_checkable
class Prompt(Collection, Protocol):
    """A collection that answers some searches where it is asked: a thread would cost them more."""

    def at_once(self, search: Search) -> Found | None:
        """What `search` gives, if it takes little and needs no disk; else None. Never blocks."""


@runtime_checkable
class Replicated(Collection, Protocol):
    """A collection that others can follow, and that can follow another. Blocks, too."""

    @property
    def spec(self) -> CollectionSpec:
        """What it is."""

    def changes(self, after: int, bytes_max: int, *, begun: int = 0, era: str = "") -> Changes:
        """What changed after a change; all from the beginning where that is not known any more.

        Args:
            after: the last change that whoever asks has; 0 is none.
            bytes_max: about as much is given, and at least one record.
            begun: whoever asks is taking all, and this was the last change when it began; else 0.
            era: in which it counts changes; of another one, all is given from the beginning.
        """

    def follow(self, changes: Changes, incarnation: str) -> Followed:
        """Take in the changes of another collection, all or none, and say how far this has come.

        Raises:
            ConflictError: they are not the next ones for this copy.
        """

    def followed(self) -> Followed:
        """How far this copy has come."""


class OpenCollection(Protocol):
    """A collection as one caller may use it: only what its labels allow, texts embedded.

    All raise as `Collection` does, NotAllowedError where the caller may only read, and, where a
    text is to be embedded, what `Door.answer` raises.
    """

    @property
    def spec(self) -> CollectionSpec:
        """What it is."""

    async def apply(self, writes: Sequence[Write]) -> Applied:
        """See `Collection`; records with a text and no vector of the field "" are embedded."""

    async def search(self, search: Search) -> Found:
        """See `Collection`; `Like` may stand in the query."""

    async def fetch(self, ids: Sequence[str], *, with_vectors: bool = False) -> Sequence[Record]:
        """See `Collection`."""

    async def scan(self, scan: Scan) -> Page:
        """See `Collection`."""

    async def count(self, where: Filter | None = None) -> int:
        """See `Collection`."""


class Memory(Protocol):
    """The collections of a PoP: who may use which, whatever driver keeps them.

    A name means the caller's own collection of this name, else the PoP's. An operator's key makes
    collections of the PoP, which all keys read and operators write; any other key makes its own.
    """

    async def collections(self, caller: Caller) -> Sequence[CollectionShown]:
        """Those that the caller may read, by name."""

    async def create(self, spec: CollectionSpec, caller: Caller) -> CollectionShown:
        """Make one; its scope is set by who calls. Raises ConflictError, BadRequestError."""

    async def drop(self, name: str, caller: Caller) -> None:
        """Forget one. Raises NotFoundError, NotAllowedError."""

    async def open(self, name: str, caller: Caller) -> OpenCollection:
        """One of them. Raises NotFoundError."""

    async def recall(self, name: str, recall: Recall, caller: Caller) -> Recalled:
        """Passages that answer a question."""
