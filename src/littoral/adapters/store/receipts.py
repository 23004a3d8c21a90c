"""The book of receipts, and of what each key used on each day.

Rules
- The end of the chain is read, receipts made and signed for the places after it, and all
  committed, in one transaction: whenever the process dies, the chain is unbroken (invariant I3).
- Of receipts that were signed together, what is common to them is kept once, with the last, which
  is dropped last; a table of its own would have each batch write one more page. Documents are put
  together when they are asked for, with another PoP's receipt as it came where there is one. A
  receipt that was signed alone is kept as its document.
- The day's usage of a key is counted in the same transaction, so it is the sum of its receipts.
- The newest `receipts_max` receipts are kept, and usage of the last limits.USAGE_DAYS_MAX days.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from littoral.adapters.store.database import Database, Row
from littoral.terms.ids import Digest, KeyId, ReceiptId
from littoral.terms.limits import RECEIPT_BYTES_MAX, USAGE_DAYS_MAX
from littoral.terms.values import SECOND
from littoral.trust.decoding import ENCODER
from littoral.trust.dsse import Envelope
from littoral.trust.issuing import SealedBatch, SealedReceipt
from littoral.trust.limits import utc_day

__all__ = ["ReceiptBook", "StoredReceipt"]


@dataclass(frozen=True, slots=True)
class StoredReceipt:
    """A receipt as it is kept."""

    seq: int
    receipt_id: ReceiptId
    key_id: KeyId
    ended_unix_ns: int
    digest: Digest
    document: bytes


_COLUMNS: Final = "seq, receipt_id, key_id, ended_unix_ns, digest, document, salt, parent"
"""With a salt, `document` is the payload alone, `parent` the document of the receipt that it
countersigns, and the rest with the last one of its batch."""

_PLAIN: Final = "(?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL)"
_LAST: Final = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
"""A row, and one that also keeps what is common to its batch."""

_ENVELOPE: Final = msgspec.json.Decoder(Envelope)


class ReceiptBook:
    """The receipts of one PoP, in the order of its chain."""

    def __init__(self, database: Database, *, receipts_max: int) -> None:
        assert receipts_max >= 1, "the head of the chain is always kept"
        self._database = database
        self._receipts_max = receipts_max
        self._day = 0

    def append(
        self,
        issue: Callable[[int, Digest | None], Sequence[SealedReceipt]],
        *,
        waits: bool = True,
    ) -> Sequence[SealedReceipt]:
        """Make the next receipts of the chain and keep them.

        Args:
            issue: signs receipts for the places from `seq` on, after `prev`, that it is given.
            waits: for another process that writes, half a second; else it is held at once.

        Raises:
            DiskShortError, HomeUnwritableError, StoreError: they could not be kept; the chain is
                as it was.
        """
        with self._database.transaction(waits=waits):
            head = self._database.read("SELECT seq, digest FROM receipts ORDER BY seq DESC LIMIT 1")
            last, prev = head[0] if head else (0, None)
            sealed = issue(last + 1, prev)
            self._keep(sealed)
            self._count(sealed)
        return sealed

    def try_out(self, *, waits: bool = True) -> None:
        """See whether receipts can be kept: write as much as one takes, and take it away again.

        Args:
            waits: as for `append`.

        Raises:
            DiskShortError, HomeUnwritableError, StoreError: they can't.
        """
        with self._database.transaction(waits=waits):
            self._database.write(
                "INSERT INTO receipts (seq, receipt_id, key_id, ended_unix_ns, digest, document) "
                "VALUES (0, '', '', 0, '', zeroblob(?))",
                (RECEIPT_BYTES_MAX,),
            )
            self._database.write("DELETE FROM receipts WHERE seq = 0")

    def get(self, receipt_id: ReceiptId) -> StoredReceipt | None:
        """The receipt of this id, if it is kept here."""
        return self._one("receipt_id = ?", receipt_id)

    def at(self, seq: int) -> StoredReceipt | None:
        """The receipt at this place of the chain, if it is kept here."""
        return self._one("seq = ?", seq)

    def newest(self, limit: int) -> Sequence[StoredReceipt]:
        """The last so many receipts, newest first."""
        rows = self._database.read(
            f"SELECT {_COLUMNS} FROM receipts ORDER BY seq DESC LIMIT ?",  # noqa: S608 - fixed text
            (limit,),
        )
        return list(map(self._stored, rows))

    def tokens_of_day(self, day: int) -> dict[KeyId, int]:
        """What each key used on this day (`trust.limits.utc_day`)."""
        rows = self._database.read("SELECT key_id, tokens FROM usage WHERE day = ?", (day,))
        return {KeyId(key_id): tokens for key_id, tokens in rows}

    def _one(self, condition: str, value: object) -> StoredReceipt | None:
        sql = f"SELECT {_COLUMNS} FROM receipts WHERE {condition}"  # noqa: S608 - fixed text
        rows = self._database.read(sql, (value,))
        return self._stored(rows[0]) if rows else None

    def _stored(self, row: Row) -> StoredReceipt:
        seq, receipt_id, key_id, ended_unix_ns, digest, kept, salt, parent = row
        document = kept if salt is None else self._put_together(seq, kept, salt, parent)
        return StoredReceipt(seq, receipt_id, key_id, ended_unix_ns, digest, document)

    def _put_together(self, seq: int, payload: bytes, salt: bytes, parent: bytes | None) -> bytes:
        ((last, envelope, digests, public_key),) = self._database.read(
            "SELECT seq, envelope, digests, public_key FROM receipts "
            "WHERE seq >= ? AND envelope IS NOT NULL ORDER BY seq LIMIT 1",
            (seq,),
        )
        batch = SealedBatch(_ENVELOPE.decode(envelope), digests, public_key)
        return batch.document(batch.size - 1 - (last - seq), payload, salt, parent)

    def _keep(self, sealed: Sequence[SealedReceipt]) -> None:
        batch = sealed[0].batch
        together = batch.size > 1
        rows: list[object] = []
        for one in sealed:
            receipt = one.receipt
            rows += (receipt.seq, receipt.rid, receipt.key, int(receipt.t_out), one.digest)
            if together:
                beside = None if one.parent is None else one.parent.document
                rows += (one.payload, one.salt, beside)
            else:
                rows += (one.document, None, None)
        places = [_PLAIN] * len(sealed)
        if together:
            places[-1] = _LAST
            rows += (ENCODER.encode(batch.envelope), batch.digests, batch.public_key)
        self._database.write(
            f"INSERT INTO receipts ({_COLUMNS}, envelope, digests, public_key) "  # noqa: S608 - fixed text
            f"VALUES {', '.join(places)}",
            rows,
        )
        gone = sealed[-1].receipt.seq - self._receipts_max
        self._database.write("DELETE FROM receipts WHERE seq <= ?", (gone,))

    def _count(self, sealed: Sequence[SealedReceipt]) -> None:
        used: dict[tuple[int, KeyId], tuple[int, int]] = {}
        for one in sealed:
            receipt = one.receipt
            name = utc_day(int(receipt.t_out) // SECOND), receipt.key
            requests, tokens = used.get(name, (0, 0))
            used[name] = requests + 1, tokens + receipt.n_in + receipt.n_out
        for (day, key_id), (requests, tokens) in used.items():
            self._database.write(
                "INSERT INTO usage (day, key_id, requests, tokens) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET requests = requests + excluded.requests, "
                "tokens = tokens + excluded.tokens",
                (day, key_id, requests, tokens),
            )
        newest = max(day for day, _ in used)
        if newest > self._day:
            self._database.write("DELETE FROM usage WHERE day <= ?", (newest - USAGE_DAYS_MAX,))
            self._day = newest
