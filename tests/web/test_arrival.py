"""A request is understood the same however it is cut into packets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.terms.errors import (
    BadRequestError,
    BodyTooLargeError,
    HeadTooLargeError,
    LittoralError,
)
from littoral.web.arrival import Arrival
from littoral.web.http import HttpBounds
from tests.web.raw import chunked, get, post

BOUNDS = HttpBounds(head_bytes_max=300, body_bytes_max=100, headers_max=6)


def outcome(data: bytes, cuts: list[int]) -> object:
    """What an arrival makes of the data, fed in the pieces between these places."""
    arrival = Arrival(BOUNDS)
    places = sorted({1 + cut % len(data) for cut in cuts} - {len(data)})
    try:
        for start, end in zip([0, *places], [*places, len(data)], strict=True):
            rest = arrival.feed(data[start:end])
            if rest is not None:
                return arrival.head, arrival.body, rest + data[end:]
    except LittoralError as error:
        return type(error)
    return None


REQUESTS = st.sampled_from(
    [
        get("/a?b"),
        get("/", "X: " + "y" * 100),
        get("/", "X: " + "y" * 300),
        get("/", *(["A: b"] * 10)),
        b"\r\n" + get(),
        b"\r\n\r\n" + get(),
        b"hello\r\n\r\n",
        post(b"x" * 50),
        post(b"x" * 101),
        chunked(b"one", b"two"),
        chunked(b"x" * 60, b"y" * 60),
        chunked(b"", b""),
    ]
)


@given(REQUESTS, st.binary(max_size=20), st.lists(st.integers(1, 2000), max_size=10))
def test_packets_make_no_difference(request: bytes, after: bytes, cuts: list[int]) -> None:
    assert outcome(request + after, cuts) == outcome(request + after, [])


def test_a_request_in_one_piece_leaves_what_follows() -> None:
    arrival = Arrival(BOUNDS)
    assert arrival.feed(post(b"abc") + b"GET") == b"GET"
    assert (arrival.body, arrival.body_bytes) == (b"abc", 3)
    assert arrival.head is not None
    assert arrival.head.method == "POST"


def test_the_head_is_there_before_the_body_is() -> None:
    arrival = Arrival(BOUNDS)
    data = post(b"abc")
    seen = []
    for part in (data[:-4], data[-4:-1], data[-1:]):
        rest = arrival.feed(part)
        seen.append((rest, arrival.head is not None, arrival.body_bytes))
    assert seen == [(None, False, 0), (None, True, 2), (b"", True, 3)]


def test_each_bound_on_bytes_has_its_own_error() -> None:
    for data, error in (
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 300, HeadTooLargeError),
        (post(b"x" * 101)[:120], BodyTooLargeError),
        (b"\x16\x03\x01", BadRequestError),
    ):
        with pytest.raises(error):
            Arrival(BOUNDS).feed(data)
