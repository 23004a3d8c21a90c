"""The database file: private, brought up to date, and honest about what ails it."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from littoral.adapters.store import STORE_FILE, Store, open_store
from littoral.adapters.store.database import MIGRATIONS, Database
from littoral.terms.errors import (
    ConfigError,
    DiskShortError,
    HomeUnwritableError,
    OperatorError,
    StoreError,
)
from littoral.trust.issuing import Issuer
from littoral.trust.keys import KEY_RANDOM_BYTES, make_key
from tests.trust.made import SIGNER, draft

ISSUER = Issuer(SIGNER)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path) as opened:
        yield opened


def append(store: Store, number: int = 1) -> None:
    store.receipts.append(partial(ISSUER.issue, [draft(number=number)]))


def test_the_home_and_every_file_of_the_store_are_for_their_owner_only(tmp_path: Path) -> None:
    home = tmp_path / "not" / "yet" / "there"
    before = os.umask(0)
    try:
        with open_store(home) as store:
            append(store)
            files = {path.name: path for path in home.iterdir()}
            assert STORE_FILE in files
            assert f"{STORE_FILE}-wal" in files
            assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
    finally:
        os.umask(before)


def test_a_closed_store_is_one_file_beside_the_epoch_of_its_keys(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        append(store)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys.epoch", STORE_FILE]


def test_what_was_written_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        append(store)
    with open_store(tmp_path, create=False) as store:
        assert [kept.seq for kept in store.receipts.newest(10)] == [1]


def test_a_store_that_is_not_there_is_made_only_if_asked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no PoP's state"):
        open_store(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()


def test_a_new_file_is_of_the_newest_version(store: Store, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / STORE_FILE)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    connection.close()


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    connection = sqlite3.connect(tmp_path / STORE_FILE)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(StoreError, match="newer Littoral"):
        open_store(tmp_path)


def test_a_file_that_is_no_database_is_said_to_be_damaged(tmp_path: Path) -> None:
    (tmp_path / STORE_FILE).write_bytes(b"not a database at all, but long enough" * 100)
    with pytest.raises(StoreError, match="is damaged"):
        open_store(tmp_path)


def test_a_home_that_can_not_be_made_is_said_to_be_unwritable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeUnwritableError, match="can't be written"):
        open_store(tmp_path / "file" / "home")


def errors_of_both_books(store: Store) -> list[OperatorError]:
    """What a receipt and a key get when they can't be written."""
    record, _ = make_key(bytes(KEY_RANDOM_BYTES), name="laptop", unix_s=0)
    with pytest.raises(OperatorError) as of_receipt:
        append(store, 999)
    with pytest.raises(OperatorError) as of_key:
        store.keys.add(record)
    return [of_receipt.value, of_key.value]


def append_until_full(store: Store) -> int:
    """How many receipts there was room for."""
    for number in range(2, 1000):
        try:
            append(store, number)
        except DiskShortError:
            return number - 1
    raise AssertionError("the disk never filled")


def test_a_full_disk_is_said_to_be_full_and_what_was_written_stays(store: Store) -> None:
    append(store)
    pages = store._database.read("PRAGMA page_count")[0][0]
    store._database.read(f"PRAGMA max_page_count = {pages}")
    room = append_until_full(store)
    assert [one.seq for one in store.receipts.newest(1000)] == list(range(room, 0, -1))
    store._database.read("PRAGMA max_page_count = 100000")
    append(store, room + 1)
    assert store.receipts.newest(1)[0].seq == room + 1


def test_a_read_only_file_is_said_to_be_unwritable(store: Store) -> None:
    store._database.read("PRAGMA query_only = ON")
    for error in errors_of_both_books(store):
        assert isinstance(error, HomeUnwritableError)


def test_a_file_that_another_process_holds_is_said_to_be_held(store: Store, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / STORE_FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store._database.read("PRAGMA busy_timeout = 10")
    try:
        for error in errors_of_both_books(store):
            assert isinstance(error, StoreError)
            assert "held by another process" in error.message
    finally:
        other.close()
    append(store)


OTHER = """
import sys
from pathlib import Path
from littoral.adapters.store.database import Database
database = Database(Path(sys.argv[1]))
print(database.read("SELECT count(*) FROM usage")[0][0])
database.close()
"""


def test_another_process_that_comes_and_goes_takes_nothing_from_two_connections_of_one(
    tmp_path: Path,
) -> None:
    """The second one must not drop the first one's locks: the log would be deleted under both."""

    def others() -> int:
        command = [sys.executable, "-c", OTHER, str(tmp_path / "a.db")]
        return int(subprocess.run(command, check=True, capture_output=True).stdout)

    first, second = Database(tmp_path / "a.db"), Database(tmp_path / "a.db")
    for count in range(3):
        assert others() == count
        with second.transaction():
            second.write("INSERT INTO usage VALUES (?, 'k', 1, 1)", (count,))
        assert first.read("SELECT count(*) FROM usage") == [(count + 1,)]
    first.close()
    second.close()
    assert others() == 3


OPENER = """
import sys
from pathlib import Path
from littoral.adapters.store import open_store
sys.stdin.read()
with open_store(Path(sys.argv[1])):
    pass
"""


@pytest.mark.parametrize("number", range(3))
def test_many_that_open_a_new_home_at_once_all_do(tmp_path: Path, number: int) -> None:
    command = [sys.executable, "-c", OPENER, str(tmp_path / str(number))]
    with ExitStack() as stack:
        openers = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE)) for _ in range(6)
        ]
        for each in openers:
            assert each.stdin is not None
            each.stdin.close()
        assert [each.wait() for each in openers] == [0] * 6
