"""Segments of collections in the store: artifacts that go to named PoPs, and not for long.

The PoP writes the files and says to whom they may go (`FleetTold.readers`); whoever is not named
gets nothing of them, and of an artifact of this kind of which nothing is said nobody does
(`library.py`).

What could not be kept whole does not stay in part, be it that the disk was full or that a mover was
killed.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from littoral.delivery.manifest import Kind
from littoral.node.delivery.desk import Desk
from littoral.node.delivery.making import keep_files
from littoral.node.delivery.parts import Parts
from littoral.node.delivery.words import SegmentsDropped, SegmentsKept, SegmentsMade
from littoral.terms.errors import ConflictError, LittoralError, NotFoundError, StoreError
from littoral.terms.ids import ArtifactId

__all__ = ["Segments"]

log = logging.getLogger("littoral")


class Segments:
    """Of one mover."""

    def __init__(self, parts: Parts, desk: Desk) -> None:
        """Keep nothing yet; what a killed mover was at is taken away. Blocks.

        Args:
            parts: the store, and who signs.
            desk: lets go of what is to be dropped.
        """
        self._parts = parts
        self._desk = desk
        self._forget_drafts()

    async def keep(self, made: SegmentsMade) -> SegmentsKept:
        """Keep what the PoP has made as an artifact; each file of it is taken away once it is had.

        Raises:
            DiskShortError, StoreError: it can't be kept.
        """
        artifact = await self._parts.around.blocking(lambda: self._kept(made))
        parts = self._parts
        now = parts.around.clock.unix_ns()
        parts.holdings.made(made.reference, artifact, parts.identity, now)
        self._desk.changed()
        return SegmentsKept(artifact)

    async def drop(self, artifact: ArtifactId) -> SegmentsDropped:
        """Drop it, unless somebody still holds it.

        Raises:
            ConflictError: it is something else than segments.
        """
        shelf = self._parts.holdings.store.shelf
        with suppress(NotFoundError):
            if shelf.manifest(artifact).kind is not Kind.EMBEDDINGS:
                raise ConflictError(f"{artifact} is something else than segments")
        await self._desk.let_go_of(artifact)
        remove = self._parts.holdings.store.remove
        gone = True
        try:
            with suppress(NotFoundError):
                await self._parts.around.blocking(lambda: remove(artifact))
        except ConflictError as error:
            log.info("%s is not dropped yet: %s", artifact, error)
            gone = False
        self._desk.changed()
        return SegmentsDropped(gone)

    def _kept(self, made: SegmentsMade) -> ArtifactId:
        try:
            paths = sorted(Path(made.folder).iterdir())
            sizes = {path.name: path.stat().st_size for path in paths}
        except OSError as error:
            raise StoreError(f"{made.folder} can't be read ({error.strerror})") from None
        store = self._parts.holdings.store
        try:
            return keep_files(store, Kind.EMBEDDINGS, made.reference, sizes, _taken(paths))
        except LittoralError:
            self._forget_drafts()
            raise

    def _forget_drafts(self) -> None:
        """Take away what was not kept to its end."""
        store = self._parts.holdings.store
        for draft in store.drafts():
            if draft.kind is Kind.EMBEDDINGS:
                with suppress(LittoralError):  # another is being kept; or the disk is ill
                    store.remove_draft(draft.id)


def _taken(paths: Sequence[Path]) -> Iterator[bytes]:
    """What is in each, which is gone once the next is asked for: it does not take room twice."""
    for path in paths:
        try:
            yield path.read_bytes()
            path.unlink()
        except OSError as error:
            raise StoreError(f"{path} can't be taken ({error.strerror})") from None
