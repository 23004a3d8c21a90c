"""Scores, computed here from what a server has found: so they are the same whatever server it was.

Servers compare vectors in 32 bits, each in its own order. They choose candidates; the score that a
hit has, and which of two comes first, is computed here in 64 bits.
"""

from collections.abc import Sequence
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from littoral.terms.memory import Metric, Record, Sparse, VectorField

__all__ = [
    "Numbers",
    "margin",
    "prepared",
    "restored",
    "scores",
    "sparse_margin",
    "sparse_score",
    "unpacked",
]

Numbers = NDArray[Any]

_ROUNDING = 2e-6
"""What 32-bit sums of some thousand products may be off by, of the product of the lengths."""

_UNIT = 1e-6
"""How far from 1 the squared length of a vector may be that is kept as it is."""


def unpacked(vector: bytes) -> Numbers:
    """The numbers of a packed vector."""
    return np.frombuffer(vector, dtype="<f4")


def prepared(field: VectorField, vector: bytes) -> tuple[bytes, bool]:
    """A vector as a server compares it, and whether it is another than was given.

    Cosines are compared as dot products of vectors of length 1: no server is asked what the cosine
    to a zero vector is. (Here it is 0.)
    """
    if field.metric is not Metric.COSINE:
        return vector, False
    rows = unpacked(vector).reshape(-1, field.dimensions).astype(np.float64)
    lengths = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    if (np.abs(lengths * lengths - 1) <= _UNIT).all() or not lengths.all():
        return vector, False
    return (rows / lengths).astype("<f4").tobytes(), True


def restored(numbers: Sequence[float]) -> bytes:
    """The packed vector of numbers that a server has given."""
    return np.asarray(numbers, dtype="<f4").tobytes()


def scores(field: VectorField, query: bytes, vectors: Sequence[bytes]) -> list[float]:
    """How near each vector is to the query; MaxSim where there are several under the name."""
    if not vectors:
        return []
    wanted = unpacked(query).reshape(-1, field.dimensions).astype(np.float64)
    if not field.multi:
        rows = unpacked(b"".join(vectors)).reshape(-1, field.dimensions).astype(np.float64)
        return [float(each) for each in _compared(field.metric, wanted, rows)[0]]
    found = []
    for vector in vectors:
        rows = unpacked(vector).reshape(-1, field.dimensions).astype(np.float64)
        found.append(float(_compared(field.metric, wanted, rows).max(axis=1).sum()))
    return found


def margin(field: VectorField, query: bytes, vectors: Sequence[bytes]) -> float:
    """How far a server's idea of a score may be from ours."""
    if not vectors:
        return 0.0
    wanted = float(np.linalg.norm(unpacked(query).astype(np.float64)))
    longest = max(float(np.linalg.norm(unpacked(each).astype(np.float64))) for each in vectors)
    match field.metric:
        case Metric.COSINE:
            return _ROUNDING
        case Metric.DOT:
            return _ROUNDING * wanted * longest
        case Metric.L2:
            return _ROUNDING * (wanted + longest) ** 2
        case _:
            assert_never(field.metric)


def sparse_score(query: Sparse, record: Record, field: str) -> float | None:
    """The dot product; None where the two have no index in common."""
    there = record.sparse.get(field)
    wanted = dict(zip(query.indices, query.values, strict=True))
    if there is None or wanted.keys().isdisjoint(there.indices):
        return None
    pairs = zip(there.indices, there.values, strict=True)
    return sum(wanted.get(index, 0.0) * value for index, value in pairs)


def sparse_margin(query: Sparse, vectors: Sequence[Sparse]) -> float:
    """As `margin`."""
    longest = max((float(np.linalg.norm(each.values)) for each in vectors), default=0.0)
    return _ROUNDING * float(np.linalg.norm(query.values)) * longest


def _compared(metric: Metric, wanted: Numbers, rows: Numbers) -> Numbers:
    match metric:
        case Metric.DOT:
            return _products(wanted, rows)
        case Metric.COSINE:
            lengths = np.outer(np.linalg.norm(wanted, axis=1), np.linalg.norm(rows, axis=1))
            products = _products(wanted, rows)
            return np.divide(products, lengths, out=np.zeros(lengths.shape), where=lengths != 0)
        case Metric.L2:
            return -np.stack([((rows - each) ** 2).sum(axis=1) for each in wanted])
        case _:
            assert_never(metric)


def _products(wanted: Numbers, rows: Numbers) -> Numbers:
    """Row by row, so that equal rows have equal products (those of BLAS differ by place)."""
    return np.stack([(rows * each).sum(axis=1) for each in wanted])
