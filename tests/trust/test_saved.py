"""The forms in which answers are saved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.terms.errors import ReceiptRejectedError
from littoral.trust.receipts import decode_document, frame
from littoral.trust.saved import SavedAnswer, encode_bundle, read_saved
from tests.trust.made import REQUEST, STREAM, sealed

DOCUMENT = sealed().document
BODY = b'{"choices":[{"index":0,"message":{"content":"Paris."}}]}'
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    b"Littoral-Receipt: rcpt_1\r\nlittoral-source:computed\r\n\r\n"
)
HEADERS = {"littoral-receipt": "rcpt_1", "littoral-source": "computed"}


def test_a_stream_is_parted_from_the_receipt_at_its_end() -> None:
    assert read_saved(STREAM + frame(DOCUMENT)) == SavedAnswer(STREAM, DOCUMENT)


def test_a_plain_body_is_all_response() -> None:
    assert read_saved(BODY) == SavedAnswer(BODY)


@pytest.mark.parametrize("request_body", [REQUEST, b"", None])
def test_a_bundle_gives_back_what_went_in(request_body: bytes | None) -> None:
    bundle = encode_bundle(response=STREAM, receipt=decode_document(DOCUMENT), request=request_body)
    assert bundle.count(b"\n") == 1
    assert read_saved(bundle) == SavedAnswer(STREAM, DOCUMENT, request_body)


def test_a_head_as_curl_prints_it_is_taken_off_and_our_fields_are_read() -> None:
    assert read_saved(HEAD + BODY) == SavedAnswer(BODY, headers=HEADERS)
    assert read_saved(HEAD + BODY).receipt_id == "rcpt_1"
    assert read_saved(HEAD + STREAM + frame(DOCUMENT)) == SavedAnswer(
        STREAM, DOCUMENT, headers=HEADERS
    )


def test_of_several_heads_the_last_one_counts() -> None:
    first = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert read_saved(first + HEAD + BODY) == SavedAnswer(BODY, headers=HEADERS)


def test_a_head_with_bare_line_feeds_is_read_too() -> None:
    assert read_saved(HEAD.replace(b"\r\n", b"\n") + BODY) == SavedAnswer(BODY, headers=HEADERS)


def test_blank_lines_in_the_body_do_not_end_the_head() -> None:
    pretty = b'{\r\n\r\n "choices": []\n\n}'
    assert read_saved(HEAD + pretty).response == pretty


@pytest.mark.parametrize(
    "data",
    [
        STREAM + frame(DOCUMENT)[:-1],
        STREAM + frame(DOCUMENT)[:-20],
        STREAM + frame(DOCUMENT) + b"data: more\n",
        HEAD[:-2],
        b'{"littoral_answer":1}',
        b'{"littoral_answer":2,"request":null,"response":"","receipt":{}}',
    ],
    ids=["last newline", "cut off", "something after", "head without end", "fields", "version"],
)
def test_a_damaged_form_is_refused(data: bytes) -> None:
    with pytest.raises(ReceiptRejectedError):
        read_saved(data)


def test_a_bundle_written_another_way_is_refused() -> None:
    bundle = encode_bundle(response=STREAM, receipt=decode_document(DOCUMENT), request=None)
    for other in (bundle[:-1], bundle + b"\n", bundle.replace(b",", b", ", 1)):
        with pytest.raises(ReceiptRejectedError):
            read_saved(other)


@given(
    st.binary()
    | st.builds(
        b"".join,
        st.lists(
            st.sampled_from([b"HTTP/1.1 200\r\n", b"\r\n", b"\n", b": littoral-receipt ", BODY])
            | st.just(DOCUMENT),
            max_size=8,
        ),
    )
)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        answer = read_saved(data)
    except ReceiptRejectedError:
        return
    assert answer.response in data
