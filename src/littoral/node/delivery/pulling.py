"""One pull, from its reference to its end; docs/life-of-a-pull.md tells the same in words.

    asking --its manifest is known--------------------> fetching --> checking --> done
       `----nobody has one--> reading headers --draft------^
    any --> failed, or cancelled; what has come stays, and the next pull goes on from there

Rules
- What is whole here already is not fetched, nor asked for.
- An artifact is claimed for its reference only once it was compared with what its origin promises.
- What another PoP has whole, and a PoP of this owner has claimed, is had without the origin.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Final, TypeVar

from msgspec import structs

from littoral.adapters.artifacts import DraftIntake, Intake
from littoral.delivery.pull import PullMachine
from littoral.delivery.words import ORIGIN
from littoral.node.delivery.adding import add_to_catalogue, check_listing, check_name
from littoral.node.delivery.announcing import Announced
from littoral.node.delivery.finding import FoundDraft, FoundManifest, wish_of
from littoral.node.delivery.group import Group
from littoral.node.delivery.origin_reads import OriginReads
from littoral.node.delivery.parts import Parts
from littoral.node.delivery.planning import plan_of_listing, plan_of_manifest, plan_of_whole
from littoral.node.delivery.sealing import Sealing, keep, keep_heads, sizes_of
from littoral.node.delivery.searching import Finding
from littoral.node.delivery.shelves import FillingShelf
from littoral.node.delivery.whole import Whole, first_whole
from littoral.node.delivery.words import ArrivingSaid, PullEnd
from littoral.node.delivery.work import Work
from littoral.node.drive import owned_tasks
from littoral.terms.artifacts import OriginListing
from littoral.terms.delivery import PlanShown, PullShown, PullStage, PullWanted
from littoral.terms.errors import LittoralError, OriginError
from littoral.terms.ids import ArtifactId, ModelName, artifact_id, model_name
from littoral.terms.values import SECOND

__all__ = ["Pull"]

log = logging.getLogger("littoral")

T = TypeVar("T")


class Pull:
    """One of them."""

    def __init__(
        self, parts: Parts, name: str, wanted: PullWanted, begun: Callable[["Pull"], None]
    ) -> None:
        """Begin nothing yet; `run` does.

        Args:
            parts: what it stands on.
            name: its id.
            wanted: what.
            begun: told whenever others are to know it by another name.
        """
        self._parts = parts
        self.wanted = wanted
        self._begun = begun
        self._shown = PullShown(name, wanted.reference, PullStage.ASKING)
        self._begun_at = parts.around.clock.now()
        self._reused_bytes = 0
        self.group: Group | None = None
        self.ended: Final[asyncio.Future[None]] = asyncio.get_running_loop().create_future()
        """Set once it is over, however."""
        self._known_as: list[str] = []
        """The wish, draft and artifact that others see this pull by."""
        self._finding = Finding(parts.around, parts.origins, parts.others)
        changed = partial(begun, self)
        self._announced = Announced(parts.around, parts.arriving, parts.catalogue, changed)
        if wanted.name is not None:
            self._announced.name = model_name(wanted.name)
        self._artifact = ArtifactId("")
        """Where it was asked for by its name."""
        self.pinned = ""
        """Its reference, once its origin has said what that means now."""

    # --- looking at it --------------------------------------------------------------------------

    def shown(self) -> PullShown:
        """As it is now."""
        shown, group = self._shown, self.group
        if shown.model is None and not shown.stage.over:
            shown = structs.replace(shown, model=self._announced.name)
        if group is None:
            return shown
        now = self._parts.around.clock.now()
        here = group.here_bytes
        rate = 0.0 if shown.stage.over else group.counted.bytes_per_s(now)
        return structs.replace(
            shown,
            size_bytes=group.size_bytes,
            here_bytes=here,
            reused_bytes=self._reused_bytes,
            origin_bytes=group.counted.origin_bytes,
            neighbour_bytes=group.counted.neighbour_bytes,
            spared_bytes=group.counted.spared_bytes,
            bytes_per_s=round(rate, 1),
            left_s=round((group.size_bytes - here) / rate, 1) if rate else None,
            sources=tuple(group.counted.rows(now)),
        )

    def end(self, number: int) -> PullEnd:
        """What came of it."""
        shown = self.shown()
        return PullEnd(
            number=number,
            outcome=shown.stage.value,
            origin_bytes=shown.origin_bytes,
            neighbour_bytes=shown.neighbour_bytes,
            reused_bytes=shown.reused_bytes,
            wrong_chunks=0 if self.group is None else sum(self.group.blamed.values()),
        )

    def names(self) -> list[tuple[str, bool]]:
        """What others know it by now, and whether it is an artifact that they can have whole.

        A draft stays known to those who are still at it, and is nothing that anybody else begins.
        """
        if self._shown.stage is PullStage.DONE:
            names = [name for name in self._known_as if not name.startswith("wish:")]
            return [(name, name.startswith("blake3:")) for name in names]
        if self._shown.stage.over:
            return []
        return [(name, False) for name in self._known_as[-1:]]

    def has(self, artifact: ArtifactId) -> bool:
        """Whether it has ended, and this is what it was of."""
        return self._shown.stage.over and artifact in {*self._known_as, self._artifact}

    def arriving(self) -> ArrivingSaid | None:
        """The model that it brings, as long as that is not in the catalogue; and if it fails."""
        entry, shown = self._announced.entry, self._shown
        if entry is None or shown.stage is PullStage.DONE:
            return None
        error = shown.error
        if shown.stage.over and not error:
            error = f"the pull of {shown.reference} was cancelled"
        return ArrivingSaid(shown.id, entry, error, shown.advice)

    def _at(self, stage: PullStage, **changes: object) -> None:
        self._shown = structs.replace(self._shown, stage=stage, **changes)

    # --- its life -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Go from the reference to the end, whatever that is; nothing is raised but a cancel."""
        try:
            await self._go()
        except LittoralError as error:
            self._at(PullStage.FAILED, error=error.message, advice=error.advice)
            log.warning("pulling %s failed: %s", self.wanted.reference, error)
        except asyncio.CancelledError:
            self._at(PullStage.CANCELLED)
            raise
        finally:
            self.ended.set_result(None)
            self._announced.end(whole=self._shown.stage is PullStage.DONE)
            if self.group is not None and self._shown.stage is not PullStage.DONE:
                self.group.close()

    async def _go(self) -> None:
        listing = await self._listing()
        parts = self._parts
        name: str = self._artifact
        if listing is not None:
            check_listing(parts.catalogue, listing, self.wanted.name)
            name = parts.holdings.meant(listing.reference) or listing.reference
        async with parts.turns.of(name):  # what was asked for in other words may be under way
            await self._have(listing)

    async def _have(self, listing: OriginListing | None) -> None:
        parts, whole = self._parts, self._whole(listing)
        if whole is not None:
            manifest = parts.holdings.store.shelf.manifest(whole)
            size = manifest.size_bytes
            here = {"size_bytes": size, "here_bytes": size, "reused_bytes": size}
            self._at(PullStage.CHECKING, **here)
            await self._end(whole, listing)
            return
        found: FoundManifest | FoundDraft
        known = self._known(listing)
        if known is not None:
            found, listing = known, await self._listed(known, listing)
        elif listing is None:
            found, listing = await self._finding.named(self._artifact)
        else:
            self._seen_as(wish_of(listing.reference))
            found = await self._finding.of(listing, lambda: self._at(PullStage.READING))
        reference = self.pinned or self.wanted.reference
        check_name(parts.catalogue, found.files, reference, self.wanted.name)
        artifact = await self._fetch(found, listing)
        await self._end(artifact, listing)

    async def planned(self) -> PlanShown:
        """What it would fetch from where. Raises as its origin does."""
        listing, store = await self._listing(), self._parts.holdings.store
        rates = self._parts.around.rates.known()
        whole = self._whole(listing)
        reference = self.wanted.reference if listing is None else listing.reference
        if whole is not None:
            return plan_of_whole(store, whole, reference)
        if listing is None:
            found, _ = await self._finding.named(self._artifact)
        else:
            offered = await self._finding.from_others(listing)
            if not isinstance(offered, FoundManifest):
                return await self._blocking(partial(plan_of_listing, store, listing, rates))
            found = offered
        others, base = self._parts.others(), self._base(found, listing)
        plan = partial(plan_of_manifest, store, found, others, reference, base, rates)
        try:
            return await self._blocking(plan)
        finally:
            if base is not None:
                base.close()

    async def _listing(self) -> OriginListing | None:
        """What the origin says that the reference means; None for the name of an artifact.

        Where the origin is away, a pinned reference is what other PoPs have whole under it.
        """
        reference = self.wanted.reference
        if reference.startswith("blake3:"):
            self._artifact = artifact_id(reference)
            return None
        origin = self._parts.origins.origin_for(reference)
        try:
            listing = await self._blocking(lambda: origin.find(reference))
        except OriginError:
            known = self._parts.holdings.whole(reference) or self._finding.claimed(reference)
            if known is None:
                raise
            self._artifact = known
            return None
        self.pinned = listing.reference
        return listing

    def _whole(self, listing: OriginListing | None) -> ArtifactId | None:
        """The artifact, if all of it is here."""
        holdings = self._parts.holdings
        if listing is not None:
            return holdings.whole(listing.reference)
        return self._artifact if holdings.store.shelf.complete(self._artifact) else None

    def _known(self, listing: OriginListing | None) -> FoundManifest | None:
        """Its manifest, if it was begun here before."""
        holdings = self._parts.holdings
        artifact = self._artifact if listing is None else holdings.meant(listing.reference)
        return holdings.known(artifact) if artifact else None

    async def _listed(
        self, known: FoundManifest, listing: OriginListing | None
    ) -> OriginListing | None:
        """Where what is known here is from, if it was asked for by its name."""
        reference = self._parts.holdings.reference(known.artifact)
        if listing is not None or not reference:
            return listing
        return await self._finding.listed([reference], known)

    # --- having it ------------------------------------------------------------------------------

    async def _fetch(
        self, found: FoundManifest | FoundDraft, listing: OriginListing | None
    ) -> ArtifactId:
        store = self._parts.holdings.store
        intake: Intake | DraftIntake
        with ExitStack() as held:
            base = self._base(found, listing)
            if base is not None:
                held.callback(base.close)
            lists = found.lists.values()
            if isinstance(found, FoundManifest):
                take = partial(store.take, found.manifest, found.tables, lists)
                intake = await self._blocking(take)
            else:
                take_draft = partial(store.take_draft, found.draft, found.cuts, lists)
                intake = await self._blocking(take_draft)
            try:
                reused = intake.table.bytes_of(intake.held)
                if isinstance(found, FoundDraft):
                    await self._blocking(lambda: keep_heads(intake, found))
                self._reused_bytes = reused
                return await self._together(found, intake, listing, base)
            except BaseException:
                await self._blocking(lambda: keep(intake))
                raise
            finally:
                await self._blocking(intake.close)

    async def _together(
        self,
        found: FoundManifest | FoundDraft,
        intake: Intake | DraftIntake,
        listing: OriginListing | None,
        base: Whole | None,
    ) -> ArtifactId:
        """Fetch what is missing, with all others that want it."""
        parts, around, name = self._parts, self._parts.around, found.name
        shelf = FillingShelf(intake, self._failed)
        sealing = Sealing(intake, shelf)
        held, reads = intake.held, self._reads(listing, intake)
        mates = parts.others().with_group(name)
        wishers = () if listing is None else parts.others().wishing(wish_of(listing.reference))
        machine = PullMachine(
            *(around.me, sizes_of(intake.table), held, {*mates, *wishers}),
            reads_origin=reads is not None,
        )
        work = Work(
            name=name,
            machine=machine,
            shelf=shelf,
            reads=reads,
            seal=sealing.seal,
            paths=found.paths,
            documents=found.documents(),
            kind=found.kind,
            private=listing is None or listing.private,
            lists=found.lists,
            base=None if base is None else base.base,
        )
        self.group = group = Group(around, work)
        read_bytes = intake.table.bytes_of(held) - self._reused_bytes
        if read_bytes:  # of headers
            group.counted.came(ORIGIN, read_bytes, around.clock.now())
        known = found.artifact if isinstance(found, FoundManifest) else None
        self._at(PullStage.FETCHING, artifact=known)
        self._seen_as(name)
        group.links.meet(mates)
        group.begin()
        reference = self.pinned or self.wanted.reference
        async with owned_tasks() as tasks:
            begun = self._announced.begin(found, group, reference, self.wanted.name)
            announcing = tasks.create_task(begun)
            try:
                await asyncio.wait([group.over])  # where this is cancelled, the group is told below
            finally:
                announcing.cancel()
                group.cancel()
        group.over.result()
        assert sealing.artifact is not None, "it was sealed"
        return sealing.artifact

    def _base(
        self, found: FoundManifest | FoundDraft, listing: OriginListing | None
    ) -> Whole | None:
        """What it resembles of all that is here, by what is said of it: open, if there is any."""
        told = [self.wanted.base, None if listing is None else listing.base, *self._finding.bases]
        told.append(found.draft.base if isinstance(found, FoundDraft) else found.manifest.base)
        return first_whole(self._parts.holdings, filter(None, told))

    def _reads(
        self, listing: OriginListing | None, intake: Intake | DraftIntake
    ) -> OriginReads | None:
        if listing is None:
            return None
        origin = self._parts.origins.origin_for(listing.reference)
        around = self._parts.around
        return OriginReads(origin, listing.files, intake, around.threads, around.clock)

    def _failed(self, error: LittoralError) -> None:
        """The disk could not take a chunk."""
        if self.group is not None:
            self.group.fail(error)

    async def _end(self, artifact: ArtifactId, listing: OriginListing | None) -> None:
        """It is whole: say so to all, and have its model be asked for."""
        parts = self._parts
        holdings = parts.holdings
        if listing is not None and holdings.whole(listing.reference) != artifact:
            holdings.claim(listing, artifact, parts.identity, parts.around.clock.unix_ns())
        seconds = (parts.around.clock.now() - self._begun_at) / SECOND
        fetched = self.group is not None and self.group.counted.origin_bytes > 0
        store = holdings.store
        await self._blocking(lambda: store.used(artifact, refetch_s=seconds if fetched else None))
        reference = self.pinned or holdings.reference(artifact) or artifact
        model: ModelName | None = await self._blocking(
            lambda: add_to_catalogue(parts.catalogue, store, artifact, reference, self.wanted.name)
        )
        self._at(PullStage.DONE, artifact=artifact, model=model)
        self._seen_as(artifact)

    def _seen_as(self, name: str) -> None:
        """Others know it by this name from now on."""
        self._known_as.append(name)
        self._begun(self)

    async def _blocking(self, call: Callable[[], T]) -> T:
        return await self._parts.around.blocking(call)
