"""What a head means, checked against h11 on generated input."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.terms.errors import BadRequestError, HeadTooLargeError, LittoralError
from littoral.web.head import Head, read_head
from tests.web.raw import get


def head(*lines: str) -> Head:
    return read_head("\r\n".join([*lines, "", ""]).encode("latin-1"), 100)


def test_names_are_lowercase_values_are_trimmed_and_repeated_fields_are_joined() -> None:
    read = head("GET / HTTP/1.1", "HOST: a", "X-Y:  b c\t ", "x-y: d")
    assert read.headers == {"host": "a", "x-y": "b c, d"}


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/a?b=c?d", "/a", "b=c?d"),
        ("/a%2fb%C3%A9+", "/a/bé+", ""),
        ("/a?b=%zz", "/a", "b=%zz"),
        ("/v1/../metrics", "/v1/../metrics", ""),
        ("//double", "//double", ""),
        ("http://host:80/a?b", "/a", "b"),
        ("HTTPS://host", "/", ""),
        ("http://host?b", "/", "b"),
    ],
)
def test_the_path_is_decoded_once_and_never_normalised(target: str, path: str, query: str) -> None:
    read = head(f"GET {target} HTTP/1.1", "Host: a")
    assert (read.path, read.query) == (path, query)


@pytest.mark.parametrize(
    "target",
    ["*", "host:80", "a", "/%", "/%4", "/%zz", "/%ff", "/%00", "/%0a", "/a#b", "/\xe9", ""],
)
def test_a_target_that_is_no_clean_path_is_refused(target: str) -> None:
    with pytest.raises(BadRequestError):
        head(f"GET {target} HTTP/1.1", "Host: a")


@pytest.mark.parametrize(
    "line",
    [
        "Host : a",
        " Folded: a",
        "X: a\x00",
        "X: a\x0b",
        "X: a\rb",
        "X: a\nY: b",
        "X",
        ": a",
        "X(: a",
        "Host: b",
        "Authorization: Bearer b\r\nAuthorization: Bearer c",
        "Content-Length: 1\r\nContent-Length: 1",
        "Content-Length: 1, 1",
        "Content-Length: +1",
        "Content-Length: 0x1",
        "Content-Length: 1_0",
        "Content-Length: ",
        "Content-Length: -1",
        "Content-Length: 99999999999999999999",
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 1",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding:\x0bchunked",
        "Transfer-Encoding : chunked",
    ],
)
def test_fields_that_can_be_read_in_two_ways_are_refused(line: str) -> None:
    with pytest.raises(BadRequestError):
        head("POST / HTTP/1.1", "Host: a", line)


@pytest.mark.parametrize(
    "line",
    [
        "GET / HTTP/0.9",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/ HTTP/1.1",
        "get / HTTP/1.1",
        "FETCH / HTTP/1.1",
        "GET / RTSP/1.0",
        " GET / HTTP/1.1",
        "HTTP/1.1 200 OK",
        "",
    ],
)
def test_a_request_line_of_any_other_form_is_refused(line: str) -> None:
    with pytest.raises(BadRequestError):
        head(line, "Host: a")


def test_one_host_is_required_in_http_1_1_only() -> None:
    assert head("GET / HTTP/1.0").headers == {}
    with pytest.raises(BadRequestError):
        head("GET / HTTP/1.1")


def test_an_offer_to_upgrade_is_ignored() -> None:
    fields = ("Host: a", "Connection: upgrade, x", "Upgrade: h2c", "Content-Length: 5")
    read = head("POST / HTTP/1.1", *fields)
    assert (read.body_bytes, read.keep_alive) == (5, True)


def test_an_http_1_0_client_gets_no_chunks_no_continue_and_no_second_request() -> None:
    read = head("GET / HTTP/1.0", "Connection: keep-alive", "Expect: 100-continue")
    assert (read.chunks_understood, read.expects_continue, read.keep_alive) == (False,) * 3


def test_too_many_fields_are_refused_as_such() -> None:
    with pytest.raises(HeadTooLargeError):
        read_head(get("/", "A: 1", "B: 2"), 2)


def h11_reads(data: bytes) -> h11.Request | None:
    theirs = h11.Connection(h11.SERVER)
    theirs.receive_data(data)
    try:
        event = theirs.next_event()
    except h11.RemoteProtocolError:
        return None
    return event if isinstance(event, h11.Request) else None


def ours_reads(data: bytes) -> Head | None:
    try:
        return read_head(data, 100)
    except LittoralError:
        return None


PIECES = st.sampled_from(
    [
        "GET / HTTP/1.1", "POST /a HTTP/1.1", "GET http://a/ HTTP/1.1", "GET / HTTP/1.0",
        "Host: a", "host: b", "Host:", "Content-Length: 5", "Content-Length: 5 ",
        "content-length: 05", "Content-Length: 5,5", "Content-Length: 5, 6", "Content-Length:\t5",
        "Transfer-Encoding: chunked", "Transfer-Encoding: CHUNKED", "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked, identity", "Connection: close", "Connection: keep-alive",
        "Expect: 100-continue", "X: \x7f", "X: \x80", " fold", "\tfold", "X:y:z", "X", "",
    ]
)  # fmt: skip
SEPARATORS = st.sampled_from(["\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\n ", "\x00\r\n"])


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    parts = ["GET / HTTP/1.1", "\r\n"] if draw(st.booleans()) else []
    for piece in draw(st.lists(PIECES, max_size=6)):
        parts += [piece, draw(SEPARATORS)]
    text = "".join(parts) + "\r\n\r\n"
    whole = text[: text.index("\r\n\r\n") + 4].encode("latin-1")
    if len(whole) > 4 and draw(st.booleans()):
        at = draw(st.integers(0, len(whole) - 5))
        whole = whole[:at] + draw(st.binary(min_size=1, max_size=2)) + whole[at + 1 :]
    return whole


@given(heads())
def test_whatever_we_take_h11_takes_too_and_understands_alike(data: bytes) -> None:
    ours = ours_reads(data)
    if ours is None or data.find(b"\r\n\r\n") != len(data) - 4:
        return
    theirs = h11_reads(data)
    assert theirs is not None, data
    assert theirs.method.decode() == ours.method
    assert dict.fromkeys(name.decode() for name, _ in theirs.headers) == dict.fromkeys(ours.headers)
    lengths = [int(value) for name, value in theirs.headers if name == b"content-length"]
    coded = any(name == b"transfer-encoding" for name, _ in theirs.headers)
    expected = None if coded else (lengths[0] if lengths else 0)
    assert ours.body_bytes == expected


@given(st.binary(max_size=300))
def test_random_bytes_are_a_head_or_a_refusal_and_nothing_else(data: bytes) -> None:
    ours_reads(data + b"\r\n\r\n")


NAME = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ-_.!#$%&'*+^`|~0123456789", min_size=1, max_size=12)
VALUE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)
TOKENS_WITH_MEANING = {"host", "content-length", "transfer-encoding", "authorization", "x-api-key"}


@given(st.lists(st.tuples(NAME, VALUE), max_size=20))
def test_every_ordinary_field_is_read_as_it_was_written(fields: list[tuple[str, str]]) -> None:
    ordinary = [(name, value) for name, value in fields if name.lower() not in TOKENS_WITH_MEANING]
    lines = [f"{name}:{value}" for name, value in ordinary]
    read = head("GET / HTTP/1.1", "Host: a", *lines)
    expected: dict[str, str] = {"host": "a"}
    for name, value in ordinary:
        key, text = name.lower(), value.strip(" ")
        expected[key] = f"{expected[key]}, {text}" if key in expected else text
    assert read.headers == expected
