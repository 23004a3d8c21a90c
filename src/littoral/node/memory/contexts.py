"""Contexts of passages, written in the background; see `web.memory.contexts.ContextDesk`.

Rules
- One passage at a time in the whole PoP, the collections in turn, and never while clients use the
  model (`contextualising.py`).
- It is done for the key that asked: what that may see, by its limits, from its budget. A key that
  is no longer good gets nothing more done; what operators have asked for the PoP's own collections
  is done.
- What is in the way for a while (a limit, a busy machine) is waited for, with pauses. What breaks
  is tried again some times; then the work has failed, and says why.
- A crash loses nothing: that it is wanted is kept, and what is left follows from the passages.
- When no passage is left, it is done. Passages that come later wait until somebody asks again.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from littoral.adapters.stores import ContextBook
from littoral.node.memory.contextualising import Contextualising, chat_model, kept
from littoral.node.memory.house import House
from littoral.node.memory.opened import Opened
from littoral.node.memory.pending import Pending
from littoral.node.memory.rounds import in_rounds, until_owed
from littoral.node.memory.shelf import acting_for
from littoral.terms.contextual import ContextJob, ContextShown, ContextState, ContextWanted
from littoral.terms.errors import (
    BadRequestError,
    BudgetExhaustedError,
    CallerError,
    ConflictError,
    ContextLengthError,
    DrainingError,
    LittoralError,
    LoadingError,
    NotAllowedError,
    NotFoundError,
    QueueFullError,
    RateLimitedError,
    UnknownModelError,
)
from littoral.terms.ids import KeyId, model_name
from littoral.terms.limits import (
    CONTEXT_LOOK_S,
    CONTEXT_TURN_PASSAGES,
    FILING_PAUSE_S,
    FILING_PAUSE_S_MAX,
    FILING_TRIES_MAX,
)
from littoral.terms.ports import Door
from littoral.terms.values import Caller

__all__ = ["Contexts"]

log = logging.getLogger("littoral")

_MESSAGE_CHARS_MAX: Final = 500

_BUSY: Final = (
    RateLimitedError,
    BudgetExhaustedError,
    QueueFullError,
    LoadingError,
    DrainingError,
)
"""What passes by itself, however long it takes."""


@dataclass(slots=True)
class _Standing:
    """How one job stands, as long as this PoP runs."""

    way: Pending | None = None
    """On which it is; None is before a new one."""
    tries: int = 0
    """In vain, in a row."""
    until: float = 0.0
    """It pauses, by the loop's clock."""
    waits: str = ""
    turn: int = 0
    """When it had its last turn, counted in turns."""


