"""The replica's side: copies of collections of other PoPs, kept up to date, and what they answer.

    HOME/replicas/    the copies, each in a folder of its own, by name and home

Rules
- A PoP follows what a home of its own owner offers it, where its own certificate lets it
  (`memory/replicas.py`). What it may not have any more, or is offered no longer, it forgets.
- The first copy of what is large is had from segments (`fetching.py`), and from then on changes.
- A copy answers once it has been whole, and goes on when its home can't be reached; it says how old
  what it has may be. Nothing but its home's signed changes ever changes it.
- A write at a copy is made at its home; when it comes back, the copy has it.

Not here: the store of the copies, and who may read them (`house.py`).
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from littoral.adapters.identity import verify
from littoral.memory.checking import check_spec
from littoral.memory.replicas import decoded_offer, follows, opened
from littoral.node.fabric.calls import Calls
from littoral.node.memory.copies import Copy, CopyKey, in_words, read_said, taken_in
from littoral.node.memory.fetching import Fetching
from littoral.node.memory.opened import Kept
from littoral.node.memory.segments import Segments, SegmentsRow
from littoral.node.memory.threads import Threads
from littoral.routing.fleet import Fleet
from littoral.terms.collections import Collections, Replicated
from littoral.terms.errors import (
    ConflictError,
    LittoralError,
    NotFoundError,
    StoreError,
    UpstreamFailedError,
)
from littoral.terms.ids import ArtifactId, PopId
from littoral.terms.limits import FOLLOW_AGAIN_S, FORWARD_WAIT_S, OFFERS_MAX, SEGMENTS_TRIES
from littoral.terms.memory import Applied, CollectionShown, Write
from littoral.terms.ports import Clock
from littoral.terms.replicas import (
    ChangesWanted,
    Followed,
    Offer,
    SegmentsShown,
    SegmentsWanted,
    Staleness,
    WritesWanted,
)
from littoral.trust.members import Member
from littoral.trust.records import Record

__all__ = ["CHANGES_PATH", "SEGMENTS_PATH", "WRITE_PATH", "Following"]

log = logging.getLogger("littoral")

CHANGES_PATH = "/fabric/memory/changes"
SEGMENTS_PATH = "/fabric/memory/segments"
WRITE_PATH = "/fabric/memory/write"

_PAUSE_S = 0.05
"""Before a home is asked again that had nothing new."""


class Following:
    """The copies of one PoP."""

    def __init__(
        self,
        driver: Collections,
        segments: Segments,
        threads: Threads,
        clock: Clock,
        spawn: Callable[..., "asyncio.Task[None]"],
    ) -> None:
        """Have what the driver has, once `open` was called.

        Args:
            driver: keeps the copies; a copy's scope is its home's name.
            segments: what is fetched for first copies.
            threads: for what blocks.
            clock: for how old things are.
            spawn: owns the tasks that follow.
        """
        self._driver = driver
        self._segments = segments
        self._fetching = Fetching(segments, threads)
        self._threads = threads
        self._clock = clock
        self._spawn = spawn
        self._copies: dict[CopyKey, Copy] = {}
        self._heard: dict[CopyKey, Offer] = {}
        self._fleet = Fleet({})
        self._member: Member | None = None
        self._calls: Calls | None = None
        self._judged = asyncio.Event()

    async def open(self) -> None:
        """Answer with what was followed before, whether or not the homes can be reached."""
        for shown in await self._threads.run(self._driver.describe):
            key = shown.spec.name, PopId(shown.spec.scope)
            try:
                await self._copy(key)
            except (LittoralError, OSError) as error:  # it is begun anew, once its home offers it
                log.warning("the copy of %s of %s can't be used: %s", *key, error)

    def join(self, member: Member, calls: Calls) -> Callable[[Fleet], None]:
        """This PoP is a member from now on; the answer takes every change of the fleet."""
        self._member, self._calls = member, calls
        self._judged.set()
        return self._seen

    def part(self) -> None:
        """It is a member no longer: nothing is followed, and copies go on answering."""
        if self._calls is not None:
            self._calls.close()
        self._member = self._calls = None
        for copy in self._copies.values():
            copy.rest()

    def close(self) -> None:
        """Let go of the copies."""
        self._driver.close()

    def hear(self, record: Record) -> None:
        """An offer was said by another PoP; its signature is good."""
        try:
            offer = decoded_offer(record.payload)
            check_spec(offer.spec)
        except LittoralError as error:
            log.warning("%s: %s", record.pop, error)
            return
        said_by = self._fleet.pops.get(record.pop)
        if said_by and self._member and said_by.member.owner != self._member.owner:
            return
        key = offer.spec.name, record.pop
        known = self._heard.get(key)
        if known is not None and known.made_unix_ms >= offer.made_unix_ms:
            return
        if known is None and sum(home == record.pop for _, home in self._heard) >= OFFERS_MAX:
            log.warning("%s offers more than is listened to", record.pop)
            return
        strangers = [each for each in self._heard if each[1] not in self._fleet.pops]
        if said_by is None and len(strangers) >= OFFERS_MAX:  # who they are is not known yet
            del self._heard[strangers[0]]
        self._heard[key] = offer
        self._segments.meet_again()
        self._judged.set()

    def heard(self, name: str, home: PopId) -> Offer | None:
        """What its home offers of a collection, if that was heard."""
        return self._heard.get((name, home))

    # --- what the house asks ----------------------------------------------------------------------

    def find(self, name: str) -> Kept | None:
        """The copy of this name that answers; of several homes, the one of the lowest name."""
        found = [key for key, copy in self._copies.items() if key[0] == name and copy.ever]
        return self._copies[min(found)].kept if found else None

    def of(self, name: str, home: PopId) -> Kept:
        """The copy of this home's collection, which was shown. Raises NotFoundError: it is gone."""
        copy = self._copies.get((name, home))
        if copy is None:
            raise NotFoundError(f"there is no copy of {name} of {home} any more")
        return copy.kept

    async def shown(self) -> Sequence[CollectionShown]:
        """All copies that answer, as their homes' collections."""
        found = []
        for each in await self._threads.run(self._driver.describe):
            key = each.spec.name, PopId(each.spec.scope)
            copy = self._copies.get(key)
            if copy is not None and copy.ever:
                old = self.staleness(*key)
                found.append(
                    msgspec.structs.replace(
                        each,
                        spec=copy.kept.spec,
                        driver="replica",
                        through=old.through,
                        home=old.home,
                        stale_s=old.seconds,
                    )
                )
        return found

    def staleness(self, name: str, home: PopId) -> Staleness:
        """How old a copy may be."""
        return self._copies[name, home].staleness(home, self._clock.now())

    # --- who is followed --------------------------------------------------------------------------

    def _seen(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._judged.set()

    async def go_on(self) -> None:
        """Follow what is offered, and forget what is not any more, until cancelled."""
        while True:
            await self._judged.wait()
            self._judged.clear()
            await self._leave_zones()
            for key, offer in list(self._heard.items()):
                try:
                    await self._judge(key, offer)
                except (LittoralError, OSError) as error:
                    log.warning("the collection %s of %s can't be followed: %s", *key, error)

    async def _leave_zones(self) -> None:
        """Forget what this PoP's certificate does not let it have, whoever can be reached now."""
        for key, copy in list(self._copies.items()):
            zone, member = copy.kept.spec.zone, self._member
            if zone and member is not None and member.zone != zone:
                try:
                    await self._forget(key, copy)
                except (LittoralError, OSError) as error:
                    log.warning("the copy of %s of %s can't be dropped: %s", *key, error)

    async def _judge(self, key: CopyKey, offer: Offer) -> None:
        known, member = self._fleet.pops.get(key[1]), self._member
        if known is None or member is None:
            return
        meant = follows(offer, known.member, member)
        copy = self._copies.get(key)
        if not meant:
            if copy is not None and known.member.owner == member.owner:
                await self._forget(key, copy)
            return
        if copy is not None and copy.kept.spec != offer.spec:
            await self._forget(key, copy)
            copy = None
        if copy is None:
            copy = await self._made(key, offer)
        if copy.offer is not None and copy.offer.incarnation != offer.incarnation:
            copy.rest()  # what it is at is of another collection of the name
            self._segments.forget(key)
        copy.offer = offer
        if copy.task is None or copy.task.done():
            copy.task = self._spawn(self._follow(key, copy), name=f"following {key[0]}")

    async def _made(self, key: CopyKey, offer: Offer) -> Copy:
        """A copy that is there, or a new one; what is damaged has no worth, and is made anew."""
        name, home = key
        spec = msgspec.structs.replace(offer.spec, scope=home)
        with contextlib.suppress(ConflictError):
            await self._threads.run(lambda: self._driver.create(spec))
        try:
            return await self._copy(key)
        except StoreError as error:
            if error.details.get("database") in {"held", "full"}:
                raise
            log.warning("the copy of %s of %s is begun anew: %s", name, home, error)
        await self._threads.run(lambda: self._driver.drop(name, home))
        await self._threads.run(lambda: self._driver.create(spec))
        return await self._copy(key)

    async def _copy(self, key: CopyKey) -> Copy:
        name, home = key
        collection = await self._threads.run(lambda: self._driver.open(name, home))
        assert isinstance(collection, Replicated)
        at = await self._threads.run(collection.followed)
        spec = msgspec.structs.replace(collection.spec, scope="")

        async def forward(writes: Sequence[Write]) -> Applied:
            return await self._forward(key, writes)

        abilities = self._driver.abilities
        kept = Kept(collection, spec, "replica", abilities, forward=forward, home=home)
        copy = self._copies[key] = Copy(kept, at.through, at.ever)
        kept.said = lambda: in_words(copy.staleness(home, self._clock.now()))
        return copy

    async def _forget(self, key: CopyKey, copy: Copy) -> None:
        name, home = key
        log.info("the copy of %s of %s is dropped: it is not offered here", name, home)
        copy.rest()
        del self._copies[key]
        self._segments.forget(key)
        await self._threads.run(lambda: self._driver.drop(name, home))

    # --- following --------------------------------------------------------------------------------

    async def _follow(self, key: CopyKey, copy: Copy) -> None:
        """Ask for what changed, again and again, until cancelled."""
        told = ""
        while True:
            before = copy.through
            try:
                await self._step(key, copy)
                told = ""
                if copy.through <= before:  # a home that does not wait is not asked without a pause
                    await asyncio.sleep(_PAUSE_S)
            except (LittoralError, OSError) as error:
                if str(error) != told:
                    log.warning("the copy of %s is not kept up to date: %s", key[0], error)
                told = str(error)
                await asyncio.sleep(FOLLOW_AGAIN_S)
            except Exception:
                log.exception("a defect: please report it")
                await asyncio.sleep(FOLLOW_AGAIN_S)

    async def _step(self, key: CopyKey, copy: Copy) -> None:
        offer, home = copy.offer, key[1]
        assert offer is not None, "followed once it is offered"
        at = await self._threads.run(copy.collection.followed)
        if at.incarnation != offer.incarnation:
            at = Followed()
        begun = self._fetching.begun(home, key[0], at)
        first = begun is not None or not (at.ever or at.through)
        if first and await self._from_segments(key, copy, offer, at, begun):
            return
        wait = at.ever and not at.begun
        wanted = ChangesWanted(key[0], offer.incarnation, at.era, at.through, at.begun, wait)
        data = await self._asked(home, CHANGES_PATH, wanted)
        changes = await self._threads.run(lambda: opened(data, offer.incarnation, home, verify))
        anew = changes.whole and not (changes.after or changes.last)
        if anew and await self._from_segments(key, copy, offer, at, None):
            return
        if changes.through > wanted.after or changes.whole:
            at = await self._threads.run(lambda: taken_in(copy, changes, offer, home))
        self._moved(copy, at, fresh=changes.last)

    async def _from_segments(
        self, key: CopyKey, copy: Copy, offer: Offer, at: Followed, row: SegmentsRow | None
    ) -> bool:
        """Have more from segments; False where nothing can be had."""
        name, home = key
        goes_on, took = row is not None, False
        if copy.tries >= SEGMENTS_TRIES:
            return False
        if row is None:
            artifact = await self._named(home, SegmentsWanted(name, offer.incarnation))
            copy.tries = SEGMENTS_TRIES if artifact is None else copy.tries + 1
            if artifact is not None:
                row = await self._fetching.fetched(home, offer, artifact)
        if row is None:
            return False
        opens = partial(opened, incarnation=offer.incarnation, home=home, verify=verify)
        take = partial(taken_in, copy, offer=offer, home=home)
        taking = self._fetching.taken(row, at, opens, take, goes_on=goes_on)
        try:
            async with contextlib.aclosing(taking):
                async for now in taking:
                    took = True
                    self._moved(copy, now)
        except (LittoralError, OSError):
            self._segments.forget(key)
            raise
        if not took:  # the copy is further, or was begun with others: these are of no use to it
            self._segments.forget(key)
        return took

    async def _named(self, home: PopId, wanted: SegmentsWanted) -> ArtifactId | None:
        """The segments that a home has, once they are made; None where it has none."""
        while True:
            said = await self._asked(home, SEGMENTS_PATH, wanted)
            shown = read_said(said, SegmentsShown, home)
            if not shown.making:
                return shown.artifact
            await asyncio.sleep(_PAUSE_S)

    def _moved(self, copy: Copy, at: Followed, *, fresh: bool = False) -> None:
        """A copy has come so far; it may have all that its home has just now."""
        copy.through, copy.ever = at.through, at.ever
        if fresh:
            copy.fresh, copy.tries = self._clock.now(), 0
        copy.moved.set()
        copy.moved = asyncio.Event()

    async def _forward(self, key: CopyKey, writes: Sequence[Write]) -> Applied:
        """Have the home make the changes, and wait until they are here."""
        copy = self._copies.get(key)
        if copy is None or copy.offer is None:
            raise UpstreamFailedError(
                f"{key[1]}, the home of {key[0]}, can't be reached, and only it can write",
                advice="try again once it is back; reading goes on",
            )
        wanted = WritesWanted(key[0], copy.offer.incarnation, tuple(writes))
        applied = read_said(await self._asked(key[1], WRITE_PATH, wanted), Applied, key[1])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FORWARD_WAIT_S):
                while copy.through < applied.through:
                    await copy.moved.wait()
        return applied

    async def _asked(self, home: PopId, path: str, what: msgspec.Struct) -> bytes:
        known, calls = self._fleet.pops.get(home), self._calls
        if known is None or calls is None or not known.state.url:
            raise UpstreamFailedError(
                f"{home} can't be reached", advice="try again once it is back; reading goes on"
            )
        body = msgspec.json.encode(what)
        return await calls.ask(known.member.name, known.state.url, "POST", path, body)
