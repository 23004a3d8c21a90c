"""Answers on their way out: the one place that writes bodies, counts them and adds the receipt.

Rules
- No status line leaves before the engine's first bytes, so an error before them is a plain error.
- Every byte of the body is `sent` before it is written; the receipt is the last frame of a stream,
  in a comment, which every reader of server-sent events skips.
- Another PoP that passed the request on gets the receipt of a whole body in the head, where it can
  check it before it gives its client a byte.
- After the first byte an error ends the stream as an event of the API's own; then there is no
  receipt.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from littoral.terms.errors import LittoralError
from littoral.terms.ports import Answer, Door
from littoral.terms.values import Ask, Caller, Finish, Usage
from littoral.trust.receipts import RECEIPT_FIELD, frame, in_field
from littoral.web.dialects.passages import Passage
from littoral.web.http import Responder

__all__ = [
    "Translation",
    "reply_folded",
    "reply_stream",
    "reply_whole",
    "serial_of",
]

_STREAM_HEADERS: Final[Mapping[str, str]] = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}
_BODY_HEADERS: Final[Mapping[str, str]] = {"content-type": "application/json"}


class Translation(Protocol):
    """Folds an engine's stream into one body."""

    def feed(self, data: bytes) -> bytes:
        """Take the engine's next piece."""

    def end(self) -> bytes:
        """Take note that the engine has ended."""

    def body(self) -> bytes:
        """The whole answer."""


def serial_of(answer: Answer) -> str:
    """Hexadecimal digits that name this answer alone: those of its receipt.

    Ids of messages, items and calls are made from it, so they need no randomness and lead back
    to the receipt.
    """
    names = {name.lower(): value for name, value in answer.headers.items()}
    return names.get("littoral-receipt", "rcpt_0").removeprefix("rcpt_")


async def reply_stream(
    responder: Responder,
    door: Door,
    ask: Ask,
    caller: Caller,
    passage_of: Callable[[Answer], Passage],
) -> None:
    """Answer with server-sent events, as the engine makes them."""
    passage: Passage | None = None
    try:
        async with door.answer(ask, caller) as answer:
            passage = passage_of(answer)
            async for data in answer.chunks:
                await _write(responder, answer, passage.feed(data))
            await _write(responder, answer, passage.end())
            responder.outcome(*answer.outcome())
            receipt = await answer.seal()
        await responder.write(frame(receipt))
    except LittoralError as error:
        if passage is None or not responder.started:
            raise
        responder.outcome(Usage(), Finish.FAILED)
        await responder.write(passage.failed(error))
    await responder.end()


async def _write(responder: Responder, answer: Answer, data: bytes) -> None:
    if not data:
        return
    if not responder.started:
        await responder.start(200, {**_STREAM_HEADERS, **answer.headers})
    answer.sent(data)
    await responder.write(data)


async def reply_whole(
    responder: Responder,
    door: Door,
    ask: Ask,
    caller: Caller,
    change: Callable[[bytes, Answer], bytes] | None = None,
) -> None:
    """Answer with the engine's JSON body, changed or as it is."""
    async with door.answer(ask, caller) as answer:
        body = b"".join([data async for data in answer.chunks])
        if change is not None:
            body = change(body, answer)
        headers = await _sealed(responder, answer, caller, body)
    await responder.send(200, headers, body)


async def reply_folded(
    responder: Responder,
    door: Door,
    ask: Ask,
    caller: Caller,
    translation_of: Callable[[Answer], Translation],
) -> None:
    """Answer with one JSON body, folded from the engine's stream.

    A dialect that translates does it in one way only, so that a streamed answer and a whole one
    can't differ.
    """
    async with door.answer(ask, caller) as answer:
        translation = translation_of(answer)
        async for data in answer.chunks:
            translation.feed(data)
        translation.end()
        body = translation.body()
        headers = await _sealed(responder, answer, caller, body)
    await responder.send(200, headers, body)


async def _sealed(
    responder: Responder, answer: Answer, caller: Caller, body: bytes
) -> dict[str, str]:
    """The head of a whole body, whose receipt is kept."""
    answer.sent(body)
    responder.outcome(*answer.outcome())
    receipt = await answer.seal()
    beside = {} if caller.hop is None else {RECEIPT_FIELD: in_field(receipt)}
    return {**_BODY_HEADERS, **answer.headers, **beside}
