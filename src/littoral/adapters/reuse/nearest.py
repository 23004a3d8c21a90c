"""The nearest of a few vectors of length one: an exact scan.

With numpy where it is installed (it is beside the engine that makes the vectors), by plain
arithmetic where it is not. Vectors of another length than the query's are of another embedding
model, and are passed over.

Not here: an index. A partition is small (limits.REUSE_PARTITION_ENTRIES_MAX).
"""

import heapq
from array import array
from collections.abc import Sequence
from operator import mul
from typing import Final

__all__ = ["nearest", "nearest_plainly", "packed"]

Scored = tuple[float, int]
"""Similarity, and the place in the sequence."""

_NUMBER_BYTES: Final = 4


def packed(vector: Sequence[float]) -> bytes:
    """The vector as little-endian float32."""
    numbers = array("f", vector)
    if _swapped():
        numbers.byteswap()
    return numbers.tobytes()


def nearest(query: Sequence[float], vectors: Sequence[bytes], count: int) -> list[Scored]:
    """The nearest vectors, nearest first.

    Args:
        query: of length one.
        vectors: each of length one, packed.
        count: how many to give at most.
    """
    try:
        import numpy as np  # noqa: PLC0415 - comes with an extra
    except ImportError:
        return nearest_plainly(query, vectors, count)
    size = len(query) * _NUMBER_BYTES
    places = [place for place, vector in enumerate(vectors) if len(vector) == size]
    rows = np.frombuffer(b"".join([vectors[place] for place in places]), dtype="<f4")
    scores = rows.reshape(len(places), len(query)) @ np.asarray(query, dtype="<f4")
    scored = [(float(score), place) for score, place in zip(scores, places, strict=True)]
    return heapq.nlargest(count, scored)


def nearest_plainly(query: Sequence[float], vectors: Sequence[bytes], count: int) -> list[Scored]:
    """The same without numpy."""
    size = len(query) * _NUMBER_BYTES
    scored = []
    for place, vector in enumerate(vectors):
        if len(vector) != size:
            continue
        numbers = array("f", vector)
        if _swapped():
            numbers.byteswap()
        scored.append((sum(map(mul, query, numbers)), place))
    return heapq.nlargest(count, scored)


def _swapped() -> bool:
    """Whether this machine writes its numbers the other way round."""
    return array("h", [1]).tobytes() == b"\x00\x01"
