"""Which of the passages that were found are given: enough of a score, few of a document, varied."""

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from operator import mul

from littoral.memory.fusion import varied
from littoral.terms.memory import Hit, Recall

__all__ = ["chosen"]


def chosen(hits: Sequence[Hit], recall: Recall) -> list[Hit]:
    """The hits to give, best first.

    Args:
        hits: what was found, best first; with vectors, where variety is wanted.
        recall: what is wanted.
    """
    if recall.score_min is not None:
        hits = [hit for hit in hits if hit.score >= recall.score_min]
    if recall.per_document:
        hits = _few_of_each(hits, recall.per_document)
    if recall.variety:
        hits = _varied(hits, recall)
    return list(hits[: recall.limit])


def _few_of_each(hits: Sequence[Hit], most: int) -> list[Hit]:
    seen: Counter[str] = Counter()
    kept = []
    for hit in hits:
        document = hit.record.document
        seen[document] += 1
        if not document or seen[document] <= most:
            kept.append(hit)
    return kept


def _varied(hits: Sequence[Hit], recall: Recall) -> list[Hit]:
    """By maximal marginal relevance; scores are brought to 0..1 first."""
    if not hits:
        return []
    best, worst = hits[0].score, hits[-1].score
    span = (best - worst) or 1.0
    vectors = [_unit(hit.record.vectors.get("", b"")) for hit in hits]
    places = varied(
        range(len(hits)),
        lambda place: (hits[place].score - worst) / span,
        lambda one, other: max(0.0, sum(map(mul, vectors[one], vectors[other]))),
        variety=recall.variety,
        limit=recall.limit,
    )
    return [hits[place] for place in places]


def _unit(packed: bytes) -> Sequence[float]:
    numbers = array("f", packed)
    length = math.hypot(*numbers) or 1.0
    return [number / length for number in numbers]
