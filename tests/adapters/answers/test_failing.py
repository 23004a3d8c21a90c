"""The cache and what can befall it: damage, a full disk, a held file. Serving never suffers."""

import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.adapters.answers import CACHE_FILE, AnswerStore
from littoral.adapters.answers.file import AnswerFile
from littoral.adapters.answers.place import Place
from littoral.adapters.answers.rows import Group
from littoral.cache.answers import Selector
from littoral.terms.errors import OperatorError, StoreError
from tests.adapters.answers.made import (
    CLOCK,
    MIB,
    MODEL,
    NOW,
    SETTLE_S,
    answer,
    kept,
    key,
    opened,
    used_bytes,
)


def change(home: Path, sql: str) -> None:
    """Change rows behind the cache's back."""
    with closing(sqlite3.connect(home / CACHE_FILE)) as connection:
        connection.execute(sql)
        connection.commit()


FLIPS = [
    "UPDATE bodies SET body = CAST(substr(body, 1, 99) || x'00' || substr(body, 101) AS BLOB)",
    "UPDATE bodies SET body = substr(body, 1, 200)",
    "UPDATE bodies SET body = x''",
    "UPDATE bodies SET checksum = x'00'",
    "UPDATE entries SET model = 'other'",
    "UPDATE entries SET scope = 'key:other'",
    "UPDATE entries SET key_id = 'kother'",
    "UPDATE entries SET tags = ',x,'",
]


@pytest.mark.parametrize("flip", FLIPS)
def test_an_entry_that_is_not_what_was_stored_is_none_and_is_removed(
    tmp_path: Path, flip: str
) -> None:
    with opened(tmp_path) as store:
        kept(store, answer(1))
    change(tmp_path, flip)
    with opened(tmp_path) as store:
        assert store.get(key(1), MODEL) is None
        assert store.settled(SETTLE_S)
        totals = store.stats().totals
        assert totals is not None
        assert (totals.entries, totals.damaged) == (0, 1)
        kept(store, answer(1))
    with opened(tmp_path) as store:
        assert store.get(key(1), MODEL) == answer(1)


def test_an_entry_under_another_key_is_not_given_for_it(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        kept(store, answer(1))
    change(tmp_path, f"UPDATE entries SET key = x'{key(2).hex()}'")
    with opened(tmp_path) as store:
        assert store.get(key(2), MODEL) is None


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_whatever_byte_of_the_file_is_flipped_nothing_else_than_was_stored_is_given(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    home = tmp_path_factory.mktemp("home")
    with opened(home) as store:
        kept(store, *(answer(number) for number in range(12)))
    with (home / CACHE_FILE).open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, size - 1))
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ data.draw(st.integers(1, 255))]))
    with opened(home) as store:
        for number in range(12):
            assert store.get(key(number), MODEL) in (None, answer(number))
        store.put(answer(99), epoch=store.epoch)
        assert store.get(key(99), MODEL) == answer(99)


def test_a_file_that_is_no_database_is_moved_aside_and_begun_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nonsense = b"not a database at all, but long enough" * 100
    (tmp_path / CACHE_FILE).write_bytes(nonsense)
    with opened(tmp_path) as store:
        assert store.failure is None
        kept(store, answer(1))
    assert (tmp_path / f"{CACHE_FILE}.damaged").read_bytes() == nonsense
    with opened(tmp_path) as store:
        assert store.get(key(1), MODEL) == answer(1)


def test_damage_found_on_the_way_begins_the_file_anew_for_everybody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path, memory_bytes=0) as one, opened(tmp_path, memory_bytes=0) as two:
        kept(one, *(answer(number) for number in range(200)))
        assert two.get(key(7), MODEL) is not None
        two.purge(Selector(answer=key(1)))  # which leaves all of it in the file itself
        with (tmp_path / CACHE_FILE).open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(8192)
            file.write(os.urandom(size - 8192))
        for store in (one, two):
            for number in range(200):
                store.get(key(number), MODEL)
        for store in (one, two):
            kept(store, answer(500))
            assert store.failure is None
        assert one.get(key(500), MODEL) == two.get(key(500), MODEL) == answer(500)
        kept(one, answer(501))
        assert two.get(key(501), MODEL) == answer(501)
        two.purge(Selector())
        assert one.get(key(501), MODEL) is None
    assert (tmp_path / f"{CACHE_FILE}.damaged").exists()
    assert "begun anew" in caplog.text
    with opened(tmp_path) as store:
        assert store.failure is None


