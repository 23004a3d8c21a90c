"""What another PoP's answer must come with: its own receipt of just this request and these bytes.

Of a stream it is the last event, a comment, which goes no further; of an answer in one piece it is
in the head (`RECEIPT_FIELD`). Without it an answer is none.
"""

import binascii
import hashlib
import re
from typing import Final

from littoral.adapters.http.words import AnswerHead, MalformedError
from littoral.adapters.identity import verify
from littoral.terms.errors import ReceiptRejectedError
from littoral.terms.ids import PopId
from littoral.terms.values import Countersigned
from littoral.trust.countersigning import countersigned
from littoral.trust.names import named
from littoral.trust.receipts import FRAME_END, FRAME_START, RECEIPT_FIELD, Response

__all__ = ["Witness"]

_RECEIPT: Final = RECEIPT_FIELD.encode()
_SALT: Final = re.compile(rb"[0-9a-f]{32}")


class Witness:
    """Takes the bytes of one answer as they come, and in the end its receipt."""

    __slots__ = ("_bytes", "_document", "_nonce", "_pop", "_request", "_taken")

    def __init__(self, head: AnswerHead, *, pop: PopId, request: bytes, nonce: str) -> None:
        """Begin with the head of the answer.

        Args:
            head: of the answer.
            pop: who is asked.
            request: the exact bytes that were sent.
            nonce: what was sent as the client's.

        Raises:
            MalformedError: no receipt can follow.
        """
        salt, self._document = b"", b""
        for name, value in head.fields:
            if name == b"littoral-salt":
                salt = value
            elif name == _RECEIPT:
                self._document = value
        if not _SALT.fullmatch(salt):
            raise MalformedError("an answer of another PoP without a receipt")
        self._pop = pop
        self._request = request
        self._nonce = nonce
        self._taken = hashlib.sha256(binascii.unhexlify(salt))
        self._bytes = 0

    def heard(self, data: bytes) -> None:
        """Bytes of the answer."""
        self._taken.update(data)
        self._bytes += len(data)

    def events(self, events: bytes) -> bytes:
        """Events of a stream, without the receipt."""
        if FRAME_START in events:
            first = events.startswith(FRAME_START)
            start = 0 if first else events.find(b"\n" + FRAME_START) + 1
            if start or first:
                self._document = events[start + len(FRAME_START) :].removesuffix(FRAME_END)
                events = events[:start]
        self.heard(events)
        return events

    def countersigned(self, why: str) -> Countersigned:
        """The receipt, found to be what it must be.

        Args:
            why: that PoP was asked, in words.

        Raises:
            ReceiptRejectedError: it is not, or there is none.
        """
        if not self._document:
            raise ReceiptRejectedError("there is no receipt")
        return countersigned(
            self._document,
            pop=self._pop,
            request=self._request,
            nonce=self._nonce,
            response=Response(named(self._taken), self._bytes),
            verify=verify,
            why=why,
        )
