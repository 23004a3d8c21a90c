"""A body is read the same however it is cut, and as h11 reads it."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.terms.errors import BadRequestError, BodyTooLargeError, LittoralError
from littoral.terms.limits import CHUNK_BYTES_MEAN_MIN, CHUNK_LINE_BYTES_MAX, CHUNKS_FREE
from littoral.web.body import BodyReader, ChunkedBody, MeasuredBody, check_length

LIMIT = 100_000


def feed_in(reader: BodyReader, data: bytes, cuts: list[int]) -> bytes | None:
    """Feed the data cut at these places; what is left over, or None when it is not complete."""
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    starts = [0, *places]
    for start, end in zip(starts, [*places, len(data)], strict=True):
        rest = reader.feed(data[start:end])
        if rest is not None:
            return rest + data[end:]
    return None


def framed(chunks: list[bytes], extension: bytes = b"", trailers: bytes = b"") -> bytes:
    coded = b"".join(b"%X%b\r\n%b\r\n" % (len(each), extension, each) for each in chunks)
    return coded + b"0" + extension + b"\r\n" + trailers + b"\r\n"


CUTS = st.lists(st.integers(0, 10_000), max_size=12)


@given(st.binary(max_size=200), st.binary(max_size=50), CUTS)
def test_a_measured_body_ends_where_its_length_says(
    body: bytes, after: bytes, cuts: list[int]
) -> None:
    reader = MeasuredBody(len(body))
    assert feed_in(reader, body + after, cuts) == after
    assert reader.take() == body


@given(
    st.lists(st.binary(min_size=1, max_size=60), max_size=8),
    st.sampled_from([b"", b";a=b", b'; a="b"', b";" + b"x" * 500]),
    st.sampled_from([b"", b"X: y\r\n", b"A:\r\nB: c d\r\n"]),
    st.binary(max_size=40),
    CUTS,
)
def test_a_chunked_body_is_the_same_however_it_is_cut(
    chunks: list[bytes], extension: bytes, trailers: bytes, after: bytes, cuts: list[int]
) -> None:
    reader = ChunkedBody(LIMIT)
    assert feed_in(reader, framed(chunks, extension, trailers) + after, cuts) == after
    assert reader.take() == b"".join(chunks)


def h11_reads(data: bytes) -> tuple[bytes, bytes] | None:
    theirs = h11.Connection(h11.SERVER)
    theirs.receive_data(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + data)
    body = b""
    try:
        while True:
            match theirs.next_event():
                case h11.Data() as event:
                    body += event.data
                case h11.EndOfMessage():
                    return body, theirs.trailing_data[0]
                case h11.NEED_DATA:
                    return None
                case _:
                    pass
    except h11.RemoteProtocolError:
        return None


@given(
    st.lists(st.binary(min_size=1, max_size=20), max_size=4),
    st.integers(0, 200),
    st.binary(max_size=3),
    st.integers(0, 2),
)
def test_whatever_we_take_h11_takes_too_and_ends_at_the_same_byte(
    chunks: list[bytes], at: int, change: bytes, skip: int
) -> None:
    data = framed(chunks) + b"GET / HTTP/1.1\r\n"
    at %= len(data)
    data = data[:at] + change + data[at + skip :]
    reader = ChunkedBody(LIMIT)
    try:
        rest = reader.feed(data)
    except LittoralError:
        return
    if rest is not None:
        assert h11_reads(data) == (reader.take(), rest)


@given(st.binary(max_size=300), CUTS)
def test_random_bytes_are_a_body_or_a_refusal_the_same_however_cut(
    data: bytes, cuts: list[int]
) -> None:
    def outcome(places: list[int]) -> object:
        reader = ChunkedBody(LIMIT)
        try:
            return feed_in(reader, data, places), reader.take()
        except LittoralError as error:
            return type(error)

    assert outcome([]) == outcome(cuts)


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"g\r\n",
        b"0x1\r\n",
        b"+1\r\n",
        b" 1\r\n",
        b"1 \r\n",
        b"1\n",
        b"1\r\nab\r\n",
        b"1\r\na\n\n",
        b"1\r\naX\r",
        b"1;\x00\r\n",
        b"-1\r\n",
        b"0\r\nno colon\r\n",
        b"0\r\n folded: x\r\n",
        b"0\r\nX: a\x00\r\n",
        b"0\r\nContent-Length: 1\r\n",
        b"0\r\ntransfer-encoding: gzip\r\n",
        b"1 ;a\r\na\r\n",
        b"0\r\n" + b"X: y\r\n" * 33,
        b"f" * 16 + b"\r\n",
        b"1" * (CHUNK_LINE_BYTES_MAX + 1),
        b"1;" + b"x" * CHUNK_LINE_BYTES_MAX + b"\r\n",
    ],
)
def test_chunks_that_can_be_read_in_two_ways_are_refused(data: bytes) -> None:
    with pytest.raises((BadRequestError, BodyTooLargeError)):
        ChunkedBody(LIMIT).feed(data + b"\r\n")


def test_a_body_over_its_bytes_is_refused_by_what_it_announces() -> None:
    with pytest.raises(BodyTooLargeError):
        check_length(11, 10)
    with pytest.raises(BodyTooLargeError):
        ChunkedBody(10).feed(b"b\r\n")
    with pytest.raises(BodyTooLargeError):
        ChunkedBody(10).feed(b"5\r\nabcde\r\n6\r\n")


def test_a_body_of_tiny_chunks_is_refused_once_it_is_large() -> None:
    tiny = b"1\r\nx\r\n"
    reader = ChunkedBody(LIMIT)
    assert reader.feed(tiny * CHUNKS_FREE) is None
    with pytest.raises(BadRequestError, match="tiny"):
        reader.feed(tiny * CHUNKS_FREE)
    steady = ChunkedBody(10_000_000)
    chunk = b"%x\r\n%b\r\n" % (CHUNK_BYTES_MEAN_MIN, b"x" * CHUNK_BYTES_MEAN_MIN)
    assert steady.feed(chunk * CHUNKS_FREE * 10 + b"0\r\n\r\n") == b""


def test_nothing_is_allocated_by_announcing_it() -> None:
    reader = MeasuredBody(30_000_000)
    reader.feed(b"x")
    assert reader.gathered_bytes == 1
