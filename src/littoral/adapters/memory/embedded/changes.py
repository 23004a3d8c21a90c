"""What has changed in a collection since a replica last asked: the operation log, as it is read.

The log is the records themselves, in the order of their last changes, and what was forgotten, by
the numbers of the changes that did it. So it needs no room of its own but for the tombstones.

Rules
- A batch has, of the next changes, whatever is still so: a record that was changed again later
  comes later. Once a replica has all, it has what the collection had after `through`.
- A replica forgets first, and keeps then.
- Tombstones are bounded. Who asks from before the oldest of them, or from another era, begins anew:
  `anew` says to forget everything; so does the first batch of all.

Not here: how batches are signed and carried, and what a replica does with them.
"""

# ruff: noqa: S608 - names of columns go in, values never

from typing import Annotated, Final

import msgspec

from littoral.adapters.memory.embedded.reading import Reader
from littoral.adapters.memory.embedded.rows import COLUMNS, record_of
from littoral.terms.limits import CHANGES_BATCH_BYTES
from littoral.terms.memory import Record

__all__ = ["Changes", "Since", "changes_since"]

_PART: Final = 64
"""Records that are read at once."""


class Since(msgspec.Struct, frozen=True):
    """How far a replica has come. Both numbers are of changes; a new one has none."""

    after: Annotated[int, msgspec.Meta(ge=0)] = 0
    began: Annotated[int, msgspec.Meta(ge=0)] = 0
    """The last change when it last began anew."""
    era: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """In which the numbers are (`era.py`)."""


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """One batch."""

    anew: bool
    """Forget everything before this batch."""
    forgotten: tuple[str, ...]
    records: tuple[Record, ...]
    """With their vectors, in the order of their last changes."""
    next: Since
    """Where the next batch begins."""
    through: int
    """The last change that there is; a replica has all when `next.after` is this."""


def changes_since(reader: Reader, since: Since, era: str, limit: int) -> Changes:
    """The next batch.

    Args:
        reader: what is seen of the truth.
        since: where it begins.
        era: the one that is now.
        limit: how many changes it has at most.
    """
    ((through, oldest),) = reader.database.read("SELECT through, oldest_tombstone FROM state")
    after, began = since.after, since.began
    anew = since.era != era or after == 0 or after > through or oldest > max(after, began)
    if anew:
        after, began = 0, through
    forgotten = reader.database.read(
        "SELECT seq, id FROM gone WHERE seq > ? AND id IS NOT NULL ORDER BY seq LIMIT ?",
        (began if anew else after, limit),
    )
    end = int(forgotten[-1][0]) if len(forgotten) == limit else through
    records, reached = _records(reader, after, end, limit)
    return Changes(
        anew=anew,
        forgotten=tuple(each for seq, each in forgotten if seq <= reached),
        records=tuple(records),
        next=Since(reached, began, era),
        through=through,
    )


def _records(reader: Reader, after: int, end: int, limit: int) -> tuple[list[Record], int]:
    """Records of these changes, as many as a batch takes, and up to which change that is all."""
    records: list[Record] = []
    size = 0
    while True:
        wanted = min(_PART, limit - len(records))
        found = reader.database.read(
            f"SELECT {COLUMNS} FROM records WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
            (after, end, wanted),
        )
        for row in found:
            record = reader.filled(row[0], record_of(row))
            records.append(record)
            after = int(row[2])
            size += sum(map(len, record.vectors.values())) + len(row[4]) + len(row[6])
            if size > CHANGES_BATCH_BYTES or len(records) == limit:
                return records, after
        if len(found) < wanted:
            return records, end