def test_a_file_whose_purge_broke_off_is_emptied(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        kept(store, answer(1), answer(2))
        place = Place(tmp_path, CLOCK)
        began = store.epoch
        place.shared.epoch += 1  # as a purge does before it commits; then it is killed
        assert store.get(key(1), MODEL) is None
        assert store.get(key(2), MODEL) is None
        kept(store, answer(3))
        assert store.get(key(1), MODEL) is None
        assert store.get(key(3), MODEL) == answer(3)
        store.put(answer(4), epoch=began)
        assert store.settled(SETTLE_S)
        assert store.get(key(4), MODEL) is None, "what that purge named is not known"
        totals = store.stats().totals
        assert totals is not None
        assert totals.entries == 1
        place.close()


def test_a_damaged_file_is_begun_anew_once_however_many_found_it_so(tmp_path: Path) -> None:
    first, second = Place(tmp_path, CLOCK), Place(tmp_path, CLOCK)
    damaged = first.open()
    fresh = first.open(damaged_generation=damaged.generation)
    found_late = second.open(damaged_generation=damaged.generation)
    assert damaged.generation != fresh.generation == found_late.generation
    for file in (damaged, fresh, found_late):
        file.close()
    for place in (first, second):
        place.close()


def test_a_file_from_a_backup_does_not_bring_back_what_was_purged(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        kept(store, answer(1))
    backup = (tmp_path / CACHE_FILE).read_bytes()
    with opened(tmp_path) as store:
        store.purge(Selector())
    (tmp_path / CACHE_FILE).write_bytes(backup)
    with opened(tmp_path) as store:
        assert store.get(key(1), MODEL) is None
        kept(store, answer(2))
        assert store.get(key(1), MODEL) is None


def fill(store: AnswerStore, count: int = 400) -> None:
    for number in range(count):
        store.put(answer(number, 20_000), epoch=store.epoch)
    assert store.settled(SETTLE_S)


def still_serves(store: AnswerStore) -> None:
    assert store.failure is not None
    assert not store.put(answer(999), epoch=store.epoch), "nothing is taken while it is off"
    assert store.get(key(1), MODEL) in (None, answer(1, 20_000))
    assert store.stats().lost > 0
    assert store.stats().refused > 0


def test_on_a_full_disk_the_cache_is_off_and_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = AnswerFile.write

    def limited(file: AnswerFile, group: Group, *, bytes_max: int, unix_ns: int) -> object:
        file._database.read("PRAGMA max_page_count = 100")
        return original(file, group, bytes_max=bytes_max, unix_ns=unix_ns)

    monkeypatch.setattr(AnswerFile, "write", limited)
    with opened(tmp_path) as store:
        fill(store)
        still_serves(store)
        assert "the disk is full" in (store.failure or "")
    assert caplog.text.count("keeps nothing for now") == 1


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_where_no_file_may_grow_the_cache_is_off_and_is_whole_afterwards(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path, memory_bytes=0) as store:
        kept(store, answer(1, 20_000))
        with files_of_at_most(600_000):
            fill(store)
            still_serves(store)
        store.purge(Selector())
    with opened(tmp_path) as store:
        kept(store, answer(1))
        assert store.failure is None


def test_what_the_queue_has_no_room_for_is_not_taken_and_is_counted(tmp_path: Path) -> None:
    with opened(tmp_path, memory_bytes=0) as store:
        kept(store, answer(1))
        with closing(sqlite3.connect(tmp_path / CACHE_FILE, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            taken = [store.put(answer(number, MIB), epoch=store.epoch) for number in range(2, 60)]
            other.execute("ROLLBACK")
        assert store.settled(SETTLE_S)
        assert 20 < sum(taken) < len(taken)
        assert store.stats().refused == len(taken) - sum(taken)
        assert store.stats().lost == 0
        assert [store.get(key(number), MODEL) is not None for number in range(2, 60)] == taken


def test_a_purge_that_the_disk_does_not_take_says_so_and_nothing_is_given_any_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path) as one, opened(tmp_path) as two:
        kept(one, *(answer(number) for number in range(50)))
        assert two.get(key(1), MODEL) is not None
        with files_of_at_most(1_000), pytest.raises(OperatorError):
            one.purge(Selector(scope="key:kone"))
        for store in (one, two):
            assert [number for number in range(50) if store.get(key(number), MODEL)] == []
        kept(two, answer(60))
        assert one.get(key(60), MODEL) == answer(60)
        assert one.get(key(1), MODEL) is None


def test_a_held_file_costs_no_request_any_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path, memory_bytes=0) as store:
        kept(store, answer(1))
        with closing(sqlite3.connect(tmp_path / CACHE_FILE, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            began = CLOCK.now()
            assert store.put(answer(2), epoch=store.epoch)
            assert store.get(key(1), MODEL) == answer(1)
            assert CLOCK.now() - began < 250_000_000
            assert store.settled(SETTLE_S)
            assert "held by another process" in (store.failure or "")
            other.execute("ROLLBACK")
        store.purge(Selector())


def test_a_purge_that_can_not_be_done_says_so(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        kept(store, answer(1))
        assert store._file is not None
        store._file._database.read("PRAGMA busy_timeout = 1")
        with closing(sqlite3.connect(tmp_path / CACHE_FILE, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="held by another process"):
                store.purge(Selector())
            other.execute("ROLLBACK")
        store.purge(Selector())
        assert store.get(key(1), MODEL) is None


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 150_000)), min_size=1, max_size=60),
    st.lists(st.integers(0, 60), max_size=40),
)
def test_the_disk_keeps_within_its_bound_whatever_is_put(
    tmp_path_factory: pytest.TempPathFactory, puts: list[tuple[int, int]], asked: list[int]
) -> None:
    bound = 2 * MIB
    home = tmp_path_factory.mktemp("home")
    with opened(home, disk_bytes=bound, memory_bytes=0) as store:
        last: dict[int, int] = {}
        for place, (number, size) in enumerate(puts):
            store.put(answer(number, size), epoch=store.epoch)
            last[number] = size
            if place % 7 == 0:
                for each in asked:
                    store.get(key(each), MODEL)
                assert store.settled(SETTLE_S)
                assert used_bytes(store) <= bound
        assert store.settled(SETTLE_S)
        assert used_bytes(store) <= bound
        for number, size in last.items():
            assert store.get(key(number), MODEL) in (None, answer(number, size))


def test_what_is_asked_for_often_and_took_long_stays_when_room_is_short(tmp_path: Path) -> None:
    with opened(tmp_path, disk_bytes=2 * MIB, memory_bytes=0) as store:
        kept(store, *(answer(number, 20_000) for number in range(10)))
        kept(store, answer(50, 20_000, cost_us=60_000_000))
        for _ in range(20):
            assert store.get(key(3), MODEL) is not None
        store.stats()
        assert store.settled(SETTLE_S)
        for number in range(100, 400):
            kept(store, answer(number, 20_000))
        assert store.get(key(3), MODEL) is not None
        assert store.get(key(50), MODEL) is not None
        assert store.get(key(5), MODEL) is None
        totals = store.stats().totals
        assert totals is not None
        assert totals.evicted > 100


def test_a_smaller_bound_than_before_is_kept_from_the_first_write_on(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        kept(store, *(answer(number, 20_000) for number in range(300)))
    with opened(tmp_path, disk_bytes=MIB) as store:
        kept(store, answer(1, stored_unix_ns=NOW))
        assert used_bytes(store) <= MIB
