"""The book of receipts, and of what each key used on each day.

Rules
- A receipt's place in the chain is read, the receipt made and signed for that place, and both
  committed, in one transaction: whenever the process dies, the chain is unbroken (invariant I3).
- The day's usage of a key is counted in the same transaction, so it is the sum of its receipts.
- The newest `receipts_max` receipts are kept, and usage of the last limits.USAGE_DAYS_MAX days.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from littoral.adapters.store.database import Database
from littoral.terms.ids import Digest, KeyId, ReceiptId
from littoral.terms.limits import USAGE_DAYS_MAX
from littoral.terms.values import SECOND
from littoral.trust.limits import utc_day
from littoral.trust.receipts import SealedReceipt

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


_COLUMNS: Final = "seq, receipt_id, key_id, ended_unix_ns, digest, document"


class ReceiptBook:
    """The receipts of one PoP, in the order of its chain."""

    def __init__(self, database: Database, *, receipts_max: int) -> None:
        assert receipts_max >= 1, "the head of the chain is always kept"
        self._database = database
        self._receipts_max = receipts_max
        self._day = 0

    def append(self, issue: Callable[[int, Digest | None], SealedReceipt]) -> SealedReceipt:
        """Make the next receipt of the chain and keep it.

        Args:
            issue: signs the receipt for the place (`seq`, `prev`) that it is given.

        Raises:
            DiskShortError, HomeUnwritableError, StoreError: it could not be kept; the chain is
                as it was.
        """
        with self._database.transaction():
            head = self._database.read("SELECT seq, digest FROM receipts ORDER BY seq DESC LIMIT 1")
            last, prev = head[0] if head else (0, None)
            sealed = issue(last + 1, prev)
            self._keep(sealed)
            self._count(sealed)
        return sealed

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
        return [StoredReceipt(*row) for row in rows]

    def tokens_of_day(self, day: int) -> dict[KeyId, int]:
        """What each key used on this day (`trust.limits.utc_day`)."""
        rows = self._database.read("SELECT key_id, tokens FROM usage WHERE day = ?", (day,))
        return {KeyId(key_id): tokens for key_id, tokens in rows}

    def _one(self, condition: str, value: object) -> StoredReceipt | None:
        sql = f"SELECT {_COLUMNS} FROM receipts WHERE {condition}"  # noqa: S608 - fixed text
        rows = self._database.read(sql, (value,))
        return StoredReceipt(*rows[0]) if rows else None

    def _keep(self, sealed: SealedReceipt) -> None:
        receipt = sealed.receipt
        self._database.write(
            f"INSERT INTO receipts ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 - fixed text
            (
                receipt.seq,
                receipt.rid,
                receipt.key,
                int(receipt.t_out),
                sealed.digest,
                sealed.document,
            ),
        )
        self._database.write(
            "DELETE FROM receipts WHERE seq <= ?", (receipt.seq - self._receipts_max,)
        )

    def _count(self, sealed: SealedReceipt) -> None:
        receipt = sealed.receipt
        day = utc_day(int(receipt.t_out) // SECOND)
        self._database.write(
            "INSERT INTO usage (day, key_id, requests, tokens) VALUES (?, ?, 1, ?) "
            "ON CONFLICT DO UPDATE SET requests = requests + 1, tokens = tokens + excluded.tokens",
            (day, receipt.key, receipt.n_in + receipt.n_out),
        )
        if day > self._day:
            self._database.write("DELETE FROM usage WHERE day <= ?", (day - USAGE_DAYS_MAX,))
            self._day = day
