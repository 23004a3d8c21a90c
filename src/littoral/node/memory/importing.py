"""Files into a collection: read, cut, compared with what is there, embedded and kept.

Rules
- What is there unchanged is neither embedded nor written. So an import that was broken off goes on
  where it was when it is begun again, and one of unchanged files does nothing.
- A document is changed in one step: its new passages come, and those that it has no more go. One of
  more than `IMPORT_PASSAGES` new passages comes in several, and the old ones go with the last: for
  a while there is both, and never neither.
- Two batches are under way at a time, so that one is embedded while the other is indexed; a third
  is being read.
- A file that can't be read or kept is told of, and does not end the import; its document stays as
  it is, unless the file was read and has nothing in it any more. What ends it: whatever
  is no file's fault, such as a full disk, or a key that may not write.
- Of a file of records, those before a bad one are kept.

Not here: HTTP, and how progress is shown.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from threading import Event
from typing import Final

from littoral.adapters.documents import Begun, Job, Reader, Said, Some, Source, Still
from littoral.adapters.documents.kinds import holds_records, printable
from littoral.memory.passages import Cutting
from littoral.node.memory.revising import Batch, Revising, Unit
from littoral.terms.collections import OpenCollection
from littoral.terms.errors import LittoralError
from littoral.terms.limits import IMPORT_FAILURES_TOLD_MAX, PASSAGE_TOKENS_MAX
from littoral.terms.memory import Record
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND, EngineKind, ModelEntry

__all__ = ["Importer", "Progress", "Wish", "take_file", "tokenizer_of"]

_AT_ONCE: Final = 2
"""Batches under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How files are to be taken."""

    cutting: Cutting = field(default_factory=Cutting)
    metadata: dict[str, object] = field(default_factory=dict)
    """Kept with each passage."""
    labels: tuple[str, ...] = ()
    """Who may see them."""
    tokenizer: str = ""
    """Of the collection's model; see `tokenizer_of`."""
    tokens_max: int = 0
    context_tokens: int = 0
    """That this model reads; 0 is not known."""
    records: bool = True
    """Take files of records as such; see `Job.records`."""


@dataclass(slots=True)
class Progress:
    """How far an import is, and at its end what came of it."""

    files: int
    bytes_total: int
    files_done: int = 0
    bytes_done: int = 0
    passages: int = 0
    """Written, with new words."""
    moved: int = 0
    """Written with the vectors that they had: their place, metadata or labels are others."""
    unchanged: int = 0
    beyond: int = 0
    """Records that have more text than the model reads: it sees the beginning."""
    gone: int = 0
    """Passages that their documents have no more."""
    kept_bytes: int = 0
    """Of the passages that these files have now: texts, and vectors."""
    failed: int = 0
    """Files."""
    failures: list[tuple[str, LittoralError]] = field(default_factory=list)
    """The first of them, by name."""
    reading: str = ""
    elapsed_s: float = 0.0

    @property
    def rate(self) -> float:
        """Passages a second, of those that were embedded."""
        return self.passages / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def left_s(self) -> float | None:
        """What is left will take about so long, by its bytes; None where nothing is known."""
        if not self.bytes_done:
            return None
        left = max(0, self.bytes_total - self.bytes_done)
        return self.elapsed_s * left / self.bytes_done


def tokenizer_of(entry: ModelEntry | None) -> tuple[str, int]:
    """The tokenizer file of a model, and the tokens of one passage; empty where there is none."""
    if entry is None or entry.engine is not EngineKind.ONNX or len(entry.files) < 2:
        return "", 0
    return entry.files[1].path, min(entry.context_tokens, PASSAGE_TOKENS_MAX)


async def take_file(
    collection: OpenCollection, file: Source, wish: Wish, *, clock: Clock, reader: Reader
) -> int:
    """Take one file, and say how many bytes its passages take.

    Args:
        collection: where it goes.
        file: what is taken.
        wish: how.
        clock: for how long it takes.
        reader: reads this file, and others after it.

    Raises:
        UnsupportedError: it is of no kind that is read.
        LittoralError: it can't be read, or not be kept.
    """
    done = await Importer(collection, wish, clock=clock, reader=reader).run([file])
    for _, error in done.failures:
        raise error
    return done.kept_bytes


