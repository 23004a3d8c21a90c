"""The book of receipts: one unbroken chain, whenever the process dies."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec
import pytest

from littoral.adapters.identity import verify
from littoral.adapters.store import STORE_FILE, Store, open_store
from littoral.terms.ids import Digest, KeyId, ReceiptId
from littoral.terms.limits import USAGE_DAYS_MAX
from littoral.terms.values import Countersigned, Usage
from littoral.trust.issuing import Issuer, SealedReceipt
from littoral.trust.limits import DAY_S
from littoral.trust.receipts import decode_document, stated
from littoral.trust.saved import SavedAnswer
from littoral.trust.verification import verify_answer
from tests.trust.made import CALLER, SIGNER, STRANGER, STREAM, draft, sealed

ISSUER = Issuer(SIGNER)
DAY = 20_000
DAY_NS = DAY * DAY_S * 10**9


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path) as opened:
        yield opened


def append(store: Store, number: int, *, ended_unix_ns: int = DAY_NS) -> SealedReceipt:
    exchange = draft(number=number, ended_unix_ns=ended_unix_ns)
    return store.receipts.append(partial(ISSUER.issue, [exchange]))[0]


def checked_chain(store: Store) -> list[ReceiptId]:
    """Every receipt kept, oldest first, after checking each signature and each link."""
    kept = list(reversed(store.receipts.newest(1_000_000)))
    before: Digest | None = None
    for place, one in enumerate(kept):
        verdict = verify_answer(
            SavedAnswer(STREAM, one.document),
            verify=verify,
            trusted=[SIGNER.public_key],
            previous=before,
        )
        assert verdict.accepted, verdict.claims
        assert stated(one.document).seq == one.seq == kept[0].seq + place
        before = one.digest
    return [one.receipt_id for one in kept]


def test_each_receipt_names_the_one_before_it(store: Store) -> None:
    made = [append(store, number) for number in (7, 8, 9)]
    assert [one.receipt.seq for one in made] == [1, 2, 3]
    assert [one.receipt.prev for one in made] == [None, made[0].digest, made[1].digest]
    assert checked_chain(store) == [one.receipt.rid for one in made]


def test_receipts_kept_together_go_on_with_the_chain_and_count_each(store: Store) -> None:
    first = append(store, 0)
    exchanges = [draft(number=number, ended_unix_ns=DAY_NS) for number in range(1, 6)]
    together = store.receipts.append(partial(ISSUER.issue, exchanges))
    last = append(store, 6)
    rids = [one.receipt.rid for one in (first, *together, last)]
    assert checked_chain(store) == rids
    tokens = draft().usage.total_tokens
    assert store.receipts.tokens_of_day(DAY) == {CALLER.key_id: 7 * tokens}


def test_a_receipt_is_found_by_its_id_and_by_its_place(store: Store) -> None:
    made = append(store, 7)
    found = store.receipts.get(made.receipt.rid)
    assert found is not None
    assert found == store.receipts.at(1)
    assert (found.document, found.digest) == (made.document, made.digest)
    assert (found.key_id, found.ended_unix_ns) == (CALLER.key_id, DAY_NS)
    assert store.receipts.get(ReceiptId("rcpt_none")) is None
    assert store.receipts.at(2) is None


def test_the_chain_goes_on_after_a_restart(tmp_path: Path) -> None:
    for number in range(3):
        with open_store(tmp_path) as store:
            append(store, number)
    with open_store(tmp_path) as store:
        assert len(checked_chain(store)) == 3


def test_the_oldest_receipts_are_dropped_and_the_rest_stays_a_chain(tmp_path: Path) -> None:
    with open_store(tmp_path, receipts_max=4) as store:
        made = [append(store, number) for number in range(10)]
        assert checked_chain(store) == [one.receipt.rid for one in made[-4:]]
        assert [one.seq for one in store.receipts.newest(2)] == [10, 9]


def test_receipts_signed_together_keep_those_that_they_countersign(store: Store) -> None:
    theirs = sealed(signer=STRANGER)
    usage = Usage(theirs.receipt.n_in, theirs.receipt.n_out)
    parent = Countersigned(
        theirs.receipt.pop, theirs.receipt.rid, theirs.digest, usage, theirs.document
    )
    exchanges = [
        msgspec.structs.replace(draft(number=number), parent=parent if number % 2 else None)
        for number in range(4)
    ]
    together = store.receipts.append(partial(ISSUER.issue, exchanges))
    kept = [store.receipts.get(one.receipt.rid) for one in together]
    assert [None if one is None else one.document for one in kept] == [
        one.document for one in together
    ]
    beside = [decode_document(one.document).parent for one in together]
    assert beside == [None, decode_document(theirs.document)] * 2
    assert len(checked_chain(store)) == 4


def test_of_receipts_signed_together_those_still_kept_stay_proven(tmp_path: Path) -> None:
    with open_store(tmp_path, receipts_max=4) as store:
        for start in range(0, 30, 3):
            exchanges = [draft(number=number) for number in range(start, start + 3)]
            store.receipts.append(partial(ISSUER.issue, exchanges))
        assert [one.seq for one in store.receipts.newest(9)] == [30, 29, 28, 27]
        assert len(checked_chain(store)) == 4


def test_receipts_signed_together_by_an_older_version_stay_proven(tmp_path: Path) -> None:
    batches = [range(1, 4), range(4, 9)]
    with open_store(tmp_path) as store:
        for numbers in batches:
            exchanges = [draft(number=number, ended_unix_ns=DAY_NS) for number in numbers]
            store.receipts.append(partial(ISSUER.issue, exchanges))
        documents = [one.document for one in store.receipts.newest(10)]
    with closing(sqlite3.connect(tmp_path / STORE_FILE)) as older:
        older.executescript(
            """
            CREATE TABLE batches (
                first_seq INTEGER PRIMARY KEY,
                envelope BLOB NOT NULL,
                digests BLOB NOT NULL,
                public_key BLOB NOT NULL
            ) STRICT;
            INSERT INTO batches
                SELECT seq + 1 - length(digests) / 32, envelope, digests, public_key
                FROM receipts WHERE envelope IS NOT NULL;
            ALTER TABLE receipts DROP COLUMN envelope;
            ALTER TABLE receipts DROP COLUMN digests;
            ALTER TABLE receipts DROP COLUMN public_key;
            ALTER TABLE receipts DROP COLUMN parent;
            ALTER TABLE keys DROP COLUMN labels;
            DROP TABLE admissions;
            DROP TABLE owners;
            DROP TABLE tickets;
            PRAGMA user_version = 3;
            """
        )
    with open_store(tmp_path) as store:
        assert [one.document for one in store.receipts.newest(10)] == documents
        append(store, 9)
        assert len(checked_chain(store)) == 9


def test_a_receipt_that_fails_to_be_made_leaves_the_chain_as_it_was(store: Store) -> None:
    def fails(seq: int, prev: Digest | None) -> Sequence[SealedReceipt]:
        raise ValueError("no receipt")

    append(store, 1)
    with pytest.raises(ValueError, match="no receipt"):
        store.receipts.append(fails)
    append(store, 2)
    assert len(checked_chain(store)) == 2


def test_a_days_usage_is_the_sum_of_its_receipts(store: Store) -> None:
    for number in range(3):
        append(store, number)
    append(store, 3, ended_unix_ns=DAY_NS + DAY_S * 10**9)
    tokens = draft().usage.total_tokens
    assert store.receipts.tokens_of_day(DAY) == {CALLER.key_id: 3 * tokens}
    assert store.receipts.tokens_of_day(DAY + 1) == {CALLER.key_id: tokens}
    assert store.receipts.tokens_of_day(DAY + 2) == {}


def test_usage_is_kept_for_a_bounded_number_of_days(store: Store) -> None:
    append(store, 1)
    append(store, 2, ended_unix_ns=DAY_NS + (USAGE_DAYS_MAX - 1) * DAY_S * 10**9)
    assert store.receipts.tokens_of_day(DAY) != {}
    append(store, 3, ended_unix_ns=DAY_NS + USAGE_DAYS_MAX * DAY_S * 10**9)
    assert store.receipts.tokens_of_day(DAY) == {}
    assert store.receipts.tokens_of_day(DAY + 1) == {}
    assert store.receipts.tokens_of_day(DAY + USAGE_DAYS_MAX) != {}


WRITERS = """
import os, sys
from pathlib import Path
from littoral.adapters.store import open_store
from tests.adapters.test_store_receipts import append

