"""A home makes segments of what it offers (`segments.py`) when somebody wants a first copy.

    none --asked--> being made --> there --changed too much, or too old--> being made anew
                        `--> none: it is small, or it can't be done

Rules
- They are made once, however many ask meanwhile; what was made for one is given to the next. Those
  of one collection are made at a time, so that searches have threads left.
- Changes since are sent as such. Where these are many, or they were made long ago, they are made
  anew: what was deleted since is in them.
- What fails here costs nobody a copy: parts are then sent by the home alone. So a disk is not
  filled up with them.
"""

import asyncio
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from littoral.adapters.models.digests import DISK_SPARE_BYTES
from littoral.memory.replicas import sealed, segment_name
from littoral.node.memory.segments import Segments, SegmentsRow
from littoral.node.memory.threads import Threads
from littoral.terms.collections import Replicated
from littoral.terms.errors import DiskShortError, DrainingError, LittoralError
from littoral.terms.ids import ArtifactId, PopId
from littoral.terms.limits import CHANGES_BYTES, CHANGES_WAIT_S
from littoral.terms.ports import Clock, Signer
from littoral.terms.replicas import Offer, SegmentsShown
from littoral.trust.names import pop_id

__all__ = ["Segmenting"]

log = logging.getLogger("littoral")

_FOLDER: Final = "segments"
_CHANGED_PART: Final = 4
"""Made anew where more than one in so many records has changed since."""


@dataclass(frozen=True, slots=True)
class _Written:
    era: str
    through: int


class Segmenting:
    """Of one home."""

    def __init__(
        self,
        home: Path,
        segments: Segments,
        threads: Threads,
        signer: Signer,
        clock: Clock,
        spawn: Callable[..., "asyncio.Task[None]"],
    ) -> None:
        """Make nothing yet; what a killed PoP was at is taken away. Blocks.

        Args:
            home: of the PoP.
            segments: take what is made.
            threads: for what blocks.
            signer: of this PoP.
            clock: for names that nobody else has.
            spawn: owns the tasks that make them.
        """
        self._folder = home / _FOLDER
        shutil.rmtree(self._folder, ignore_errors=True)
        self._segments = segments
        self._threads = threads
        self._signer = signer
        self._me: PopId = pop_id(signer.public_key)
        self._clock = clock
        self._spawn = spawn
        self._making: dict[str, asyncio.Future[ArtifactId | None]] = {}
        """By incarnation."""
        self._turn = asyncio.Semaphore()
        self._closed = False

    async def of(self, offer: Offer, collection: Replicated) -> SegmentsShown:
        """What there is of a collection, or will be in a while."""
        name, incarnation = offer.spec.name, offer.incarnation
        making = self._making.get(incarnation)
        if making is None:
            row = self._segments.of(name, self._me)
            if row is not None and await self._threads.run(
                lambda: self._serves(row, offer, collection)
            ):
                self._segments.used(row)
                return SegmentsShown(row.artifact)
            making = self._making.get(incarnation)
        if self._closed:
            raise DrainingError("this PoP ends")
        if making is None:
            making = self._making[incarnation] = asyncio.get_running_loop().create_future()
            self._spawn(self._make(offer, collection, making), name=f"segments of {name}")
        done, _ = await asyncio.wait([making], timeout=CHANGES_WAIT_S)
        return SegmentsShown(making.result()) if done else SegmentsShown(None, making=True)

    def close(self) -> None:
        """Make no more: threads that write come to their end."""
        self._closed = True

    def _serves(self, row: SegmentsRow, offer: Offer, collection: Replicated) -> bool:
        """Whether whoever begins with them is brought on from there. Blocks."""
        since = collection.changes(row.through, 1, era=row.era)
        if row.incarnation != offer.incarnation or since.whole:
            return False
        changed = since.latest - row.through
        young = self._segments.is_young(row.made_unix_s)
        return not changed or (young and changed * _CHANGED_PART <= collection.count())

    async def _make(
        self, offer: Offer, collection: Replicated, making: "asyncio.Future[ArtifactId | None]"
    ) -> None:
        name, artifact = offer.spec.name, None
        folder = self._folder / self._clock.random_bytes(8).hex()
        try:
            async with self._turn:
                artifact = await self._made(offer, collection, folder)
        except (LittoralError, OSError) as error:
            log.warning("no segments of %s can be made: %s", name, error)
        except Exception:
            log.exception("a defect: please report it")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            del self._making[offer.incarnation]
            making.set_result(artifact)

    async def _made(self, offer: Offer, collection: Replicated, folder: Path) -> ArtifactId | None:
        written = await self._threads.run(lambda: self._written(offer, collection, folder))
        if written is None:
            return None
        name, incarnation = offer.spec.name, offer.incarnation
        reference = f"collection:{name}@{incarnation}.{written.through}"
        artifact = await self._segments.keep(folder, reference)
        now = self._segments.now_s()
        row = SegmentsRow(
            name=name,
            home=self._me,
            incarnation=incarnation,
            era=written.era,
            through=written.through,
            artifact=artifact,
            made_unix_s=now,
            used_unix_s=now,
        )
        if not self._segments.had(row):
            return None
        log.info("segments of %s are made, up to change %d", name, written.through)
        return artifact

    def _written(self, offer: Offer, collection: Replicated, folder: Path) -> _Written | None:
        """Write them; None where one part is all, which is sent as it is. Blocks."""
        after = begun = 0
        era = ""
        while not self._closed:
            changes = collection.changes(after, CHANGES_BYTES, begun=begun, era=era)
            if changes.after == 0:  # the beginning; or what was begun can't be gone on with
                shutil.rmtree(folder, ignore_errors=True)
                if changes.last:
                    return None
                folder.mkdir(mode=0o700, parents=True)
                begun, era = changes.latest, changes.era
            data = sealed(changes, offer.incarnation, self._signer)
            if shutil.disk_usage(folder).free < len(data) + DISK_SPARE_BYTES:
                raise DiskShortError(f"the disk of {folder} is almost full")
            path = folder / segment_name(self._me, offer.incarnation, changes.after)
            path.write_bytes(data)
            after = changes.through
            if changes.last:
                return _Written(era, after)
        raise DrainingError("this PoP ends")
