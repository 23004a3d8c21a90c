"""What is owed to vector stores, done in the background: files become passages, what expires goes.

Rules
- One file at a time, the keys in turn: who puts in a thousand does not keep others waiting.
- A file is done for the key that put it in: by its limits, from its budget. A key that is no longer
  good gets nothing done; what operators have put into the PoP's own collections is done.
- What is in the way for a while (a busy machine, a limit) is waited for, with pauses, and the turn
  passes to others. What breaks is tried again some times; then the file has failed, and says why.
- It is done to the collection that it was asked for, and to no other that has its name by now.
- A crash loses nothing: what was owed is owed still, and passages that are there are not made anew.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from littoral.node.memory.rounds import in_rounds, until_owed
from littoral.node.memory.shelf import Shelf, acting_for, passages_of
from littoral.terms.collections import OpenCollection
from littoral.terms.errors import (
    BudgetExhaustedError,
    CallerError,
    DrainingError,
    LittoralError,
    LoadingError,
    NotFoundError,
    QueueFullError,
    RateLimitedError,
    UnknownModelError,
    UnsupportedError,
)
from littoral.terms.filters import All
from littoral.terms.ids import KeyId
from littoral.terms.limits import (
    FILING_PAUSE_S,
    FILING_PAUSE_S_MAX,
    FILING_TRIES_MAX,
    STORES_SWEEP_S,
)
from littoral.terms.memory import DeleteWhere, Patch
from littoral.terms.stores import (
    FileFault,
    FileState,
    StoreFile,
    document_of,
)
from littoral.terms.values import Caller

__all__ = ["Filing", "Take"]

log = logging.getLogger("littoral")

Take = Callable[[OpenCollection, StoreFile], Awaitable[int]]
"""Makes passages of a file and keeps them, instead of any that its document had; gives how many
bytes they take. Raises UnsupportedError for what is no kind of file that is read, another
CallerError for what can't be read, and what `OpenCollection.apply` raises."""

_MESSAGE_CHARS_MAX: Final = 500

_BUSY: Final = (
    RateLimitedError,
    BudgetExhaustedError,
    QueueFullError,
    LoadingError,
    DrainingError,
)
"""What passes by itself, however long it takes."""


