"""What a collection has of some documents, and what it is to have: compared, and brought about.

Rules
- Looked at first, written only where something differs; what is only moved keeps its vectors.
- What a collection refuses is found out by halves: one bad record fails its file alone.
- A machine that is busy is asked again, for as long as models take to load.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

import msgspec

from littoral.memory.passages import Change, changed, placed
from littoral.terms.collections import OpenCollection
from littoral.terms.errors import (
    BadRequestError,
    BodyTooLargeError,
    ContextLengthError,
    LittoralError,
    LoadingError,
    QueueFullError,
    RateLimitedError,
    UnsupportedError,
)
from littoral.terms.filters import DOCUMENT, All, Ids, Is, Not
from littoral.terms.limits import (
    IMPORT_BUSY_S,
    IMPORT_BYTES,
    IMPORT_PASSAGES,
)
from littoral.terms.memory import DeleteWhere, Record, Scan, Upsert, Write

__all__ = ["Batch", "Outcome", "Revising", "Unit", "of_documents", "patient"]

_FILE_FAULTS: Final = (BadRequestError, BodyTooLargeError, ContextLengthError, UnsupportedError)
_BUSY: Final = (LoadingError, QueueFullError, RateLimitedError)
_AGAIN_S: Final = 0.5
_PAGE: Final = 500

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unit:
    """A document, or some records of a file."""

    name: str
    """Of the file."""
    records: tuple[Record, ...]
    rows: bool
    """They are records, each for itself."""
    bytes_read: int

    @property
    def size(self) -> int:
        """About how many bytes it takes to write."""
        return sum(map(_size, self.records))


@dataclass(slots=True, eq=False)
class Batch:
    """What is compared and written together."""

    units: list[Unit] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    passages: int = 0
    size: int = 0

    def add(self, unit: Unit) -> None:
        """Take one more."""
        self.units.append(unit)
        self.ids |= {record.id for record in unit.records}
        self.passages += len(unit.records)
        self.size += unit.size

    def is_full_with(self, unit: Unit) -> bool:
        """Whether one more would be too much."""
        return (
            self.passages + len(unit.records) > IMPORT_PASSAGES
            or self.size + unit.size > IMPORT_BYTES
        )


@dataclass(slots=True)
class Outcome:
    """What came of a batch."""

    fresh: int = 0
    moved: int = 0
    unchanged: int = 0
    gone: int = 0
    kept_bytes: int = 0
    failures: list[tuple[str, LittoralError]] = field(default_factory=list)


class Revising:
    """Makes one collection have what it is to have."""

    def __init__(self, collection: OpenCollection) -> None:
        self._collection = collection

    async def take(self, batch: Batch) -> Outcome:
        """See that these are kept, and of their documents nothing else.

        Raises:
            LittoralError: for what is no file's fault.
        """
        outcome = Outcome()
        await self._revise(batch.units, outcome)
        return outcome

    async def _revise(self, units: Sequence[Unit], outcome: Outcome) -> None:
        try:
            change = await self._change(units)
            await self._bring_about(units, change)
        except _FILE_FAULTS as error:
            halves = _halves(units)
            if not halves:
                outcome.failures.append((units[0].name, _of_record(units[0], error)))
            for half in halves:
                await self._revise(half, outcome)
            return
        outcome.fresh += len(change.fresh)
        outcome.moved += len(change.moved)
        outcome.unchanged += change.unchanged
        outcome.gone += len(change.gone)
        outcome.kept_bytes += sum(unit.size + self._made(unit) for unit in units)

    def _made(self, unit: Unit) -> int:
        """Bytes of the vectors that are made of a unit's texts."""
        spec = self._collection.spec
        own = next((field.dimensions * 4 for field in spec.vectors if not field.name), 0)
        made = sum("" not in record.vectors and bool(record.text) for record in unit.records)
        return made * own if spec.embedding is not None else 0

    async def _change(self, units: Sequence[Unit]) -> Change:
        # Of records with one id the last counts.
        wanted = [*{record.id: record for unit in units for record in unit.records}.values()]
        names = tuple({unit.name for unit in units if not unit.rows})
        ids = [record.id for unit in units if unit.rows for record in unit.records]
        kept: dict[str, Record] = {}
        if names:
            async for record in of_documents(self._collection, names):
                kept[record.id] = record
        if ids:
            brought = any(record.vectors or record.sparse for record in wanted)
            found = await patient(partial(self._collection.fetch, ids, with_vectors=brought))
            kept |= {record.id: record for record in found}
        return changed(kept.values(), wanted)

    async def _bring_about(self, units: Sequence[Unit], change: Change) -> None:
        if change.nothing:
            return
        moved = await self._moved(change.moved)
        fewer = {record.document for record in change.gone}
        last: list[Write] = [_less(unit) for unit in units if unit.name in fewer and not unit.rows]
        parts = [*_parts((*change.fresh, *moved))]
        for part in parts[:-1]:
            await self._apply([Upsert(part)])
        await self._apply([*last, *(Upsert(part) for part in parts[-1:])])

    async def _moved(self, records: Sequence[Record]) -> list[Record]:
        """The same with the vectors that are kept of them."""
        found: list[Record] = []
        for start in range(0, len(records), IMPORT_PASSAGES):
            some = records[start : start + IMPORT_PASSAGES]
            ids = [record.id for record in some]
            kept = await patient(partial(self._collection.fetch, ids, with_vectors=True))
            old = {record.id: record for record in kept}
            found += (
                placed(record, old[record.id]) if record.id in old else record for record in some
            )
        return found

    async def _apply(self, writes: Sequence[Write]) -> None:
        await patient(partial(self._collection.apply, writes))


