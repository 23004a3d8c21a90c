"""Requests to sort passages and their answers, in the shape of Cohere, Jina and vLLM.

Not here: computing a score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import msgspec

from littoral.terms import limits
from littoral.terms.errors import BadRequestError

__all__ = ["RankWish", "rank_wish", "ranked"]


@dataclass(frozen=True, slots=True)
class RankWish:
    """What a request wants sorted, checked."""

    question: str
    texts: list[str]
    most: int
    """So many are named in the answer."""
    shown: bool
    """The answer has the texts as well."""
    cut: bool
    """Of a question that is too long, the beginning is read."""


def rank_wish(body: Mapping[str, object]) -> RankWish:
    """Read a request to sort passages.

    Raises:
        BadRequestError: a field is missing or malformed.
    """
    question, documents = body.get("query"), body.get("documents")
    if not isinstance(question, str) or not question.strip():
        raise BadRequestError("`query` must be a text that says something", param="query")
    if not isinstance(documents, list) or not documents:
        raise BadRequestError("`documents` must be a list of texts", param="documents")
    if len(documents) > limits.RERANK_TEXTS_MAX:
        raise BadRequestError(
            f"`documents` has {len(documents)} texts",
            advice=f"send at most {limits.RERANK_TEXTS_MAX} at a time",
            param="documents",
        )
    for index, text in enumerate(documents):
        if not isinstance(text, str):
            place = f"documents[{index}]"
            raise BadRequestError(f"`{place}` must be a text", param=place)
    most = body.get("top_n") or len(documents)
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        raise BadRequestError("`top_n` must be a whole number of at least 1", param="top_n")
    cut = body.get("truncate_prompt_tokens")
    if cut not in {None, -1}:
        raise BadRequestError(
            "`truncate_prompt_tokens` must be -1: as many as the model takes",
            param="truncate_prompt_tokens",
        )
    shown = body.get("return_documents") is True
    return RankWish(question, cast("list[str]", documents), most, shown, cut is not None)


def ranked(model: str, wish: RankWish, scores: Sequence[float], tokens: int) -> bytes:
    """The answer: the best first, and of equals the one that came first."""
    order = sorted(range(len(scores)), key=lambda place: -scores[place])[: wish.most]
    results: list[dict[str, object]] = [
        {"index": place, "relevance_score": scores[place]} for place in order
    ]
    if wish.shown:
        for result, place in zip(results, order, strict=True):
            result["document"] = {"text": wish.texts[place]}
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return msgspec.json.encode({"model": model, "results": results, "usage": usage})
