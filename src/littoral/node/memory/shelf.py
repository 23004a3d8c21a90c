"""Vector stores found for a caller: the collection, and what is known of it as a store.

A collection that was made elsewhere is a store of which nothing more is known. What is known of a
store whose collection is gone is forgotten with it, or when that is noticed.
"""

import msgspec

from littoral.adapters.stores import Kept
from littoral.terms.collections import Memory, OpenCollection
from littoral.terms.errors import BadRequestError, NotAllowedError, NotFoundError
from littoral.terms.filters import DOCUMENT, Is
from littoral.terms.ids import KeyId
from littoral.terms.ports import Clock
from littoral.terms.stores import Store
from littoral.terms.values import SECOND, Caller

__all__ = ["Shelf", "acting_for", "passages_of"]

_ACTIVE_STEP_S = 60
"""When a store was used is kept to the minute: a write a minute, not one a search."""


def passages_of(document: str) -> Is:
    """The passages of a document."""
    return Is(DOCUMENT, (document,))


def acting_for(scope: str) -> Caller:
    """Who tidies up among the collections of a scope."""
    kind, _, name = scope.partition(":")
    return Caller(
        key_id=KeyId(name if kind == "key" else ""),
        name="this PoP",
        operator=True,
        tenant=name if kind == "tenant" else "",
    )


class Shelf:
    """All stores, as each caller may see them."""

    def __init__(self, memory: Memory, kept: Kept, clock: Clock) -> None:
        self.memory = memory
        self.book = kept.stores
        self._clock = clock

    def unix_s(self) -> int:
        """The present."""
        return self._clock.unix_ns() // SECOND

    def new_id(self, prefix: str) -> str:
        """A name that nothing has yet."""
        return f"{prefix}{self._clock.random_bytes(12).hex()}"

    async def open(self, store: str, caller: Caller) -> tuple[OpenCollection, Store]:
        """A store to be read.

        Raises:
            NotFoundError: there is none of this name for the caller.
        """
        try:
            collection = await self.memory.open(store, caller)
        except NotFoundError:
            raise NotFoundError(
                f"there is no vector store {store[:128]!r}",
                advice="GET /v1/vector_stores lists them",
            ) from None
        return collection, self.known(collection.spec.scope, store)

    async def of_scope(self, scope: str, store: str, caller: Caller) -> OpenCollection:
        """A store of just this scope, for what is done in the background.

        A name that is free in its own scope means the PoP's collection: what was left to be done
        for the one must never be done to the other.

        Raises:
            NotFoundError: there is none of this scope any more.
        """
        collection = await self.memory.open(store, caller)
        if collection.spec.scope != scope:
            raise NotFoundError(f"the vector store {store[:128]!r} is gone")
        return collection

    async def writable(self, store: str, caller: Caller) -> tuple[OpenCollection, Store]:
        """A store to be changed.

        Raises:
            NotAllowedError: the caller may only read it.
        """
        collection, known = await self.open(store, caller)
        if not (caller.operator or known.scope == caller.scope):
            raise NotAllowedError(
                f"{store} is the PoP's own, and this key only reads it",
                advice="use an operator's key, or make a vector store of your own",
            )
        return collection, known

    def known(self, scope: str, store: str) -> Store:
        """What is known of a store."""
        found = self.book.find(scope, store)
        if found is not None:
            return found
        return Store(id=store, scope=scope, created_unix_s=0, active_unix_s=0, title=store)

    def has_expired(self, store: Store) -> bool:
        """Whether its time is over."""
        expires = store.expires_unix_s
        return expires is not None and expires <= self.unix_s()

    def refuse_expired(self, store: Store) -> None:
        """See that a store may still be used.

        Raises:
            BadRequestError: it has expired.
        """
        if self.has_expired(store):
            raise BadRequestError(
                f"the vector store {store.id} has expired, and what was in it is gone",
                advice="make another, or give this one another `expires_after` and its files anew",
            )

    def used(self, store: Store) -> None:
        """Note that a store was used: from now on it is kept as long as is wanted."""
        now = self.unix_s()
        if store.created_unix_s and now - store.active_unix_s >= _ACTIVE_STEP_S:
            self.book.put(msgspec.structs.replace(store, active_unix_s=now))
