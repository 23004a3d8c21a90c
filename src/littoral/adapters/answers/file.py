"""The database file of the cache, `HOME/cache.db`: rows in, rows out, room made, parts purged.

Rules
- What is served is the entry as it was stored, whole: each has a checksum over all of it, its key
  included, and the columns by which it is purged must agree with it. An entry that does not is
  none, and is removed (invariant I1).
- A purge raises the shared epoch before it commits, and writes the same number into the file with
  the commit. An entry is served only where both numbers agree, and a put is kept only if no purge
  that names it came after it had begun: what the last purges named is kept beside the entries, and
  a put that began before those is not kept. So nothing that was purged comes back, whoever is
  killed at any moment: a file that is behind the shared epoch is one whose purge broke off, and is
  emptied; what that one named is not known, so it counts as having named everything.
- The bound is on the pages that the file uses, as SQLite counts them, and is kept by whoever
  writes, in the same transaction: several processes have one bound.
- Entries beyond their time by limits.CACHE_STALE_S_MAX are removed, a few with each write.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from littoral.adapters.answers.purges import later_purges, remember, where_of
from littoral.adapters.answers.rows import (
    Group,
    ModelLine,
    Totals,
    Written,
    checksum_of,
    encoded,
    entry_of,
    tags_text,
)
from littoral.adapters.answers.shared import SharedNumbers
from littoral.adapters.store.database import Database
from littoral.cache.answers import Entry, Selector
from littoral.cache.eviction import priority, weight
from littoral.terms.limits import CACHE_STALE_S_MAX, CACHE_WAL_BYTES_MAX
from littoral.terms.values import SECOND

__all__ = ["AnswerFile"]

MIGRATIONS: Final = (
    """
    CREATE TABLE state (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        generation INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        clock REAL NOT NULL,
        since_unix_ns INTEGER NOT NULL,
        bytes_max INTEGER NOT NULL,
        evicted INTEGER NOT NULL,
        damaged INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        key BLOB NOT NULL UNIQUE,
        model TEXT NOT NULL,
        scope TEXT NOT NULL,
        key_id TEXT NOT NULL,
        tags TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        weight REAL NOT NULL,
        asked INTEGER NOT NULL,
        priority REAL NOT NULL,
        expires_unix_ns INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX entries_by_priority ON entries (priority);
    CREATE INDEX entries_by_expiry ON entries (expires_unix_ns);
    CREATE TABLE bodies (
        id INTEGER PRIMARY KEY,
        body BLOB NOT NULL,
        checksum BLOB NOT NULL
    ) STRICT;
    CREATE TABLE counts (
        model TEXT PRIMARY KEY,
        hits INTEGER NOT NULL,
        misses INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE purges (
        epoch INTEGER PRIMARY KEY,
        selector BLOB NOT NULL
    ) STRICT;
    """,
)

_ROW_BYTES: Final = 320
"""Both rows, their places in three indexes, and what SQLite keeps beside them."""

_AT_ONCE: Final = 64
"""Keys looked up, or rows dropped, by one statement."""

_SWEPT_MAX: Final = 256
"""Expired entries removed with one write."""

_SELECT: Final = (
    "SELECT key, model, scope, key_id, tags, body, checksum, epoch "
    "FROM entries JOIN bodies USING (id) CROSS JOIN state WHERE key "
)
_SELECT_ONE: Final = f"{_SELECT} = ?"
_SELECT_SOME: Final = f"{_SELECT} IN ({','.join('?' * _AT_ONCE)})"


class AnswerFile:
    """One open connection to the cache's database. Used from one thread."""

    def __init__(self, path: Path, shared: SharedNumbers, *, unix_ns: int, random: bytes) -> None:
        """Open the file; make it if it is not there.

        Args:
            path: the file.
            shared: the numbers of the same home, held by the caller.
            unix_ns: the present, for a file that is made.
            random: 6 bytes that name a file that is made.

        Raises:
            DiskShortError, HomeUnwritableError, StoreError: it can't be used.
        """
        self._shared = shared
        self._database = Database(
            path, migrations=MIGRATIONS, wal_bytes_max=CACHE_WAL_BYTES_MAX, shrinks=True
        )
        try:
            self.generation = self._begin(unix_ns, int.from_bytes(random))
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def read(self, keys: Sequence[bytes]) -> tuple[dict[bytes, Entry], list[bytes]]:
        """The entries of these keys, and the keys of those that are damaged.

        Raises:
            StoreError: the file can't be read.
        """
        if len(keys) == 1:
            rows = self._database.read(_SELECT_ONE, keys)
        else:
            rows = []
            for start in range(0, len(keys), _AT_ONCE):
                some = list(keys[start : start + _AT_ONCE])
                some += [b""] * (_AT_ONCE - len(some))
                rows += self._database.read(_SELECT_SOME, some)
        epoch, found, damaged = self._shared.epoch, {}, []
        for row in rows:
            if row[-1] != epoch:
                continue  # a purge is under way, or broke off
            entry = entry_of(row)
            if entry is None:
                damaged.append(row[0])
            else:
                found[row[0]] = entry
        return found, damaged

    def write(self, group: Group, *, bytes_max: int, unix_ns: int) -> Written:
        """Keep entries, count hits, and make room, in one transaction.

        Args:
            group: what to write.
            bytes_max: the most that the file may use afterwards.
            unix_ns: the present.

        Raises:
            DiskShortError, HomeUnwritableError, StoreError: nothing was changed.
        """
        bodies = [(entry, encoded(entry)) for entry, _ in group.puts]
        with self._database.transaction():
            clock = self._agree()
            epoch = self._shared.epoch
            self._database.write(
                "UPDATE state SET bytes_max = ? WHERE bytes_max <> ?", (bytes_max, bytes_max)
            )
            dropped = self._drop_damaged(group.damaged)
            dropped += self._sweep(unix_ns)
            self._count(group, clock)
            since = min((began for _, began in group.puts), default=epoch)
            later = later_purges(self._database, since, epoch)
            kept = [
                (entry, body)
                for (entry, body), (_, began) in zip(bodies, group.puts, strict=True)
                if later.spare(entry, began)
            ]
            room = bytes_max - sum(len(body) + _ROW_BYTES for _, body in kept)
            clock, evicted = self._make_room(clock, room)
            stored = sum(self._insert(entry, body, clock) for entry, body in kept)
            _, more = self._make_room(clock, bytes_max)
            removed = dropped + evicted + more
        return Written(len(kept), len(removed), stored - sum(removed))

    def purge(self, selector: Selector) -> tuple[int, int]:
        """Drop every entry that is all of what the selector says, in all processes at once.

        Returns:
            How many entries that were, and their bytes.

        Raises:
            DiskShortError, HomeUnwritableError, StoreError: nothing is certain to be dropped.
        """
        where, parameters = where_of(selector)
        with self._database.transaction():
            self._agree()
            epoch = self._shared.epoch + 1
            self._shared.epoch = epoch
            self._database.write("UPDATE state SET epoch = ?", (epoch,))
            remember(self._database, epoch, selector)
            ((count, size),) = self._database.read(
                f"SELECT count(*), coalesce(sum(bytes), 0) FROM entries{where}",  # noqa: S608 - fixed text
                parameters,
            )
            bodies = f" WHERE id IN (SELECT id FROM entries{where})" if where else ""  # noqa: S608 - fixed text
            self._database.write(f"DELETE FROM bodies{bodies}", parameters)  # noqa: S608 - fixed text
            self._database.write(f"DELETE FROM entries{where}", parameters)  # noqa: S608 - fixed text
        return count, size

    def shrink(self) -> None:
        """Give the space of what was dropped back to the disk.

        Raises:
            StoreError: another process is writing; nothing is lost.
        """
        self._database.shrink()

    def totals(self) -> Totals:
        """What is kept, as it is now."""
        ((evicted, damaged, since, bytes_max),) = self._database.read(
            "SELECT evicted, damaged, since_unix_ns, bytes_max FROM state"
        )
        rows = self._database.read(
            "SELECT model, sum(entries), sum(bytes), sum(hits), sum(misses) FROM ("
            "SELECT model, count(*) AS entries, sum(bytes) AS bytes, 0 AS hits, 0 AS misses "
            "FROM entries GROUP BY model "
            "UNION ALL SELECT model, 0, 0, hits, misses FROM counts) GROUP BY model ORDER BY model"
        )
        models = tuple(ModelLine(*row) for row in rows)
        return Totals(
            entries=sum(line.entries for line in models),
            bytes=sum(line.bytes for line in models),
            used_bytes=self._database.used_bytes(),
            bytes_max=bytes_max,
            evicted=evicted,
            damaged=damaged,
            since_unix_ns=since,
            models=models,
        )

    def _begin(self, unix_ns: int, name: int) -> int:
        rows = self._database.read("SELECT generation FROM state")
        if rows:
            return int(rows[0][0])
        with self._database.transaction():
            self._database.write(
                "INSERT OR IGNORE INTO state VALUES (1, ?, ?, 0.0, ?, 0, 0, 0)",
                (name, self._shared.epoch, unix_ns),
            )
            ((generation,),) = self._database.read("SELECT generation FROM state")
        return int(generation)

    def _agree(self) -> float:
        """Bring the file up to the shared epoch; gives the clock of the eviction."""
        ((epoch, clock),) = self._database.read("SELECT epoch, clock FROM state")
        if epoch < self._shared.epoch:
            self._database.write("DELETE FROM bodies")
            self._database.write("DELETE FROM entries")
            self._database.write("UPDATE state SET epoch = ?", (self._shared.epoch,))
        elif epoch > self._shared.epoch:
            self._shared.epoch = epoch
        return float(clock)

    def _insert(self, entry: Entry, body: bytes, clock: float) -> int:
        """Put one entry in the place of the one that its key had; gives its bytes on disk."""
        asked = 1
        for number, before in self._database.read(
            "SELECT id, asked FROM entries WHERE key = ?", (entry.key,)
        ):
            asked += before
            self._drop(number)
        size = len(body) + _ROW_BYTES
        worth = weight(entry.cost_us, size)
        self._database.write(
            "INSERT INTO entries (key, model, scope, key_id, tags, bytes, weight, asked, priority, "
            "expires_unix_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                entry.key,
                entry.model,
                entry.scope,
                entry.key_id,
                tags_text(entry.tags),
                size,
                worth,
                asked,
                priority(clock, asked, worth),
                entry.expires_unix_ns,
            ),
        )
        self._database.write(
            "INSERT INTO bodies VALUES (last_insert_rowid(), ?, ?)", (body, checksum_of(body))
        )
        return size

    def _count(self, group: Group, clock: float) -> None:
        for key, times in group.asked.items():
            for number, asked, worth in self._database.read(
                "SELECT id, asked, weight FROM entries WHERE key = ?", (key,)
            ):
                self._database.write(
                    "UPDATE entries SET asked = ?, priority = ? WHERE id = ?",
                    (asked + times, priority(clock, asked + times, worth), number),
                )
        for model, (hits, misses) in group.counts.items():
            self._database.write(
                "INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET "
                "hits = hits + excluded.hits, misses = misses + excluded.misses",
                (model, hits, misses),
            )

    def _make_room(self, clock: float, room: int) -> tuple[float, list[int]]:
        """Drop what is worth least until the file uses at most `room`; gives the bytes of each."""
        dropped: list[int] = []
        while (excess := self._database.used_bytes() - room) > 0:
            rows = self._database.read(
                "SELECT id, bytes, priority FROM entries ORDER BY priority LIMIT ?", (_AT_ONCE,)
            )
            if not rows:
                break
            for number, size, worth in rows:
                self._drop(number)
                dropped.append(size)
                clock = max(clock, worth)
                excess -= size
                if excess <= 0:
                    break
        if dropped:
            self._database.write(
                "UPDATE state SET clock = ?, evicted = evicted + ?", (clock, len(dropped))
            )
        return clock, dropped

    def _sweep(self, unix_ns: int) -> list[int]:
        """Drop a few of those whose time is over; gives the bytes of each."""
        rows = self._database.read(
            "SELECT id, bytes FROM entries WHERE expires_unix_ns < ? LIMIT ?",
            (unix_ns - CACHE_STALE_S_MAX * SECOND, _SWEPT_MAX),
        )
        for number, _ in rows:
            self._drop(number)
        return [size for _, size in rows]

    def _drop_damaged(self, keys: Iterable[bytes]) -> list[int]:
        """Drop and count the entries of these keys; gives the bytes of each."""
        dropped = []
        for key in keys:
            for number, size in self._database.read(
                "SELECT id, bytes FROM entries WHERE key = ?", (key,)
            ):
                self._drop(number)
                dropped.append(size)
        if dropped:
            self._database.write("UPDATE state SET damaged = damaged + ?", (len(dropped),))
        return dropped

    def _drop(self, number: int) -> None:
        self._database.write("DELETE FROM bodies WHERE id = ?", (number,))
        self._database.write("DELETE FROM entries WHERE id = ?", (number,))
