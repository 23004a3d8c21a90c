"""The answer cache of one process: what was put is there, whole, within its bounds."""

import os
import stat
from pathlib import Path

import pytest

from littoral.adapters.answers import CACHE_FILE, CacheBounds, open_answers
from littoral.adapters.answers.front import Front
from littoral.adapters.answers.purges import PURGES_KEPT
from littoral.cache.answers import Selector
from littoral.terms.facts import CacheChanged, Fact
from littoral.terms.ids import KeyId, ModelName
from littoral.terms.limits import ANSWER_STORED_BYTES_MAX, CACHE_STALE_S_MAX, EMBED_TEXTS_MAX
from littoral.terms.values import SECOND
from tests.adapters.answers.made import (
    CLOCK,
    MIB,
    MODEL,
    SETTLE_S,
    answer,
    kept,
    key,
    opened,
    used_bytes,
    vector,
)


def test_an_answer_is_there_at_once_and_after_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        assert store.get(key(1), MODEL) is None
        assert store.put(answer(1), epoch=store.epoch)
        assert store.get(key(1), MODEL) == answer(1)
    with opened(tmp_path) as store:
        assert store.get(key(1), MODEL) == answer(1)
        assert store.get(key(2), MODEL) is None


@pytest.mark.parametrize("size", [0, 1, 4_000, 9_000, 70_000, 1_000_000])
def test_an_answer_of_any_size_comes_back_byte_for_byte(tmp_path: Path, size: int) -> None:
    with opened(tmp_path, memory_bytes=0) as store:
        kept(store, answer(1, size), answer(2, 10))
        assert store.get(key(1), MODEL) == answer(1, size)
        assert store.get(key(2), MODEL) == answer(2, 10)


def test_a_second_answer_takes_the_place_of_the_first(tmp_path: Path) -> None:
    with opened(tmp_path, memory_bytes=0) as store:
        kept(store, answer(1))
        kept(store, answer(1, body=b"other"))
        found = store.get(key(1), MODEL)
        assert found is not None
        assert found.body == b"other"
        totals = store.stats().totals
        assert totals is not None
        assert totals.entries == 1


def test_a_batch_of_vectors_comes_back_and_what_is_missing_is_not_there(tmp_path: Path) -> None:
    made = [vector(number) for number in range(EMBED_TEXTS_MAX)]
    with opened(tmp_path, memory_bytes=100_000) as store:
        assert store.put_many(made[::2], epoch=store.epoch)
        assert store.settled(SETTLE_S)
        found = store.get_many([each.key for each in made], "embedder")
        assert found == {each.key: each for each in made[::2]}


