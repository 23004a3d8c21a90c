"""A batch of texts to embed, taken apart and put together: what of it is kept text by text.

Rules
- What a text's vector depends on beside the text is every other member of the request (`rest`), as
  in keys.py: a member that is not known may decide it. `input` is the text itself, `model` is in
  the key anyway, `stream` means nothing here, and `float` is the encoding when none is named.
- A batch that is odd in any way is none: whoever computes it says what is wrong with it.
- Of an answer is taken only what is all there: one vector for each text, each with its place.
- A server says what a whole batch has used. A text's share of the tokens is by its length: exact
  for a text asked for alone, and in sum exact for each batch.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import msgspec

from littoral.cache.keys import canonical
from littoral.terms.limits import EMBED_TEXTS_MAX

__all__ = ["Batch", "Parted", "batch_of", "composed", "parted", "shares"]

_BESIDE: Final = frozenset({"input", "model", "stream"})

Text = str | Sequence[int]
"""A text, or the numbers of its tokens."""

_Tokens = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]


class Batch(msgspec.Struct, frozen=True):
    """The texts of one request, and what else it says."""

    texts: tuple[Text, ...]
    rest: bytes
    """The `canonical` form of all other members that matter."""


class Parted(msgspec.Struct, frozen=True):
    """An answer, taken apart."""

    vectors: list[bytes]
    """The exact JSON of each `embedding` member, in the order of the texts."""
    tokens: int
    """What the server says that all texts have together; 0 if it says nothing."""
    model: str
    """What it says made them; empty if it says nothing."""


class _Vector(msgspec.Struct):
    index: int
    embedding: msgspec.Raw


class _Used(msgspec.Struct):
    prompt_tokens: _Tokens


class _Answer(msgspec.Struct):
    data: list[_Vector]
    usage: _Used | None = None
    model: str = ""


_decode: Final = msgspec.json.Decoder(_Answer).decode


def batch_of(body: Mapping[str, object]) -> Batch | None:
    """The batch that a request asks for; None when it is not well-formed.

    Args:
        body: the request, as decoded from JSON.
    """
    given = body.get("input")
    if isinstance(given, str) or _is_tokens(given):
        given = [given]
    if not isinstance(given, list) or not 0 < len(given) <= EMBED_TEXTS_MAX:
        return None
    if not all((isinstance(text, str) and text) or _is_tokens(text) for text in given):
        return None
    rest = {name: value for name, value in body.items() if name not in _BESIDE}
    if rest.get("encoding_format") == "float":
        del rest["encoding_format"]
    return Batch(tuple(given), canonical(rest))


def _is_tokens(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(token) is int for token in value)


def parted(body: bytes, count: int) -> Parted | None:
    """An answer taken apart; None when it is not one vector for each text.

    Args:
        body: of the answer, in OpenAI's shape.
        count: how many texts it was asked for.
    """
    try:
        answer = _decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    placed = {each.index: bytes(each.embedding) for each in answer.data}
    if len(answer.data) != count or placed.keys() != set(range(count)):
        return None
    vectors = [placed[index] for index in range(count)]
    if not all(vector[:1] in (b"[", b'"') for vector in vectors):
        return None
    tokens = 0 if answer.usage is None else answer.usage.prompt_tokens
    return Parted(vectors, tokens, answer.model)


def shares(tokens: int, texts: Sequence[Text]) -> list[int]:
    """What of the tokens of a batch is each text's, by length; in sum all of them."""
    lengths = [len(text.encode()) if isinstance(text, str) else len(text) for text in texts]
    whole, before, given = sum(lengths), 0, []
    for length in lengths:
        upto = before + length
        given.append(tokens * upto // whole - tokens * before // whole)
        before = upto
    return given


def composed(model: str, vectors: Sequence[bytes], *, tokens: int, cached_tokens: int = 0) -> bytes:
    """An answer in OpenAI's shape.

    Args:
        model: what it says made the vectors.
        vectors: the JSON of each, in the order of the texts.
        tokens: that all texts have together.
        cached_tokens: those of them that were not computed, where some were.
    """
    data = b",".join(
        b'{"object":"embedding","index":%d,"embedding":%b}' % (index, vector)
        for index, vector in enumerate(vectors)
    )
    details = b',"prompt_tokens_details":{"cached_tokens":%d}' % cached_tokens
    return (
        b'{"object":"list","data":[%b],"model":%b,"usage":{"prompt_tokens":%d,"total_tokens":%d%b}}'
        % (data, msgspec.json.encode(model), tokens, tokens, details if cached_tokens else b"")
    )
