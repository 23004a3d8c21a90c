"""Files and texts into passages of a collection: for vector stores, and for what agents add.

Files are read in a process of their own (adapters/documents); texts, which need no reading, are cut
here. Either way what was there of the document is compared with what is to be there, and only the
difference is embedded and written.

A static strategy of cutting is heeded as far as the collection's model allows: no passage is longer
than the model takes.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from blake3 import blake3

from littoral.adapters.documents import Reader, Source
from littoral.adapters.stores import Kept
from littoral.memory.passages import Cutting, Document, passages
from littoral.node.memory.importing import Wish, take_file, tokenizer_of
from littoral.node.memory.revising import Batch, Revising, Unit
from littoral.node.memory.threads import Threads
from littoral.terms.collections import Memory, OpenCollection
from littoral.terms.errors import (
    BadRequestError,
    MissingExtraError,
    NotFoundError,
)
from littoral.terms.ids import ModelName
from littoral.terms.limits import PASSAGE_CHARS_MAX, READER_IDLE_S
from littoral.terms.memory import CollectionSpec, Record
from littoral.terms.ports import Clock
from littoral.terms.stores import (
    Cut,
    StoreFile,
    document_of,
)
from littoral.terms.values import Caller, ModelEntry
from littoral.web.mcp.tools import Added, Told

if TYPE_CHECKING:
    from littoral.adapters.documents.cutting import TokenLimit

__all__ = ["Adding", "FileTaking"]

_CHARS_PER_TOKEN: Final = 4
_NAME_DIGITS: Final = 16

EntryOf = Callable[[ModelName], ModelEntry | None]
"""The entry of a model, if this PoP has it."""


class FileTaking:
    """Makes passages of files that clients have sent. Used on the loop, one file at a time."""

    def __init__(self, kept: Kept, threads: Threads, entry_of: EntryOf, clock: Clock) -> None:
        """Start nothing yet.

        Args:
            kept: has the files.
            threads: where disks are waited for.
            entry_of: for how models count tokens.
            clock: for how long it takes.
        """
        self._kept = kept
        self._threads = threads
        self._entry_of = entry_of
        self._clock = clock
        self._reader = Reader()
        self._rest: asyncio.TimerHandle | None = None
        """Ends the process that reads, when nothing was read for a while."""

    async def __call__(self, collection: OpenCollection, file: StoreFile) -> int:
        """See `filing.Take`."""
        upload = self._kept.uploads.find(file.file_id)
        if upload is None:
            raise NotFoundError("the file was deleted", advice="send it again")
        path = await self._threads.run(lambda: self._kept.vault.checked(upload.digest))
        if self._rest is not None:
            self._rest.cancel()
        try:
            return await take_file(
                collection,
                Source(path, document_of(file.file_id, file.filename), upload.size_bytes),
                self._wish(collection.spec, file),
                clock=self._clock,
                reader=self._reader,
            )
        finally:
            loop = asyncio.get_running_loop()
            self._rest = loop.call_later(READER_IDLE_S, self._idle)

    def close(self) -> None:
        """End the process that reads; a file that it is at fails."""
        if self._rest is not None:
            self._rest.cancel()
        self._reader.close()

    def _idle(self) -> None:
        reader, self._reader = self._reader, Reader()
        reader.close()

    def _wish(self, spec: CollectionSpec, file: StoreFile) -> Wish:
        cutting, tokens_max = _cutting(file.cut)
        tokenizer, tokens = _tokenizer(self._entry_of, spec)
        return Wish(
            cutting=cutting,
            metadata={**file.attributes},
            tokenizer=tokenizer,
            tokens_max=min(tokens, tokens_max or tokens),
            records=False,
        )


class Adding:
    """Keeps texts that agents tell; see `web.mcp.tools.MemoryAdd`."""

    def __init__(
        self, memory: Memory, threads: Threads, entry_of: EntryOf, embedding: ModelName
    ) -> None:
        """Do nothing yet.

        Args:
            memory: has the collections.
            threads: where texts are cut.
            entry_of: for how models count tokens.
            embedding: the model of collections that are made for what is added.
        """
        self._memory = memory
        self._threads = threads
        self._entry_of = entry_of
        self._embedding = embedding

    async def __call__(self, collection: str, told: Sequence[Told], caller: Caller) -> Added:
        """Keep them, each as a document of its own."""
        opened = await self._opened(collection, caller)
        limit = _tokenizer(self._entry_of, opened.spec)
        documents: dict[str, tuple[Record, ...]] = {}
        for each in told:
            cut = await self._threads.run(lambda: _records(each, *limit))  # noqa: B023 - run at once
            documents[cut[0].document] = cut
        batch = Batch()
        for name, records in documents.items():
            batch.add(Unit(name, records, rows=False, bytes_read=0))
        outcome = await Revising(opened).take(batch)
        if outcome.failures:
            raise outcome.failures[0][1]
        return Added(tuple(documents), sum(map(len, documents.values())))

    async def _opened(self, name: str, caller: Caller) -> OpenCollection:
        try:
            return await self._memory.open(name, caller)
        except NotFoundError:
            await self._memory.create(CollectionSpec(name=name, embedding=self._embedding), caller)
            return await self._memory.open(name, caller)


def _records(told: Told, tokenizer: str, tokens_max: int) -> tuple[Record, ...]:
    """The passages of a text. Blocks."""
    try:
        from littoral.adapters.documents.cutting import TokenLimit, pieces_of  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(
            f"cutting texts needs {error.name}",
            advice="install it: `pip install 'littoral[memory,onnx]'`",
        ) from None
    name = told.id or f"text-{blake3(told.text.encode()).hexdigest()[:_NAME_DIGITS]}"
    document = Document(name=name, title=told.title, text=told.text)
    limit = _limit(TokenLimit, tokenizer, tokens_max) if tokenizer else None
    pieces = pieces_of(document, Cutting(), limit)
    if not pieces:
        raise BadRequestError(f"{name[:80]} has no text in it", advice="leave it out", param="text")
    return passages(document, pieces, metadata=told.metadata)


@lru_cache(maxsize=2)
def _limit(kind: "type[TokenLimit]", tokenizer: str, tokens_max: int) -> "TokenLimit":
    return kind(tokenizer, tokens_max)


def _tokenizer(entry_of: EntryOf, spec: CollectionSpec) -> tuple[str, int]:
    return tokenizer_of(None if spec.embedding is None else entry_of(spec.embedding))


def _cutting(cut: Cut | None) -> tuple[Cutting, int]:
    """How long passages are in characters, and in tokens if somebody has said that."""
    if cut is None:
        return Cutting(), 0
    chars = min(cut.tokens_max * _CHARS_PER_TOKEN, PASSAGE_CHARS_MAX)
    overlap = min(cut.overlap_tokens * _CHARS_PER_TOKEN, chars // 2)
    return Cutting(chars=chars, overlap=overlap), cut.tokens_max
