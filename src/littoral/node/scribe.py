"""Signs and keeps receipts, those of answers that ended together in one batch.

    idle --write--> waiting --flush--> idle
                    waiting --flush: another process holds the database--> waiting

Rules
- A batch is one signature and one commit, and leaves at most RECEIPT_BATCH_S after its first
  receipt; at once when the last one is longer ago than that, or when it is full.
- Receipts are kept in the order in which their answers ended, also those that cannot wait.
- Each is told of exactly once: its document, or why there is none. Metrics hear of what is lost.
- Once receipts are given up, that is said to be so until one can be kept, which is tried by itself.
- Who fails when told, and what fails to be signed, is a defect, and takes nothing from the others.
- While another process holds the database, they wait in their order and are tried again with the
  rhythm of batches. When it is held for RECEIPT_WAIT_S, each batch that is tried is given up, until
  one can be kept; when RECEIPTS_WAITING_MAX wait, the oldest are. The loop never waits for it.

Signing and committing stop the loop for some 14 us a receipt: on one core a thread would take as
much, and each hand-over of the interpreter besides.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from littoral.adapters.store import ReceiptBook
from littoral.terms.errors import InternalError, LittoralError
from littoral.terms.facts import ReceiptLost, ReceiptsHalted
from littoral.terms.ids import ReceiptId
from littoral.terms.limits import (
    RECEIPT_BATCH_MAX,
    RECEIPT_BATCH_S,
    RECEIPT_TRY_S,
    RECEIPT_WAIT_S,
    RECEIPTS_WAITING_MAX,
)
from littoral.terms.ports import Observe
from littoral.terms.values import Caller
from littoral.trust.issuing import Draft, Issuer

__all__ = ["Scribe", "Told"]

Told = Callable[[bytes | LittoralError], None]
"""Hears of a receipt: its document, or why there is none."""


class Loop(Protocol):
    """What it needs of the event loop."""

    def time(self) -> float:
        """Seconds."""

    def call_at(self, when: float, callback: Callable[[], None]) -> object:
        """Call it then."""


class Scribe:
    """The receipts of answers that have ended, on their way into the book."""

    def __init__(
        self,
        book: ReceiptBook,
        issuer: Issuer,
        loop: Loop,
        observe: Observe,
        on_defect: Callable[[BaseException], None],
    ) -> None:
        """Take receipts for a book.

        Args:
            book: where they are kept.
            issuer: signs them.
            loop: says when.
            observe: hears of those that are lost.
            on_defect: takes exceptions that nobody meant to raise.
        """
        self._book = book
        self._issuer = issuer
        self._loop = loop
        self._observe = observe
        self._on_defect = on_defect
        self._drafts: list[Draft] = []
        self._waiting: list[Told | None] = []
        self._last_s = 0.0
        self._room = RECEIPT_BATCH_MAX
        """So many go at once: more than a batch only while the database is held."""
        self._held_since_s: float | None = None
        self._halted = ""
        """Why the last batch that was tried could not be kept, and was given up."""
        self._trying = False
        self._due = False

    def write(self, draft: Draft, told: Told | None = None) -> None:
        """Sign and keep it soon."""
        self._drafts.append(draft)
        self._waiting.append(told)
        if len(self._drafts) >= self._room:
            self.flush()
        elif not self._due:
            self._soon()

    def keep(self, draft: Draft, told: Told) -> None:
        """Sign and keep it now, or as soon as the database is free."""
        self.write(draft, told)
        self.flush()

    def waits(self, receipt_id: ReceiptId, caller: Caller) -> bool:
        """Whether this receipt, which the caller may see, is still to be kept."""
        return any(
            each.receipt_id == receipt_id
            and (caller.operator or each.caller.key_id == caller.key_id)
            for each in self._drafts
        )

    def flush(self) -> None:
        """Sign and keep what waits, a batch at most."""
        self._flush(last=False)

    def close(self) -> None:
        """Keep all that waits, and tell of what can't be: the last chance."""
        while self._drafts:
            self._flush(last=True)
        self._halt("")

    def _flush(self, *, last: bool) -> None:
        drafts = self._drafts[:RECEIPT_BATCH_MAX]
        if not drafts:
            return
        patient = last and self._held_since_s is None
        try:
            sealed = self._book.append(partial(self._issuer.issue, drafts), waits=patient)
        except LittoralError as error:
            self._last_s = self._loop.time()
            if not self._bears(error) or last:
                self._halt(_why(error))
                self._lost(drafts, error)
        except Exception as defect:  # whatever it is, each must hear of it
            self._on_defect(defect)
            self._lost(drafts, InternalError("the receipt could not be made"))
        else:
            self._last_s = self._loop.time()
            self._held_since_s = None
            if self._halted:
                self._halt("")
            for one, told in zip(sealed, self._taken(len(drafts)), strict=True):
                if told is not None:
                    self._tell(told, one.document)
        if self._drafts and not self._due:
            self._soon()

    def _soon(self) -> None:
        self._due = True
        self._loop.call_at(self._last_s + RECEIPT_BATCH_S, self._on_time)

    def _on_time(self) -> None:
        self._due = False
        self.flush()

    def _bears(self, error: LittoralError) -> bool:
        """Whether what could not be kept may wait: the database is held, and not for too long."""
        if error.details.get("database") != "held":
            self._held_since_s = None
            return False
        if self._held_since_s is None:
            self._held_since_s = self._last_s
        self._room = RECEIPTS_WAITING_MAX
        held_s = self._last_s - self._held_since_s
        return held_s < RECEIPT_WAIT_S and len(self._drafts) < RECEIPTS_WAITING_MAX

    def _halt(self, why: str) -> None:
        """From now on nothing can be kept for this reason, or all can be again."""
        if why == self._halted:
            return
        before, self._halted = self._halted, why
        if before:
            self._observe(ReceiptsHalted(before, over=True))
        if why:
            self._observe(ReceiptsHalted(why))
            self._try_soon()

    def _try_soon(self) -> None:
        if not self._trying:
            self._trying = True
            self._loop.call_at(self._loop.time() + RECEIPT_TRY_S, self._try)

    def _try(self) -> None:
        """See whether receipts can be kept again, as where none can be nobody may ask any more."""
        self._trying = False
        if not self._halted:
            return
        try:
            self._book.try_out(waits=False)
        except LittoralError as error:
            self._halt(_why(error))
            self._try_soon()
        else:
            self._held_since_s = None
            self._halt("")

    def _taken(self, count: int) -> Sequence[Told | None]:
        """Who hears of the first so many, which wait no longer."""
        waiting = self._waiting[:count]
        del self._drafts[:count], self._waiting[:count]
        if len(self._drafts) < RECEIPT_BATCH_MAX:
            self._room = RECEIPT_BATCH_MAX
        return waiting

    def _lost(self, drafts: Sequence[Draft], error: LittoralError) -> None:
        for draft, told in zip(drafts, self._taken(len(drafts)), strict=True):
            self._observe(ReceiptLost(draft.model.name, error.code))
            if told is not None:
                self._tell(told, error)

    def _tell(self, told: Told, said: bytes | LittoralError) -> None:
        try:
            told(said)
        except Exception as defect:  # the others must still be told
            self._on_defect(defect)


def _why(error: LittoralError) -> str:
    return str(error.details.get("database", error.code))
