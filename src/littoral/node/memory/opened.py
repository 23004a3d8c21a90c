"""One collection, as one caller may use it.

Rules
- What a caller's labels do not allow is not found, read, counted, changed or forgotten by it, and
  no write of its own takes the place of it. An operator's key is allowed everything.
- A collection in which nothing has labels costs nothing for them.
- A text is embedded with its header before it, by the collection's model, unless a vector came with
  it.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec

from littoral.memory.checking import check_search, check_writes
from littoral.memory.contextual import embedded_text
from littoral.memory.filters import both, check_filter, matches
from littoral.node.memory.embedding import Embedding
from littoral.node.memory.threads import Threads
from littoral.node.memory.turns import Turns
from littoral.terms.collections import Collection, Prompt
from littoral.terms.errors import BadRequestError, NotAllowedError
from littoral.terms.filters import LABELS, Allowed, Filter, Has, Ids, Not
from littoral.terms.ids import PopId
from littoral.terms.limits import FILTER_VALUES_MAX
from littoral.terms.memory import (
    Ability,
    Applied,
    Branch,
    CollectionSpec,
    Delete,
    DeleteWhere,
    Found,
    Fused,
    Like,
    Nearest,
    Page,
    Patch,
    Query,
    Record,
    Scan,
    Search,
    Upsert,
    Write,
)
from littoral.terms.values import Caller

__all__ = ["Kept", "Opened"]

T = TypeVar("T")

_PLAN: Final = ("only what this key may see was searched",)
"""What is told of how it was searched where that would count what the caller may not see."""


@dataclass(slots=True)
class Kept:
    """A collection of a driver, and what is known of it."""

    collection: Collection
    spec: CollectionSpec
    driver: str
    """Who keeps it."""
    abilities: frozenset[Ability]
    """What that one can do."""
    labelled: bool | None = None
    """Whether any record has had labels; None is not looked at yet."""
    turns: Turns = field(default_factory=Turns)
    """To write, where labels matter."""
    listeners: list[Callable[[Sequence[Write]], None]] = field(default_factory=list)
    """Hear of what was written, on the loop."""
    forward: Callable[[Sequence[Write]], Awaitable[Applied]] | None = None
    """Where it is a copy: has its home make the changes."""
    home: PopId | None = None
    """Where it is a copy: of whose."""
    said: Callable[[], str] | None = None
    """Where it is a copy: how old it may be, in words."""
    at_once: Callable[[Search], Found | None] | None = field(init=False, default=None)
    """Makes searches that are not worth a thread, where it can."""

    def __post_init__(self) -> None:
        if isinstance(self.collection, Prompt):
            self.at_once = self.collection.at_once


class Opened:
    """See `terms.collections.OpenCollection`."""

    def __init__(self, kept: Kept, caller: Caller, embedding: Embedding, threads: Threads) -> None:
        self._kept = kept
        self._caller = caller
        self._embedding = embedding
        self._threads = threads

    @property
    def spec(self) -> CollectionSpec:
        """What it is."""
        return self._kept.spec

    @property
    def home(self) -> PopId | None:
        """The PoP that it is a copy from; None where it is no copy."""
        return self._kept.home

    async def sees_all(self) -> bool:
        """Whether the caller may see whatever is there."""
        allowed, collection = await self._allowed(), self._kept.collection
        if allowed is None:
            return True
        hidden = Not(allowed)
        return await self._threads.run(lambda: collection.count(hidden)) == 0

    async def vector_of(self, record: Record) -> bytes | None:
        """What `apply` makes of its header and text; None where it makes nothing of them."""
        spec = self.spec
        if spec.embedding is None or not _embeds(spec) or not record.text.strip():
            return None
        (made,) = await self._embedding.vectors(
            spec.embedding, [embedded_text(record)], self._caller
        )
        return made

    async def apply(self, writes: Sequence[Write]) -> Applied:
        """Make these changes, texts embedded."""
        kept, caller = self._kept, self._caller
        if not (caller.operator or kept.spec.scope == caller.scope):
            raise NotAllowedError(
                f"{kept.spec.name} is the PoP's own, and this key only reads it",
                advice="write with an operator's key, or make a collection of your own",
            )
        check_writes(kept.spec, writes)
        if kept.forward is not None:
            return await kept.forward(writes)
        await self._limited(writes)  # who may not write it waits for no embedding
        writes = [await self._with_vectors(write) for write in writes]
        labels = any(record.labels for write in writes for record in _upserted(write))
        applied = await self._in_turn(writes, labels=labels)
        for listener in kept.listeners:
            listener(writes)
        return applied

    async def _in_turn(self, writes: Sequence[Write], *, labels: bool) -> Applied:
        """Make changes to what the caller may see, as it is when they are made."""
        kept = self._kept
        if self._caller.operator and not labels:
            return await self._threads.run(lambda: kept.collection.apply(writes))
        leave = await (kept.turns.alone() if labels else kept.turns.together())
        try:
            kept.labelled = labels or kept.labelled
            limited = await self._limited(writes)
        except BaseException:
            leave()
            raise
        return await self._threads.run_then(lambda: kept.collection.apply(limited), leave)

    async def search(self, search: Search) -> Found:
        """The best records that the caller may see."""
        check_search(self.spec, search)
        query = await self._spoken(search.query)
        kept, said = self._kept, self._kept.said

        async def ask(allowed: Filter | None) -> Found:
            where = both(search.where, allowed)
            wanted = msgspec.structs.replace(search, query=query, where=where)
            found = None if kept.at_once is None else kept.at_once(wanted)
            if found is None:
                found = await self._threads.run(lambda: kept.collection.search(wanted))
            return found if allowed is None else msgspec.structs.replace(found, plan=_PLAN)

        found = await self._seen(ask)
        if said is None:
            return found
        return msgspec.structs.replace(found, plan=(*found.plan, said()))

    async def fetch(self, ids: Sequence[str], *, with_vectors: bool = False) -> Sequence[Record]:
        """Those that are there and may be seen."""
        collection = self._kept.collection

        async def ask(allowed: Filter | None) -> Sequence[Record]:
            found = await self._threads.run(
                lambda: collection.fetch(ids, with_vectors=with_vectors)
            )
            return [record for record in found if matches(allowed, record)]

        return await self._seen(ask)

    async def scan(self, scan: Scan) -> Page:
        """Records that may be seen, in the order of their ids."""
        check_filter(scan.where)
        collection = self._kept.collection

        async def ask(allowed: Filter | None) -> Page:
            wanted = msgspec.structs.replace(scan, where=both(scan.where, allowed))
            return await self._threads.run(lambda: collection.scan(wanted))

        return await self._seen(ask)

    async def count(self, where: Filter | None = None) -> int:
        """How many may be seen."""
        check_filter(where)
        collection = self._kept.collection

        async def ask(allowed: Filter | None) -> int:
            wanted = both(where, allowed)
            return await self._threads.run(lambda: collection.count(wanted))

        return await self._seen(ask)

    async def _seen(self, ask: Callable[[Filter | None], Awaitable[T]]) -> T:
        """What is found within what the caller may see, though the first labels come meanwhile."""
        allowed = await self._allowed()
        found = await ask(allowed)
        if allowed is None and self._kept.labelled:
            allowed = await self._allowed()
            found = found if allowed is None else await ask(allowed)
        return found

    async def _allowed(self) -> Filter | None:
        """What the caller may see; None where that is everything."""
        kept = self._kept
        if self._caller.operator:
            return None
        if kept.labelled is None:
            labelled = Has(LABELS)
            found = await self._threads.run(lambda: kept.collection.count(labelled)) > 0
            if kept.labelled is None:  # else some have come meanwhile
                kept.labelled = found
        return Allowed(self._caller.labels) if kept.labelled else None

    async def _limited(self, writes: Sequence[Write]) -> Sequence[Write]:
        """The same writes, of what the caller may see alone."""
        allowed = await self._allowed()
        if allowed is None:
            return writes
        return [each for write in writes for each in await self._of_allowed(write, allowed)]

    async def _of_allowed(self, write: Write, allowed: Filter) -> Sequence[Write]:
        match write:
            case Upsert(records=records):
                ids = tuple(record.id for record in records)
                collection = self._kept.collection
                there = await self._threads.run(lambda: collection.fetch(ids))
                if not all(matches(allowed, record) for record in there):
                    raise NotAllowedError(
                        "a record of one of these ids is there, and this key may not see it",
                        advice="choose other ids, or write with a key that has its labels",
                    )
                return [write]
            case Delete(ids=ids):
                parts = range(0, len(ids), FILTER_VALUES_MAX)
                several = [Ids(ids[start : start + FILTER_VALUES_MAX]) for start in parts]
                return [DeleteWhere(_and(some, allowed)) for some in several]
            case DeleteWhere(where=where):
                return [DeleteWhere(_and(where, allowed))]
            case Patch(where=where):
                return [msgspec.structs.replace(write, where=_and(where, allowed))]

    async def _with_vectors(self, write: Write) -> Write:
        spec = self.spec
        if not isinstance(write, Upsert) or not _embeds(spec):
            return write
        bare = [
            place
            for place, record in enumerate(write.records)
            if "" not in record.vectors and record.text.strip()
        ]
        if not bare:
            return write
        assert spec.embedding is not None
        texts = [embedded_text(write.records[place]) for place in bare]
        vectors = await self._embedding.vectors(spec.embedding, texts, self._caller)
        records = list(write.records)
        for place, vector in zip(bare, vectors, strict=True):
            record = records[place]
            with_vector = {**record.vectors, "": vector}
            records[place] = msgspec.structs.replace(record, vectors=with_vector)
        made = Upsert(tuple(records))
        check_writes(spec, [made])
        return made

    async def _spoken(self, query: Query) -> Query:
        """The same query, its texts embedded."""
        match query:
            case Like(text=text, field=name):
                if not _embeds(self.spec) or name:
                    raise BadRequestError(
                        f"{self.spec.name} has no model that embeds texts",
                        advice="send a vector, or search by words",
                        param="query",
                    )
                assert self.spec.embedding is not None
                if not text.strip():
                    raise BadRequestError("the question is empty", param="query")
                model, caller = self.spec.embedding, self._caller
                (vector,) = await self._embedding.vectors(model, [text], caller)
                return Nearest(vector)
            case Fused(branches=branches, k=k):
                spoken = [
                    Branch(await self._spoken(branch.query), branch.limit, branch.where)
                    for branch in branches
                ]
                return Fused(tuple(spoken), k)
            case _:
                return query


def _upserted(write: Write) -> Sequence[Record]:
    return write.records if isinstance(write, Upsert) else ()


def _embeds(spec: CollectionSpec) -> bool:
    return spec.embedding is not None and any(not field.name for field in spec.vectors)


def _and(one: Filter, other: Filter) -> Filter:
    joined = both(one, other)
    assert joined is not None
    return joined
