"""A question in words to the passages that answer it: by meaning and by words, fused, varied.

Each way looks at more than is wanted, so that their ranks have something to agree on, and so that
what is left out afterwards (too many of a document, too alike) has others behind it.

What a model has written of a passage (memory/contextual.py) helps to find it, and is not cited.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from littoral.delivery.manifest import blake3_of
from littoral.memory.choosing import chosen
from littoral.memory.contextual import placing
from littoral.terms.collections import OpenCollection
from littoral.terms.errors import BadRequestError, UnsupportedError
from littoral.terms.ids import ModelName
from littoral.terms.memory import (
    Branch,
    Cited,
    Fused,
    Hit,
    Like,
    Query,
    Recall,
    Recalled,
    Search,
    Words,
)
from littoral.terms.reranking import Reranker
from littoral.terms.values import Caller

__all__ = ["cited", "recalled", "sorted_by"]

_LOOKED_AT: Final = 10
"""Times as many as are wanted, and at least _LEAST."""
_LEAST: Final = 100
_SORTED: Final = 5
"""Times as many as are wanted are sorted by a model, and at most _SORTED_MOST."""
_SORTED_MOST: Final = 100


async def recalled(
    collection: OpenCollection,
    recall: Recall,
    *,
    by_words: bool,
    reranker: Reranker | None,
    caller: Caller,
) -> Recalled:
    """The passages, best first.

    Args:
        collection: as its caller may see it.
        recall: what is looked for.
        by_words: the collection's driver can search by words.
        reranker: sorts what was found; None where nothing does.
        caller: whose limits that counts on.

    Raises:
        BadRequestError: the question is empty, or the collection can be asked neither way.
        UnsupportedError: it names a reranker, and there is none.
    """
    if not recall.text.strip():
        raise BadRequestError("the question is empty", param="text")
    if recall.rerank is not None:
        if reranker is None:
            raise UnsupportedError("nothing here sorts passages", param="rerank")
        reranker.check(recall.rerank)
    looked_at = max(recall.limit * _LOOKED_AT, _LEAST)
    found = await collection.search(
        Search(
            query=_query(collection, recall.text, looked_at, by_words=by_words),
            limit=looked_at,
            where=recall.where,
            with_vectors=recall.variety > 0,
        )
    )
    name = collection.spec.name
    if recall.rerank is None or reranker is None:
        passages = cited(name, chosen(found.hits, recall))
        return Recalled(tuple(passages), found.plan, found.through)
    several = min(recall.limit * _SORTED, _SORTED_MOST)
    wide = msgspec.structs.replace(recall, limit=max(several, recall.limit))
    passages = cited(name, chosen(found.hits, wide))
    best = await sorted_by(reranker, recall.rerank, recall.text, passages, caller)
    plan = (*found.plan, f"{len(passages)} sorted by {recall.rerank}")
    return Recalled(best[: recall.limit], plan, found.through)


async def sorted_by(
    reranker: Reranker, model: ModelName, question: str, passages: Sequence[Cited], caller: Caller
) -> tuple[Cited, ...]:
    """The passages by how well they answer, best first, with the scores that say so."""
    if len(passages) <= 1:
        return tuple(passages)
    scores = await reranker.scores(model, question, [each.text for each in passages], caller)
    scored = zip(passages, scores, strict=True)
    made = [msgspec.structs.replace(each, score=score) for each, score in scored]
    return tuple(sorted(made, key=lambda each: -each.score))


def _query(collection: OpenCollection, text: str, looked_at: int, *, by_words: bool) -> Query:
    spec = collection.spec
    ways: list[Query] = []
    if spec.embedding is not None:
        ways.append(Like(text))
    if by_words:
        ways.append(Words(text))
    if not ways:
        raise BadRequestError(
            f"{spec.name} can't be asked in words",
            advice="make it with a model that embeds texts",
        )
    if len(ways) == 1:
        return ways[0]
    return Fused(tuple(Branch(way, looked_at) for way in ways))


def cited(collection: str, hits: Sequence[Hit]) -> list[Cited]:
    """Hits as they are cited."""
    return [
        Cited(
            collection=collection,
            id=hit.record.id,
            document=hit.record.document,
            position=hit.record.position,
            digest=blake3_of(hit.record.text.encode()),
            text=hit.record.text,
            header=placing(hit.record.header),
            score=hit.score,
            metadata=hit.record.metadata,
        )
        for hit in hits
    ]
