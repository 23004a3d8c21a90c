"""Answers that are no HTTP, or hardly: whatever a server sends, it is bytes or an error of ours."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.adapters.origins.asking import Asker, Patience, Question
from littoral.adapters.origins.ranges import Span, reading
from littoral.adapters.origins.replies import refusal
from littoral.terms.artifacts import OriginFile
from littoral.terms.errors import OriginError

FILE = OriginFile("x", 30, None, "")


class Sender:
    """Answers every request with the same bytes, then closes."""

    def __init__(self) -> None:
        self.answer = b""
        self.over = False
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/x"

    def serve(self) -> None:
        while not self.over:
            client, _ = self.socket.accept()
            with client, suppress(OSError):
                client.recv(65_536)
                client.sendall(self.answer)


@contextmanager
def sender() -> Iterator[Sender]:
    made = Sender()
    thread = threading.Thread(target=made.serve)
    thread.start()
    yield made
    made.over = True
    socket.create_connection(made.socket.getsockname()).close()
    thread.join(5)
    made.socket.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Sender]:
    with sender() as made:
        yield made


STATUS = st.sampled_from([200, 206, 302, 401, 416, 429, 503, 99, 1000])
FIELD = st.sampled_from(
    [
        *("Content-Length: 10", "Content-Length: -1", "Content-Length: 1e3", "Content-Length: x"),
        *("Content-Range: bytes 10-19/30", "Content-Range: bytes 10-9/30", "Content-Range: x"),
        *("Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Connection: close"),
        *("Location: http://[::1", "Location: //", "Location: \x80", "Retry-After: 1e9", "Date: x"),
        *(
            "Retry-After: Fri, 99 Foo 99999 99:99:99 GMT",
            "RateLimit: x;r=0;t=5",
            ": x",
            "x",
            "\x00",
        ),
    ]
)
BODY = st.sampled_from([b"", b"0123456789", b"a\r\n0123456789\r\n0\r\n\r\n", b"-1\r\n", b"zz\r\n"])
ANSWER = st.builds(
    lambda status, fields, body: (
        "\r\n".join([f"HTTP/1.1 {status} x", *fields, "", ""]).encode("latin-1") + body
    ),
    STATUS,
    st.lists(FIELD, max_size=4),
    BODY | st.binary(max_size=40),
)


@given(answer=ANSWER | st.binary(max_size=80) | st.just(b"HTTP/1.1 200 x\r\n" + b"a: b\r\n" * 200))
def test_any_bytes_are_an_answer_or_an_error_of_ours(server: Sender, answer: bytes) -> None:
    server.answer = answer
    asker = Asker(Patience(head_s=2.0, stall_s=2.0))
    question = Question(server.url, "x")
    try:
        with reading(asker, question, Span(FILE, 10, 20)) as pieces:
            assert len(b"".join(pieces)) == 10
    except OriginError:
        pass
    try:
        with asker.ask(question) as reply:
            assert 0 <= (refusal(reply, "x").retry_after_s or 0) <= 3_600
            reply.read(100, "x")
    except OriginError:
        pass
    finally:
        asker.close()
