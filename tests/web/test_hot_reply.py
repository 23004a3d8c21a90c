"""A client that leaves in the moment of the last word: the answer is over, nothing is raised."""

import asyncio
from collections.abc import Callable

import pytest

from littoral.terms.errors import EngineLostError
from littoral.web.head import read_head
from littoral.web.hot import Reply

HEAD = read_head(b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n\r\n", 4096)
FIELDS = "content-type: text/event-stream\r\n"


class Line:
    """A connection whose client leaves when a test says so."""

    def __init__(self) -> None:
        self.left = False
        self.replies: list[bool] = []

    def put(self, data: bytes) -> None:
        if self.left:
            raise ConnectionResetError("the client has left")
        assert data

    async def settled(self) -> None: ...

    def last_answer(self) -> bool:
        return False

    def date(self) -> str:
        return "Thu, 26 Nov 2026 06:00:00 GMT"

    def replied(self, *, complete: bool) -> None:
        self.replies.append(complete)

    def let_go(self) -> asyncio.Transport:
        raise AssertionError("nobody asked for another protocol")


@pytest.mark.parametrize(
    ("begun", "end"),
    [
        (True, lambda reply: reply.close(b"data: the receipt\n\n")),
        (True, lambda reply: reply.fail(EngineLostError("it died"))),
        (False, lambda reply: reply.give(200, FIELDS, b"{}")),
        (False, lambda reply: reply.fail(EngineLostError("it died"))),
    ],
    ids=["the end of a stream", "its error", "a whole answer", "an error"],
)
@pytest.mark.parametrize("left", [False, True])
def test_the_last_word_ends_the_answer_whether_or_not_the_client_is_there(
    begun: bool, end: Callable[[Reply], None], left: bool
) -> None:
    line = Line()
    reply = Reply(line, "req_1", HEAD)
    if begun:
        reply.begin(FIELDS)
    line.left = left
    end(reply)
    assert reply.over
    assert line.replies == [not left]
