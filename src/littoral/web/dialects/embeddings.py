"""OpenAI embeddings: texts in, one vector for each out, as numbers or packed in base64.

The engines speak this API, so their bytes go through untouched. They also say which `dimensions`
a model has.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from littoral.terms import limits
from littoral.terms.errors import BadRequestError
from littoral.terms.ports import Door
from littoral.terms.values import Caller, Kind
from littoral.web.dialects.reading import ask_of, checked, json_object, without_nulls
from littoral.web.dialects.replying import reply_whole
from littoral.web.http import Request, Responder

__all__ = ["handle"]


class _Embedding(msgspec.Struct):
    model: str
    input: str | list[object]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, msgspec.Meta(ge=1)] | None = None
    user: str | None = None


async def handle(request: Request, responder: Responder, door: Door, caller: Caller) -> None:
    """Answer one embeddings request."""
    body = without_nulls(json_object(request.body))
    _check_input(checked(body, _Embedding).input)
    ask = ask_of(request, "embeddings", Kind.EMBED, body, stream=False)
    await reply_whole(responder, door, ask, caller)


def _check_input(given: str | Sequence[object]) -> None:
    alone = isinstance(given, str) or (bool(given) and _is_tokens(given))
    texts: Sequence[object] = [given] if alone else given
    if not texts:
        raise BadRequestError("`input` is empty", advice="send at least one text", param="input")
    if len(texts) > limits.EMBED_TEXTS_MAX:
        raise BadRequestError(
            f"`input` has {len(texts)} texts",
            advice=f"send at most {limits.EMBED_TEXTS_MAX} at a time",
            param="input",
        )
    for index, text in enumerate(texts):
        place = "input" if alone else f"input[{index}]"
        if not isinstance(text, str) and not _is_tokens(text):
            raise BadRequestError(f"`{place}` must be a text or token numbers", param=place)
        if not text:
            raise BadRequestError(
                f"`{place}` is empty", advice="send texts that say something", param=place
            )


def _is_tokens(value: object) -> bool:
    return isinstance(value, list) and all(type(each) is int and each >= 0 for each in value)
