"""A question in words to the passages that answer it: by meaning and by words, fused, varied.

Each way looks at more than is wanted, so that their ranks have something to agree on, and so that
what is left out afterwards (too many of a document, too alike) has others behind it.
"""

from collections.abc import Sequence
from typing import Final

from littoral.delivery.manifest import blake3_of
from littoral.memory.choosing import chosen
from littoral.terms.collections import OpenCollection
from littoral.terms.errors import BadRequestError, UnsupportedError
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

__all__ = ["cited", "recalled"]

_LOOKED_AT: Final = 10
"""Times as many as are wanted, and at least _LEAST."""
_LEAST: Final = 100


async def recalled(collection: OpenCollection, recall: Recall, *, by_words: bool) -> Recalled:
    """The passages, best first.

    Args:
        collection: as its caller may see it.
        recall: what is looked for.
        by_words: the collection's driver can search by words.

    Raises:
        BadRequestError: the question is empty, or the collection can be asked neither way.
        UnsupportedError: it names a reranker, and there is none.
    """
    if not recall.text.strip():
        raise BadRequestError("the question is empty", param="text")
    if recall.rerank is not None:
        raise UnsupportedError(f"{recall.rerank} can't rerank", param="rerank")
    looked_at = max(recall.limit * _LOOKED_AT, _LEAST)
    found = await collection.search(
        Search(
            query=_query(collection, recall.text, looked_at, by_words=by_words),
            limit=looked_at,
            where=recall.where,
            with_vectors=recall.variety > 0,
        )
    )
    hits = chosen(found.hits, recall)
    name = collection.spec.name
    return Recalled(tuple(cited(name, hits)), found.plan, found.through)


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
            header=hit.record.header,
            score=hit.score,
            metadata=hit.record.metadata,
        )
        for hit in hits
    ]
