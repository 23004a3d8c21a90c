"""The database file: how it is opened, brought up to date, read and written.

Rules
- WAL with `synchronous=NORMAL`: a commit survives the death of the process (kill -9 at any moment),
  costs no fsync, and is whole or not there. A power cut may take the last commits, never a part.
- Tables are STRICT; the schema's version is `user_version`, and each migration brings it one
  further, in one transaction. Those of the PoP's own file are `MIGRATIONS`.
- Every change happens in `transaction`, which takes the write lock at its start: what is read in
  it can't change until it commits.
- No sqlite3 exception leaves this module; each becomes an OperatorError that says what to do, and,
  for programs, in `details["database"]` what ails the file: `full`, `held`, `damaged`.
"""

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from littoral.terms.errors import (
    DiskShortError,
    HomeUnwritableError,
    OperatorError,
    StoreError,
)

__all__ = ["MIGRATIONS", "Database", "Row"]

_BUSY_WAIT_S: Final = 0.5
"""Wait for another process's write: the command line's take under 1 ms."""

_AGAIN_S: Final = 0.005
_TRIES: Final = 200
"""Time between tries at what SQLite does not wait for, and how many there are: a second in all."""

_PAGE_BYTES: Final = 8192
"""Three receipts fit a page of this size; of SQLite's usual 4096 each would take one alone."""

_WAL_BYTES_MAX: Final = 64 * 1024 * 1024
"""Size to which the write-ahead log is cut back after it has been copied into the file."""

MIGRATIONS: Final = (
    """
    CREATE TABLE keys (
        key_id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        hash BLOB NOT NULL,
        created_unix_s INTEGER NOT NULL,
        expires_unix_s INTEGER,
        revoked_unix_s INTEGER,
        operator INTEGER NOT NULL,
        models TEXT,
        requests_per_minute INTEGER,
        tokens_per_minute INTEGER,
        tokens_per_day INTEGER
    ) STRICT;
    CREATE TABLE usage (
        day INTEGER NOT NULL,
        key_id TEXT NOT NULL,
        requests INTEGER NOT NULL,
        tokens INTEGER NOT NULL,
        PRIMARY KEY (day, key_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE receipts (
        seq INTEGER PRIMARY KEY,
        receipt_id TEXT NOT NULL UNIQUE,
        key_id TEXT NOT NULL,
        ended_unix_ns INTEGER NOT NULL,
        digest TEXT NOT NULL,
        document BLOB NOT NULL
    ) STRICT;
    """,
    """
    ALTER TABLE keys ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
    ALTER TABLE keys ADD COLUMN reuse_error_max REAL;
    """,
    """
    CREATE TABLE batches (
        first_seq INTEGER PRIMARY KEY,
        envelope BLOB NOT NULL,
        digests BLOB NOT NULL,
        public_key BLOB NOT NULL
    ) STRICT;
    ALTER TABLE receipts ADD COLUMN salt BLOB;
    """,
    """
    ALTER TABLE receipts ADD COLUMN envelope BLOB;
    ALTER TABLE receipts ADD COLUMN digests BLOB;
    ALTER TABLE receipts ADD COLUMN public_key BLOB;
    UPDATE receipts
        SET envelope = batches.envelope, digests = batches.digests, public_key = batches.public_key
        FROM batches WHERE seq = first_seq + length(batches.digests) / 32 - 1;
    DROP TABLE batches;
    """,
    """
    CREATE TABLE admissions (
        pop TEXT PRIMARY KEY,
        signed BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE owners (
        owner TEXT PRIMARY KEY,
        signed BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE tickets (
        ticket_id TEXT PRIMARY KEY,
        proof_key BLOB NOT NULL,
        zone TEXT NOT NULL,
        site TEXT NOT NULL,
        uses_left INTEGER NOT NULL,
        expires_unix_s INTEGER NOT NULL,
        issuer INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE receipts ADD COLUMN parent BLOB;
    """,
    """
    ALTER TABLE keys ADD COLUMN labels TEXT NOT NULL DEFAULT '[]';
    """,
)
"""SQL that brings an empty file to version 1, that to version 2, and so on."""

