"""Moving a collection from one driver to another: all of it, seen to be all of it, then gone here.

A pass reads both sides in the order of their ids, side by side, gives the target what it has
otherwise or not at all, and takes from it what the source no longer has. So the first pass copies;
a move that broke off goes on where it was; changes made meanwhile are caught up with. When a pass
has found no difference, and nothing has changed the source while it went, both are the same.

Rules
- Who asks is told a collection once, whatever moment this is killed in: a **journal** says which
  moves are under way. Until the target is proven equal it is not there for others; from then on the
  source is not, and goes.
- What the target lacks (`Ability`) is said before anything is made.
- The last pass runs while nothing may change the source: `still` sees to that.

Not here: reading while it moves. That is the source's, as ever.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from littoral.adapters.files import write_whole
from littoral.terms.collections import Collection, Collections
from littoral.terms.errors import ConflictError, NotFoundError, StoreError
from littoral.terms.limits import MOVING_PAGE_RECORDS, MOVING_PASSES_MAX
from littoral.terms.memory import CollectionSpec, Delete, Record, Scan, Upsert, Write

__all__ = ["Journal", "Move", "Moved", "hidden", "move"]

_FILE: Final = "memory-moves.json"


class Move(msgspec.Struct, frozen=True):
    """A move that is under way."""

    name: str
    scope: str
    source: str
    """The drivers' names."""
    target: str
    proven: bool = False
    """The target is equal; the source goes."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A move that is done."""

    records: int
    digest: str
    """Of all records, in the order of their ids."""
    passes: int


