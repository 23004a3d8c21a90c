"""The book of vector stores: their titles, the files in them and how far each has come.

Rules
- A file that is `in_progress` is work that is owed: what is left of it after a crash is found by
  that word, and by nothing else.
- A file that is put in again has a new number; what was done for an earlier one is not written.
- A batch names files; how far they have come is said by the files themselves.

Used from one thread.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from littoral.adapters.store.database import Database, Row
from littoral.adapters.stores.tables import part_of
from littoral.terms.errors import ConflictError
from littoral.terms.ids import KeyId
from littoral.terms.limits import STORE_FILES_MAX
from littoral.terms.stores import (
    Attributes,
    Batch,
    Counts,
    Cut,
    FileFault,
    FileState,
    Paging,
    Part,
    Store,
    StoreFile,
)

__all__ = ["StoreBook"]

_STORE: Final = (
    "scope, store, created_unix_s, active_unix_s, title, description, metadata, expires_after_days"
)
_FILE: Final = (
    "scope, store, file_id, filename, key_id, state, created_unix_s, attributes, cut, "
    "usage_bytes, fault, message"
)
_READ: Final = f"{_FILE}, number"
_ONE: Final = "scope = ? AND store = ? AND file_id = ?"
_WAITING: Final = FileState.IN_PROGRESS.value

_attributes: Final = msgspec.json.Decoder(dict[str, str | float | bool]).decode
_metadata: Final = msgspec.json.Decoder(dict[str, str]).decode
_cut: Final = msgspec.json.Decoder(Cut | None).decode


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


class StoreBook:
    """Every vector store of one PoP."""

    def __init__(self, database: Database, *, files_max: int = STORE_FILES_MAX) -> None:
        self._database = database
        self._files_max = files_max

    def put(self, store: Store) -> None:
        """Keep what is known of a store, in the place of what was."""
        with self._database.transaction():
            self._database.write(
                f"INSERT OR REPLACE INTO stores ({_STORE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - fixed text
                (
                    store.scope,
                    store.id,
                    store.created_unix_s,
                    store.active_unix_s,
                    store.title,
                    store.description,
                    _text(store.metadata),
                    store.expires_after_days,
                ),
            )

    def find(self, scope: str, store: str) -> Store | None:
        """What is known of one."""
        rows = self._database.read(
            f"SELECT {_STORE} FROM stores WHERE scope = ? AND store = ?",  # noqa: S608 - fixed text
            (scope, store),
        )
        return _store(rows[0]) if rows else None

    def all(self) -> Sequence[Store]:
        """All that something is known of."""
        return [_store(row) for row in self._database.read(f"SELECT {_STORE} FROM stores")]  # noqa: S608 - fixed text

    def drop(self, scope: str, store: str) -> None:
        """Forget a store, and that there were files in it."""
        one = (scope, store)
        with self._database.transaction():
            self._database.write(
                "DELETE FROM batched WHERE batch_id IN "
                "(SELECT batch_id FROM batches WHERE scope = ? AND store = ?)",
                one,
            )
            for table in ("batches", "files", "stores"):
                self._database.write(f"DELETE FROM {table} WHERE scope = ? AND store = ?", one)  # noqa: S608 - fixed text

    def add_files(self, files: Sequence[StoreFile], batch: Batch | None = None) -> None:
        """Put files in, all or none; they are owed from now on.

        Raises:
            ConflictError: the store has no room for so many.
        """
        with self._database.transaction():
            for file in files:
                self._add_file(file)
            for scope, store in {(file.scope, file.store) for file in files}:
                self._check_room(scope, store)
            if batch is None:
                return
            self._database.write(
                "INSERT INTO batches (batch_id, scope, store, created_unix_s, cancelled) "
                "VALUES (?, ?, ?, ?, 0)",
                (batch.id, batch.scope, batch.store, batch.created_unix_s),
            )
            for file in files:
                self._database.write(
                    "INSERT OR IGNORE INTO batched (batch_id, file_id) VALUES (?, ?)",
                    (batch.id, file.file_id),
                )

    def file(self, scope: str, store: str, file_id: str) -> StoreFile | None:
        """One file of a store."""
        rows = self._database.read(
            f"SELECT {_READ} FROM files WHERE {_ONE}",  # noqa: S608 - fixed text
            (scope, store, file_id),
        )
        return _file(rows[0]) if rows else None

    def names(self, scope: str, store: str, ids: Iterable[str]) -> dict[str, StoreFile]:
        """Those of these files that are in a store, by id."""
        found = (self.file(scope, store, each) for each in ids)
        return {file.file_id: file for file in found if file is not None}

    def files(
        self,
        scope: str,
        store: str,
        paging: Paging,
        *,
        state: FileState | None = None,
        batch: str = "",
    ) -> Part[StoreFile]:
        """Some files of a store: of one state, of one batch, or all.

        Raises:
            BadRequestError: the part is to begin at a file that is not there.
        """
        condition, parameters = "scope = ? AND store = ?", [scope, store]
        if state is not None:
            condition += " AND state = ?"
            parameters.append(state.value)
        if batch:
            condition += " AND file_id IN (SELECT file_id FROM batched WHERE batch_id = ?)"
            parameters.append(batch)
        where = (condition, parameters)
        return part_of(self._database, f"{_READ} FROM files", where, paging, _file)

    def counts(self, scope: str, store: str, batch: str = "") -> Counts:
        """The files of a store, or of a batch of it."""
        condition = "scope = ? AND store = ?"
        parameters = [scope, store]
        if batch:
            condition += " AND file_id IN (SELECT file_id FROM batched WHERE batch_id = ?)"
            parameters.append(batch)
        rows = self._database.read(
            "SELECT state, count(*), sum(usage_bytes) FROM files "  # noqa: S608 - fixed text
            f"WHERE {condition} GROUP BY state",
            parameters,
        )
        counted = {state: count for state, count, _ in rows}
        return Counts(**counted, usage_bytes=sum(usage for *_, usage in rows))

    def owing(self) -> Sequence[KeyId]:
        """The keys of which files are owed."""
        rows = self._database.read(
            f"SELECT DISTINCT key_id FROM files WHERE state = '{_WAITING}'"  # noqa: S608 - fixed text
        )
        return [KeyId(key_id) for (key_id,) in rows]

    def waiting(self, key_id: KeyId) -> StoreFile | None:
        """The file of a key that has been owed for longest."""
        rows = self._database.read(
            f"SELECT {_READ} FROM files WHERE key_id = ? AND state = '{_WAITING}' "  # noqa: S608 - fixed text
            "ORDER BY number LIMIT 1",
            (key_id,),
        )
        return _file(rows[0]) if rows else None

    def owed(self, file: StoreFile) -> bool:
        """Whether a file is still wanted as it was put in."""
        found = self._database.read(
            f"SELECT 1 FROM files WHERE number = ? AND state = '{_WAITING}'",  # noqa: S608 - fixed text
            (file.number,),
        )
        return bool(found)

    def settle(
        self,
        file: StoreFile,
        state: FileState,
        *,
        usage_bytes: int = 0,
        fault: FileFault | None = None,
        message: str = "",
    ) -> bool:
        """Say what has become of a file; whether it was still wanted."""
        with self._database.transaction():
            changed = self._database.write(
                "UPDATE files SET state = ?, usage_bytes = ?, fault = ?, message = ? "  # noqa: S608 - fixed text
                f"WHERE number = ? AND state = '{_WAITING}'",
                (
                    state.value,
                    usage_bytes,
                    None if fault is None else fault.value,
                    message,
                    file.number,
                ),
            )
        return changed == 1

    def describe(self, file: StoreFile, attributes: Attributes) -> None:
        """Let a file have other attributes."""
        with self._database.transaction():
            self._database.write(
                f"UPDATE files SET attributes = ? WHERE {_ONE}",  # noqa: S608 - fixed text
                (_text(attributes), *_key(file)),
            )

    def empty(self, scope: str, store: str) -> None:
        """Take all files out of a store."""
        with self._database.transaction():
            self._database.write("DELETE FROM files WHERE scope = ? AND store = ?", (scope, store))

    def remove(self, file: StoreFile) -> None:
        """Take a file out of a store."""
        with self._database.transaction():
            self._database.write(f"DELETE FROM files WHERE {_ONE}", _key(file))  # noqa: S608 - fixed text

    def holding(self, file_id: str) -> Sequence[StoreFile]:
        """A file in each store that it is in."""
        rows = self._database.read(
            f"SELECT {_READ} FROM files WHERE file_id = ?",  # noqa: S608 - fixed text
            (file_id,),
        )
        return [_file(row) for row in rows]

    def batch(self, scope: str, store: str, batch_id: str) -> Batch | None:
        """A batch of a store, and how far it has come."""
        rows = self._database.read(
            "SELECT created_unix_s, cancelled FROM batches "
            "WHERE batch_id = ? AND scope = ? AND store = ?",
            (batch_id, scope, store),
        )
        if not rows:
            return None
        created, cancelled = rows[0]
        return Batch(
            id=batch_id,
            store=store,
            scope=scope,
            created_unix_s=created,
            cancelled=bool(cancelled),
            counts=self.counts(scope, store, batch_id),
        )

    def cancel(self, batch: Batch) -> None:
        """Nothing of a batch is owed any more."""
        with self._database.transaction():
            self._database.write("UPDATE batches SET cancelled = 1 WHERE batch_id = ?", (batch.id,))
            self._database.write(
                f"UPDATE files SET state = '{FileState.CANCELLED.value}' "  # noqa: S608 - fixed text
                f"WHERE scope = ? AND store = ? AND state = '{_WAITING}' "
                "AND file_id IN (SELECT file_id FROM batched WHERE batch_id = ?)",
                (batch.scope, batch.store, batch.id),
            )

    def _add_file(self, file: StoreFile) -> None:
        self._database.write(f"DELETE FROM files WHERE {_ONE}", _key(file))  # noqa: S608 - fixed text
        self._database.write(
            f"INSERT INTO files ({_FILE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, NULL, '')",  # noqa: S608 - fixed text
            (
                *_key(file),
                file.filename,
                file.key_id,
                _WAITING,
                file.created_unix_s,
                _text(file.attributes),
                _text(file.cut),
            ),
        )

    def _check_room(self, scope: str, store: str) -> None:
        ((count,),) = self._database.read(
            "SELECT count(*) FROM files WHERE scope = ? AND store = ?", (scope, store)
        )
        if count > self._files_max:
            raise ConflictError(
                f"a vector store has at most {self._files_max} files",
                advice="begin another one",
            )


def _key(file: StoreFile) -> tuple[str, str, str]:
    return file.scope, file.store, file.file_id


def _store(row: Row) -> Store:
    scope, store, created, active, title, description, metadata, days = row
    return Store(
        id=store,
        scope=scope,
        created_unix_s=created,
        active_unix_s=active,
        title=title,
        description=description,
        metadata=_metadata(metadata),
        expires_after_days=days,
    )


def _file(row: Row) -> StoreFile:
    scope, store, file_id, filename, key_id, state, created, attributes, cut, *rest = row
    usage_bytes, fault, message, number = rest
    return StoreFile(
        store=store,
        scope=scope,
        file_id=file_id,
        filename=filename,
        key_id=KeyId(key_id),
        state=FileState(state),
        created_unix_s=created,
        attributes=_attributes(attributes),
        cut=_cut(cut),
        usage_bytes=usage_bytes,
        fault=None if fault is None else FileFault(fault),
        message=message,
        number=number,
    )