_ERRORS: Final = (sqlite3.Error, UnicodeDecodeError)
"""The second comes of a damaged file: its words are quoted in the error's text, or are the text."""

_DAMAGE: Final = frozenset(
    {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT}
)
"""The last two as well: our statements are right where tables and indexes are as we made them."""

Row = tuple[Any, ...]
"""Columns come in the types that the STRICT tables above give them."""


class Database:
    """One open database file."""

    def __init__(
        self,
        path: Path,
        *,
        migrations: Sequence[str] = MIGRATIONS,
        wal_bytes_max: int = _WAL_BYTES_MAX,
        shrinks: bool = False,
        busy_wait_s: float = _BUSY_WAIT_S,
        threads: bool = False,
        read_only: bool = False,
    ) -> None:
        """Open the file, make it if it is not there, and bring its schema up to date.

        Args:
            path: the file.
            migrations: what makes its tables, from the empty file on.
            wal_bytes_max: size to which its write-ahead log is cut back.
            shrinks: the file can give pages back that it no longer needs (`shrink`); heeded when
                it is made.
            busy_wait_s: how long to wait for another process's write.
            threads: one thread after another uses it; never two at once.
            read_only: the file is there and is not changed, its schema neither.
        """
        self._path = path
        self._migrations = migrations
        self._wal_bytes_max = wal_bytes_max
        self._shrinks = shrinks
        self._busy_wait_s = busy_wait_s
        if not read_only:
            self._make_file()
        try:
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}",
                uri=True,
                timeout=busy_wait_s,
                isolation_level=None,
                check_same_thread=not threads,
            )
        except _ERRORS as error:
            raise self._translated(error) from None
        self._waits = True
        try:
            self._configure(read_only=read_only)
            self._migrate(read_only=read_only)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Let go of the file; the last to do so leaves it as one file, without a log beside it."""
        with suppress(*_ERRORS):
            self._connection.close()

    def read(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """The rows that a query gives."""
        try:
            if not self._waits and not self._connection.in_transaction:
                self._wait(True)
            return self._connection.execute(sql, parameters).fetchall()
        except _ERRORS as error:
            raise self._translated(error) from None

    def write(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """Change rows, within `transaction`; gives how many."""
        assert self._connection.in_transaction, "every change happens in a transaction"
        try:
            return self._connection.execute(sql, parameters).rowcount
        except _ERRORS as error:
            raise self._translated(error) from None

    def write_many(self, sql: str, rows: Iterable[Sequence[object]]) -> int:
        """The same change with each of these parameters, within `transaction`."""
        assert self._connection.in_transaction, "every change happens in a transaction"
        try:
            return self._connection.executemany(sql, rows).rowcount
        except _ERRORS as error:
            raise self._translated(error) from None

    def define(
        self, name: str, arguments: int, function: Callable[..., str | bytes | int | float | None]
    ) -> None:
        """Have SQL call a function, which raises nothing and says the same of the same."""
        self._connection.create_function(name, arguments, function, deterministic=True)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All that is read inside is as it was at the first read."""
        try:
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("COMMIT")
        except _ERRORS as error:
            raise self._translated(error) from None

    @contextmanager
    def transaction(self, *, waits: bool = True) -> Iterator[None]:
        """All of what happens inside, or nothing of it.

        Args:
            waits: while another process writes, for `busy_wait_s`; else that is an error at once.
        """
        try:
            if waits is not self._waits:
                self._wait(waits)
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except _ERRORS as error:
            raise self._translated(error) from None

    def changes_by_others(self) -> int:
        """A number that is another one after any other connection has committed a change."""
        return int(self.read("PRAGMA data_version")[0][0])

    def used_bytes(self) -> int:
        """Bytes of the file that hold something, within a transaction as it will leave them."""
        ((pages,),) = self.read("PRAGMA page_count")
        ((free,),) = self.read("PRAGMA freelist_count")
        return int(pages - free) * _PAGE_BYTES

    def shrink(self, *, waits: bool = True) -> None:
        """Give free pages back to the disk, and cut the write-ahead log to nothing.

        Args:
            waits: for whoever reads, to do all of it; else the rest comes with later commits.
        """
        try:
            self._connection.executescript("PRAGMA incremental_vacuum")  # `execute` frees one page
        except _ERRORS as error:
            raise self._translated(error) from None
        self.read(f"PRAGMA wal_checkpoint({'TRUNCATE' if waits else 'PASSIVE'})")

    def _make_file(self) -> None:
        """Make the file at mode 0600 before SQLite does; its log files take the same mode.

        A file that is there is not opened here: closing it again would drop the locks that another
        connection of this process has on it (https://sqlite.org/howtocorrupt.html, 2.2), and a
        third process could then take away the log that both write to.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                os.close(os.open(self._path, flags, 0o600))
            if stat.S_IMODE(self._path.stat().st_mode) != 0o600:
                self._path.chmod(0o600)
        except OSError as error:
            raise HomeUnwritableError(f"{self._path} can't be written ({error.strerror})") from None

    def _configure(self, *, read_only: bool) -> None:
        self.read("PRAGMA trusted_schema = OFF")
        if read_only:
            return
        self.read(f"PRAGMA page_size = {_PAGE_BYTES}")
        if self._shrinks:
            self.read("PRAGMA auto_vacuum = INCREMENTAL")
        self.read(f"PRAGMA journal_size_limit = {self._wal_bytes_max}")
        self.read("PRAGMA synchronous = NORMAL")
        if self.read("PRAGMA journal_mode") != [("wal",)]:
            self._keep_a_log()

    def _keep_a_log(self) -> None:
        """Of several that open a new file at once, one makes it so; the others try again."""
        for left in reversed(range(_TRIES)):
            try:
                self.read("PRAGMA journal_mode = WAL")
            except StoreError as error:  # at once: SQLite does not wait where all would for ever
                if error.details.get("database") != "held" or not left:
                    raise
                time.sleep(_AGAIN_S)
            else:
                return

    def _migrate(self, *, read_only: bool) -> None:
        newest = len(self._migrations)
        if self._version() == newest:
            return
        if read_only:
            raise StoreError(
                f"{self._path} is of another version", advice="start the PoP on it once"
            )
        with self.transaction():
            version = self._version()
            if version > newest:
                raise StoreError(
                    f"{self._path} is of version {version}, made by a newer Littoral",
                    advice="install that version again, or name another home with --home",
                )
            for script in self._migrations[version:]:
                for statement in script.split(";"):
                    self.write(statement)
            self.write(f"PRAGMA user_version = {newest}")

    def _wait(self, waits: bool) -> None:
        """Wait for other processes from now on, or do not."""
        busy_wait_ms = int(self._busy_wait_s * 1000) if waits else 0
        self._connection.execute(f"PRAGMA busy_timeout = {busy_wait_ms}").fetchall()
        self._waits = waits

    def _version(self) -> int:
        return int(self.read("PRAGMA user_version")[0][0])

    def _translated(self, error: Exception) -> OperatorError:
        """The error as an operator can mend it."""
        extended: int | None = getattr(error, "sqlite_errorcode", None)
        if isinstance(error, UnicodeDecodeError) or "decode to UTF-8" in str(error):
            extended = sqlite3.SQLITE_CORRUPT
        match None if extended is None else extended & 0xFF:
            case sqlite3.SQLITE_FULL:
                return DiskShortError(
                    f"the disk is full: {self._path} can't grow",
                    advice="free some space; nothing that was written before is lost",
                    details={"database": "full"},
                )
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
                return HomeUnwritableError(f"{self._path} can't be written ({error})")
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return StoreError(
                    f"{self._path} is held by another process",
                    advice="try again; if it stays so, end the process that holds it",
                    details={"database": "held"},
                )
            case code if code in _DAMAGE:
                return StoreError(
                    f"{self._path} is damaged ({error})",
                    advice="restore it from a backup, or move it away to begin a new one",
                    details={"database": "damaged"},
                )
            case _:
                return StoreError(
                    f"{self._path} can't be used ({error})",
                    advice="check the disk and the file's owner",
                )
