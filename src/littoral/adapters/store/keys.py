"""The book of API keys.

Rules
- The table of keys is kept in memory and read anew as soon as another process has changed it, so a
  key revoked on the command line opens nothing from the next request on. Who changes keys says so
  before the commit and after it, in two shared words; while both are equal and as they were when
  the table was read, the table is right, and nothing is asked of the database. A writer that was
  killed in between leaves them unequal: then every request asks, until the next change of a key.
- Once a second the database is asked in any case, for changes that no Littoral made.
- A key that was found good is remembered by a keyed digest with a secret of this process alone, so
  the next request costs no hash of ours, and neither memory nor time says anything of a key. What
  is remembered is forgotten with the table; expiry is looked at each time.
- Names are unique among the keys that are not revoked, so that people can use them.
- There is room for limits.KEYS_MAX keys; then the longest revoked make room, else none is made.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from littoral.adapters.clock import SystemClock
from littoral.adapters.shared import Board
from littoral.adapters.store.database import Database, Row
from littoral.terms.errors import ConflictError, NotFoundError
from littoral.terms.ids import KeyId, ModelName
from littoral.terms.limits import KEYS_MAX
from littoral.terms.values import Caller, KeyLimits
from littoral.trust.keys import Grant, KeyRecord, check, holder, key_id_of

__all__ = ["EPOCH_WORDS", "KeyBook"]

EPOCH_WORDS: Final = 2
"""Words that the processes of one home share about its keys."""

_BEGUN: Final = 0
"""How many changes were begun."""
_ENDED: Final = 1
"""The number of the last change that has ended."""

_MODELS: Final = msgspec.json.Decoder(tuple[ModelName, ...])
_LABELS: Final = msgspec.json.Decoder(tuple[str, ...])

_COLUMNS: Final = (
    "key_id, name, hash, created_unix_s, expires_unix_s, revoked_unix_s, operator, models, "
    "requests_per_minute, tokens_per_minute, tokens_per_day, tenant, reuse_error_max, labels"
)


class KeyBook:
    """Every API key of one PoP."""

    def __init__(self, database: Database, epoch: Board) -> None:
        """Open the book.

        Args:
            database: where keys are kept.
            epoch: EPOCH_WORDS words that every process shares which opens this database.
        """
        self._database = database
        self._epoch = epoch
        self._words = epoch.words
        self._records: dict[KeyId, KeyRecord] = {}
        self._lent: dict[KeyId, KeyRecord] = {}
        self._seen: int | None = None
        self._trusted: int | None = None
        """How many changes there had been when the table was right, if none was under way."""
        self._asked_unix_s = 0
        self._good: dict[bytes, tuple[Caller, int | None]] = {}
        """By digest: who holds the key, and when it expires. One entry a key at most."""
        self._keyed = hashlib.blake2b(key=SystemClock().random_bytes(32), digest_size=16)

    def authenticate(self, token: str | None, unix_s: int) -> Caller:
        """Who holds this key.

        Raises:
            KeyMissingError: nothing was sent.
            KeyRejectedError: the key is unknown, false, expired or revoked.
        """
        words = self._words
        sure = words[_BEGUN] == self._trusted == words[_ENDED] and unix_s == self._asked_unix_s
        if token and sure:
            known = self._good.get(self._digest(token))
            if known is not None and (known[1] is None or unix_s < known[1]):
                return known[0]
        return self._check(token, unix_s)

    def holder(self, key_id: KeyId, unix_s: int) -> Caller | None:
        """Who holds the key of this id, if it is good: for work that goes on without its holder."""
        record = self._table().get(key_id) or self._lent.get(key_id)
        return holder(record) if record is not None and record.usable(unix_s) else None

    def lend(self, record: KeyRecord) -> None:
        """Take a key that is good while this process runs, and is kept nowhere."""
        self._lent[record.key_id] = record

    def add(self, record: KeyRecord) -> None:
        """Keep a new key.

        Raises:
            ConflictError: its name is taken, or there is no room.
        """
        grant, limits = record.grant, record.grant.limits
        models = None if grant.models is None else msgspec.json.encode(grant.models).decode()
        with self._changing():
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
                f"INSERT INTO keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - fixed text
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
                    grant.tenant,
                    grant.reuse_error_max,
                    msgspec.json.encode(grant.labels).decode(),
                ),
            )

    def list(self) -> tuple[KeyRecord, ...]:
        """Every key, oldest first, also those that are revoked or expired."""
        return tuple(self._table().values())

    def revoke(self, key_id_or_name: str, unix_s: int) -> KeyRecord:
        """End a key. Ending one that is revoked already changes nothing.

        Raises:
            NotFoundError: there is none of this id or name.
        """
        found = self._found(key_id_or_name)
        with self._changing():
            self._database.write(
                "UPDATE keys SET revoked_unix_s = ? WHERE key_id = ? AND revoked_unix_s IS NULL",
                (unix_s, found.key_id),
            )
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

    def _check(self, token: str | None, unix_s: int) -> Caller:
        """Who holds this key, by the table; remembered if somebody does."""
        key_id = key_id_of(token)
        assert token is not None
        records = self._table()
        self._asked_unix_s = unix_s
        record = records.get(key_id) or self._lent.get(key_id)
        caller = check(record, token, unix_s)
        assert record is not None
        self._good[self._digest(token)] = caller, record.grant.expires_unix_s
        return caller

    def _digest(self, token: str) -> bytes:
        digest = self._keyed.copy()
        digest.update(token.encode(errors="replace"))
        return digest.digest()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """A transaction that changes keys, said to every process before and after its commit."""
        number = 0
        try:
            with self._database.transaction():
                with self._epoch.lock:
                    number = self._words[_BEGUN] = self._words[_BEGUN] + 1
                yield
        finally:
            self._seen = None
            if number:
                with self._epoch.lock:
                    self._words[_ENDED] = max(self._words[_ENDED], number)

    def _table(self) -> dict[KeyId, KeyRecord]:
        begun, ended = self._words[_BEGUN], self._words[_ENDED]
        version = self._database.changes_by_others()
        if version != self._seen:
            rows = self._database.read(f"SELECT {_COLUMNS} FROM keys ORDER BY rowid")  # noqa: S608 - fixed text
            self._records = {row[0]: _record(row) for row in rows}
            self._seen = version
            self._good.clear()
        self._trusted = begun if begun == ended else None
        return self._records


def _record(row: Row) -> KeyRecord:
    key_id, name, digest, created, expires, revoked, operator, models, *others = row
    *limits, tenant, reuse, labels = others
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
            tenant=tenant,
            reuse_error_max=reuse,
            labels=_LABELS.decode(labels),
        ),
    )