class Journal:
    """Which moves are under way, in the home. One process moves at a time: whoever holds it."""

    def __init__(self, home: Path) -> None:
        self._path = home / _FILE

    def moves(self) -> list[Move]:
        """All of them."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[Move])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError) as error:
            raise StoreError(
                f"{self._path} can't be read, which says what collections are on the move",
                advice="restore it, or remove it after dropping the copy that is not whole",
            ) from error

    def put(self, move: Move) -> None:
        """Note one, instead of what was noted of it."""
        self._write([*self._others(move), move])

    def end(self, move: Move) -> None:
        """It is done."""
        self._write(self._others(move))

    def _others(self, move: Move) -> list[Move]:
        mine = (move.scope, move.name)
        return [each for each in self.moves() if (each.scope, each.name) != mine]

    def _write(self, moves: list[Move]) -> None:
        try:
            write_whole(self._path, msgspec.json.encode(moves), mode=0o600)
        except OSError as error:
            raise StoreError(f"{self._path} can't be written: {error.strerror}") from error


def hidden(moves: list[Move]) -> set[tuple[str, str, str]]:
    """Driver, scope and name of what is not there for others while it moves."""
    return {(each.source if each.proven else each.target, each.scope, each.name) for each in moves}


def move(
    drivers: dict[str, Collections],
    wanted: Move,
    journal: Journal,
    *,
    told: Callable[[int, int], None] = lambda _done, _all: None,
    still: Callable[[], AbstractContextManager[object]] | None = None,
) -> Moved:
    """Move a collection, or go on with a move that broke off. Blocks.

    Args:
        drivers: by name.
        wanted: what goes where.
        journal: of the home.
        told: hears how many records were looked at, and of how many.
        still: nothing changes the source within; None: nothing changes it at all.

    Raises:
        NotFoundError: there is no such collection.
        ConflictError: the target has one of this name that is no part of a move.
        UnsupportedError: the target can't keep it.
    """
    source, target = drivers[wanted.source], drivers[wanted.target]
    begun = next((m for m in journal.moves() if (m.scope, m.name) == _key(wanted)), None)
    if begun is not None and (begun.source, begun.target) != (wanted.source, wanted.target):
        raise ConflictError(
            f"{wanted.name} is on the move from {begun.source} to {begun.target}",
            advice="finish that first: the same command goes on with it",
        )
    if begun is not None and begun.proven:
        return _ended(source, begun, journal, _looked_at(target.open(*_named(begun))))
    spec = _spec_of(source, wanted)
    if begun is None:
        _refuse_taken(target, wanted)
        journal.put(wanted)
    try:
        _make(target, spec)
        proven = msgspec.structs.replace(wanted, proven=True)
        moved = _passes(drivers, proven, journal, told, still)
    except BaseException:
        if begun is None and not _is_there(target, wanted):
            journal.end(wanted)
        raise
    return _ended(source, proven, journal, moved)


def _passes(
    drivers: dict[str, Collections],
    proven: Move,
    journal: Journal,
    told: Callable[[int, int], None],
    still: Callable[[], AbstractContextManager[object]] | None,
) -> Moved:
    """Copies until a pass finds both equal; notes it while still nothing may change."""
    from_ = drivers[proven.source].open(*_named(proven))
    to = drivers[proven.target].open(*_named(proven))
    passes = 0
    while still is not None and passes < MOVING_PASSES_MAX:
        passes += 1
        if not _pass(from_, to, told).different:
            break
    with nullcontext() if still is None else still():
        for _ in range(2):  # of which the second finds no difference, since nothing changes
            passes += 1
            looked = _pass(from_, to, told)
            if not looked.different:
                journal.put(proven)
                return Moved(looked.records, looked.digest, passes)
    raise StoreError(
        f"{proven.target} does not give back what {proven.name} had",
        advice="nothing is lost: the collection is where it was; look at the server's log",
    )


@dataclass(frozen=True, slots=True)
class _Pass:
    """What one pass has found."""

    different: int
    records: int
    digest: str
    """Of all records, in the order of their ids."""


def _pass(source: Collection, target: Collection, told: Callable[[int, int], None]) -> _Pass:
    """Make the target equal."""
    different, looked, every = 0, 0, source.count()
    digest = blake2b(digest_size=32)
    there = _records(target)
    other = next(there, None)
    writes: list[Record] = []
    gone: list[str] = []
    for record in _records(source):
        while other is not None and other.id.encode() < record.id.encode():
            gone.append(other.id)
            other = next(there, None)
        encoded = _encoded(record)
        digest.update(encoded)
        if other is not None and other.id == record.id:
            if _encoded(other) != encoded:
                writes.append(record)
            other = next(there, None)
        else:
            writes.append(record)
        looked += 1
        if len(writes) == MOVING_PAGE_RECORDS:
            different += _put(target, Upsert(tuple(writes)))
            writes = []
        if looked % MOVING_PAGE_RECORDS == 0:
            told(looked, max(every, looked))
    while other is not None:
        gone.append(other.id)
        other = next(there, None)
    if writes:
        different += _put(target, Upsert(tuple(writes)))
    for start in range(0, len(gone), MOVING_PAGE_RECORDS):
        different += _put(target, Delete(tuple(gone[start : start + MOVING_PAGE_RECORDS])))
    told(looked, looked)
    return _Pass(different, looked, digest.hexdigest())


def _put(target: Collection, write: Write) -> int:
    return target.apply([write]).changed


def _records(collection: Collection) -> Iterator[Record]:
    after = ""
    while True:
        page = collection.scan(Scan(after=after, limit=MOVING_PAGE_RECORDS, with_vectors=True))
        yield from page.records
        if not page.next:
            return
        after = page.next


def _looked_at(kept: Collection) -> Moved:
    digest, records = blake2b(digest_size=32), 0
    for record in _records(kept):
        digest.update(_encoded(record))
        records += 1
    return Moved(records, digest.hexdigest(), passes=0)


def _ended(source: Collections, proven: Move, journal: Journal, moved: Moved) -> Moved:
    """The target is the collection now: what is left of the source goes."""
    if _is_there(source, proven):
        source.drop(*_named(proven))
    journal.end(proven)
    return moved


def _encoded(record: Record) -> bytes:
    """The same for records that are the same, whatever order a driver has of their parts."""
    sparse = {
        name: sorted(zip(each.indices, each.values, strict=True))
        for name, each in record.sparse.items()
    }
    plain = msgspec.structs.asdict(record) | {"sparse": sparse}
    return msgspec.json.encode(plain, order="deterministic")


def _make(target: Collections, spec: CollectionSpec) -> None:
    """Make it where it is not there from before the move broke off."""
    try:
        target.create(spec)
    except ConflictError:
        target.open(spec.name, spec.scope)


def _spec_of(source: Collections, wanted: Move) -> CollectionSpec:
    for shown in source.describe():
        if (shown.spec.scope, shown.spec.name) == _key(wanted):
            return shown.spec
    raise NotFoundError(
        f"{wanted.source} keeps no collection named {wanted.name!r}",
        advice="`littoral memory list` shows them, and what keeps each",
    )


def _refuse_taken(target: Collections, wanted: Move) -> None:
    if _is_there(target, wanted):
        raise ConflictError(
            f"{wanted.target} keeps a collection named {wanted.name} already",
            advice="drop one of the two",
        )


def _is_there(driver: Collections, wanted: Move) -> bool:
    try:
        driver.open(*_named(wanted))
    except NotFoundError:
        return False
    return True


def _key(wanted: Move) -> tuple[str, str]:
    return wanted.scope, wanted.name


def _named(wanted: Move) -> tuple[str, str]:
    return wanted.name, wanted.scope
