"""Strict reading: one meaning, one way to write it."""

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.terms.errors import ReceiptRejectedError
from littoral.trust.decoding import ENCODER, bytes_of_base64, decode_exactly


class Note(msgspec.Struct):
    text: str
    count: int = 0


DECODER = msgspec.json.Decoder(Note)


@given(st.text(), st.integers(-(2**63), 2**63))
def test_what_was_written_here_reads_back(text: str, count: int) -> None:
    note = Note(text, count)
    assert decode_exactly(DECODER, ENCODER.encode(note), "the note") == note


@pytest.mark.parametrize(
    "data",
    [
        b'{"text": "a","count":0}',
        b'{"count":0,"text":"a"}',
        b'{"text":"a"}',
        b'{"text":"b","text":"a","count":0}',
        b'{"text":"\\u0061","count":0}',
        b'{"text":"a","count":0,"more":1}',
    ],
    ids=["blank", "order", "default left out", "twice", "escape", "unknown field"],
)
def test_the_same_meaning_in_other_bytes_is_refused(data: bytes) -> None:
    assert DECODER.decode(data) == Note("a")
    with pytest.raises(ReceiptRejectedError, match="the note was changed or written anew"):
        decode_exactly(DECODER, data, "the note")


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b'{"text":"\xff"}', b'{"text":"a","deep":' + b"[" * 100_000],
    ids=["nothing", "cut off", "another type", "not UTF-8", "too deep"],
)
def test_bytes_without_a_meaning_are_refused(data: bytes) -> None:
    with pytest.raises(ReceiptRejectedError, match="damaged"):
        decode_exactly(DECODER, data, "the note")


@given(st.binary(max_size=100))
def test_plain_base64_is_read(data: bytes) -> None:
    assert bytes_of_base64(base64.b64encode(data).decode()) == data


@pytest.mark.parametrize("text", ["QQ", "QQ=", "QR==", "Q Q==", "QQ==\n", "Q-==", "é==="])
def test_any_other_way_to_write_bytes_is_refused(text: str) -> None:
    with pytest.raises(ReceiptRejectedError, match="plain base64"):
        bytes_of_base64(text)
