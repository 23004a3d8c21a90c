"""Digests of one exchange, taken while its bytes pass: the request, the response, the text.

Rules
- Every digest is SHA-256(salt | bytes). The salt is 16 random bytes that only the client, the PoP
  and whoever the client shows them to know: without it, a published receipt tells nothing about
  a short prompt or a one-word answer that could be guessed.
- The response is hashed exactly as the client gets it, before the receipt frame.
- The text is what a person reads in the answer: the content of each choice, block or output part.
  It is read off the response bytes, here and by the verifier with this same code, and does not
  depend on how the bytes were cut into pieces. An answer with one part (or none) has
  SHA-256(salt | text); one with several SHA-256(salt | digest of part 1 | digest of part 2 | …).
- Bytes that can't be read as the API's own form have no text digest; that is never an error.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from littoral.terms.ids import Digest
from littoral.terms.limits import RECEIPT_TEXT_PARTS_MAX, RECEIPT_UNREAD_BYTES_MAX
from littoral.trust.decoding import UNREADABLE
from littoral.trust.names import digest_of, named

__all__ = ["AnswerDigests", "Digests", "salted", "texts_of"]


@dataclass(frozen=True, slots=True)
class Digests:
    """What a receipt says about the bytes of one exchange."""

    request: Digest
    response: Digest
    response_bytes: int
    text: Digest | None


def salted(salt: bytes, data: bytes) -> Digest:
    """The digest of these bytes under this salt."""
    return digest_of(salt + data)


class AnswerDigests:
    """Takes the bytes of one exchange as they pass and, at the end, gives their digests."""

    __slots__ = ("_bytes", "_request", "_response", "_text")

    def __init__(self, *, salt: bytes, api: str, request: bytes) -> None:
        """Start with the request.

        Args:
            salt: 16 random bytes of this exchange alone.
            api: which API's form the response has, as in `Ask.api`.
            request: the exact bytes of the request's body.
        """
        self._request = salted(salt, request)
        self._response = hashlib.sha256(salt)
        self._bytes = 0
        self._text = _TextReader(salt, api)

    def sent(self, data: bytes) -> None:
        """Bytes of the response body, in order."""
        self._response.update(data)
        self._bytes += len(data)
        self._text.feed(data)

    def finish(self) -> Digests:
        """All digests. Called once, after the last byte."""
        return Digests(
            request=self._request,
            response=named(self._response),
            response_bytes=self._bytes,
            text=self._text.finish(),
        )


Part = tuple[int, int]
"""Where a text stands in an answer: choice, block or output item; then the part within it."""

Pieces = Iterator[tuple[Part, str]]


class _TextReader:
    """Reads the text off the bytes of a response, streamed or whole."""

    __slots__ = ("_form", "_parts", "_salt", "_streamed", "_unread")

    def __init__(self, salt: bytes, api: str) -> None:
        self._salt = salt
        self._form = _FORMS.get(api)
        self._parts: dict[Part, hashlib._Hash] = {}
        self._unread = b""
        self._streamed: bool | None = None

    def feed(self, data: bytes) -> None:
        """Take bytes; keep only what does not yet make a whole event or body."""
        form = self._form
        if form is None or not data:
            return
        if self._streamed is None:
            self._streamed = not data.startswith(b"{")
        if self._streamed:
            data = self._unread + data if self._unread else data
            end = data.rfind(b"\n") + 1
            self._unread = data[end:]
            for line in data[:end].split(b"\n"):
                if line.startswith(b"data:"):
                    self._read(line[5:].strip(), form.event)
        else:
            self._unread = self._unread + data if self._unread else data
        if len(self._unread) > RECEIPT_UNREAD_BYTES_MAX:
            self._give_up()

    def finish(self) -> Digest | None:
        """The digest of the text, or None when the bytes could not be read."""
        if self._form is not None and not self._streamed:
            self._read(self._unread, self._form.body)
        if self._form is None:
            return None
        digests = [self._parts[part] for part in sorted(self._parts)]
        match digests:
            case []:
                return digest_of(self._salt)
            case [one]:
                return named(one)
            case several:
                return salted(self._salt, b"".join(part.digest() for part in several))

    def _read(self, data: bytes, pieces: Callable[[bytes], Pieces]) -> None:
        if self._form is None or data == b"[DONE]":
            return
        try:
            for part, text in pieces(data):
                if part not in self._parts:
                    self._parts[part] = hashlib.sha256(self._salt)
                self._parts[part].update(text.encode())
        except UNREADABLE:
            self._give_up()
        if len(self._parts) > RECEIPT_TEXT_PARTS_MAX:
            self._give_up()

    def _give_up(self) -> None:
        self._form = None
        self._unread = b""
        self._parts.clear()


class _Said(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    text: str | None = None
    delta: _Said | None = None
    message: _Said | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice] = []


class _Block(msgspec.Struct):
    type: str = ""
    text: str | None = None


class _MessageEvent(msgspec.Struct):
    type: str = ""
    index: int = 0
    delta: _Block | None = None


class _Message(msgspec.Struct):
    content: list[_Block] = []


class _ResponseEvent(msgspec.Struct):
    type: str = ""
    output_index: int = 0
    content_index: int = 0
    delta: object = None


class _Item(msgspec.Struct):
    content: list[_Block] | None = None


class _Response(msgspec.Struct):
    output: list[_Item] = []


_COMPLETION: Final = msgspec.json.Decoder(_Completion)
_MESSAGE_EVENT: Final = msgspec.json.Decoder(_MessageEvent)
_MESSAGE: Final = msgspec.json.Decoder(_Message)
_RESPONSE_EVENT: Final = msgspec.json.Decoder(_ResponseEvent)
_RESPONSE: Final = msgspec.json.Decoder(_Response)


def _completion(data: bytes) -> Pieces:
    """Chat and completions, chunk or body: they differ in where the text stands."""
    for choice in _COMPLETION.decode(data).choices:
        said = choice.delta or choice.message
        text = said.content if said is not None else choice.text
        if text:
            yield (choice.index, 0), text


def _message_event(data: bytes) -> Pieces:
    event = _MESSAGE_EVENT.decode(data)
    if event.delta is not None and event.delta.type == "text_delta" and event.delta.text:
        yield (event.index, 0), event.delta.text


def _message(data: bytes) -> Pieces:
    for index, block in enumerate(_MESSAGE.decode(data).content):
        if block.type == "text" and block.text:
            yield (index, 0), block.text


def _response_event(data: bytes) -> Pieces:
    event = _RESPONSE_EVENT.decode(data)
    if event.type == "response.output_text.delta" and isinstance(event.delta, str) and event.delta:
        yield (event.output_index, event.content_index), event.delta


def _response(data: bytes) -> Pieces:
    for index, item in enumerate(_RESPONSE.decode(data).output):
        for position, block in enumerate(item.content or []):
            if block.type == "output_text" and block.text:
                yield (index, position), block.text


@dataclass(frozen=True, slots=True)
class _Form:
    """How one API writes text: in an event of a stream, and in a whole body."""

    event: Callable[[bytes], Pieces]
    body: Callable[[bytes], Pieces]


_FORMS: Final = {
    "chat.completions": _Form(_completion, _completion),
    "completions": _Form(_completion, _completion),
    "messages": _Form(_message_event, _message),
    "responses": _Form(_response_event, _response),
}
"""By `Ask.api`. An API that is not here (embeddings) has no text."""


def texts_of(api: str, answer: bytes) -> tuple[bytes, ...]:
    """The texts of a whole answer, part by part, in UTF-8; none where it can't be read.

    Args:
        api: which API's form it has, as in `Ask.api`.
        answer: its body, streamed or in one piece.
    """
    form = _FORMS.get(api)
    if form is None:
        return ()
    texts: dict[Part, list[str]] = {}
    try:
        if answer.startswith(b"{"):
            said = list(form.body(answer))
        else:
            events = [line[5:].strip() for line in answer.split(b"\n") if line.startswith(b"data:")]
            said = [each for event in events if event != b"[DONE]" for each in form.event(event)]
    except UNREADABLE:
        return ()
    for part, text in said:
        texts.setdefault(part, []).append(text)
    return tuple("".join(texts[part]).encode() for part in sorted(texts))
