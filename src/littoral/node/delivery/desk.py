"""The mover's work, as it is asked for: pulls begun, looked at and ended; the store; the fleet.

Rules
- One pull of a reference at a time: who asks for it again joins the one under way.
- Pulls that ended are remembered for those who ask, the last PULLS_KEPT of them.
- A pull that has ended goes on being a source under every name that others know it by.
"""

import asyncio
import logging
import shutil
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from typing import Final

from littoral.adapters.artifacts import Row
from littoral.node.delivery.finding import mark_of
from littoral.node.delivery.group import Group
from littoral.node.delivery.library import Library
from littoral.node.delivery.others import Others, group_of
from littoral.node.delivery.parts import Parts
from littoral.node.delivery.pulling import Pull
from littoral.node.delivery.words import ArrivingSaid, PullEnd
from littoral.routing.fleet import Delivery
from littoral.terms.delivery import (
    ArtifactRow,
    Freed,
    ListedFile,
    ListingShown,
    ListingWanted,
    PinWanted,
    PlanShown,
    PullShown,
    PullsShown,
    PullWanted,
    StoreShown,
    Verified,
)
from littoral.terms.errors import LittoralError, NotFoundError, QueueFullError
from littoral.terms.ids import ArtifactId
from littoral.terms.limits import (
    DELIVERIES_SAID_MAX,
    GROUPS_KEPT_S,
    PULLS_KEPT,
    PULLS_MAX,
    SCRUB_PAUSE_S,
    STORE_BYTES_MAX,
)

__all__ = ["Desk"]

log = logging.getLogger("littoral")


_SCRUB_BYTES: Final = 64 * 1024 * 1024
"""Looked at in one step."""


