"""The book of API keys.

Rules
- The table of keys is kept in memory and read anew as soon as another process has changed the file,
  so a key revoked on the command line opens nothing from the next request on.
- Names are unique among the keys that are not revoked, so that people can use them.
- There is room for limits.KEYS_MAX keys; then the longest revoked make room, else none is made.
"""

from typing import Final

import msgspec

from littoral.adapters.store.database import Database, Row
from littoral.terms.errors import ConflictError, NotFoundError
from littoral.terms.ids import KeyId, ModelName
from littoral.terms.limits import KEYS_MAX
from littoral.terms.values import Caller, KeyLimits
from littoral.trust.keys import Grant, KeyRecord, check, key_id_of

__all__ = ["KeyBook"]

_MODELS: Final = msgspec.json.Decoder(tuple[ModelName, ...])

_COLUMNS: Final = (
    "key_id, name, hash, created_unix_s, expires_unix_s, revoked_unix_s, operator, models, "
    "requests_per_minute, tokens_per_minute, tokens_per_day"
)


class KeyBook:
    """Every API key of one PoP."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._records: dict[KeyId, KeyRecord] = {}
        self._seen: int | None = None

    def authenticate(self, token: str | None, unix_s: int) -> Caller:
        """Who holds this key.

        Raises:
            KeyMissingError: nothing was sent.
            KeyRejectedError: the key is unknown, false, expired or revoked.
        """
        key_id = key_id_of(token)
        assert token is not None
        return check(self._table().get(key_id), token, unix_s)

    def add(self, record: KeyRecord) -> None:
        """Keep a new key.

        Raises:
            ConflictError: its name is taken, or there is no room.
        """
        grant, limits = record.grant, record.grant.limits
        models = None if grant.models is None else msgspec.json.encode(grant.models).decode()
        with self._database.transaction():
            taken = self._database.read(
                "SELECT 1 FROM keys WHERE name = ? AND revoked_unix_s IS NULL", (record.name,)
            )
            if taken:
                raise ConflictError(
                    f"there is a key named {record.name!r} already",
                    advice="choose another name, or revoke that one first",
                )
            self._make_room()
            self._database.write(
                f"INSERT INTO keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - fixed text
                (
                    record.key_id,
                    record.name,
                    record.hash,
                    record.created_unix_s,
                    grant.expires_unix_s,
                    record.revoked_unix_s,
                    int(grant.operator),
                    models,
                    limits.requests_per_minute,
                    limits.tokens_per_minute,
                    limits.tokens_per_day,
                ),
            )
        self._seen = None

    def list(self) -> tuple[KeyRecord, ...]:
        """Every key, oldest first, also those that are revoked or expired."""
        return tuple(self._table().values())

    def revoke(self, key_id_or_name: str, unix_s: int) -> KeyRecord:
        """End a key. Ending one that is revoked already changes nothing.

        Raises:
            NotFoundError: there is none of this id or name.
        """
        found = self._found(key_id_or_name)
        with self._database.transaction():
            self._database.write(
                "UPDATE keys SET revoked_unix_s = ? WHERE key_id = ? AND revoked_unix_s IS NULL",
                (unix_s, found.key_id),
            )
        self._seen = None
        return self._table()[found.key_id]

    def _found(self, key_id_or_name: str) -> KeyRecord:
        """By id, or by name: then the one not revoked, else the newest."""
        by_id = self._table().get(KeyId(key_id_or_name))
        if by_id is not None:
            return by_id
        named = [record for record in self._table().values() if record.name == key_id_or_name]
        if not named:
            raise NotFoundError(
                f"there is no key of id or name {key_id_or_name!r}",
                advice="`littoral keys list` shows them all",
            )
        return min(reversed(named), key=lambda record: record.revoked_unix_s is not None)

    def _make_room(self) -> None:
        ((count,),) = self._database.read("SELECT count(*) FROM keys")
        if count < KEYS_MAX:
            return
        dropped = self._database.write(
            "DELETE FROM keys WHERE key_id = (SELECT key_id FROM keys "
            "WHERE revoked_unix_s IS NOT NULL ORDER BY revoked_unix_s LIMIT 1)"
        )
        if not dropped:
            raise ConflictError(
                f"there are {KEYS_MAX} keys, the most that a PoP keeps",
                advice="revoke one that is no longer used",
            )

    def _table(self) -> dict[KeyId, KeyRecord]:
        version = self._database.changes_by_others()
        if version != self._seen:
            rows = self._database.read(f"SELECT {_COLUMNS} FROM keys ORDER BY rowid")  # noqa: S608 - fixed text
            self._records = {row[0]: _record(row) for row in rows}
            self._seen = version
        return self._records


def _record(row: Row) -> KeyRecord:
    key_id, name, digest, created, expires, revoked, operator, models, *limits = row
    return KeyRecord(
        key_id=KeyId(key_id),
        name=name,
        hash=digest,
        created_unix_s=created,
        revoked_unix_s=revoked,
        grant=Grant(
            models=None if models is None else _MODELS.decode(models),
            limits=KeyLimits(*limits),
            operator=bool(operator),
            expires_unix_s=expires,
        ),
    )