class Contexts:
    """The contexts of all collections of a PoP."""

    def __init__(
        self,
        house: House,
        book: ContextBook,
        door: Door,
        holder: Callable[[KeyId], Caller | None],
    ) -> None:
        """Do nothing yet.

        Args:
            house: has the collections.
            book: keeps what is wanted.
            door: has the models.
            holder: who holds the key of this id, if it is still good.
        """
        self._house = house
        self._book = book
        self._door = door
        self._holder = holder
        self._contextualising = Contextualising(door)
        self._owed = asyncio.Event()
        self._standing: dict[int, _Standing] = {}
        self._turns = 0
        house.forgotten.append(book.drop)

    # --- asked for --------------------------------------------------------------------------------

    async def write_context(self, name: str, wanted: ContextWanted, caller: Caller) -> ContextShown:
        """Have a model place the passages that it has not placed yet."""
        opened = await self._writable(name, caller)
        if opened.home is not None:
            raise ConflictError(
                f"{name} is a copy", advice=f"have contexts written at its home, {opened.home}"
            )
        model = chat_model(self._door, model_name(wanted.model), caller).name
        scope = opened.spec.scope
        there = self._book.find(scope, name)
        if there is not None and there.state is ContextState.RUNNING:
            if there.model != model:
                raise ConflictError(
                    f"{there.model} is at it already",
                    advice=f"`littoral memory context {name} --stop` stops that",
                )
            return self._shown(name, there)
        job = ContextJob(scope=scope, collection=name, model=model, key_id=caller.key_id)
        self._book.begin(job)
        self._owed.set()
        return self._shown(name, self._book.find(scope, name))

    async def context(self, name: str, caller: Caller) -> ContextShown:
        """How far that is."""
        opened = await self._house.open(name, caller)
        shown = self._shown(name, self._book.find(opened.spec.scope, name))
        if await opened.sees_all():
            return shown
        return ContextShown(collection=name, state=shown.state, model=shown.model)

    async def stop_context(self, name: str, caller: Caller) -> ContextShown:
        """Go no further; what was written stays."""
        scope = (await self._writable(name, caller)).spec.scope
        job = self._book.find(scope, name)
        if job is not None:
            self._book.settle(job, ContextState.STOPPED)
            self._owed.set()
        return self._shown(name, self._book.find(scope, name))

    async def _writable(self, name: str, caller: Caller) -> Opened:
        opened = await self._house.open(name, caller)
        if not (caller.operator or opened.spec.scope == caller.scope):
            raise NotAllowedError(
                f"{name[:128]} is the PoP's own, and this key only reads it",
                advice="ask with an operator's key",
            )
        return opened

    def _shown(self, name: str, job: ContextJob | None) -> ContextShown:
        if job is None:
            return ContextShown(collection=name, state=ContextState.NONE)
        standing = self._standing.get(job.number) or _Standing()
        running = job.state is ContextState.RUNNING
        done = 0 if job.state is ContextState.DONE else None
        return ContextShown(
            collection=name,
            state=job.state,
            model=job.model,
            message=job.message,
            written=job.written,
            without=job.without,
            left=standing.way.left if running and standing.way is not None else done,
            waits=standing.waits if running else "",
        )

    # --- done -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Do what is owed, until cancelled. What fails here is logged, and tried again."""
        await in_rounds(self._round, "the writing of contexts")

    async def _round(self) -> None:
        """One turn of the collection whose last is longest ago, or a while without any."""
        self._owed.clear()
        jobs = self._book.running()
        self._standing = {job.number: self._standing.get(job.number, _Standing()) for job in jobs}
        now = asyncio.get_running_loop().time()
        free = [job for job in jobs if self._standing[job.number].until <= now]
        if free:
            job = min(free, key=lambda each: self._standing[each.number].turn)
            self._turns += 1
            self._standing[job.number].turn = self._turns
            await self._turn(job, self._standing[job.number])
            return
        until = min((each.until for each in self._standing.values()), default=None)
        await until_owed(self._owed, until)

    async def _turn(self, job: ContextJob, standing: _Standing) -> None:
        """Some passages; whatever becomes of it is said of it."""
        try:
            for _ in range(CONTEXT_TURN_PASSAGES):
                if not self._book.wanted(job):
                    return
                standing.waits = ""
                if self._contextualising.busy(job.model):
                    self._rest(standing, CONTEXT_LOOK_S, "clients use the model")
                    return
                if not await self._one(job, standing):
                    return
        except _BUSY as error:
            self._rest(standing, error.retry_after_s or FILING_PAUSE_S, error.message)
        except UnknownModelError as error:
            self._again(job, standing, error)
        except CallerError as error:
            self._fail(job, error)
        except LittoralError as error:
            self._again(job, standing, error)
        except Exception:
            log.exception("a passage could not be placed")
            self._book.settle(job, ContextState.FAILED, "this PoP met a defect")

    async def _one(self, job: ContextJob, standing: _Standing) -> bool:
        """One passage; False where there is nothing more to do now."""
        caller = self._acting(job)
        collection = await self._house.open(job.collection, caller)
        if collection.spec.scope != job.scope:
            raise NotFoundError("the collection is gone, and another has its name")
        way = standing.way
        if way is None:
            way = Pending(collection, job.model)
            await way.count()
            standing.way = way
        way.collection = collection
        placed = await way.next()
        if placed is None:
            await self._come_to_the_end(job, standing, way)
            return False
        try:
            text = await self._contextualising.written(placed, job.model, caller)
            if text is None:
                self._rest(standing, CONTEXT_LOOK_S, "clients use the model")
                return False
            if not self._book.wanted(job):
                return False
            done = await kept(collection, placed.passage, text, job.model)
        except (BadRequestError, ContextLengthError) as error:
            way.done(kept=False)  # this passage can't be placed; perhaps others can
            self._again(job, standing, error)
            return False
        way.done(kept=done)
        standing.tries = 0
        if done:
            self._book.count(job, written=bool(text), without=not text)
        return True

    async def _come_to_the_end(self, job: ContextJob, standing: _Standing, way: Pending) -> None:
        """Look whether passages have come meanwhile; if so, go once more."""
        again = Pending(way.collection, job.model)
        left = await again.count()
        standing.way = again
        if not left:
            self._book.settle(job, ContextState.DONE)
        elif not way.changed:
            self._book.settle(
                job, ContextState.FAILED, f"{left} passages change, or can't be written"
            )

    def _acting(self, job: ContextJob) -> Caller:
        caller = self._holder(job.key_id)
        if caller is None and not job.scope:
            caller = acting_for(job.scope)
        if caller is None:
            raise NotFoundError("the key that has asked for it is no longer good")
        return caller

    def _again(self, job: ContextJob, standing: _Standing, error: LittoralError) -> None:
        """Try again what broke; the model that is missing may be on its way."""
        standing.tries += 1
        if standing.tries >= FILING_TRIES_MAX:
            self._fail(job, error)
        else:
            pause = error.retry_after_s or FILING_PAUSE_S * 2 ** (standing.tries - 1)
            self._rest(standing, pause, error.message)

    def _rest(self, standing: _Standing, pause_s: float, waits: str) -> None:
        now = asyncio.get_running_loop().time()
        standing.until = now + min(pause_s, FILING_PAUSE_S_MAX)
        standing.waits = waits[:_MESSAGE_CHARS_MAX]

    def _fail(self, job: ContextJob, error: LittoralError) -> None:
        self._book.settle(job, ContextState.FAILED, str(error)[:_MESSAGE_CHARS_MAX])
