"""Short codes of vectors: how they are learned, made, scanned and judged.

A vector is cut into parts, and each part told by which of 16 learned values is nearest to it
(product quantisation), so a scan adds up looked-up numbers for 32 vectors at once. faiss does the
work; what is on disk is ours: the learned values, and the codes as plain rows of bytes.

Rules
- The same vectors give the same codes: learning takes a fixed sample and a fixed seed.
- `hardness` is measured with vectors of the collection as queries: the place, among the scan's
  best, before which 99 of 100 of their 100 nearest neighbours are (see memory/planner.py).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from littoral.adapters.memory.scan.foreign import faiss
from littoral.adapters.memory.scan.kernels import Floats, Places, faiss_metric
from littoral.memory.planner import HARDNESS_NEIGHBOURS, parts_of
from littoral.terms.memory import Metric

__all__ = ["Bytes", "Quantiser", "hardness_of", "sample_places", "trained"]

Bytes = NDArray[np.uint8]

_VALUES: Final = 16
_BITS: Final = 4
_TRAINED_ON: Final = 30_000
"""Vectors that codes are learned from: with 100,000 they rank no better."""

_JUDGED: Final = 96
"""Vectors taken as queries to measure the hardness; their neighbours are 9,600 in all."""

_JUDGED_OF_MANY: Final = 32
_MANY: Final = 250_000
"""From so many vectors on, fewer queries: each costs 40 ns a vector."""

_RANKS_MAX: Final = 8_192
"""A neighbour that is not among so many of the scan's best counts as not found by it."""

_FOUND: Final = 0.99
_TOGETHER: Final = 16
"""Queries compared at once: from 20 on, faiss takes a matrix library with threads of its own."""

_CHUNK: Final = 16_384


@dataclass(frozen=True, slots=True)
class Quantiser:
    """Learned values, one set of 16 for each part."""

    dimensions: int
    metric: Metric
    values: Floats
    """Flat: part by part, value by value."""

    @property
    def parts(self) -> int:
        """4-bit values in a code."""
        return parts_of(self.dimensions)

    @property
    def code_bytes(self) -> int:
        """Of one vector."""
        return -(-self.parts * _BITS // 8)

    @property
    def padded(self) -> int:
        """Dimensions with zeros after the last, so that all parts are as long."""
        return _padded(self.dimensions)

    def fitted(self, vectors: Floats) -> Floats:
        """Vectors with the zeros."""
        padded = _padded(self.dimensions)
        if padded == self.dimensions:
            return vectors
        return np.pad(vectors, ((0, 0), (0, padded - self.dimensions)))

    def encoded(self, vectors: Floats) -> Bytes:
        """The code of each vector."""
        codes: Bytes = self._product().compute_codes(self.fitted(vectors))
        return codes

    def index(self, codes: Bytes) -> Any:  # noqa: ANN401
        """What scans these codes."""
        plain = faiss.IndexPQ(self.padded, self.parts, _BITS, faiss_metric(self.metric))
        faiss.copy_array_to_vector(self.values, plain.pq.centroids)
        plain.is_trained = True
        faiss.copy_array_to_vector(np.ascontiguousarray(codes).reshape(-1), plain.codes)
        plain.ntotal = len(codes)
        scanned = faiss.IndexPQFastScan(plain)
        scanned.orig_codes = None
        return scanned

    def error(self, vectors: Floats, codes: Bytes) -> float:
        """The squared distance from vectors to what their codes say, as a mean."""
        told: Floats = self._product().decode(codes)[:, : self.dimensions]
        return float(np.square(vectors - told, dtype=np.float64).sum(axis=1).mean())

    def _product(self) -> Any:  # noqa: ANN401
        product = faiss.ProductQuantizer(self.padded, self.parts, _BITS)
        faiss.copy_array_to_vector(self.values, product.centroids)
        return product


@lru_cache(maxsize=64)
def _padded(dimensions: int) -> int:
    parts = parts_of(dimensions)
    return -(-dimensions // parts) * parts


def sample_places(count: int, wanted: int) -> Places:
    """Places spread over all."""
    return np.linspace(0, count - 1, min(wanted, count)).astype(np.int64)


def trained(vectors: Floats, metric: Metric) -> Quantiser:
    """Learn from a sample of these vectors."""
    dimensions = vectors.shape[1]
    untrained = Quantiser(dimensions, metric, np.empty(0, np.float32))
    sample = vectors[sample_places(len(vectors), _TRAINED_ON)]
    product = faiss.ProductQuantizer(untrained.padded, untrained.parts, _BITS)
    product.train(np.ascontiguousarray(untrained.fitted(sample)))
    return Quantiser(dimensions, metric, faiss.vector_to_array(product.centroids).copy())


def hardness_of(quantiser: Quantiser, codes: Bytes, vectors: Floats) -> float:
    """How far down the scan's best the true neighbours are; the number of vectors if far."""
    judged = _JUDGED if len(vectors) < _MANY else _JUDGED_OF_MANY
    queries = np.ascontiguousarray(vectors[sample_places(len(vectors), judged)])
    depth = min(_RANKS_MAX, len(vectors))
    index = quantiser.index(codes)
    ranks = []
    for query, near in zip(queries, _nearest(queries, vectors, quantiser.metric), strict=True):
        asked = quantiser.fitted(query[None])
        best, _ = index.search(asked, depth)
        # The same scan over the neighbours alone gives each the number that it has among all.
        theirs, _ = quantiser.index(codes[near]).search(asked, len(near))
        sign = 1 if quantiser.metric is Metric.L2 else -1
        before = np.searchsorted(sign * best[0], sign * theirs[0])
        ranks.append(before + 1)
    rank = float(np.quantile(np.concatenate(ranks), _FOUND))
    return rank if rank < depth else float(len(vectors))


def _nearest(queries: Floats, vectors: Floats, metric: Metric) -> Places:
    """The nearest of each query, exactly."""
    count = min(HARDNESS_NEIGHBOURS, len(vectors))
    kept = []
    for begin in range(0, len(queries), _TOGETHER):
        asked = queries[begin : begin + _TOGETHER]
        scores = np.empty((len(asked), 0), np.float32)
        places = np.empty((len(asked), 0), np.int64)
        for first in range(0, len(vectors), _CHUNK):
            part = vectors[first : first + _CHUNK]
            near, at = faiss.knn(asked, part, min(count, len(part)), faiss_metric(metric))
            scores = np.concatenate([scores, near if metric is Metric.L2 else -near], axis=1)
            places = np.concatenate([places, at + first], axis=1)
            order = np.argsort(scores, axis=1, kind="stable")[:, :count]
            scores = np.take_along_axis(scores, order, axis=1)
            places = np.take_along_axis(places, order, axis=1)
        kept.append(places)
    return np.concatenate(kept)
