"""Digests of one exchange, taken while its bytes pass: the request, the response, the text.

Rules
- Every digest is SHA-256(salt | bytes). The salt is 16 random bytes that only the client, the PoP
  and whoever the client shows them to know: without it, a published receipt tells nothing about
  a short prompt or a one-word answer that could be guessed.
- The response is hashed exactly as the client gets it, before the receipt frame.
- The text is what a person reads in the answer: the content of each choice, block or output part.
  It is read off the response bytes, here and by the verifier with this same code, and does not
  depend on how the bytes were cut into pieces. Those of an answer that is given again are not
  read again: `KnownTexts` has the text of the same bytes. An answer with one part (or none) has
  SHA-256(salt | text); one with several SHA-256(salt | digest of part 1 | digest of part 2 | …).
- Bytes that can't be read as the API's own form have no text digest; that is never an error.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from littoral.terms.ids import Digest
from littoral.terms.limits import (
    RECEIPT_PIECES_BYTES,
    RECEIPT_TEXT_PARTS_MAX,
    RECEIPT_TEXTS_KNOWN_BYTES,
    RECEIPT_UNREAD_BYTES_MAX,
)
from littoral.trust.decoding import UNREADABLE
from littoral.trust.names import digest_of, named

__all__ = ["AnswerDigests", "Digests", "KnownTexts", "WholeDigests", "salted", "texts_of"]


Part = tuple[int, int]
"""Where a text stands in an answer: choice, block or output item; then the part within it."""

Pieces = Iterator[tuple[Part, str]]


# A Struct, as every answer makes one.
class Digests(msgspec.Struct, frozen=True):
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

    __slots__ = (
        "_bytes",
        "_pieces",
        "_reader",
        "_request",
        "_response",
        "_salt",
        "_taken",
        "_texts",
    )

    def __init__(self, *, salt: bytes, api: str, request: bytes) -> None:
        """Start with the request.

        Args:
            salt: 16 random bytes of this exchange alone.
            api: which API's form the response has, as in `Ask.api`.
            request: the exact bytes of the request's body.
        """
        self._salt = salt
        self._request = salted(salt, request)
        self._response = hashlib.sha256(salt)
        self._bytes = 0
        self._taken = 0
        """So many of the bytes are hashed and read."""
        self._pieces: list[bytes] = []
        """The others. A stream comes in many small pieces, which cost less together."""
        self._reader = _TextReader(api)
        self._texts: dict[Part, hashlib._Hash] = {}

    def sent(self, data: bytes) -> None:
        """Bytes of the response body, in order."""
        self._pieces.append(data)
        self._bytes += len(data)
        if self._bytes - self._taken >= RECEIPT_PIECES_BYTES:
            self._take()

    def finish(self) -> Digests:
        """All digests. Called once, after the last byte."""
        if self._pieces:
            self._take()
        self._hash(self._reader.finish())
        text: Digest | None = None
        if self._reader.readable:
            parts = [self._texts[part] for part in sorted(self._texts)]
            text = _digest_of_texts(self._salt, parts)
        return Digests(self._request, named(self._response), self._bytes, text)

    def _take(self) -> None:
        data = b"".join(self._pieces)
        self._pieces = []
        self._taken = self._bytes
        self._response.update(data)
        self._hash(self._reader.feed(data))

    def _hash(self, texts: Mapping[Part, bytes]) -> None:
        for part, text in texts.items():
            taken = self._texts.get(part)
            if taken is None:
                taken = self._texts[part] = hashlib.sha256(self._salt)
            taken.update(text)


class KnownTexts:
    """The texts of answers that are given again: what was read off the same bytes before."""

    __slots__ = ("_bytes_max", "_known", "size_bytes")

    def __init__(self, bytes_max: int = RECEIPT_TEXTS_KNOWN_BYTES) -> None:
        self._bytes_max = bytes_max
        self._known: dict[tuple[str, bytes], Sequence[bytes]] = {}
        self.size_bytes = 0
        """Of the answers and texts that are remembered."""

    def of(self, api: str, body: bytes) -> Sequence[bytes] | None:
        """The text of each part of this answer; None when it has none, or can't be read."""
        name = api, body
        texts = self._known.get(name)
        if texts is None:
            texts = texts_of(api, body)
            if texts is not None:
                self._remember(name, texts)
        return texts

    def _remember(self, name: tuple[str, bytes], texts: Sequence[bytes]) -> None:
        size = len(name[1]) + sum(map(len, texts))
        if size > self._bytes_max:
            return
        if self.size_bytes + size > self._bytes_max:
            self._known.clear()
            self.size_bytes = 0
        self._known[name] = texts
        self.size_bytes += size