class Filing:
    """Does what is owed, as long as the PoP runs."""

    def __init__(
        self,
        shelf: Shelf,
        take: Take,
        holder: Callable[[KeyId], Caller | None],
        sweep_uploads: Callable[[], Awaitable[None]],
        owed: asyncio.Event,
    ) -> None:
        """Do nothing yet.

        Args:
            shelf: finds stores.
            take: makes passages of a file.
            holder: who holds the key of this id, if it is still good.
            sweep_uploads: forgets files that clients sent for a time only.
            owed: set when there is something to do.
        """
        self._shelf = shelf
        self._book = shelf.book
        self._take = take
        self._holder = holder
        self._sweep_uploads = sweep_uploads
        self._owed = owed
        self._turns: dict[KeyId, int] = {}
        """When each key that owes had its last turn, counted in turns."""
        self._turn = 0
        self._next_sweep = 0.0
        self._paused: dict[KeyId, float] = {}
        """Until when nothing of a key is tried, by the loop's clock."""
        self._tries: dict[int, int] = {}
        """How often each file was in vain, by its number."""

    async def run(self) -> None:
        """Do what is owed, until cancelled. What fails here is logged, and tried again."""
        await in_rounds(self._turn_taken, "the work for vector stores")

    async def _turn_taken(self) -> None:
        """One file, or a while without any."""
        now = asyncio.get_running_loop().time()
        if now >= self._next_sweep:
            self._next_sweep = now + STORES_SWEEP_S
            await self._sweep()
        self._owed.clear()
        file = self._next(now)
        if file is not None:
            await self._do(file)
            return
        await until_owed(self._owed, min([self._next_sweep, *self._paused.values()]))

    def _next(self, now: float) -> StoreFile | None:
        """The file of the key whose last turn is longest ago."""
        owing = self._book.owing()
        self._turns = {key: self._turns.get(key, 0) for key in owing}
        self._paused = {
            key: until for key, until in self._paused.items() if until > now and key in self._turns
        }
        free = [key for key in owing if key not in self._paused]
        if not free:
            return None
        key = min(free, key=self._turns.__getitem__)
        self._turn += 1
        self._turns[key] = self._turn
        return self._book.waiting(key)

    async def _do(self, file: StoreFile) -> None:
        """One file; whatever becomes of it is said of it."""
        try:
            usage_bytes = await self._taken(file)
        except _BUSY as error:
            self._pause(file, error)
        except UnknownModelError as error:
            self._again(file, error)
        except CallerError as error:
            unsupported = isinstance(error, UnsupportedError)
            self._fail(file, FileFault.UNSUPPORTED if unsupported else FileFault.INVALID, error)
        except LittoralError as error:
            self._again(file, error)
        except Exception:
            log.exception("a file could not be put into a vector store")
            self._settle(file, FileState.FAILED, FileFault.SERVER, "this PoP met a defect")
        else:
            self._tries.pop(file.number, None)
            if not self._book.settle(file, FileState.COMPLETED, usage_bytes=usage_bytes):
                await self._undo(file)

    async def _taken(self, file: StoreFile) -> int:
        caller = self._holder(file.key_id)
        if caller is None and not file.scope:
            caller = acting_for(file.scope)
        if caller is None:
            raise NotFoundError("the key that put the file in is no longer good")
        collection = await self._shelf.of_scope(file.scope, file.store, caller)
        usage_bytes = await self._take(collection, file)
        now = self._book.file(file.scope, file.store, file.file_id)
        if now is not None and now.number == file.number and now.attributes != file.attributes:
            without = tuple(key for key in file.attributes if key not in now.attributes)
            where = passages_of(document_of(file.file_id, file.filename))
            patch = Patch(where=where, metadata=now.attributes, without=without)
            await collection.apply([patch])
        return usage_bytes

    async def _undo(self, file: StoreFile) -> None:
        """Nobody wants it any more; unless it was put in again, its passages go."""
        now = self._book.file(file.scope, file.store, file.file_id)
        if now is not None and now.state is not FileState.CANCELLED:
            return
        with suppress(LittoralError):
            caller = acting_for(file.scope)
            collection = await self._shelf.of_scope(file.scope, file.store, caller)
            await collection.apply(
                [DeleteWhere(passages_of(document_of(file.file_id, file.filename)))]
            )

    def _again(self, file: StoreFile, error: LittoralError) -> None:
        """Try again what broke; the model that is missing may be on its way."""
        self._tries[file.number] = self._tries.get(file.number, 0) + 1
        if self._tries[file.number] >= FILING_TRIES_MAX:
            self._fail(file, FileFault.SERVER, error)
        else:
            self._pause(file, error)

    def _pause(self, file: StoreFile, error: LittoralError) -> None:
        tries = self._tries.get(file.number, 0)
        pause = error.retry_after_s or FILING_PAUSE_S * 2 ** max(0, tries - 1)
        until = asyncio.get_running_loop().time() + min(pause, FILING_PAUSE_S_MAX)
        self._paused[file.key_id] = until

    def _fail(self, file: StoreFile, fault: FileFault, error: LittoralError) -> None:
        self._tries.pop(file.number, None)
        self._settle(file, FileState.FAILED, fault, str(error)[:_MESSAGE_CHARS_MAX])

    def _settle(self, file: StoreFile, state: FileState, fault: FileFault, message: str) -> None:
        self._book.settle(file, state, fault=fault, message=message)

    async def _sweep(self) -> None:
        """Forget what has expired. What fails is tried again with the next look."""
        try:
            await self._sweep_uploads()
            for store in self._book.all():
                if self._shelf.has_expired(store):
                    await self._emptied(store.scope, store.id)
        except LittoralError as error:
            log.warning("what has expired could not be forgotten: %s", error)

    async def _emptied(self, scope: str, store: str) -> None:
        try:
            collection = await self._shelf.of_scope(scope, store, acting_for(scope))
        except NotFoundError:
            self._book.drop(scope, store)
            return
        if await collection.count():
            await collection.apply([DeleteWhere(All(()))])
        if self._book.counts(scope, store).total:
            self._book.empty(scope, store)