def test_an_answer_is_not_given_for_a_vector_nor_a_vector_for_an_answer(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        kept(store, answer(1))
        assert store.put_many([vector(1)], epoch=store.epoch)
        assert store.get(vector(1).key, MODEL) is None
        assert store.get_many([key(1)], MODEL) == {}


def test_its_files_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with opened(tmp_path) as store:
            kept(store, answer(1))
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert CACHE_FILE in modes
    assert set(modes.values()) == {0o600}


def test_an_answer_that_is_too_large_is_not_taken(tmp_path: Path) -> None:
    with opened(tmp_path, disk_bytes=4 * MIB) as store:
        assert not store.put(answer(1, ANSWER_STORED_BYTES_MAX + 1), epoch=store.epoch)
        assert not store.put(answer(1, MIB), epoch=store.epoch), "an eighth of the disk's share"
        assert store.get(key(1), MODEL) is None


def test_what_is_too_large_for_memory_is_on_disk(tmp_path: Path) -> None:
    with opened(tmp_path, memory_bytes=20_000) as store:
        kept(store, answer(1, 30_000), *(answer(number, 3_000) for number in range(2, 12)))
        assert store.stats().memory_bytes <= 20_000
        for number in range(2, 12):
            assert store.get(key(number), MODEL) == answer(number, 3_000)
        assert store.get(key(1), MODEL) == answer(1, 30_000)
        assert store.stats().memory_bytes <= 20_000


def test_memory_drops_what_was_asked_for_longest_ago_and_counts_right() -> None:
    front = Front(3 * answer(1).size_bytes)
    for number in (1, 2, 3):
        front.put(answer(number))
    assert front.get(key(1)) is not None
    front.put(answer(4))
    front.put(answer(4))
    assert [front.get(key(number)) is not None for number in (1, 2, 3, 4)] == [
        True,
        False,
        True,
        True,
    ]
    front.drop([key(4), key(9)])
    front.check()
    front.clear()
    front.check()
    assert len(front) == 0


def test_what_is_long_over_its_time_is_removed(tmp_path: Path) -> None:
    now = CLOCK.unix_ns()
    over = now - (CACHE_STALE_S_MAX + 1) * SECOND
    with opened(tmp_path, memory_bytes=0) as store:
        kept(store, answer(1, expires_unix_ns=over), answer(2, expires_unix_ns=now))
        kept(store, answer(3))
        assert store.get(key(1), MODEL) is None
        assert store.get(key(2), MODEL) is not None, "for whoever takes a stale one"


def test_what_happened_is_counted_by_model_and_told(tmp_path: Path) -> None:
    facts: list[Fact] = []
    with opened(tmp_path, facts=facts) as store:
        kept(store, answer(1), answer(2, model=ModelName("big")))
        for number in (1, 1, 3):
            store.get(key(number), MODEL)
        store.stats()
        assert store.settled(SETTLE_S)
        totals = store.stats().totals
        assert totals is not None
        assert [(one.model, one.entries, one.hits, one.misses) for one in totals.models] == [
            ("big", 1, 0, 0),
            (MODEL, 1, 2, 1),
        ]
        assert totals.bytes == sum(one.bytes for one in totals.models)
        assert 0 < totals.bytes <= totals.used_bytes
    changes = [fact for fact in facts if isinstance(fact, CacheChanged)]
    assert sum(change.entries for change in changes) == 2
    assert sum(change.bytes for change in changes) == totals.bytes


SELECTED = [
    (Selector(answer=key(1)), {1}),
    (Selector(key_id=KeyId("kone")), {1, 2}),
    (Selector(model=ModelName("big")), {2, 4}),
    (Selector(scope="tenant:acme"), {3, 4}),
    (Selector(tag="a"), {1, 4}),
    (Selector(key_id=KeyId("ktwo"), model=ModelName("big")), {4}),
    (Selector(model=ModelName("none")), set()),
    (Selector(), {1, 2, 3, 4}),
]


@pytest.mark.parametrize(("selector", "gone"), SELECTED)
def test_a_purge_drops_what_it_names_and_nothing_else(
    tmp_path: Path, selector: Selector, gone: set[int]
) -> None:
    big, two = ModelName("big"), KeyId("ktwo")
    made = {
        1: answer(1, tags=("a", "bb")),
        2: answer(2, model=big, tags=("b", "aa")),
        3: answer(3, scope="tenant:acme", key_id=two),
        4: answer(4, scope="tenant:acme", key_id=two, model=big, tags=("a",)),
    }
    with opened(tmp_path) as store:
        kept(store, *made.values())
        count, size = store.purge(selector)
        assert count == len(gone)
        assert (size > 0) == bool(gone)
        left = {number for number in made if store.get(key(number), MODEL) is not None}
        assert left == set(made) - gone


@pytest.mark.parametrize(
    ("selector", "left"),
    [
        (Selector(), set()),
        (Selector(answer=key(1)), {2, 3}),
        (Selector(key_id=KeyId("ktwo")), {1, 3}),
        (Selector(scope="key:kone"), {3}),
        (Selector(tag="draft"), {1, 2}),
        (Selector(tag="dra"), {1, 2, 3}),
        (Selector(model=ModelName("none")), {1, 2, 3}),
        (Selector(model=ModelName(MODEL), tag="draft"), {1, 2}),
    ],
)
def test_an_answer_that_began_before_a_purge_is_kept_only_if_it_was_not_named(
    tmp_path: Path, selector: Selector, left: set[int]
) -> None:
    made = {
        1: answer(1),
        2: answer(2, key_id=KeyId("ktwo")),
        3: answer(3, scope="tenant:t", tags=("draft", "v2")),
    }
    with opened(tmp_path) as store:
        began = store.epoch
        store.purge(Selector(model=ModelName("another")))
        store.purge(selector)
        store.purge(Selector(tag="another"))
        for each in made.values():
            assert store.put(each, epoch=began)
        assert store.settled(SETTLE_S)
        assert {number for number in made if store.get(key(number), MODEL)} == left


def test_an_answer_is_kept_by_the_purges_that_came_after_it_began(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.purge(Selector())
        began = store.epoch
        store.purge(Selector(model=ModelName("none")))
        assert store.put(answer(1), epoch=began)
        assert store.settled(SETTLE_S)
        assert store.get(key(1), MODEL) == answer(1)


def test_an_answer_that_began_before_more_purges_than_are_known_is_not_kept(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        began = [store.epoch + number for number in (0, 1)]
        for _ in range(PURGES_KEPT + 1):
            store.purge(Selector(model=ModelName("none")))
        for number, epoch in enumerate(began):
            store.put(answer(number), epoch=epoch)
        assert store.settled(SETTLE_S)
        assert store.get(key(0), MODEL) is None
        assert store.get(key(1), MODEL) == answer(1)


def test_a_put_that_is_on_its_way_to_the_disk_does_not_outlive_a_purge(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for number in range(200):
            store.put(answer(number), epoch=store.epoch)
        store.purge(Selector())
        assert store.settled(SETTLE_S)
        assert all(store.get(key(number), MODEL) is None for number in range(200))
        totals = store.stats().totals
        assert totals is not None
        assert totals.entries == 0


def test_a_purge_gives_the_disk_back(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        kept(store, *(answer(number, 20_000) for number in range(400)))
        before = sum(path.stat().st_size for path in tmp_path.iterdir())
        assert before > 8_000_000
        store.purge(Selector())
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 300_000
        assert used_bytes(store) < 200_000


def test_with_no_bytes_there_is_no_cache(tmp_path: Path) -> None:
    assert open_answers(tmp_path, CacheBounds(disk_bytes=0), clock=CLOCK) is None
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_can_not_be_written_has_no_cache_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    assert open_answers(tmp_path / "file", CacheBounds(), clock=CLOCK) is None
    assert "there is no answer cache" in caplog.text