class WholeDigests:
    """AnswerDigests of a response that comes in one piece."""

    __slots__ = ("_api", "_body", "_known", "_request", "_salt")

    def __init__(
        self, *, salt: bytes, api: str, request: bytes, known: KnownTexts | None = None
    ) -> None:
        """Start with the request.

        Args:
            salt: as for `AnswerDigests`, as are the next two.
            api: the form.
            request: the bytes.
            known: for an answer that is given again and again.
        """
        self._salt = salt
        self._api = api
        self._request = request
        self._known = known
        self._body = b""

    def sent(self, data: bytes) -> None:
        """The response body, all of it."""
        self._body = data

    def finish(self) -> Digests:
        """All digests."""
        salt, body, known = self._salt, self._body, self._known
        texts = texts_of(self._api, body) if known is None else known.of(self._api, body)
        text: Digest | None = None
        if texts is not None:
            text = _digest_of_texts(salt, [hashlib.sha256(salt + each) for each in texts])
        return Digests(salted(salt, self._request), salted(salt, body), len(body), text)


def _digest_of_texts(salt: bytes, parts: Sequence["hashlib._Hash"]) -> Digest:
    """The digest of an answer's text, of what its parts come to under the salt."""
    match parts:
        case []:
            return digest_of(salt)
        case [one]:
            return named(one)
        case several:
            return salted(salt, b"".join(part.digest() for part in several))


def texts_of(api: str, body: bytes) -> Sequence[bytes] | None:
    """The text of each part of a whole answer; None when its bytes can't be read."""
    reader = _TextReader(api)
    texts = reader.feed(body) or reader.finish()
    return [text for _, text in sorted(texts.items())] if reader.readable else None


class _TextReader:
    """Reads the text off the bytes of a response, streamed or whole."""

    __slots__ = ("_form", "_parts", "_streamed", "_unread")

    def __init__(self, api: str) -> None:
        self._form = _FORMS.get(api)
        self._parts: set[Part] = set()
        self._unread = b""
        self._streamed: bool | None = None

    @property
    def readable(self) -> bool:
        """Whether all bytes so far could be read."""
        return self._form is not None

    def feed(self, data: bytes) -> Mapping[Part, bytes]:
        """Take bytes, and give the texts in them; keep what is no whole event or body yet."""
        form = self._form
        if form is None or not data:
            return {}
        if self._streamed is None:
            self._streamed = not data.startswith(b"{")
        data = self._unread + data if self._unread else data
        end = data.rfind(b"\n") + 1 if self._streamed else 0
        self._unread = data[end:]
        if len(self._unread) > RECEIPT_UNREAD_BYTES_MAX:
            return self._give_up()
        if not end:
            return {}
        lines = data[:end].split(b"\n")
        events = [line[5:].strip() for line in lines if line.startswith(b"data:")]
        return self._read(form.events([event for event in events if event != b"[DONE]"]))

    def finish(self) -> Mapping[Part, bytes]:
        """The texts of a body in one piece, which are read at its end."""
        if self._form is None or self._streamed:
            return {}
        return self._read(self._form.bodies([self._unread]))

    def _read(self, pieces: Pieces) -> Mapping[Part, bytes]:
        found: dict[Part, list[str]] = {}
        try:
            for part, text in pieces:
                if part in found:
                    found[part].append(text)
                else:
                    found[part] = [text]
            texts = {part: "".join(said).encode() for part, said in found.items()}
        except UNREADABLE:
            return self._give_up()
        self._parts.update(texts)
        return texts if len(self._parts) <= RECEIPT_TEXT_PARTS_MAX else self._give_up()

    def _give_up(self) -> Mapping[Part, bytes]:
        self._form = None
        self._unread = b""
        return {}


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


def _completions(data: Iterable[bytes]) -> Pieces:
    """Chat and completions, chunks or body: they differ in where the text stands."""
    for completion in map(_COMPLETION.decode, data):
        for choice in completion.choices:
            said = choice.delta or choice.message
            text = said.content if said is not None else choice.text
            if text:
                yield (choice.index, 0), text


def _message_events(data: Iterable[bytes]) -> Pieces:
    for event in map(_MESSAGE_EVENT.decode, data):
        delta = event.delta
        if delta is not None and delta.type == "text_delta" and delta.text:
            yield (event.index, 0), delta.text


def _messages(data: Iterable[bytes]) -> Pieces:
    for message in map(_MESSAGE.decode, data):
        for index, block in enumerate(message.content):
            if block.type == "text" and block.text:
                yield (index, 0), block.text


def _response_events(data: Iterable[bytes]) -> Pieces:
    for event in map(_RESPONSE_EVENT.decode, data):
        delta = event.delta
        if event.type == "response.output_text.delta" and isinstance(delta, str) and delta:
            yield (event.output_index, event.content_index), delta


def _responses(data: Iterable[bytes]) -> Pieces:
    for response in map(_RESPONSE.decode, data):
        for index, item in enumerate(response.output):
            for position, block in enumerate(item.content or []):
                if block.type == "output_text" and block.text:
                    yield (index, position), block.text


@dataclass(frozen=True, slots=True)
class _Form:
    """How one API writes text: in the events of a stream, and in whole bodies."""

    events: Callable[[Iterable[bytes]], Pieces]
    bodies: Callable[[Iterable[bytes]], Pieces]


_FORMS: Final = {
    "chat.completions": _Form(_completions, _completions),
    "completions": _Form(_completions, _completions),
    "messages": _Form(_message_events, _messages),
    "responses": _Form(_response_events, _responses),
}
"""By `Ask.api`. An API that is not here (embeddings) has no text."""
