"""A replica's first copy from segments (`segments.py`): fetched as an artifact, then taken in.

    named by the home --> looked at --> fetched by the mover --> taken in, part by part

Rules
- Nothing is fetched, given on or dropped but what is named as segments of this very home and
  incarnation are (`memory/replicas.py`): a home that names another's, or a model, gets neither.
- A file is taken in only as what its home has signed for this incarnation of the collection: who
  gave it does not matter.
- What was taken in before a kill is not taken in again. Segments are gone on with only by a copy
  that was begun with them: others tell of another moment.
- Where there are none, or they can't be had, nothing was done: the copy is made in parts.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack
from functools import partial
from typing import Final

from littoral.memory.replicas import segment_after
from littoral.node.memory.segments import Segments, SegmentsRow
from littoral.node.memory.threads import Threads
from littoral.terms.delivery import PlanShown, PullShown, PullStage, PullWanted
from littoral.terms.errors import OriginError, RecordRejectedError
from littoral.terms.ids import ArtifactId, PopId
from littoral.terms.limits import CHANGES_BYTES_MAX, SEGMENTS_FIND_S
from littoral.terms.replicas import Changes, Followed, Offer

__all__ = ["Fetching"]

log = logging.getLogger("littoral")

_LOOK_S: Final = 0.1


class Fetching:
    """Of one PoP."""

    def __init__(self, segments: Segments, threads: Threads) -> None:
        """Fetch nothing yet.

        Args:
            segments: those that are here.
            threads: for what blocks.
        """
        self._segments = segments
        self._threads = threads

    def begun(self, home: PopId, name: str, at: Followed) -> SegmentsRow | None:
        """What a copy that is not whole was being taken from."""
        row = self._segments.of(name, home) if at.begun else None
        return row if row is not None and row.incarnation == at.incarnation else None

    async def fetched(self, home: PopId, offer: Offer, artifact: ArtifactId) -> SegmentsRow | None:
        """Segments of what is offered, once they are here; None where they can't be had.

        Args:
            home: who offers it, and has named them.
            offer: what.
            artifact: the segments.

        Raises:
            LittoralError: the mover can't be asked.
        """
        name, incarnation = offer.spec.name, offer.incarnation
        if not await self._is_of(home, incarnation, artifact):
            return None
        log.info("%s of %s is fetched as %s", name, home, artifact)
        with self._segments.coming((name, home), incarnation, artifact):
            shown = await self._pulled(artifact)
            if shown.stage is not PullStage.DONE:
                log.warning("%s can't be fetched: %s", artifact, shown.error)
                return None
            now = self._segments.now_s()
            row = SegmentsRow(
                name=name,
                home=home,
                incarnation=incarnation,
                artifact=artifact,
                made_unix_s=now,
                used_unix_s=now,
            )
            return row if self._segments.had(row) else None

    async def taken(
        self,
        row: SegmentsRow,
        at: Followed,
        opens: Callable[[bytes], Changes],
        take: Callable[[Changes], Followed],
        *,
        goes_on: bool = False,
    ) -> AsyncGenerator[Followed, None]:
        """Take them in, one after the other; says each time how far the copy is.

        Args:
            row: which.
            at: how far the copy has come.
            opens: what a part says, if it is the home's.
            take: takes one in. Blocks.
            goes_on: from where the copy is, if it was begun with these: else nothing is taken.

        Raises:
            RecordRejectedError: they are something else.
            NotFoundError: they have been dropped.
            LittoralError: as `take`.
        """
        run = self._threads.run
        with ExitStack() as holding:
            hold = partial(self._segments.shelf.hold, row.artifact)
            held = await run(lambda: holding.enter_context(hold()))
            for file, path in zip(held.manifest.files, held.paths, strict=True):
                after = segment_after(file.path, row.home, row.incarnation)
                if after is None or file.size_bytes > 2 * CHANGES_BYTES_MAX:
                    raise RecordRejectedError(f"{file.path[:80]!r} is no segment")
                if goes_on and 0 < after < at.through:
                    continue
                said = await run(lambda: opens(path.read_bytes()))  # noqa: B023
                if goes_on and after < at.through:
                    if (said.latest, said.era) != (at.begun, at.era):
                        return
                    continue
                if goes_on and after > at.through:
                    return  # it has come further in other parts, which end elsewhere
                at = await run(lambda: take(said))  # noqa: B023
                yield at
        self._segments.used(row)

    async def _is_of(self, home: PopId, incarnation: str, artifact: ArtifactId) -> bool:
        """Whether an artifact is what its home says; who has it may not be known at once."""
        mover, loop = self._segments.mover, asyncio.get_running_loop()
        until = loop.time() + SEGMENTS_FIND_S
        while True:
            try:
                plan = await mover.plan(PullWanted(artifact))
            except OriginError as error:
                if loop.time() > until:
                    log.warning("%s can't be fetched: %s", artifact, error)
                    return False
                await asyncio.sleep(_LOOK_S)
                continue
            if not _are_segments(plan, home, incarnation):
                log.warning("%s names %s, which are no segments of its own", home, artifact)
                return False
            return True

    async def _pulled(self, artifact: ArtifactId) -> PullShown:
        """The end of a pull; who has it may not be known at once, so it is tried for a while."""
        mover, loop = self._segments.mover, asyncio.get_running_loop()
        until = loop.time() + SEGMENTS_FIND_S
        while True:
            shown = await mover.pull(PullWanted(artifact))
            while not shown.stage.over:
                await asyncio.sleep(_LOOK_S)
                shown = await mover.pulled(shown.id)
            if shown.stage is PullStage.DONE or shown.here_bytes or loop.time() > until:
                return shown
            await asyncio.sleep(_LOOK_S)


def _are_segments(plan: PlanShown, home: PopId, incarnation: str) -> bool:
    return all(
        segment_after(path, home, incarnation) is not None and size <= 2 * CHANGES_BYTES_MAX
        for path, size in plan.files
    )
