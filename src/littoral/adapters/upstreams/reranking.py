"""Scores of passages from servers with a `/rerank` API: Cohere, Jina, vLLM, SGLang, Infinity.

They take the same request and answer with the same list, each text's number and score, in any
order. It goes the way of all requests to upstreams: their health, weights and tries are the same.
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from littoral.adapters.engines.upstream import Awaited
from littoral.adapters.upstreams.upstreams import Upstreams
from littoral.adapters.upstreams.words import RERANK, Errand
from littoral.terms.errors import UpstreamFailedError
from littoral.terms.ids import ModelName
from littoral.terms.limits import RERANK_BYTES_MAX
from littoral.terms.values import ModelEntry

__all__ = ["scored", "scores_in"]


class _Result(msgspec.Struct):
    index: int
    relevance_score: float


class _Answer(msgspec.Struct):
    results: list[_Result]


_decode: Final = msgspec.json.Decoder(_Answer).decode


async def scored(
    upstreams: Upstreams, entry: ModelEntry, question: str, texts: Sequence[str]
) -> Sequence[float]:
    """The score of each text, in their order.

    Raises:
        UpstreamFailedError, UpstreamTimeoutError: there are none.
    """
    body = {
        "model": entry.name,
        "query": question,
        "documents": [*texts],
        "top_n": len(texts),
        "return_documents": False,
    }
    errand = Errand(RERANK, msgspec.json.encode(body), entry.name, stream=False)
    answer = Awaited(None)
    answer.fetch = fetch = upstreams.fetch(upstreams.route(entry), errand, answer)
    try:
        fetch.start()
        said = b"".join([piece async for piece in answer])
    finally:
        fetch.cancel()
    return scores_in(entry.name, said, len(texts))


def scores_in(model: ModelName, said: bytes, texts: int) -> Sequence[float]:
    """The score of each of so many texts, in their order, of what a model has answered.

    Raises:
        UpstreamFailedError: it is anything else.
    """
    if len(said) > RERANK_BYTES_MAX:
        raise UpstreamFailedError(f"{model} has answered with more than scores")
    try:
        results = _decode(said).results
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise UpstreamFailedError(f"{model} has not answered with scores") from None
    scores = {each.index: each.relevance_score for each in results}
    if scores.keys() != set(range(texts)) or not all(map(math.isfinite, scores.values())):
        raise UpstreamFailedError(f"{model} has not answered with one score for each passage")
    return [scores[place] for place in range(texts)]
