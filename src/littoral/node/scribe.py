"""Signs and keeps receipts, those of answers that ended together in one batch.

    idle --write--> waiting --flush--> idle

Rules
- A batch is one signature and one commit, and leaves at most RECEIPT_BATCH_S after its first
  receipt; at once when the last one is longer ago than that, or when it is full.
- Receipts are kept in the order in which their answers ended, also those that cannot wait.
- Each is told of exactly once: its document, or why there is none. Metrics hear of what is lost.
- Who fails when told, and what fails to be signed, is a defect, and takes nothing from the others.
- What is written before `flush` is kept when that returns, or was told that it is not.

Signing and committing stop the loop for some 14 us a receipt: on one core a thread would take as
much, and each hand-over of the interpreter besides.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from littoral.adapters.store import ReceiptBook
from littoral.terms.errors import InternalError, LittoralError
from littoral.terms.facts import ReceiptLost
from littoral.terms.limits import RECEIPT_BATCH_MAX, RECEIPT_BATCH_S
from littoral.terms.ports import Observe
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
        self._due = False

    def write(self, draft: Draft, told: Told | None = None) -> None:
        """Sign and keep it soon."""
        self._drafts.append(draft)
        self._waiting.append(told)
        if len(self._drafts) >= RECEIPT_BATCH_MAX:
            self.flush()
        elif not self._due:
            self._due = True
            self._loop.call_at(self._last_s + RECEIPT_BATCH_S, self._on_time)

    def keep(self, draft: Draft) -> bytes:
        """Sign and keep it now; its document.

        Raises:
            DiskShortError, HomeUnwritableError, StoreError: it could not be kept.
        """
        heard: list[bytes | LittoralError] = []
        self.write(draft, heard.append)
        if not heard:
            self.flush()
        (said,) = heard
        if isinstance(said, LittoralError):
            raise said
        return said

    def flush(self) -> None:
        """Sign and keep all that wait."""
        drafts, self._drafts = self._drafts, []
        waiting, self._waiting = self._waiting, []
        if not drafts:
            return
        try:
            sealed = self._book.append(partial(self._issuer.issue, drafts))
        except LittoralError as error:
            self._lost(drafts, waiting, error)
        except Exception as defect:  # whatever it is, each must hear of it
            self._on_defect(defect)
            self._lost(drafts, waiting, InternalError("the receipt could not be made"))
        else:
            for one, told in zip(sealed, waiting, strict=True):
                if told is not None:
                    self._tell(told, one.document)
        self._last_s = self._loop.time()

    def _on_time(self) -> None:
        self._due = False
        self.flush()

    def _lost(
        self, drafts: Sequence[Draft], waiting: Sequence[Told | None], error: LittoralError
    ) -> None:
        for draft, told in zip(drafts, waiting, strict=True):
            self._observe(ReceiptLost(draft.model.name, error.code))
            if told is not None:
                self._tell(told, error)

    def _tell(self, told: Told, said: bytes | LittoralError) -> None:
        try:
            told(said)
        except Exception as defect:  # the others must still be told
            self._on_defect(defect)