class Importer:
    """Takes files into one collection."""

    def __init__(
        self,
        collection: OpenCollection,
        wish: Wish,
        *,
        clock: Clock,
        tell: Callable[[Progress], None] = lambda _: None,
        reader: Reader | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
            collection: where they go.
            wish: how.
            clock: for how long it takes.
            tell: hears how far it is, often; on the loop.
            reader: reads the files, if not one that is started for it and ends with it.
        """
        self._wish = wish
        self._clock = clock
        self._tell = tell
        self._reader = reader
        self._revising = Revising(collection)
        self._bad: set[str] = set()
        self._left: Counter[str] = Counter()
        """Parts of each file that are under way, the one that is being read among them."""
        self._progress = Progress(0, 0)
        self._began = 0
        self.taken: list[str] = []
        """Files that are kept whole, by name; also when it could not go on."""

    async def run(self, files: Sequence[Source]) -> Progress:
        """Take these, and say what came of it.

        Cancelled, it leaves what is kept already, and nothing that is half.

        Raises:
            LittoralError: it could not go on; what is done is done.
        """
        self._began = self._clock.now()
        self._progress = Progress(len(files), sum(each.size_bytes for each in files))
        reader = self._reader or Reader()
        try:
            await self._take(reader, files)
        except BaseException as error:
            reader.break_off()
            raise _first(error) from None
        finally:
            if self._reader is None:
                reader.close()
        self._say()
        return self._progress

    async def _take(self, reader: Reader, files: Sequence[Source]) -> None:
        free, under_way = asyncio.Semaphore(_AT_ONCE), list[Batch]()

        async def keep(batch: Batch) -> None:
            try:
                await self._keep(batch)
            finally:
                under_way.remove(batch)
                free.release()

        async with asyncio.TaskGroup() as tasks, aclosing(self._batches(reader, files)) as batches:
            async for batch in batches:
                await free.acquire()
                if any(not batch.ids.isdisjoint(other.ids) for other in under_way):
                    await free.acquire()  # of records with one id the last counts: the other first
                    free.release()
                under_way.append(batch)
                tasks.create_task(keep(batch))

    async def _batches(
        self, reader: Reader, files: Sequence[Source]
    ) -> AsyncGenerator[Batch, None]:
        """What is read, gathered into batches of about one size."""
        batch = Batch()
        for file in files:
            async with aclosing(self._units(reader, file)) as units:
                async for unit in units:
                    if batch.units and batch.is_full_with(unit):
                        yield batch
                        batch = Batch()
                    batch.add(unit)
        if batch.units:
            yield batch

    async def _units(self, reader: Reader, file: Source) -> AsyncGenerator[Unit, None]:
        """One file: a document whole, or records some at a time."""
        self._progress.reading = file.name
        self._left[file.name] += 1
        records: list[Record] = []
        rows, done = False, 0
        said, left = reader.read(self._job(file)), Event()
        try:
            while (one := await asyncio.to_thread(_next, said, left)) is not None:
                match one:
                    case Begun(records=rows):
                        pass
                    case Still():
                        self._say()
                    case Some(records=some, bytes_done=reached, beyond=beyond) if rows:
                        if file.name in self._bad:
                            self._progress.bytes_done += file.size_bytes - done
                            return
                        read = reached - done
                        self._progress.beyond += beyond
                        self._left[file.name] += 1
                        yield Unit(file.name, some, rows=True, bytes_read=read)
                        done = reached
                    case Some(records=some):
                        records += some
                    case _:
                        pass
        except LittoralError as error:
            self._fail(file.name, error)
            if not error.details.get("empty") or holds_records(file.name):
                self._progress.bytes_done += file.size_bytes - done
                return
        finally:
            left.set()
            with suppress(ValueError):  # broken off, a thread is still in it, and closes it
                said.close()
        yield Unit(file.name, tuple(records), rows=rows, bytes_read=0 if rows else file.size_bytes)

    def _job(self, file: Source) -> Job:
        wish = self._wish
        return Job(
            path=str(file.path.absolute()),  # the reader may have been started elsewhere
            name=file.name,
            cutting=wish.cutting,
            tokenizer=wish.tokenizer,
            tokens_max=wish.tokens_max,
            context_tokens=wish.context_tokens,
            records=wish.records,
            metadata=wish.metadata,
            labels=wish.labels,
        )

    async def _keep(self, batch: Batch) -> None:
        """Change the collection by a batch; if it can't take it, by each file alone."""
        outcome = await self._revising.take(batch)
        progress = self._progress
        progress.passages += outcome.fresh
        progress.moved += outcome.moved
        progress.unchanged += outcome.unchanged
        progress.gone += outcome.gone
        progress.kept_bytes += outcome.kept_bytes
        for name, error in outcome.failures:
            self._fail(name, error)
        for unit in batch.units:
            progress.bytes_done += unit.bytes_read
            self._left[unit.name] -= 1
            if not self._left[unit.name]:
                del self._left[unit.name]
                if unit.name not in self._bad:
                    progress.files_done += 1
                    self.taken.append(unit.name)
        self._say()

    def _fail(self, name: str, error: LittoralError) -> None:
        if name in self._bad:
            return
        self._bad.add(name)
        self._progress.failed += 1
        if len(self._progress.failures) < IMPORT_FAILURES_TOLD_MAX:
            self._progress.failures.append((printable(name), error))

    def _say(self) -> None:
        self._progress.elapsed_s = (self._clock.now() - self._began) / SECOND
        self._tell(self._progress)


def _next(said: Generator[Said, None, None], left: Event) -> Said | None:
    """What comes next. Blocks; on a thread, which may go on when nobody waits for it any more."""
    one = next(said, None)
    if left.is_set():
        with suppress(ValueError):
            said.close()
    return one


def _first(error: BaseException) -> BaseException:
    """What ended it; a defect goes before what it brought about."""
    found = error
    while isinstance(found, BaseExceptionGroup):
        found = next(
            (each for each in found.exceptions if not isinstance(each, LittoralError)),
            found.exceptions[0],
        )
    return found
