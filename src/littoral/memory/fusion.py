"""Several rankings made one, and one made varied.

Reciprocal rank fusion: an id's score is the sum, over the rankings that have it, of 1 / (k + rank),
the first rank being 1 (Cormack, Clarke and Büttcher, 2009). Of equal scores the lower id is first.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

__all__ = ["fused", "varied"]

Key = TypeVar("Key", bound=Hashable)


def fused(rankings: Iterable[Sequence[str]], k: int = 60) -> list[tuple[str, float]]:
    """Ids with their scores, best first."""
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, key in enumerate(ranking, start=1):
            scores[key] = scores.get(key, 0.0) + 1.0 / (k + rank)
    return sorted(scores.items(), key=lambda each: (-each[1], each[0]))


def varied(
    keys: Sequence[Key],
    relevance: Callable[[Key], float],
    likeness: Callable[[Key, Key], float],
    *,
    variety: float,
    limit: int,
) -> list[Key]:
    """Maximal marginal relevance: the best, each less likely the more it is like one before.

    Args:
        keys: what there is to choose from, best first.
        relevance: of one, in 0..1.
        likeness: of two, in 0..1.
        variety: 0 looks at relevance alone, 1 at difference alone.
        limit: how many to choose.
    """
    left, chosen = list(keys), list[Key]()
    most: dict[Key, float] = dict.fromkeys(keys, 0.0)
    while left and len(chosen) < limit:
        best = max(left, key=lambda key: (1 - variety) * relevance(key) - variety * most[key])
        left.remove(best)
        chosen.append(best)
        for key in left:
            most[key] = max(most[key], likeness(key, best))
    return chosen
