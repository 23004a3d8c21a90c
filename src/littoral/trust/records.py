"""Signed records: what a PoP says to all others, so that it stays said by it whoever passes it on.

Access rules of the fabric hold hop by hop, so a PoP that may pass something on could forge it. What
matters is therefore signed end to end, by the key that the PoP is named after.

Rules
- What is signed is the DSSE encoding of the kind, the PoP and the exact bytes of the payload, so
  that a record can't be passed off as one of another kind or PoP.
- The key is in the record, and the PoP's name must follow from it: who has no key can't have the
  name. Whether the PoP is a *member* is another question, which its card answers (`Card`).
- There is one way to write a record; anything else is refused, and so is anything too large.
- A record that comes twice, late or out of order is good. Which one counts, its payload says.

It does not know what a payload means, nor how records travel.
"""

import enum
from typing import Annotated, Final

import msgspec

from littoral.terms.errors import RecordRejectedError
from littoral.terms.ids import PopId
from littoral.terms.limits import (
    CARD_CERTIFICATE_BYTES_MAX,
    CARD_CERTIFICATES_MAX,
    RECORD_BYTES_MAX,
)
from littoral.terms.ports import Signer, Verify
from littoral.trust.decoding import UNREADABLE, PopName
from littoral.trust.dsse import pae
from littoral.trust.names import pop_id

__all__ = [
    "Card",
    "Record",
    "RecordKind",
    "card_of",
    "decoded",
    "opened",
    "signed",
    "topic",
]

_NUMBER: Final = msgspec.Meta(ge=0, le=2**62)


class RecordKind(enum.Enum):
    """What a payload is."""

    STATE = "state"
    """What the PoP says of itself now (`routing.fleet.PopState`)."""
    CARD = "card"
    """Its certificates (`Card`)."""
    ADMISSION = "admission"
    """Something that an owner signed of a PoP, passed on."""
    OWNER = "owner"
    """Something that an owner signed of another owner, passed on."""
    WISH = "wish"
    """Where an artifact is to be (`delivery.wishes.Wish`)."""
    OFFER = "offer"
    """Where copies of a collection are to be (`terms.replicas.Offer`)."""


class Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1):
    """One record as it travels; the tag is the version of this form."""

    kind: RecordKind
    pop: PopName
    """Who made it."""
    payload: Annotated[bytes, msgspec.Meta(max_length=RECORD_BYTES_MAX)]
    public_key: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]


class Card(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1):
    """A PoP's certificates, from which others learn its name. Said at each start and renewal."""

    boot: Annotated[int, _NUMBER]
    """As in the PoP's state, and so `seq`, which counts cards from 1: the later one counts."""
    seq: Annotated[int, _NUMBER]
    chain: Annotated[
        tuple[Annotated[bytes, msgspec.Meta(max_length=CARD_CERTIFICATE_BYTES_MAX)], ...],
        msgspec.Meta(min_length=1, max_length=CARD_CERTIFICATES_MAX),
    ]
    """In DER, its own first, then who issued it."""

    def encoded(self) -> bytes:
        """The payload of its record."""
        return _ENCODER.encode(self)


_ENCODER: Final = msgspec.msgpack.Encoder()
_RECORD: Final = msgspec.msgpack.Decoder(Record)
_CARD: Final = msgspec.msgpack.Decoder(Card)


def topic(kind: RecordKind, pop: PopId, subject: str = "") -> str:
    """The key that a record is said under: its kind, its maker, and whom it is about.

    Args:
        kind: of the record.
        pop: who makes it.
        subject: a PoP or an owner; empty is the maker itself.
    """
    return f"{kind.value}/{pop}/{subject or pop}"


def signed(kind: RecordKind, payload: bytes, signer: Signer) -> bytes:
    """The payload as a record of whoever holds this key.

    Raises:
        RecordRejectedError: it is too large to be one.
    """
    key = signer.public_key
    pop = pop_id(key)
    signature = signer.sign(_signed_bytes(kind, pop, payload))
    record = _ENCODER.encode(Record(kind, pop, payload, key, signature))
    if len(record) > RECORD_BYTES_MAX:
        raise _too_large(len(record))
    return record


def decoded(data: bytes) -> Record:
    """The record that these bytes are the one way to write; its signature is not looked at.

    Raises:
        RecordRejectedError: they are not one, or the PoP's name does not follow from the key.
    """
    if len(data) > RECORD_BYTES_MAX:
        raise _too_large(len(data))
    try:
        record = _RECORD.decode(data)
    except UNREADABLE:
        raise RecordRejectedError("a record is damaged, or of another version") from None
    if _ENCODER.encode(record) != data:
        raise RecordRejectedError("a record was written anew; its bytes are to stay as they came")
    if pop_id(record.public_key) != record.pop:
        raise RecordRejectedError(f"a record says to be of {record.pop} and has another's key")
    return record


def opened(record: Record, verify: Verify) -> bytes:
    """The payload of a record, if the PoP that it names signed it.

    Raises:
        RecordRejectedError: it did not.
    """
    what = _signed_bytes(record.kind, record.pop, record.payload)
    if not verify(record.public_key, what, record.signature):
        raise RecordRejectedError(f"the signature of {record.pop} does not hold")
    return record.payload


def card_of(payload: bytes) -> Card:
    """The card that this payload is the one way to write.

    Raises:
        RecordRejectedError: it is not one.
    """
    try:
        card = _CARD.decode(payload)
    except UNREADABLE:
        raise RecordRejectedError("a card is damaged, or of another version") from None
    if card.encoded() != payload:
        raise RecordRejectedError("a card was written anew; its bytes are to stay as they came")
    return card


def _signed_bytes(kind: RecordKind, pop: PopId, payload: bytes) -> bytes:
    return pae(f"application/vnd.littoral.{kind.value}.v1+msgpack; pop={pop}", payload)


def _too_large(size: int) -> RecordRejectedError:
    return RecordRejectedError(f"a record of {size} bytes is over the limit of {RECORD_BYTES_MAX}")
