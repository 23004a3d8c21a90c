"""The book of files that clients have sent: whose, what they are called, how long they stay.

Several may have the same bytes, which are kept once (`vault.py`). Used from one thread.
"""

from collections.abc import Sequence
from typing import Final

from littoral.adapters.store.database import Database, Row
from littoral.adapters.stores.tables import part_of
from littoral.terms.errors import ConflictError
from littoral.terms.ids import Digest
from littoral.terms.limits import UPLOADS_MAX
from littoral.terms.stores import Paging, Part, Upload

__all__ = ["UploadBook"]

_COLUMNS: Final = (
    "file_id, scope, filename, purpose, size_bytes, digest, created_unix_s, expires_unix_s"
)
_TABLE: Final = f"{_COLUMNS} FROM uploads"


class UploadBook:
    """Every file that was sent to one PoP."""

    def __init__(self, database: Database, *, uploads_max: int = UPLOADS_MAX) -> None:
        self._database = database
        self._uploads_max = uploads_max

    def add(self, upload: Upload) -> None:
        """Keep one.

        Raises:
            ConflictError: there is no room for one more.
        """
        with self._database.transaction():
            ((count,),) = self._database.read("SELECT count(*) FROM uploads")
            if count >= self._uploads_max:
                raise ConflictError(
                    f"this PoP keeps {self._uploads_max} files, the most that it may",
                    advice="delete some that are no longer used",
                )
            self._database.write(
                f"INSERT INTO uploads ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - fixed text
                (
                    upload.id,
                    upload.scope,
                    upload.filename,
                    upload.purpose,
                    upload.size_bytes,
                    upload.digest,
                    upload.created_unix_s,
                    upload.expires_unix_s,
                ),
            )

    def find(self, file_id: str) -> Upload | None:
        """One of them, whosever it is."""
        rows = self._database.read(f"SELECT {_TABLE} WHERE file_id = ?", (file_id,))
        return _upload(rows[0]) if rows else None

    def part(self, scope: str, purpose: str, paging: Paging) -> Part[Upload]:
        """Some of a scope's; of one purpose, unless that is empty.

        Raises:
            BadRequestError: the part is to begin at a file that is not there.
        """
        where = "scope = ? AND (? = '' OR purpose = ?)"
        parameters = (scope, purpose, purpose)
        return part_of(self._database, _TABLE, (where, parameters), paging, _upload)

    def drop(self, file_id: str) -> None:
        """Forget one."""
        with self._database.transaction():
            self._database.write("DELETE FROM uploads WHERE file_id = ?", (file_id,))

    def expired(self, unix_s: int) -> Sequence[Upload]:
        """Those whose time is over."""
        rows = self._database.read(
            f"SELECT {_TABLE} WHERE expires_unix_s <= ? LIMIT 1000",
            (unix_s,),
        )
        return [_upload(row) for row in rows]

    def needs(self, digest: Digest) -> bool:
        """Whether one of them has these bytes."""
        return bool(
            self._database.read("SELECT 1 FROM uploads WHERE digest = ? LIMIT 1", (digest,))
        )

    def digests(self) -> frozenset[Digest]:
        """Of all bytes that are needed."""
        return frozenset(digest for (digest,) in self._database.read("SELECT digest FROM uploads"))

    def kept_bytes(self) -> int:
        """What all of them take: the same bytes count once."""
        ((total,),) = self._database.read(
            "SELECT coalesce(sum(size_bytes), 0) FROM "
            "(SELECT max(size_bytes) AS size_bytes FROM uploads GROUP BY digest)"
        )
        return int(total)


def _upload(row: Row) -> Upload:
    file_id, scope, filename, purpose, size_bytes, digest, created, expires = row
    return Upload(
        id=file_id,
        scope=scope,
        filename=filename,
        purpose=purpose,
        size_bytes=size_bytes,
        digest=Digest(digest),
        created_unix_s=created,
        expires_unix_s=expires,
    )