async def of_documents(collection: OpenCollection, names: tuple[str, ...]) -> AsyncIterator[Record]:
    """All that is kept of documents, without vectors."""
    scan: Scan | None = Scan(where=Is(DOCUMENT, names), limit=_PAGE)
    while scan is not None:
        page = await patient(partial(collection.scan, scan))
        for record in page.records:
            yield record
        scan = msgspec.structs.replace(scan, after=page.next) if page.next else None


async def patient(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer, asking again while the machine is busy."""
    waited = 0.0
    while True:
        try:
            return await ask()
        except _BUSY as error:
            if waited >= IMPORT_BUSY_S:
                raise
            pause = max(error.retry_after_s or 0.0, _AGAIN_S)
            await asyncio.sleep(pause)
            waited += pause


def _size(record: Record) -> int:
    """About how many bytes a record takes."""
    metadata = len(msgspec.json.encode(record.metadata)) if record.metadata else 0
    vectors = sum(map(len, record.vectors.values()))
    return len(record.text) + len(record.header) + metadata + vectors


def _less(unit: Unit) -> DeleteWhere:
    """Forgets what a document has no more."""
    ids = tuple(record.id for record in unit.records)
    return DeleteWhere(All((Is(DOCUMENT, (unit.name,)), Not(Ids(ids)))))


def _parts(records: Sequence[Record]) -> Iterator[tuple[Record, ...]]:
    part: list[Record] = []
    size = 0
    for record in records:
        length = _size(record)
        if part and (len(part) == IMPORT_PASSAGES or size + length > IMPORT_BYTES):
            yield tuple(part)
            part, size = [], 0
        part.append(record)
        size += length
    if part:
        yield tuple(part)


def _halves(units: Sequence[Unit]) -> list[list[Unit]]:
    """The same in two parts; none where a document, or a record, can't be parted."""
    if len(units) > 1:
        return [[*units[: len(units) // 2]], [*units[len(units) // 2 :]]]
    (unit,) = units
    if not unit.rows or len(unit.records) < 2:
        return []
    middle = len(unit.records) // 2
    first, second = unit.records[:middle], unit.records[middle:]
    return [
        [Unit(unit.name, first, rows=True, bytes_read=0)],
        [Unit(unit.name, second, rows=True, bytes_read=0)],
    ]


def _of_record(unit: Unit, error: LittoralError) -> LittoralError:
    """The error, saying which record it is about."""
    if not unit.rows or not isinstance(error, BadRequestError):
        return error
    return BadRequestError(
        f"{unit.records[0].id[:80]!r} can't be kept: {error.message}", advice=error.advice
    )
