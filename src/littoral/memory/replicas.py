"""Who may follow a collection, and the form in which its changes travel.

Rules
- A collection goes to PoPs of its home's owner alone, and, if it has a zone, to those whose
  certificate names that zone. What is not known to be allowed is not.
- Changes are signed by their home, for one incarnation of one collection: nobody on the way can
  alter them, or pass them off as another's.
- There is one way to write them; anything else is refused.
- A segment's name says whose it is, and of which incarnation: an artifact is what a home says that
  it is only where all its files are named so, whoever names it.
"""

from typing import Annotated, Final

import msgspec

from littoral.terms.errors import RecordRejectedError
from littoral.terms.ids import PopId
from littoral.terms.limits import CHANGES_BYTES_MAX
from littoral.terms.memory import CollectionSpec, Record, Sparse
from littoral.terms.ports import Signer, Verify
from littoral.terms.replicas import Changes, Offer
from littoral.trust.decoding import UNREADABLE
from littoral.trust.dsse import pae
from littoral.trust.members import Member
from littoral.trust.names import pop_id

__all__ = [
    "decoded_offer",
    "encoded_offer",
    "follows",
    "may_have",
    "opened",
    "sealed",
    "segment_after",
    "segment_name",
]

_SEGMENT: Final = ".changes"
_DIGITS: Final = 16
_Change = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""The number of a change: what a database can count."""

_Row = tuple[
    str,
    dict[str, bytes],
    dict[str, Sparse],
    str,
    str,
    dict[str, object],
    str,
    int,
    tuple[str, ...],
]
"""The fields of a record, in their order."""


class _Changes(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1):
    after: _Change
    through: _Change
    latest: _Change
    whole: bool
    records: tuple[_Row, ...]
    gone: tuple[str, ...]
    era: str


class _Sealed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1):
    payload: Annotated[bytes, msgspec.Meta(max_length=CHANGES_BYTES_MAX)]
    public_key: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Changes).decode
_decode_sealed: Final = msgspec.msgpack.Decoder(_Sealed).decode
_encode_offer: Final = msgspec.json.Encoder().encode
_decode_offer: Final = msgspec.json.Decoder(Offer).decode


def may_have(spec: CollectionSpec, home: Member, other: Member) -> bool:
    """Whether a PoP may have a copy at all."""
    return (
        not spec.scope
        and other.owner == home.owner
        and other.pop != home.pop
        and (not spec.zone or other.zone == spec.zone)
    )


def follows(offer: Offer, home: Member, other: Member) -> bool:
    """Whether a PoP is to have a copy."""
    meant = other.site in offer.sites or other.pop in offer.pops
    return meant and not offer.withdrawn and may_have(offer.spec, home, other)


def encoded_offer(offer: Offer) -> bytes:
    """As it travels and is kept."""
    return _encode_offer(offer)


def decoded_offer(data: bytes) -> Offer:
    """The offer in these bytes.

    Raises:
        RecordRejectedError: they are none, or it is out of bounds.
    """
    try:
        return _decode_offer(data)
    except UNREADABLE as error:
        raise RecordRejectedError(f"an offer can't be used ({str(error)[:200]})") from None


def sealed(changes: Changes, incarnation: str, signer: Signer) -> bytes:
    """The changes of one incarnation, signed by its home."""
    rows = tuple(msgspec.structs.astuple(record) for record in changes.records)
    payload = _encode(
        _Changes(
            changes.after,
            changes.through,
            changes.latest,
            changes.whole,
            rows,
            changes.gone,
            changes.era,
        )
    )
    key = signer.public_key
    return _encode(_Sealed(payload, key, signer.sign(_signed(payload, incarnation, pop_id(key)))))


def opened(data: bytes, incarnation: str, home: PopId, verify: Verify) -> Changes:
    """The changes, if this home signed them for this incarnation.

    Raises:
        RecordRejectedError: it did not, or they are damaged.
    """
    try:
        seal = _decode_sealed(data)
        said = _decode(seal.payload)
    except UNREADABLE:
        raise RecordRejectedError("changes are damaged, or of another version") from None
    if pop_id(seal.public_key) != home:
        raise RecordRejectedError(f"changes are signed by another than {home}")
    if not verify(seal.public_key, _signed(seal.payload, incarnation, home), seal.signature):
        raise RecordRejectedError(f"the signature of {home} on changes does not hold")
    return Changes(
        after=said.after,
        through=said.through,
        latest=said.latest,
        whole=said.whole,
        records=tuple(_record(row) for row in said.records),
        gone=said.gone,
        era=said.era,
    )


def segment_name(home: PopId, incarnation: str, after: int) -> str:
    """What the segment of a collection is called that begins after a change: sorted, in order."""
    return f"{home}.{incarnation}.{after:0{_DIGITS}}{_SEGMENT}"


def segment_after(name: str, home: PopId, incarnation: str) -> int | None:
    """The change after which a segment begins; None where it is none of this incarnation's."""
    digits = name.removeprefix(f"{home}.{incarnation}.").removesuffix(_SEGMENT)
    if len(digits) != _DIGITS or not (digits.isascii() and digits.isdigit()):
        return None
    after = int(digits)
    return after if name == segment_name(home, incarnation, after) else None


def _record(row: _Row) -> Record:
    record_id, vectors, sparse, text, header, metadata, document, position, labels = row
    return Record(
        id=record_id,
        vectors=vectors,
        sparse=sparse,
        text=text,
        header=header,
        metadata=metadata,
        document=document,
        position=position,
        labels=labels,
    )


def _signed(payload: bytes, incarnation: str, home: PopId) -> bytes:
    kind = f"application/vnd.littoral.changes.v1+msgpack; pop={home}; of={incarnation}"
    return pae(kind, payload)
