"""The pipelines in a store: defined here, or delivered from elsewhere.

A pipeline is an artifact of two files (`delivery/pipelines.py`), so it is pinned, dropped and
pulled by its name as any other. It goes to PoPs of the same owner only, for prompts are in it.

What is in the store as a pipeline and is none is told in the log, and not listed.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Final

from littoral.adapters.identity import verify
from littoral.delivery.manifest import Kind, Manifest
from littoral.delivery.pipelines import (
    DEFINITION_FILE,
    PIPELINE_FILE,
    encoded,
    opened_definition,
    read_pipeline,
    signed_definition,
)
from littoral.node.delivery.making import keep_files
from littoral.node.delivery.parts import Parts
from littoral.terms.errors import ConflictError, NotFoundError, RecordRejectedError
from littoral.terms.ids import ArtifactId, PopId
from littoral.terms.limits import PIPELINE_DOCUMENT_BYTES_MAX
from littoral.terms.pipelines import (
    Pipeline,
    PipelineRow,
    PipelineShown,
    PipelinesShown,
    PipelineWanted,
)

__all__ = ["Pipelines"]

log = logging.getLogger("littoral")

_FILES: Final = (PIPELINE_FILE, DEFINITION_FILE)
_NAME_DIGITS: Final = 16
"""Of the artifact's, in what a pipeline is referred to by."""


class Pipelines:
    """See web.delivery.PipelineDesk."""

    def __init__(self, parts: Parts, changed: Callable[[], None]) -> None:
        """Read nothing yet.

        Args:
            parts: the store, and who signs.
            changed: called when there is something else to say to others.
        """
        self._parts = parts
        self._changed = changed

    async def define(self, wanted: PipelineWanted) -> PipelineRow:
        """Take a pipeline that an operator has written, and pin it."""
        parts = self._parts
        pipeline = read_pipeline(wanted.text)
        document = encoded(pipeline)
        envelope = signed_definition(parts.identity, document)
        artifact = await parts.around.blocking(lambda: self._kept(pipeline, document, envelope))
        name = artifact.removeprefix("blake3:")[:_NAME_DIGITS]
        reference = f"pipeline:{pipeline.name}@{name}"
        if parts.holdings.whole(reference) is None:
            now = parts.around.clock.unix_ns()
            parts.holdings.made(reference, artifact, parts.identity, now)
        self._changed()
        return _row(PipelineShown(artifact, parts.around.me, pipeline))

    async def pipelines(self) -> PipelinesShown:
        """All that are here whole."""
        found = await self._parts.around.blocking(lambda: list(self._all()))
        rows = sorted((_row(each) for each in found), key=lambda row: (row.name, row.artifact))
        return PipelinesShown(tuple(rows))

    async def pipeline(self, name: str) -> PipelineShown:
        """One of them, by its own name or its artifact's."""
        found = await self._parts.around.blocking(lambda: list(self._all()))
        named = [each for each in found if name in {each.pipeline.name, each.artifact}]
        if not named:
            raise NotFoundError(
                f"no pipeline here is named {name[:96]!r}", advice="`littoral pipeline list`"
            )
        if len(named) > 1:
            raise ConflictError(
                f"{len(named)} pipelines here are named {name!r}",
                advice=f"name one by its artifact: {', '.join(each.artifact for each in named)}",
            )
        return named[0]

    def _kept(self, pipeline: Pipeline, document: bytes, envelope: bytes) -> ArtifactId:
        """The artifact that it is, in the store. Blocks."""
        store, files = self._parts.holdings.store, (document, envelope)
        sizes = {path: len(data) for path, data in zip(_FILES, files, strict=True)}
        artifact = keep_files(store, Kind.PIPELINE, f"pipeline:{pipeline.name}", sizes, files)
        store.pin(artifact, pinned=True)
        return artifact

    def _all(self) -> Iterator[PipelineShown]:
        shelf = self._parts.holdings.store.shelf
        for artifact in shelf.artifacts():
            try:
                manifest = shelf.manifest(artifact)
                if manifest.kind is Kind.PIPELINE and shelf.complete(artifact):
                    pipeline, pop = self._opened(artifact, manifest)
                    yield PipelineShown(artifact, pop, pipeline)
            except NotFoundError:
                continue  # it has just been dropped
            except RecordRejectedError as error:
                log.warning("%s is no pipeline: %s", artifact, error)

    def _opened(self, artifact: ArtifactId, manifest: Manifest) -> tuple[Pipeline, PopId]:
        if tuple(file.path for file in manifest.files) != _FILES:
            raise RecordRejectedError("it has other files")
        if any(file.size_bytes > PIPELINE_DOCUMENT_BYTES_MAX for file in manifest.files):
            raise RecordRejectedError("it is over the bounds")
        with self._parts.holdings.store.shelf.hold(artifact) as held:
            document, envelope = (path.read_bytes() for path in held.paths)
        return opened_definition(document, envelope, verify)


def _row(shown: PipelineShown) -> PipelineRow:
    pipeline = shown.pipeline
    does = tuple(str(step.__struct_config__.tag) for step in pipeline.steps)
    return PipelineRow(pipeline.name, shown.artifact, shown.pop, pipeline.about, does)
