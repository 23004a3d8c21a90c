"""Keys that were seen before: known at once, and refused from the very change that ends them."""

import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from littoral.adapters.clock import SystemClock
from littoral.adapters.store import STORE_FILE, Store, open_store
from littoral.terms.errors import KeyRejectedError, LittoralError
from littoral.trust.keys import KEY_RANDOM_BYTES, Grant, KeyRecord, make_key

CLOCK = SystemClock()
NOW = 1_764_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path) as opened:
        yield opened


def made(name: str = "laptop", grant: Grant | None = None) -> tuple[KeyRecord, str]:
    return make_key(CLOCK.random_bytes(KEY_RANDOM_BYTES), name=name, unix_s=NOW, grant=grant)


def add(store: Store, name: str = "laptop", grant: Grant | None = None) -> str:
    record, token = made(name, grant)
    store.keys.add(record)
    store.keys.authenticate(token, NOW)
    return token


def opens(store: Store, token: str, unix_s: int = NOW) -> bool:
    try:
        store.keys.authenticate(token, unix_s)
    except KeyRejectedError:
        return False
    return True


def asked(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one entry each time that the database is asked whether it has changed."""
    asks: list[int] = []
    ask = store._database.changes_by_others

    def counting() -> int:
        asks.append(1)
        return ask()

    monkeypatch.setattr(store._database, "changes_by_others", counting)
    return asks


def test_a_key_seen_before_asks_the_database_nothing_until_the_second_is_over(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = add(store)
    asks = asked(store, monkeypatch)
    first = store.keys.authenticate(token, NOW)
    assert all(store.keys.authenticate(token, NOW) is first for _ in range(100))
    assert not asks
    store.keys.authenticate(token, NOW + 1)
    assert len(asks) == 1


def test_every_change_by_another_counts_in_the_same_second(store: Store, tmp_path: Path) -> None:
    with open_store(tmp_path) as other:
        for turn in range(20):
            token = add(other, f"key {turn}")
            assert opens(store, token)
            other.keys.revoke(f"key {turn}", NOW)
            assert not opens(store, token)


def test_a_key_ends_at_its_very_second_though_it_was_seen_before(store: Store) -> None:
    token = add(store, grant=Grant(expires_unix_s=NOW + 10))
    assert opens(store, token, NOW + 9)
    assert opens(store, token, NOW + 9)
    assert not opens(store, token, NOW + 10)
    assert opens(store, token, NOW + 9)


def test_a_change_that_no_littoral_made_counts_within_a_second(
    store: Store, tmp_path: Path
) -> None:
    token = add(store)
    with closing(sqlite3.connect(tmp_path / STORE_FILE)) as shell:
        shell.execute("UPDATE keys SET revoked_unix_s = 1")
        shell.commit()
    assert not opens(store, token, NOW + 1)


DIE = """
import os, signal, sys
from pathlib import Path
from littoral.adapters.store import open_store
from littoral.adapters.store.database import Database

def die(): os.kill(os.getpid(), signal.SIGKILL)

with open_store(Path(sys.argv[1])) as store:
    database = store._database
    if sys.argv[2] == "before":
        database.write = lambda *_: die()
    else:
        store.keys._table()
        lock, enters = store._epoch.lock, []
        class Last:
            def __enter__(self):
                enters.append(1)
                if len(enters) == 2: die()
                lock.__enter__()
            def __exit__(self, *_): lock.__exit__()
        store._epoch.lock = Last()
    store.keys.revoke("laptop", 7)
"""


@pytest.mark.parametrize(("when", "revoked"), [("before", False), ("after", True)])
def test_a_writer_killed_beside_its_commit_leaves_the_truth_in_force(
    store: Store, tmp_path: Path, when: str, revoked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = add(store)
    command = [sys.executable, "-c", DIE, str(tmp_path), when]
    died = subprocess.run(command, check=False, timeout=30)
    assert died.returncode == -signal.SIGKILL
    assert opens(store, token) is not revoked
    asks = asked(store, monkeypatch)
    opens(store, token)
    assert asks, "while a change is under way, every request asks"
    token = add(store, "another")
    asks.clear()
    assert opens(store, token)
    assert not asks, "the next change puts it right"


def test_a_change_that_fails_is_over_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    token = add(store)
    with pytest.raises(LittoralError):
        add(store)
    assert opens(store, token)
    asks = asked(store, monkeypatch)
    assert opens(store, token)
    assert not asks


def test_a_false_key_is_refused_each_time_beside_the_right_one(store: Store) -> None:
    token = add(store)
    false = token[:-1] + ("a" if token[-1] != "a" else "b")
    for attempt in (false, "lit_", "\udc80" * 60, token + "\n", token[:-1]):
        assert not opens(store, attempt)
        assert opens(store, token)
        assert not opens(store, attempt)


def test_a_lent_key_is_good_and_is_written_nowhere(store: Store, tmp_path: Path) -> None:
    record, token = made("this machine")
    store.keys.lend(record)
    assert opens(store, token)
    assert opens(store, token)
    assert store.keys.list() == ()
    with open_store(tmp_path) as other:
        assert not opens(other, token)


def test_no_key_is_remembered_in_clear(store: Store) -> None:
    token = add(store)
    opens(store, token)
    assert store.keys._good
    assert token.split("_", 2)[2] not in repr(vars(store.keys))


def test_only_the_owner_may_touch_the_epoch(store: Store, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "keys.epoch").stat().st_mode) == 0o600