for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        os.write(1, b"%d\\n" % os.getpid())
        store = open_store(Path(sys.argv[1]))
        first = int(line)
        for number in range(first, first + 100_000):
            os.write(1, append(store, number).receipt.rid.encode() + b"\\n")
        os._exit(1)
    os.waitpid(pid, 0)
    os.write(1, b"dead\\n")
"""
"""Forks a writer for each line it reads: a process is then there at once, and alone."""


def test_killed_at_any_moment_a_writer_leaves_an_unbroken_chain_with_all_it_reported(
    tmp_path: Path,
) -> None:
    root = Path(__file__).parent.parent.parent
    writers = subprocess.Popen(
        [sys.executable, "-c", WRITERS, str(tmp_path)],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writers.stdin is not None
    assert writers.stdout is not None
    reported: set[str] = set()
    with writers:
        for kill in range(20):
            writers.stdin.write(f"{kill * 1_000_000}\n")
            writers.stdin.flush()
            writer = int(writers.stdout.readline())
            lines = [writers.stdout.readline().strip() for _ in range(1 + kill % 7)]
            os.kill(writer, signal.SIGKILL)
            while (line := writers.stdout.readline().strip()) != "dead":
                lines.append(line)
            reported.update(lines)
            with open_store(tmp_path) as store:
                chain = checked_chain(store)
                tokens = store.receipts.tokens_of_day(DAY)
            assert reported <= set(chain)
            assert tokens == {KeyId(CALLER.key_id): len(chain) * draft().usage.total_tokens}
        writers.stdin.close()
    assert len(reported) >= 20