class Desk:
    """See web.delivery.DeliveryDesk."""

    def __init__(
        self,
        parts: Parts,
        library: Library,
        tasks: asyncio.TaskGroup,
        changed: Callable[[], None],
    ) -> None:
        """Nothing is pulled yet.

        Args:
            parts: what pulls stand on.
            library: gives what is here to others.
            tasks: own pulls.
            changed: called when there is something else to say to others.
        """
        self._parts = parts
        self._library = library
        self._tasks = tasks
        self.changed: Final = changed
        """Others are to be told anew."""
        self._pulls: dict[str, Pull] = {}
        """By id, the oldest first; those that ended among them."""
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ends = 0
        self._ended: deque[PullEnd] = deque(maxlen=PULLS_KEPT)

    # --- pulls ----------------------------------------------------------------------------------

    async def pull(self, wanted: PullWanted) -> PullShown:
        """Begin a pull, or join the one that is under way."""
        for name in self._running:
            if self._pulls[name].wanted.reference == wanted.reference:
                return self._pulls[name].shown()
        if len(self._running) >= PULLS_MAX:
            raise QueueFullError(
                f"{PULLS_MAX} pulls are under way", advice="wait until one ends, or cancel one"
            )
        name = self._parts.around.clock.random_bytes(4).hex()
        pull = self._pulls[name] = Pull(self._parts, name, wanted, self._begun)
        self._running[name] = self._tasks.create_task(self._run(name, pull))
        self._forget()
        return pull.shown()

    async def pulls(self) -> PullsShown:
        """All that are under way, and the last that ended."""
        return PullsShown(tuple(each.shown() for each in self._pulls.values()))

    async def pulled(self, name: str) -> PullShown:
        """One pull, as it is now."""
        return self._known(name).shown()

    async def cancel(self, name: str) -> PullShown:
        """End a pull; what has come is kept for the next."""
        pull = self._known(name)
        task = self._running.get(name)
        if task is not None:
            await asyncio.sleep(0)  # one that has not begun would never come to its end
            task.cancel()
            await asyncio.wait([task])
        return pull.shown()

    async def plan(self, wanted: PullWanted) -> PlanShown:
        """What a pull would fetch from where."""
        return await Pull(self._parts, "", wanted, _nobody).planned()

    async def listing(self, wanted: ListingWanted) -> ListingShown:
        """What a reference means at its origin."""
        origin = self._parts.origins.origin_for(wanted.reference)
        found = await self._parts.around.blocking(lambda: origin.find(wanted.reference))
        files = (
            ListedFile(each.path, each.size_bytes, each.digest, each.git_oid)
            for each in found.files
        )
        return ListingShown(found.reference, tuple(files), found.private)

    async def _run(self, name: str, pull: Pull) -> None:
        try:
            await pull.run()
        finally:
            del self._running[name]
            self._ends += 1
            self._ended.append(pull.end(self._ends))
            self.changed()

    def close(self) -> None:
        """End all pulls and links; what has come is kept."""
        for task in self._running.values():
            task.cancel()
        for group in self._library.groups.values():
            group.close()

    def _known(self, name: str) -> Pull:
        pull = self._pulls.get(name)
        if pull is None:
            raise NotFoundError(
                f"there is no pull {name[:80]}", advice="it ended long ago, or never was"
            )
        return pull

    def _forget(self) -> None:
        ended = [name for name in self._pulls if name not in self._running]
        for name in ended[: max(0, len(ended) - PULLS_KEPT)]:
            del self._pulls[name]

    def _begun(self, pull: Pull) -> None:
        """Others know this pull by another name now."""
        group = pull.group
        known = None if group is None else self._library.groups.get(group.name)
        if group is not None and (known is None or _broke(known)):
            self._library.groups[group.name] = group
            loop, late = asyncio.get_running_loop(), partial(self._is_late, weakref.ref(group))
            pull.ended.add_done_callback(lambda _: loop.call_later(GROUPS_KEPT_S, late, group.name))
        self.changed()

    def _is_late(self, group: "weakref.ref[Group]", name: str) -> None:
        """One that ended long ago; it may have been begun again."""
        if self._library.groups.get(name) is group():
            self._let_go(name)

    def _let_go(self, name: str) -> None:
        """Nobody is at this any more who would not find it under its other name."""
        group = self._library.groups.pop(name, None)
        if group is not None:
            group.close()
            self.changed()

    async def let_go_of(self, artifact: ArtifactId) -> None:
        """Neither fetch nor give it any more, so that it can be dropped."""
        for name in list(self._running):
            if self._pulls[name].wanted.reference == artifact:
                await self.cancel(name)
        self._library.let_go_of(artifact)
        self._let_go(artifact)
        for name in [name for name, pull in self._pulls.items() if pull.has(artifact)]:
            del self._pulls[name]  # it has the files open, which would go on taking their room

    # --- the fleet ------------------------------------------------------------------------------

    def meet(self, others: Others) -> None:
        """The others are these now."""
        for name, group in self._library.groups.items():
            group.links.meet(others.with_group(name))

    def protect(self, others: Others, wished: Collection[bytes]) -> None:
        """Never drop the last copy of what somebody wishes to be somewhere."""
        holdings = self._parts.holdings
        elsewhere = {
            delivery.reference
            for other in others.by_name.values()
            for delivery in other.deliveries
            if delivery.whole
        }
        last = set(wished) - elsewhere
        artifacts = holdings.store.shelf.artifacts()
        holdings.store.protect(
            [each for each in artifacts if mark_of(holdings.reference(each)) in last]
        )

    def ended(self) -> tuple[PullEnd, ...]:
        """What came of the pulls that ended last."""
        return tuple(self._ended)

    def deliveries(self) -> tuple[Delivery, ...]:
        """What others are told is here, or on its way: what was begun last first."""
        said: dict[bytes, Delivery] = {}
        holdings = self._parts.holdings
        here = holdings.deliveries()
        groups = {row.group for row in here}
        for pull in reversed(self._pulls.values()):
            for name, whole in pull.names():
                if whole and group_of(name) not in groups:
                    continue  # it has been dropped since
                row = holdings.delivery(name, pull.pinned, whole=whole)
                said.setdefault(row.group, row)
        for row in here:
            said.setdefault(row.group, row)
        return tuple(said.values())[:DELIVERIES_SAID_MAX]

    def arriving(self) -> tuple[ArrivingSaid, ...]:
        """Models that are under way, and those that will not come."""
        said = (pull.arriving() for pull in self._pulls.values())
        return tuple(each for each in said if each is not None)

    def room_bytes(self) -> int:
        """What more would fit, if all went that may go."""
        parts = self._parts
        stats = parts.holdings.store.shelf.stats()
        room = min(parts.bytes_max, stats.disk_bytes + shutil.disk_usage(parts.folder).free)
        return max(0, room - stats.pinned_bytes)

    async def scrub(self) -> None:
        """Look at some of what is here now and then, until cancelled; have what rots repaired."""
        store = self._parts.holdings.store
        while True:
            await asyncio.sleep(SCRUB_PAUSE_S)
            found = await self._parts.around.blocking(lambda: store.scrub(_SCRUB_BYTES))
            await self._repair({artifact for artifact, _ in found.rotten})

    async def _repair(self, artifacts: Iterable[ArtifactId]) -> None:
        """Fetch what has rotted, from neighbours or its origin."""
        for artifact in sorted(artifacts):
            log.warning("%s has rotten chunks: they are fetched again", artifact)
            try:
                await self.pull(PullWanted(artifact))
            except LittoralError as error:
                log.warning("%s can't be repaired: %s", artifact, error)

    # --- the store ------------------------------------------------------------------------------

    async def store(self) -> StoreShown:
        """What is here."""
        return await self._parts.around.blocking(self._store)

    async def pin(self, wanted: PinWanted) -> ArtifactRow:
        """Keep an artifact, or let it go when room is needed."""

        def pinned() -> ArtifactRow:
            store = self._parts.holdings.store
            store.pin(wanted.artifact, pinned=wanted.pinned)
            rows = store.shelf.rows()
            return self._row(next(row for row in rows if row.artifact == wanted.artifact))

        return await self._parts.around.blocking(pinned)

    async def verify(self) -> Verified:
        """Hash every byte again; what is rotten is dropped."""

        def verified() -> tuple[int, list[tuple[ArtifactId, int]]]:
            store, checked = self._parts.holdings.store, 0
            rotten: list[tuple[ArtifactId, int]] = []
            while True:
                found = store.scrub(_SCRUB_BYTES)
                checked += found.read_bytes
                rotten += found.rotten
                if found.round_over:
                    return checked, rotten

        checked, rotten = await self._parts.around.blocking(verified)
        await self._repair({artifact for artifact, _ in rotten})
        lines = (f"{artifact} chunk {chunk}" for artifact, chunk in rotten)
        return Verified(checked, tuple(lines))

    async def collect(self) -> Freed:
        """Remove what nothing needs."""

        def collected() -> Freed:
            swept = self._parts.holdings.store.gc()
            return Freed(swept.files, swept.freed_bytes)

        return await self._parts.around.blocking(collected)

    def _store(self) -> StoreShown:
        shelf = self._parts.holdings.store.shelf
        stats, rows = shelf.stats(), list[ArtifactRow]()
        for row in shelf.rows():
            with suppress(NotFoundError):  # it has just been dropped
                rows.append(self._row(row))
        return StoreShown(
            path=str(self._parts.folder),
            artifacts=tuple(rows),
            disk_bytes=stats.disk_bytes,
            shared_bytes=stats.shared_bytes,
            bytes_max=self._parts.bytes_max if self._parts.bytes_max < STORE_BYTES_MAX else 0,
        )

    def _row(self, row: Row) -> ArtifactRow:
        return ArtifactRow(
            artifact=row.artifact,
            reference=self._parts.holdings.reference(row.artifact),
            size_bytes=row.size_bytes,
            here_bytes=row.held_bytes,
            files=row.files,
            pinned=row.pinned,
            in_use=self._parts.holdings.store.in_use(row.artifact),
            asked=row.asked,
        )


def _broke(group: Group) -> bool:
    """It has ended without the whole."""
    over = group.over
    return over.done() and (over.cancelled() or over.exception() is not None)


def _nobody(_: Pull) -> None:
    """Nobody need know of it."""
