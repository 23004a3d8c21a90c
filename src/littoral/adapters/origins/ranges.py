"""Reads one range of one file, and nothing else: what the answer is, is seen before its first byte.

Rules
- The answer must be the range that was asked for, of a file of the size that is known. Any other is
  an error, and none of its bytes are passed on.
- What reaches to the end of the file is asked for without an end, so that a file that has grown is
  noticed; a whole file without any range.
- A server that ignores ranges sends the whole file: what comes before the range is dropped.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from littoral.adapters.origins.asking import Asker, Question
from littoral.adapters.origins.replies import Reply, refusal
from littoral.terms.artifacts import OriginFile
from littoral.terms.errors import OriginBrokeError, OriginChangedError, OriginError

__all__ = ["Span", "range_of_answer", "reading"]

_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15}|\*)")


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes of a file from `start` up to `end`."""

    file: OriginFile
    start: int
    end: int

    def __post_init__(self) -> None:
        """Asking for what a file does not have is a mistake of ours."""
        assert 0 <= self.start <= self.end <= self.file.size_bytes


@contextmanager
def reading(
    asker: Asker,
    question: Question,
    span: Span,
    *,
    agree: Callable[[Reply], None] = lambda _: None,
    refused: Callable[[Reply], OriginError] | None = None,
) -> Iterator[Iterator[bytes]]:
    """The bytes of a span, in pieces.

    Args:
        asker: who asks.
        question: for the whole file.
        span: which bytes.
        agree: sees that an answer is of the very file; raises OriginChangedError if not.
        refused: what an answer with an error's status means.

    Raises:
        OriginError: as the port says.
    """
    if span.start == span.end:
        yield iter(())
        return
    asked = replace(question, headers={**question.headers, **_range_header(span)})
    with asker.ask(asked) as reply:
        if reply.status in {412, 416}:
            raise _changed(span)
        if reply.status not in {200, 206}:
            raise refused(reply) if refused is not None else refusal(reply, question.what)
        agree(reply)
        skip = _bytes_before(reply, span)
        try:
            yield reply.pieces(skip, span.end - span.start)
        except OriginBrokeError:
            asker.forget(question.url)
            raise


def range_of_answer(reply: Reply) -> tuple[int, int, int | None] | None:
    """First byte, end and size of the whole file, as `Content-Range` says them; None without."""
    found = _CONTENT_RANGE.fullmatch(reply.last.get("content-range", "").strip())
    if found is None:
        return None
    total = None if found[3] == "*" else int(found[3])
    return int(found[1]), int(found[2]) + 1, total


def _range_header(span: Span) -> dict[str, str]:
    if span.end < span.file.size_bytes:
        return {"Range": f"bytes={span.start}-{span.end - 1}"}
    return {"Range": f"bytes={span.start}-"} if span.start else {}


def _bytes_before(reply: Reply, span: Span) -> int:
    """How many bytes of the answer come before the span."""
    size = span.file.size_bytes
    if reply.last.get("content-encoding", "identity") != "identity":
        raise OriginBrokeError(f"{span.file.path} came encoded, where its own bytes were asked for")
    if reply.status == 200:
        if reply.size_bytes not in {None, size}:
            raise _changed(span)
        return span.start
    came = range_of_answer(reply)
    if came is None or came[:2] != (span.start, span.end):
        if came is not None and came[2] not in {None, size}:
            raise _changed(span)
        raise OriginBrokeError(f"another range of {span.file.path} came than was asked for")
    if came[2] not in {None, size}:
        raise _changed(span)
    if reply.size_bytes not in {None, span.end - span.start}:
        raise OriginBrokeError(f"another length of {span.file.path} came than was asked for")
    return 0


def _changed(span: Span) -> OriginChangedError:
    return OriginChangedError(f"{span.file.path} has another size at its origin than it had")
