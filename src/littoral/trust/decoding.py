"""Strict reading of what comes from outside: one meaning has one way to be written.

A signature covers some bytes of a document; a reader that is generous with the others (blanks,
spare bits of base64, doubled fields) lets them be changed unseen. Here what does not encode back to
the same bytes is refused.
"""

import base64
import binascii
from typing import Annotated, Final, TypeVar

import msgspec

from littoral.terms.errors import LittoralError, ReceiptRejectedError
from littoral.terms.ids import Digest, PopId

__all__ = ["ENCODER", "UNREADABLE", "PopName", "Sha256", "bytes_of_base64", "decode_exactly"]

ENCODER: Final = msgspec.json.Encoder()
"""Writes every document of this room."""

UNREADABLE: Final = (msgspec.DecodeError, UnicodeError, RecursionError)
"""All that msgspec raises for bytes that are not the JSON asked for."""

Sha256 = Annotated[Digest, msgspec.Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")]
"""A digest as it stands in a document."""

PopName = Annotated[PopId, msgspec.Meta(pattern=r"\Apop-[0-9a-f]{16}\Z")]
"""A PoP's name as it stands in a document."""

T = TypeVar("T")


def decode_exactly(
    decoder: msgspec.json.Decoder[T],
    data: bytes,
    what: str,
    error: type[LittoralError] = ReceiptRejectedError,
    encoder: msgspec.json.Encoder = ENCODER,
) -> T:
    """The value that these bytes are the one way to write, by this encoder.

    Raises:
        ReceiptRejectedError: they are not, with `what` as the sentence's subject; or `error`.
    """
    try:
        value = decoder.decode(data)
    except UNREADABLE:
        raise error(f"{what} is damaged, or of another version") from None
    if encoder.encode(value) != data:
        raise error(f"{what} was changed or written anew", advice="keep its bytes as they came")
    return value


def bytes_of_base64(text: str) -> bytes:
    """The bytes that this text is the one way to write.

    Raises:
        ReceiptRejectedError: it is not base64, or has spare bits, blanks or missing padding.
    """
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        data = None
    if data is None or base64.b64encode(data).decode() != text:
        raise ReceiptRejectedError("a binary field is not in plain base64")
    return data
