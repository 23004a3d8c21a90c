"""The book of keys: what one process changes, the other heeds at once."""

import itertools
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from littoral.adapters.clock import SystemClock
from littoral.adapters.store import STORE_FILE, Store, open_store
from littoral.adapters.store import keys as keys_module
from littoral.adapters.store.database import MIGRATIONS
from littoral.terms.errors import ConflictError, KeyMissingError, KeyRejectedError, NotFoundError
from littoral.terms.ids import ModelName
from littoral.terms.values import KeyLimits
from littoral.trust.keys import KEY_RANDOM_BYTES, Grant, KeyRecord, make_key

CLOCK = SystemClock()
NOW = 1_764_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path) as opened:
        yield opened


def add(store: Store, name: str = "laptop", grant: Grant | None = None) -> tuple[KeyRecord, str]:
    record, token = make_key(
        CLOCK.random_bytes(KEY_RANDOM_BYTES), name=name, unix_s=NOW, grant=grant
    )
    store.keys.add(record)
    return record, token


def test_a_key_is_kept_with_all_that_it_allows(store: Store, tmp_path: Path) -> None:
    grant = Grant(
        models=(ModelName("tiny"), ModelName("other")),
        limits=KeyLimits(1, 2, 3),
        operator=True,
        expires_unix_s=NOW + 5,
        tenant="acme",
        reuse_error_max=0.02,
        labels=("finance", "board"),
    )
    record, token = add(store, grant=grant)
    assert store.keys.list() == (record,)
    caller = store.keys.authenticate(token, NOW)
    assert (caller.models, caller.limits, caller.operator) == (grant.models, grant.limits, True)
    assert caller.labels == ("finance", "board")
    with open_store(tmp_path) as again:
        assert again.keys.list() == (record,)


def test_a_plain_key_allows_every_model_without_limits(store: Store) -> None:
    record, token = add(store)
    assert store.keys.list() == (record,)
    assert store.keys.authenticate(token, NOW).models is None


def test_a_key_made_by_an_older_version_is_of_no_tenant(tmp_path: Path) -> None:
    record, token = make_key(CLOCK.random_bytes(KEY_RANDOM_BYTES), name="old", unix_s=NOW)
    with closing(sqlite3.connect(tmp_path / STORE_FILE)) as older:
        older.executescript(f"{MIGRATIONS[0]} PRAGMA user_version = 1;")
        older.execute(
            "INSERT INTO keys (key_id, name, hash, created_unix_s, operator) "
            "VALUES (?, ?, ?, ?, 0)",
            (record.key_id, record.name, record.hash, NOW),
        )
        older.commit()
    with open_store(tmp_path) as store:
        assert store.keys.list() == (record,)
        caller = store.keys.authenticate(token, NOW)
    assert (caller.scope, caller.reuse_error_max) == (f"key:{record.key_id}", None)
    assert caller.labels == ()


def test_the_file_holds_no_key(store: Store, tmp_path: Path) -> None:
    _, token = add(store)
    secret = token.split("_", 2)[2].encode()
    assert not [path for path in tmp_path.iterdir() if secret in path.read_bytes()]


def test_a_request_without_a_good_key_is_refused(store: Store) -> None:
    _, token = add(store)
    with pytest.raises(KeyMissingError):
        store.keys.authenticate(None, NOW)
    with pytest.raises(KeyRejectedError):
        store.keys.authenticate(token[:-1] + ("a" if token[-1] != "a" else "b"), NOW)


REVOKE = """
import sys
from pathlib import Path
from littoral.adapters.store import open_store
with open_store(Path(sys.argv[1])) as store:
    store.keys.revoke("laptop", 7)
"""


def test_a_key_revoked_by_another_process_opens_nothing_from_then_on(
    store: Store, tmp_path: Path
) -> None:
    _, token = add(store)
    store.keys.authenticate(token, NOW)
    subprocess.run([sys.executable, "-c", REVOKE, str(tmp_path)], check=True, timeout=30)
    with pytest.raises(KeyRejectedError):
        store.keys.authenticate(token, NOW)


def test_a_key_made_on_another_connection_is_good_at_once(store: Store, tmp_path: Path) -> None:
    add(store, "first")
    with open_store(tmp_path) as other:
        _, token = add(other, "second")
    assert store.keys.authenticate(token, NOW).name == "second"


@pytest.mark.parametrize("by", ["id", "name"])
def test_a_key_is_revoked_by_its_id_or_its_name(store: Store, by: str) -> None:
    record, token = add(store)
    revoked = store.keys.revoke(record.key_id if by == "id" else record.name, NOW + 1)
    assert revoked.revoked_unix_s == NOW + 1
    assert store.keys.revoke(record.key_id, NOW + 2).revoked_unix_s == NOW + 1
    with pytest.raises(KeyRejectedError):
        store.keys.authenticate(token, NOW)


def test_work_that_goes_on_is_of_its_key_for_as_long_as_that_is_good(store: Store) -> None:
    record, token = add(store, grant=Grant(tenant="acme", expires_unix_s=NOW + 5))
    assert store.keys.holder(record.key_id, NOW) == store.keys.authenticate(token, NOW)
    assert store.keys.holder(record.key_id, NOW + 5) is None
    store.keys.revoke("laptop", NOW + 1)
    assert store.keys.holder(record.key_id, NOW + 2) is None
    lent, token = make_key(CLOCK.random_bytes(KEY_RANDOM_BYTES), name="lent", unix_s=NOW)
    assert store.keys.holder(lent.key_id, NOW) is None
    store.keys.lend(lent)
    assert store.keys.holder(lent.key_id, NOW) == store.keys.authenticate(token, NOW)


def test_there_is_no_key_of_an_unknown_name(store: Store) -> None:
    with pytest.raises(NotFoundError, match="nobody"):
        store.keys.revoke("nobody", NOW)


def test_a_name_is_free_again_once_its_key_is_revoked(store: Store) -> None:
    old, _ = add(store)
    with pytest.raises(ConflictError, match="laptop"):
        add(store)
    store.keys.revoke("laptop", NOW)
    new, _ = add(store)
    assert store.keys.revoke("laptop", NOW + 1).key_id == new.key_id
    assert [record.key_id for record in store.keys.list()] == [old.key_id, new.key_id]


def test_the_longest_revoked_key_makes_room_and_live_ones_never_do(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys_module, "KEYS_MAX", 3)
    names = (f"key {number}" for number in itertools.count())
    records = [add(store, next(names))[0] for _ in range(3)]
    with pytest.raises(ConflictError, match="3 keys"):
        add(store, next(names))
    store.keys.revoke(records[1].key_id, NOW + 1)
    store.keys.revoke(records[0].key_id, NOW + 2)
    newest, _ = add(store, next(names))
    kept = [record.key_id for record in store.keys.list()]
    assert kept == [records[0].key_id, records[2].key_id, newest.key_id]
