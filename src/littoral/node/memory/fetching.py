"""A replica's first copy from segments (`segments.py`): fetched as an artifact, then taken in.

    named by the home --> fetched by the mover --> taken in, part by part

Rules
- A file is taken in only as what its home has signed for this incarnation of the collection: who
  gave it does not matter.
- What was taken in before a kill is not taken in again.
- Where there are none, or they can't be had, nothing was done: the copy is made in parts.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from littoral.node.memory.segmenting import SEGMENT_SUFFIX
from littoral.node.memory.segments import Segments, SegmentsRow
from littoral.node.memory.threads import Threads
from littoral.terms.delivery import PullShown, PullStage, PullWanted
from littoral.terms.errors import RecordRejectedError
from littoral.terms.ids import ArtifactId, PopId
from littoral.terms.limits import CHANGES_BYTES_MAX, SEGMENTS_FIND_S
from littoral.terms.replicas import Followed, Offer

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
        row = self._segments.of(name, home)
        return row if row is not None and at.begun and row.incarnation == at.incarnation else None

    async def fetched(self, home: PopId, offer: Offer, artifact: ArtifactId) -> SegmentsRow | None:
        """Segments of what is offered, once they are here; None where they can't be had.

        Args:
            home: who offers it, and has named them.
            offer: what.
            artifact: the segments.

        Raises:
            LittoralError: the mover can't be asked.
        """
        log.info("%s of %s is fetched as %s", offer.spec.name, home, artifact)
        with self._segments.coming((offer.spec.name, home), artifact):
            shown = await self._pulled(artifact)
            if shown.stage is not PullStage.DONE:
                log.warning("%s can't be fetched: %s", artifact, shown.error)
                return None
            now = self._segments.now_s()
            row = SegmentsRow(
                name=offer.spec.name,
                home=home,
                incarnation=offer.incarnation,
                artifact=artifact,
                made_unix_s=now,
                used_unix_s=now,
            )
            self._segments.had(row)
        return row

    async def taken(
        self, row: SegmentsRow, at: Followed, take: Callable[[bytes], Followed]
    ) -> AsyncIterator[Followed]:
        """Take them in, one after the other, from where the copy is; says each time how far it is.

        Args:
            row: which.
            at: how far the copy has come.
            take: takes one in. Blocks.

        Raises:
            RecordRejectedError: they are something else.
            NotFoundError: they have been dropped.
            LittoralError: as `take`.
        """
        goes_on = at.begun and at.incarnation == row.incarnation
        with self._segments.shelf.hold(row.artifact) as held:
            for file, path in zip(held.manifest.files, held.paths, strict=True):
                if goes_on and _after(file.path) < at.through:
                    continue
                if file.size_bytes > 2 * CHANGES_BYTES_MAX:
                    raise RecordRejectedError(f"a segment has {file.size_bytes} bytes")
                at = await self._threads.run(lambda: take(path.read_bytes()))  # noqa: B023
                yield at
        self._segments.used(row)

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


def _after(path: str) -> int:
    """The change after which a file begins."""
    try:
        return int(Path(path).name.removesuffix(SEGMENT_SUFFIX))
    except ValueError:
        raise RecordRejectedError(f"segments have no file {path[:80]!r}") from None
