"""Receipts while another process holds the database: they wait in order, and for so long only."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from littoral.adapters.store import STORE_FILE, Store
from littoral.node.scribe import Scribe
from littoral.terms.errors import DiskShortError, LittoralError, StoreError
from littoral.terms.facts import Fact, ReceiptLost, ReceiptsHalted
from littoral.terms.ids import KeyId, ReceiptId
from littoral.terms.limits import (
    RECEIPT_BATCH_MAX,
    RECEIPT_BATCH_S,
    RECEIPT_TRY_S,
    RECEIPT_WAIT_S,
    RECEIPTS_WAITING_MAX,
)
from littoral.trust.issuing import Draft
from littoral.trust.receipts import stated
from tests.node.test_scribe import Heard, Loop, defects, documents, facts, loop, scribe, store
from tests.trust.made import CALLER, draft

__all__ = ["defects", "facts", "loop", "scribe", "store"]

DRAFT = draft()


@pytest.fixture
def holder(store: Store, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Another connection, with a write under way."""
    with closing(sqlite3.connect(tmp_path / STORE_FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def numbered(number: int) -> Draft:
    return structs.replace(DRAFT, receipt_id=ReceiptId(f"rcpt_{number:032x}"))


def write(scribe: Scribe, count: int, heard: Heard) -> None:
    for number in range(count):
        scribe.write(numbered(number), heard.append)


def lost(facts: list[Fact]) -> list[ReceiptLost]:
    return [each for each in facts if isinstance(each, ReceiptLost)]


def halts(facts: list[Fact]) -> list[ReceiptsHalted]:
    return [each for each in facts if isinstance(each, ReceiptsHalted)]


def run_until(loop: Loop, now: float) -> None:
    while loop.due and loop.due[0][0] <= now:
        loop.run()


def test_what_meets_a_held_database_is_kept_in_order_once_it_is_free(
    scribe: Scribe, loop: Loop, holder: sqlite3.Connection, facts: list[Fact]
) -> None:
    heard: Heard = []
    for number in range(3):
        scribe.write(draft(number=number), heard.append)
        loop.run()
    scribe.keep(draft(number=3), heard.append)
    assert heard == []
    holder.execute("COMMIT")
    scribe.write(draft(number=4), heard.append)
    loop.run()
    made = [stated(each) for each in documents(heard)]
    assert [each.seq for each in made] == [1, 2, 3, 4, 5]
    assert [each.rid for each in made] == [draft(number=number).receipt_id for number in range(5)]
    assert facts == []
    assert loop.due == []


def test_a_try_at_a_held_database_takes_no_time(
    scribe: Scribe, store: Store, holder: sqlite3.Connection
) -> None:
    write(scribe, 1, [])
    took_s = []
    for _ in range(20):
        store.keys.list()  # which waits, if it must
        before = time.perf_counter()
        scribe.flush()
        took_s.append(time.perf_counter() - before)
    assert sorted(took_s)[10] < 0.002


def test_it_is_tried_with_the_rhythm_of_batches_however_many_come(
    scribe: Scribe, loop: Loop, holder: sqlite3.Connection
) -> None:
    heard: Heard = []
    write(scribe, 4 * RECEIPT_BATCH_MAX, heard)
    loop.run()
    assert [when for when, _ in loop.due] == [loop.now + RECEIPT_BATCH_S]
    holder.execute("COMMIT")
    for batch in range(1, 5):
        loop.run()
        assert len(documents(heard)) == batch * RECEIPT_BATCH_MAX
    assert loop.due == []


def test_held_for_too_long_what_waits_is_given_up_and_what_comes_until_it_is_free(
    scribe: Scribe, loop: Loop, holder: sqlite3.Connection, facts: list[Fact]
) -> None:
    heard: Heard = []
    write(scribe, 2, heard)
    run_until(loop, loop.now + RECEIPT_WAIT_S - RECEIPT_BATCH_S)
    assert heard == []
    run_until(loop, loop.now + 2 * RECEIPT_BATCH_S)
    scribe.keep(DRAFT, heard.append)
    assert [type(each) for each in heard] == [StoreError] * 3
    assert [type(each) for each in facts] == [ReceiptsHalted] + [ReceiptLost] * 3
    holder.execute("COMMIT")
    scribe.keep(draft(number=7), heard.append)
    assert stated(documents(heard[3:])[0]).seq == 1
    holder.execute("BEGIN IMMEDIATE")
    scribe.keep(draft(number=8), heard.append)
    assert len(heard) == 4, "held again, it is waited for again"


def test_of_too_many_the_oldest_are_given_up(
    scribe: Scribe, holder: sqlite3.Connection, facts: list[Fact]
) -> None:
    heard: Heard = []
    newer: Heard = []
    write(scribe, RECEIPT_BATCH_MAX, heard)
    write(scribe, RECEIPTS_WAITING_MAX - RECEIPT_BATCH_MAX, newer)
    assert [type(each) for each in heard] == [StoreError] * RECEIPT_BATCH_MAX
    assert len(lost(facts)) == RECEIPT_BATCH_MAX
    assert newer == []


def test_who_asks_for_one_that_waits_can_be_told(
    scribe: Scribe, holder: sqlite3.Connection
) -> None:
    scribe.keep(DRAFT, lambda _: None)
    other = replace(CALLER, key_id=KeyId("kother"))
    assert scribe.waits(DRAFT.receipt_id, CALLER)
    assert scribe.waits(DRAFT.receipt_id, replace(other, operator=True))
    assert not scribe.waits(DRAFT.receipt_id, other)
    assert not scribe.waits(draft(number=2).receipt_id, CALLER)
    holder.execute("COMMIT")
    scribe.flush()
    assert not scribe.waits(DRAFT.receipt_id, CALLER)


def test_at_its_end_all_is_kept_or_told_that_it_is_not(
    scribe: Scribe, loop: Loop, holder: sqlite3.Connection
) -> None:
    heard: list[bytes | LittoralError] = []
    write(scribe, 2 * RECEIPT_BATCH_MAX, heard)
    scribe.close()
    assert [type(each) for each in heard] == [StoreError] * (2 * RECEIPT_BATCH_MAX)
    run_until(loop, loop.now + 1)
    assert loop.due == []


def test_that_nothing_can_be_kept_is_said_once_and_that_it_is_over_without_another_receipt(
    scribe: Scribe, loop: Loop, holder: sqlite3.Connection, facts: list[Fact]
) -> None:
    heard: Heard = []
    write(scribe, 2 * RECEIPT_BATCH_MAX, heard)
    run_until(loop, loop.now + RECEIPT_WAIT_S + 3 * RECEIPT_TRY_S)
    assert len(heard) == len(lost(facts)) == 2 * RECEIPT_BATCH_MAX
    assert halts(facts) == [ReceiptsHalted("held")]
    holder.execute("COMMIT")
    run_until(loop, loop.now + RECEIPT_TRY_S)
    assert halts(facts) == [ReceiptsHalted("held"), ReceiptsHalted("held", over=True)]
    assert loop.due == []


def test_a_full_disk_is_not_waited_for_and_seen_to_have_room_again(
    scribe: Scribe, store: Store, loop: Loop, facts: list[Fact]
) -> None:
    database = store.receipts._database
    pages = database.read("PRAGMA page_count")[0][0]
    database.read(f"PRAGMA max_page_count = {pages}")
    heard: Heard = []
    while not facts:
        scribe.keep(numbered(len(heard)), heard.append)
    assert isinstance(heard[-1], DiskShortError)
    run_until(loop, loop.now + 3 * RECEIPT_TRY_S)
    assert halts(facts) == [ReceiptsHalted("full")]
    database.read("PRAGMA max_page_count = 100000")
    scribe.keep(numbered(len(heard)), heard.append)
    assert halts(facts) == [ReceiptsHalted("full"), ReceiptsHalted("full", over=True)]
    assert stated(documents(heard[-1:])[0]).seq == len(heard) - 1
    run_until(loop, loop.now + RECEIPT_TRY_S)
    assert loop.due == []
    assert store.receipts.at(0) is None


def test_why_nothing_can_be_kept_may_change(
    scribe: Scribe, store: Store, loop: Loop, holder: sqlite3.Connection, facts: list[Fact]
) -> None:
    heard: Heard = []
    scribe.keep(DRAFT, heard.append)
    run_until(loop, loop.now + 2 * RECEIPT_WAIT_S)
    holder.execute("COMMIT")
    store.receipts._database.read("PRAGMA query_only = ON")
    run_until(loop, loop.now + RECEIPT_TRY_S)
    assert [(each.reason, each.over) for each in halts(facts)] == [
        ("held", False),
        ("held", True),
        ("home_unwritable", False),
    ]
