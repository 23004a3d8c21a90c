"""Passages to be sorted by a question, as Cohere, Jina and vLLM are asked: a number for each.

What comes back is the engine's own, for engines and upstreams answer in this shape.
"""

from typing import Annotated

import msgspec

from littoral.terms import limits
from littoral.terms.errors import BadRequestError
from littoral.terms.ports import Door
from littoral.terms.values import Caller, Kind
from littoral.web.dialects.reading import ask_of, checked, json_object, without_nulls
from littoral.web.dialects.replying import reply_whole
from littoral.web.http import Request, Responder

__all__ = ["handle"]


class _Document(msgspec.Struct):
    text: str


class _Rerank(msgspec.Struct):
    model: str
    query: str
    documents: list[str | _Document]
    top_n: Annotated[int, msgspec.Meta(ge=1)] | None = None
    return_documents: bool | None = None
    rank_fields: None = None


async def handle(request: Request, responder: Responder, door: Door, caller: Caller) -> None:
    """Answer one request to sort passages."""
    body = without_nulls(json_object(request.body))
    asked = checked(body, _Rerank)
    if not asked.query.strip():
        raise BadRequestError("`query` is empty", advice="ask something", param="query")
    if not asked.documents:
        raise BadRequestError(
            "`documents` is empty", advice="send at least one text", param="documents"
        )
    if len(asked.documents) > limits.RERANK_TEXTS_MAX:
        raise BadRequestError(
            f"`documents` has {len(asked.documents)} texts",
            advice=f"send at most {limits.RERANK_TEXTS_MAX} at a time",
            param="documents",
        )
    body["documents"] = [each if isinstance(each, str) else each.text for each in asked.documents]
    ask = ask_of(request, "rerank", Kind.RERANK, body, stream=False)
    await reply_whole(responder, door, ask, caller)
