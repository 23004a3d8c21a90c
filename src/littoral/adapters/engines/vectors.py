"""Embeddings requests and answers in OpenAI's shape, for every engine that makes vectors.

Vectors are little-endian float32 in `base64`, and plain numbers otherwise: the same values.

Not here: computing a vector.
"""

import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from littoral.terms import limits
from littoral.terms.errors import BadRequestError, UnsupportedError

__all__ = ["EmbedWish", "embed_wish", "encoded", "packed"]

Text = str | list[int]
"""One thing to embed: text, or the tokens of one."""


@dataclass(frozen=True, slots=True)
class EmbedWish:
    """What an embeddings request asks for, checked."""

    texts: list[Text]
    base64: bool
    cut: int | None = None
    """Tokens of each text that count, as vLLM says it: -1 is as many as the model takes; None
    refuses a text that is longer."""


def embed_wish(
    body: Mapping[str, object], dimensions: int | None, *, cuts: bool = False
) -> EmbedWish:
    """Read an embeddings request.

    Args:
        body: the request.
        dimensions: of this model's vectors, when that is known.
        cuts: the engine can embed the beginning of a text that is too long.

    Raises:
        BadRequestError: a field is missing or malformed.
        UnsupportedError: other dimensions are asked for than the model has, or a cut of an engine
            that makes none.
    """
    encoding = body.get("encoding_format") or "float"
    if encoding not in {"float", "base64"}:
        raise BadRequestError(
            "`encoding_format` must be `float` or `base64`", param="encoding_format"
        )
    wanted = body.get("dimensions")
    if wanted is not None and wanted != dimensions:
        have = f"{dimensions}" if dimensions else "its own"
        raise UnsupportedError(
            f"this model's vectors have {have} dimensions and are not cut", param="dimensions"
        )
    texts = _texts(body.get("input"))
    if len(texts) > limits.EMBED_TEXTS_MAX:
        raise BadRequestError(
            f"{len(texts)} texts in one request",
            advice=f"send at most {limits.EMBED_TEXTS_MAX}",
            param="input",
        )
    cut = body.get("truncate_prompt_tokens")
    if cut is not None and (type(cut) is not int or cut < -1 or cut == 0):
        raise BadRequestError(
            "`truncate_prompt_tokens` must be -1 or a number of tokens",
            param="truncate_prompt_tokens",
        )
    if cut is not None and not cuts:
        raise UnsupportedError("this model's texts are not cut", param="truncate_prompt_tokens")
    return EmbedWish(texts, encoding == "base64", cut)


def _texts(value: object) -> list[Text]:
    texts = value if isinstance(value, list) and not _is_tokens(value) else [value]
    if not texts or not all(_is_text(text) or _is_tokens(text) for text in texts):
        raise BadRequestError(
            "`input` must be text, tokens, or a list of either, and none of it empty",
            param="input",
        )
    return cast("list[Text]", texts)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_token(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_tokens(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_token(item) for item in value)


def packed(vector: Sequence[float]) -> str:
    """A vector as OpenAI's `base64` says it."""
    return encoded(struct.pack(f"<{len(vector)}f", *vector))


def encoded(raw: bytes) -> str:
    """Little-endian float32 bytes in base64."""
    return base64.b64encode(raw).decode("ascii")
