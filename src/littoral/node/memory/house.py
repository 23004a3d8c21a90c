"""The collections of a PoP; see `terms.collections.Memory`.

Rules
- The PoP's own collections (of no scope) are read by every key and written by operators. A
  collection that another key makes is of that key's scope: nobody else sees it, but operators do.
- A request that another PoP has passed on uses no collection here: they are for this PoP's keys.
- Each driver's blocking work is done on threads; here nothing blocks.
- A server's collections may get labels by another PoP at any time, so they are looked for always.
- A server that is away takes with it the collections that it keeps, and the making of others: it
  may have one of the same name.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import msgspec

from littoral.adapters.memory.opening import EMBEDDED
from littoral.memory.checking import check_spec
from littoral.node.memory.embedding import Embedding
from littoral.node.memory.following import Following
from littoral.node.memory.opened import Kept, Opened
from littoral.node.memory.recalling import recalled
from littoral.node.memory.threads import Threads
from littoral.terms.collections import Collections
from littoral.terms.errors import (
    BadRequestError,
    ConfigError,
    ConflictError,
    LittoralError,
    NotAllowedError,
    NotFoundError,
    PeerError,
)
from littoral.terms.ids import KeyId, ModelName, PopId
from littoral.terms.limits import COLLECTIONS_MAX
from littoral.terms.memory import (
    Ability,
    CollectionShown,
    CollectionSpec,
    Metric,
    Recall,
    Recalled,
    VectorField,
)
from littoral.terms.ports import Door
from littoral.terms.reranking import Reranker
from littoral.terms.values import Caller

__all__ = ["House"]

log = logging.getLogger("littoral")

_POPS_OWN: Final = ""

_OPERATOR: Final = Caller(KeyId(""), "a replica's operator", operator=True)
"""Who passes on a write from another PoP of the owner."""

_Key = tuple[str, str]
"""Scope and name."""


class House:
    """All collections, whichever driver keeps them."""

    def __init__(
        self,
        drivers: Mapping[str, Collections],
        door: Door,
        *,
        made_by: str,
        hidden: Collection[tuple[str, str, str]] = frozenset(),
        embedding: ModelName | None = None,
    ) -> None:
        """Look at nothing yet.

        Args:
            drivers: by their names.
            door: embeds texts.
            made_by: the driver that makes new collections.
            hidden: driver, scope and name of what is there and is not to be seen (`moving.hidden`).
            embedding: every key may make collections with this model.
        """
        assert made_by in drivers
        self._drivers = drivers
        self._made_by = made_by
        self._hidden = hidden
        self._for_all = embedding
        self._embedding = Embedding(door)
        self.threads = Threads()
        self.reranker: Reranker | None = None
        """Sorts what was found, where that is asked for."""
        self.forgotten: list[Callable[[str, str], None]] = []
        """Hear of all that are forgotten, by scope and name; at the latest when it is made anew."""
        self.following: Following | None = None
        """The copies of other PoPs' collections; None where there can't be any."""
        self._looking = asyncio.Lock()
        self._where: dict[_Key, CollectionShown] | None = None
        self._kept: dict[_Key, Kept] = {}
        self._silent: LittoralError | None = None
        """Why a server did not say what it keeps, when it was asked last."""

    async def collections(self, caller: Caller) -> Sequence[CollectionShown]:
        """Those that the caller may read, by name."""
        _refuse_guests(caller)
        shown = [each for each in await self._shown() if _reads(caller, each.spec.scope)]
        if not shown:
            self._refuse_in_doubt()
        own = {each.spec.name for each in shown if not each.spec.scope}
        copies = () if self.following is None else await self.following.shown()
        shown += [each for each in copies if each.spec.name not in own]
        if not caller.operator:
            seen = [await self._as_seen(each, caller) for each in shown]
            shown = [each for each in seen if each is not None]
        return sorted(shown, key=lambda each: (each.spec.name, each.spec.scope))

    async def create(self, spec: CollectionSpec, caller: Caller) -> CollectionShown:
        """Make one, of the caller's scope."""
        _refuse_guests(caller)
        scope = _POPS_OWN if caller.operator else caller.scope
        spec = msgspec.structs.replace(spec, scope=scope)
        check_spec(spec)
        self._check_model(spec.embedding, caller)
        spec = await self._with_vectors(spec, caller)
        known = await self._known(again=self._in_doubt())
        self._refuse_in_doubt()
        if (scope, spec.name) in known:
            raise ConflictError(
                f"there is a collection named {spec.name!r} already",
                advice="choose another name, or drop that one first",
            )
        if len(known) >= COLLECTIONS_MAX:
            raise ConflictError(
                f"there are {COLLECTIONS_MAX} collections, the most that a PoP keeps",
                advice="drop one that is no longer used",
            )
        driver = self._drivers[self._made_by]
        await self.threads.run(lambda: driver.create(spec))
        self._tell_forgotten(scope, spec.name)  # a kill may have come between its end and the word
        shown = CollectionShown(spec=spec, driver=self._made_by, records=0)
        known[scope, spec.name] = shown
        self._kept.pop((scope, spec.name), None)  # of one that was dropped while somebody opened it
        return shown

    async def drop(self, name: str, caller: Caller) -> None:
        """Forget one."""
        kept = await self._find(name, caller)
        if kept.home is not None:
            raise NotAllowedError(
                f"{name} is a copy", advice=f"drop it at its home, {kept.home}, or stop offering it"
            )
        scope = kept.spec.scope
        if not (caller.operator or scope == caller.scope):
            raise NotAllowedError(
                f"{kept.spec.name} is the PoP's own", advice="drop it with an operator's key"
            )
        keeper = self._drivers[kept.driver]
        await self.threads.run(lambda: keeper.drop(name, scope))
        (await self._known()).pop((scope, name), None)
        self._kept.pop((scope, name), None)
        self._tell_forgotten(scope, name)

    def _tell_forgotten(self, scope: str, name: str) -> None:
        for forget in self.forgotten:
            forget(scope, name)

    async def open(self, name: str, caller: Caller) -> Opened:
        """One of them."""
        kept = await self._find(name, caller)
        return Opened(kept, caller, self._embedding, self.threads)

    async def recall(self, name: str, recall: Recall, caller: Caller) -> Recalled:
        """Passages that answer a question."""
        kept = await self._find(name, caller)
        collection = Opened(kept, caller, self._embedding, self.threads)
        by_words, reranker = Ability.WORDS in kept.abilities, self.reranker
        return await recalled(
            collection, recall, by_words=by_words, reranker=reranker, caller=caller
        )

    async def pops_own(self, name: str) -> Kept:
        """A collection of the PoP's own, that is made and changed here. Raises NotFoundError."""
        known = await self._known()
        key = _POPS_OWN, name
        if key not in known:
            raise _not_found(name)
        return await self._opened(key, known[key])

    def as_operator(self, kept: Kept) -> Opened:
        """A collection as operators of this PoP use it."""
        return Opened(kept, _OPERATOR, self._embedding, self.threads)

    def close(self) -> None:
        """Let go of everything, once what is under way has ended."""
        self.threads.close()
        for driver in self._drivers.values():
            driver.close()

    async def _find(self, name: str, caller: Caller) -> Kept:
        """The caller's own collection of this name, else the PoP's."""
        _refuse_guests(caller)
        known = await self._known()
        for key in ((caller.scope, name), (_POPS_OWN, name)):
            if key in known:
                return await self._opened(key, known[key])
        copy = None if self.following is None else self.following.find(name)
        if copy is not None:
            return copy
        if not self._in_doubt():
            raise _not_found(name)
        await self._known(again=True)
        self._refuse_in_doubt()
        return await self._find(name, caller)

    async def _known(self, *, again: bool = False) -> dict[_Key, CollectionShown]:
        """Where each collection is: looked up once, and kept true by whoever makes or drops one.

        Args:
            again: look anew, since a server has not said what it keeps (`_silent`).
        """
        async with self._looking:
            if self._where is None or again:
                shown = await self._shown()
                self._where = {(each.spec.scope, each.spec.name): each for each in shown}
            return self._where

    async def _opened(self, key: _Key, shown: CollectionShown) -> Kept:
        kept = self._kept.get(key)
        if kept is None:
            scope, name = key
            driver = self._drivers[shown.driver]
            collection = await self.threads.run(lambda: driver.open(name, scope))
            labelled = None if shown.driver == EMBEDDED else True
            kept = self._kept.setdefault(
                key, Kept(collection, shown.spec, shown.driver, driver.abilities, labelled)
            )
        return kept

    async def _as_seen(self, shown: CollectionShown, caller: Caller) -> CollectionShown | None:
        """The same, without what would count what the caller may not see; None is of no use."""
        key = shown.spec.scope, shown.spec.name
        try:
            if shown.home and self.following is not None:
                kept = self.following.of(shown.spec.name, PopId(shown.home))
            else:
                kept = await self._opened(key, shown)
            opened = Opened(kept, caller, self._embedding, self.threads)
            if await opened.sees_all():
                return shown
            records = await opened.count()
        except NotFoundError:
            return None  # gone, or so damaged that nobody knows whose it is
        except LittoralError:
            records = 0  # why it can't be read is for operators to know
        return msgspec.structs.replace(shown, records=records, disk_bytes=None, index="")

    def _in_doubt(self) -> bool:
        """Whether there may be collections that nobody here knows of."""
        return self._silent is not None

    def _refuse_in_doubt(self) -> None:
        if self._silent is not None:
            raise self._silent

    async def _shown(self) -> Sequence[CollectionShown]:
        """Of all drivers that say what they keep: a server that is away takes no other with it."""
        found: list[CollectionShown] = []
        silent: LittoralError | None = None
        for name, driver in self._drivers.items():
            try:
                shown = await self.threads.run(driver.describe)
            except (PeerError, ConfigError) as error:
                log.warning("%s does not say which collections it keeps: %s", name, error)
                silent = error
                continue
            found += (
                msgspec.structs.replace(each, driver=name)
                for each in shown
                if (name, each.spec.scope, each.spec.name) not in self._hidden
            )
        self._silent = silent
        return sorted(found, key=lambda each: (each.spec.name, each.spec.scope))

    def _check_model(self, model: ModelName | None, caller: Caller) -> None:
        """See that who makes a collection may use its model; whoever may read it may, then."""
        if model is None or model == self._for_all:
            return
        if caller.models is not None and model not in caller.models:
            there = [*filter(None, (self._for_all,)), *caller.models]
            raise NotAllowedError(
                f"this key may not use {model}",
                advice=f"it may make collections with {', '.join(there) or 'no model'}",
                param="embedding",
            )

    async def _with_vectors(self, spec: CollectionSpec, caller: Caller) -> CollectionSpec:
        """The spec with the vectors that its model makes."""
        if spec.embedding is None:
            return spec
        dimensions = await self._embedding.dimensions(spec.embedding, caller)
        own = next((field for field in spec.vectors if not field.name), None)
        if own is None:
            field = VectorField(dimensions, Metric.COSINE)
            return msgspec.structs.replace(spec, vectors=(field, *spec.vectors))
        if own.dimensions != dimensions:
            raise BadRequestError(
                f"{spec.embedding} makes vectors of {dimensions} dimensions, "
                f"and the collection would keep {own.dimensions}",
                advice="leave the vectors out, or name the model that makes them",
                param="vectors",
            )
        return spec


def _not_found(name: str) -> NotFoundError:
    return NotFoundError(
        f"there is no collection named {name[:128]!r}",
        advice="`littoral memory list` shows them; `littoral memory add NAME FILES` makes one",
    )


def _reads(caller: Caller, scope: str) -> bool:
    return caller.operator or scope in {_POPS_OWN, caller.scope}


def _refuse_guests(caller: Caller) -> None:
    if caller.hop is not None:
        raise NotAllowedError(
            "collections are for the keys of the PoP that keeps them",
            advice="ask that PoP with a key of its own",
        )
