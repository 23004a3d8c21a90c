"""Records: only their maker can make them, in one way, as what they are."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.adapters.identity import verify
from littoral.terms.errors import RecordRejectedError
from littoral.terms.limits import RECORD_BYTES_MAX
from littoral.trust.records import (
    Card,
    Record,
    RecordKind,
    card_of,
    decoded,
    opened,
    signed,
    topic,
)
from tests.trust.made import SIGNER, STRANGER

KINDS = st.sampled_from(RecordKind)


def read(data: bytes) -> bytes:
    return opened(decoded(data), verify)


def rewritten(data: bytes, **changes: object) -> bytes:
    record = msgspec.structs.replace(decoded(data), **changes)
    return msgspec.msgpack.encode(record)


@given(KINDS, st.binary(max_size=2000))
def test_what_was_signed_is_read_as_it_was(kind: RecordKind, payload: bytes) -> None:
    data = signed(kind, payload, SIGNER)
    record = decoded(data)
    assert (record.kind, record.pop) == (kind, SIGNER.pop_id)
    assert opened(record, verify) == payload


@given(KINDS, st.binary(max_size=200), st.data())
def test_a_record_with_any_byte_changed_is_refused(
    kind: RecordKind, payload: bytes, data: st.DataObject
) -> None:
    record = bytearray(signed(kind, payload, SIGNER))
    record[data.draw(st.integers(0, len(record) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RecordRejectedError):
        read(bytes(record))


@given(st.binary(max_size=400))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(RecordRejectedError):
        decoded(data)
    with pytest.raises(RecordRejectedError):
        card_of(data)


def test_a_record_is_of_the_kind_that_was_signed() -> None:
    data = signed(RecordKind.STATE, b"said", SIGNER)
    with pytest.raises(RecordRejectedError, match="signature"):
        read(rewritten(data, kind=RecordKind.CARD))


def test_nobody_says_anything_in_the_name_of_another() -> None:
    data = signed(RecordKind.STATE, b"said", STRANGER)
    with pytest.raises(RecordRejectedError, match="another's key"):
        decoded(rewritten(data, pop=SIGNER.pop_id))
    with pytest.raises(RecordRejectedError, match="signature"):
        read(rewritten(data, pop=SIGNER.pop_id, public_key=SIGNER.public_key))


def test_there_is_one_way_to_write_a_record() -> None:
    data = signed(RecordKind.STATE, b"said", SIGNER)
    fields = msgspec.msgpack.decode(data)
    assert msgspec.msgpack.encode(fields) == data
    long = b"\xdc" + len(fields).to_bytes(2) + data[1:]
    assert msgspec.msgpack.decode(long, type=Record) == decoded(data)
    for other in (long, data + b"\xc0", msgspec.msgpack.encode([*fields, 1])):
        with pytest.raises(RecordRejectedError):
            decoded(other)


def test_a_record_is_bounded_where_it_is_made_and_where_it_arrives() -> None:
    with pytest.raises(RecordRejectedError, match="over the limit"):
        signed(RecordKind.STATE, bytes(RECORD_BYTES_MAX), SIGNER)
    with pytest.raises(RecordRejectedError, match="over the limit"):
        decoded(bytes(RECORD_BYTES_MAX + 1))


def test_a_card_is_read_as_it_was_written_and_within_bounds() -> None:
    card = Card(5, 2, (b"leaf", b"issuer"))
    assert card_of(card.encoded()) == card
    for wrong in (Card(-1, 1, (b"",)), Card(1, 1, ()), Card(1, 1, (bytes(5000),))):
        with pytest.raises(RecordRejectedError):
            card_of(wrong.encoded())


def test_a_topic_names_kind_maker_and_subject() -> None:
    pop = SIGNER.pop_id
    assert topic(RecordKind.STATE, pop) == f"state/{pop}/{pop}"
    assert topic(RecordKind.ADMISSION, pop, "pop-1") == f"admission/{pop}/pop-1"
