"""Receipts signed and kept at once, by the process that made the answer."""

from functools import partial

from littoral.adapters.store import ReceiptBook
from littoral.node.relay.desk import Told
from littoral.terms.errors import LittoralError
from littoral.trust.receipts import Draft, Issuer

__all__ = ["Inline"]


class Inline:
    """Signs and keeps each receipt at once."""

    def __init__(self, book: ReceiptBook, issuer: Issuer) -> None:
        self._book, self._issuer = book, issuer

    def write(self, draft: Draft, told: Told) -> None:
        """See Desk."""
        try:
            sealed = self._book.append(partial(self._issuer.issue, draft))
        except LittoralError as error:
            told(error)
        else:
            told(sealed.document)
