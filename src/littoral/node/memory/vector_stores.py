"""Vector stores: made, shown, changed and dropped; see `web.stores.desk.StoreDesk`."""

from typing import Final

import msgspec

from littoral.node.memory.putting import Putting
from littoral.node.memory.shelf import Shelf
from littoral.terms.errors import BadRequestError
from littoral.terms.ids import ModelName, model_name
from littoral.terms.memory import CollectionShown, CollectionSpec
from littoral.terms.stores import Counts, Paging, Part, Store, StoreChange, StoreShown, StoreWanted
from littoral.terms.values import Caller

__all__ = ["VectorStores"]

_ABOUT_CHARS_MAX: Final = 1_000


class VectorStores:
    """The collections of a PoP, as vector stores."""

    def __init__(self, shelf: Shelf, putting: Putting, embedding: ModelName) -> None:
        """Look at nothing yet.

        Args:
            shelf: finds them.
            putting: puts files into them.
            embedding: the model that makes vectors where nobody names another.
        """
        self._shelf = shelf
        self._putting = putting
        self._embedding = embedding

    async def create(self, wanted: StoreWanted, caller: Caller) -> StoreShown:
        """Make one, and put files into it."""
        self._putting.check(wanted.files, caller)
        shelf = self._shelf
        name, now = shelf.new_id("vs_"), shelf.unix_s()
        spec = CollectionSpec(
            name=name,
            embedding=model_name(wanted.embedding) if wanted.embedding else self._embedding,
            about=(wanted.description or wanted.title)[:_ABOUT_CHARS_MAX],
        )
        made = await shelf.memory.create(spec, caller)
        store = Store(
            id=name,
            scope=made.spec.scope,
            created_unix_s=now,
            active_unix_s=now,
            title=wanted.title,
            description=wanted.description,
            metadata=wanted.metadata,
            expires_after_days=wanted.expires_after_days,
        )
        shelf.book.put(store)
        if wanted.files:
            self._putting.put(store, wanted.files, caller)
        return self._shown(store)

    async def stores(self, paging: Paging, caller: Caller) -> Part[StoreShown]:
        """Some of those that the caller may read; those made elsewhere are the oldest."""
        seen: dict[str, CollectionShown] = {}
        for each in await self._shelf.memory.collections(caller):
            spec = each.spec
            if spec.scope in {"", caller.scope} and (spec.name not in seen or spec.scope):
                seen[spec.name] = each
        known = [self._shelf.known(each.spec.scope, name) for name, each in seen.items()]
        known.sort(key=lambda store: (store.created_unix_s, store.id), reverse=paging.descending)
        part = _part(known, paging)
        rows = tuple(self._shown(store, seen[store.id].disk_bytes or 0) for store in part.rows)
        return Part(rows, part.more)

    async def store(self, store: str, caller: Caller) -> StoreShown:
        """One of them."""
        _, known = await self._shelf.open(store, caller)
        return self._shown(known)

    async def change(self, store: str, change: StoreChange, caller: Caller) -> StoreShown:
        """Let something be different about one."""
        shelf = self._shelf
        _, known = await shelf.writable(store, caller)
        now = shelf.unix_s()
        expiry = change.expires_after_days
        changed = msgspec.structs.replace(
            known,
            created_unix_s=known.created_unix_s or now,
            active_unix_s=now,
            title=known.title if change.title is None else change.title,
            metadata=known.metadata if change.metadata is None else change.metadata,
            expires_after_days=known.expires_after_days if expiry is msgspec.UNSET else expiry,
        )
        shelf.book.put(changed)
        return self._shown(changed)

    async def drop(self, store: str, caller: Caller) -> None:
        """Forget one, and all in it."""
        _, known = await self._shelf.writable(store, caller)
        await self._shelf.memory.drop(store, caller)
        self._shelf.book.drop(known.scope, store)

    def _shown(self, store: Store, disk_bytes: int = 0) -> StoreShown:
        counts: Counts = self._shelf.book.counts(store.scope, store.id)
        return StoreShown(
            store=store,
            counts=counts,
            usage_bytes=counts.usage_bytes or disk_bytes,
            expired=self._shelf.has_expired(store),
        )


def _part(stores: list[Store], paging: Paging) -> Part[Store]:
    """A part of a list that is here whole."""
    ids = [store.id for store in stores]

    def place(name: str, cursor: str) -> int:
        if cursor not in ids:
            raise BadRequestError(f"the list has no {cursor[:80]!r}", param=name)
        return ids.index(cursor)

    start = place("after", paging.after) + 1 if paging.after else 0
    end = place("before", paging.before) if paging.before else len(stores)
    if paging.before and not paging.after:
        first = max(start, end - paging.limit)
        return Part(tuple(stores[first:end]), first > start)
    last = min(end, start + paging.limit)
    return Part(tuple(stores[start:last]), last < end)
