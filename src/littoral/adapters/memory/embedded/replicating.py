"""A collection as its replicas follow it, and as a replica of another.

Rules
- Of a record only its latest change counts: what is sent after a change is the records that changed
  since, as they are now, and the ids that went. It needs no log beside the truth.
- Ids that went are remembered for a while (`changing.py`). A reader that is older begins anew: it
  takes all records, and drops what it has beyond them at the end; until then it keeps what it had.
- How far a replica has come is written in the transaction that brings it there.

Not here: how changes travel, and who may have them.
"""

# ruff: noqa: S608 - names of columns go in, values never

from littoral.adapters.memory.embedded.changing import Changing
from littoral.adapters.memory.embedded.reading import Reader
from littoral.adapters.memory.embedded.rows import COLUMNS, record_of
from littoral.adapters.store.database import Database
from littoral.terms.errors import ConflictError
from littoral.terms.filters import All
from littoral.terms.memory import Delete, DeleteWhere, Record, Upsert
from littoral.terms.replicas import Changes, Followed

__all__ = ["changes_after", "follow", "followed"]

_RECORDS_MAX = 5_000
"""Sent in one part."""
_BATCH = 100
"""Read at once: they may be large."""
_GONE_MAX = 50_000


def changes_after(reader: Reader, after: int, bytes_max: int, *, begun: int) -> Changes:
    """What changed after a change, or all from the beginning where that is not known any more.

    Args:
        reader: of one moment of the truth.
        after: the last change that whoever asks has.
        bytes_max: about as much is given, and at least one record.
        begun: whoever asks is taking all, and this was the last change when it began; else 0.
    """
    read = reader.database.read
    ((latest, oldest),) = read("SELECT through, oldest_tombstone FROM state")
    forgotten = oldest > (begun or after)
    if forgotten or after > latest:
        after = 0
    whole = bool(begun) or after == 0
    through, records = _records_after(reader, after, bytes_max, latest)
    gone = read(
        "SELECT seq, id FROM gone WHERE seq > ? AND seq <= ? AND id IS NOT NULL "
        "ORDER BY seq LIMIT ?",
        (after, through, _GONE_MAX),
    )
    if len(gone) == _GONE_MAX:
        through = min(through, gone[-1][0])
        records = {seq: record for seq, record in records.items() if seq <= through}
    return Changes(
        after=after,
        through=through,
        latest=latest,
        whole=whole,
        records=tuple(records.values()),
        gone=tuple(record_id for _, record_id in gone),
    )


def _records_after(
    reader: Reader, after: int, bytes_max: int, latest: int
) -> tuple[int, dict[int, Record]]:
    """The records that changed first, by their changes; and up to which change these are all."""
    records, size, last = dict[int, Record](), 0, after
    while len(records) < _RECORDS_MAX and size < bytes_max:
        rows = reader.database.read(
            f"SELECT {COLUMNS} FROM records WHERE seq > ? ORDER BY seq LIMIT ?", (last, _BATCH)
        )
        for row in rows:
            if records and size >= bytes_max:
                return last, records
            records[row[2]] = record = reader.filled(row[0], record_of(row))
            size += _bytes_of(record) + len(row[4])
            last = row[2]
        if len(rows) < _BATCH:
            return latest, records
    return last, records


def followed(database: Database) -> Followed:
    """How far this copy has come."""
    ((incarnation, era, through, begun, ever),) = database.read(
        "SELECT incarnation, era, through, begun, ever FROM followed"
    )
    return Followed(incarnation, era, through, begun, bool(ever))


def follow(database: Database, changing: Changing, changes: Changes, incarnation: str) -> None:
    """Take in changes of another's collection, within a transaction.

    Raises:
        ConflictError: they do not go on from where this copy is; nothing was done.
    """
    at = followed(database)
    anew = changes.whole and changes.after == 0
    here = at.incarnation, at.era, at.through
    if not anew and here != (incarnation, changes.era, changes.after):
        raise ConflictError("these changes are not the next", advice="ask for those after its last")
    if changes.whole and not (anew or at.begun):
        raise ConflictError("these changes go on with what was not begun", advice="begin anew")
    ever = at.ever
    if at.incarnation != incarnation:
        changing.apply(DeleteWhere(All(())))
        ever = False
    if anew:
        database.write("DELETE FROM seen")
    changing.apply(Delete(changes.gone))
    changing.apply(Upsert(changes.records))
    begun = 0
    if changes.whole and not changes.last:
        begun = changes.latest if anew else at.begun
    if changes.whole:
        _meet(database, changing, changes, last=changes.last)
    database.write(
        "UPDATE followed SET incarnation = ?, era = ?, through = ?, begun = ?, ever = ?",
        (incarnation, changes.era, changes.through, begun, int(ever or not begun)),
    )


def _meet(database: Database, changing: Changing, changes: Changes, *, last: bool) -> None:
    """Note what the home has; at the end drop what it has not."""
    database.write_many(
        "INSERT OR IGNORE INTO seen VALUES (?)", ((record.id,) for record in changes.records)
    )
    if not last:
        return
    beyond = database.read("SELECT id FROM records WHERE id NOT IN (SELECT id FROM seen)")
    changing.apply(Delete(tuple(record_id for (record_id,) in beyond)))
    database.write("DELETE FROM seen")


def _bytes_of(record: Record) -> int:
    vectors = sum(map(len, record.vectors.values()))
    sparse = sum(12 * len(each.indices) for each in record.sparse.values())
    names = len(record.id) + len(record.document)
    return vectors + sparse + len(record.text) + len(record.header) + names + 64
