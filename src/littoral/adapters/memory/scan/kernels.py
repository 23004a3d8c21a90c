"""Comparing a query with vectors exactly, on the calling thread alone, and taking the best.

Rules
- Scores are better when higher: dot products (of vectors of length one, where the metric is the
  cosine), or minus the squared distance.
- The lock of the interpreter is free while vectors are compared, and no other thread is started:
  faiss's number of threads is each thread's own, and is set to one before anything is asked of it.
- Vectors are compared where they lie, mapped files too: nothing is copied.
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from littoral.adapters.memory.scan.foreign import faiss
from littoral.terms.errors import BadRequestError
from littoral.terms.memory import Metric

__all__ = [
    "Flags",
    "Floats",
    "Places",
    "best_of",
    "faiss_metric",
    "norm_squared",
    "places_of",
    "prepared",
    "prepared_queries",
    "prepared_query",
    "score_all",
    "score_at",
    "score_codes",
    "single_thread",
]

Floats = NDArray[np.float32]
Places = NDArray[np.int64]
"""Row numbers of the truth, or places in a file."""
Flags = NDArray[np.bool_]

_PACKED: Final = np.dtype("<f4")
"""See `terms/memory.py`."""

_SORTED_WHOLE: Final = 512
"""So few scores are sorted sooner than the best of them are told apart."""

_SQUARED_MIN: Final = 1e-30
"""Below it a vector has no direction, and is left as it is: all its cosines are 0."""


def faiss_metric(metric: Metric) -> int:
    """What faiss calls a metric."""
    found: int = faiss.METRIC_L2 if metric is Metric.L2 else faiss.METRIC_INNER_PRODUCT
    return found


def single_thread() -> None:
    """Let what this thread asks of faiss be done by this thread."""
    faiss.omp_set_num_threads(1)


def prepared(vectors: Floats, dimensions: int, metric: Metric) -> Floats:
    """Vectors as they are kept and compared: whole, finite, of length one for the cosine.

    Raises:
        BadRequestError: a number is not finite, or they are of another length.
    """
    rows = np.ascontiguousarray(vectors, np.float32)
    if rows.ndim != 2 or rows.shape[1] != dimensions:
        raise _another_length(rows.shape, dimensions)
    with np.errstate(over="ignore", invalid="ignore"):
        squared = np.einsum("ij,ij->i", rows, rows)
    if not np.isfinite(squared).all():
        raise _not_finite()
    if metric is not Metric.COSINE:
        return rows
    squared[squared <= _SQUARED_MIN] = 1.0
    unit: Floats = rows / np.sqrt(squared)[:, None]
    return unit


def prepared_query(query: Floats | bytes, dimensions: int, metric: Metric) -> Floats:
    """One vector, as `prepared` makes many, sooner.

    Raises:
        BadRequestError: a number is not finite, or it is of another length.
    """
    asked = (
        _unpacked(query) if isinstance(query, bytes) else np.ascontiguousarray(query, np.float32)
    )
    if asked.shape != (dimensions,):
        raise _another_length(asked.shape, dimensions)
    squared = norm_squared(asked)
    if not math.isfinite(squared):
        raise _not_finite()
    if metric is not Metric.COSINE or squared <= _SQUARED_MIN:
        return asked
    unit: Floats = asked * np.float32(1.0 / math.sqrt(squared))
    return unit


def prepared_queries(queries: Floats | bytes, dimensions: int, metric: Metric) -> Floats:
    """The vectors of one query, as `prepared` makes them; packed as well."""
    if isinstance(queries, bytes):
        queries = _unpacked(queries)
        if len(queries) % dimensions:
            raise _another_length(queries.shape, dimensions)
        queries = queries.reshape(-1, dimensions)
    return prepared(queries, dimensions, metric)


def _unpacked(vector: bytes) -> Floats:
    if len(vector) % _PACKED.itemsize:
        raise BadRequestError("a vector ends within a number", advice="send float32 numbers")
    return np.frombuffer(vector, _PACKED)


def _another_length(shape: tuple[int, ...], dimensions: int) -> BadRequestError:
    return BadRequestError(
        f"vectors of shape {shape} in a field of {dimensions} dimensions",
        advice=f"send vectors of {dimensions} numbers, from the same model as the others",
    )


def _not_finite() -> BadRequestError:
    return BadRequestError(
        "a vector has a number that is not finite, or too large", advice="send finite numbers only"
    )


def norm_squared(numbers: Floats) -> float:
    """The sum of their squares; infinite where that is too large."""
    found: float = faiss.fvec_norm_L2sqr(faiss.swig_ptr(numbers), len(numbers))
    return found


def score_all(metric: Metric, query: Floats, vectors: Floats) -> Floats:
    """The score of each vector."""
    single_thread()
    count, dimensions = vectors.shape
    scores = np.empty(count, np.float32)
    if not count:
        return scores
    out, asked, held = faiss.swig_ptr(scores), faiss.swig_ptr(query), faiss.swig_ptr(vectors)
    if metric is Metric.L2:
        faiss.fvec_L2sqr_ny(out, asked, held, dimensions, count)
        return np.negative(scores, out=scores)
    faiss.fvec_inner_products_ny(out, asked, held, dimensions, count)
    return scores


def score_at(metric: Metric, query: Floats, vectors: Floats, places: Places) -> Floats:
    """The scores of the vectors at these places, all of which must be there."""
    single_thread()
    count, dimensions = len(places), vectors.shape[1]
    scores = np.empty(count, np.float32)
    if not count:
        return scores
    at = np.ascontiguousarray(places, np.int64)
    pointers = (
        faiss.swig_ptr(scores),
        faiss.swig_ptr(query),
        faiss.swig_ptr(vectors),
        faiss.swig_ptr(at),
    )
    if metric is Metric.L2:
        faiss.fvec_L2sqr_by_idx(*pointers, dimensions, 1, count)
        return np.negative(scores, out=scores)
    faiss.fvec_inner_products_by_idx(*pointers, dimensions, 1, count)
    return scores


def score_codes(index: Any, query: Floats, wanted: int) -> tuple[Floats, Places]:  # noqa: ANN401
    """What an index of codes says is nearest to one query, best first, and where that is.

    Args:
        index: faiss.IndexPQFastScan; no fewer codes than are wanted.
        query: as long as its vectors.
        wanted: how many; fewer are given where numbers near the largest leave none to find.
    """
    single_thread()
    near, places = np.empty(wanted, np.float32), np.empty(wanted, np.int64)
    pointers = faiss.swig_ptr(near), faiss.swig_ptr(places)
    index.search_c(1, faiss.swig_ptr(query), wanted, *pointers, None)
    if places[-1] >= 0:  # what is missing stands last
        return near, places
    there = places >= 0
    return near[there], places[there]


def best_of(scores: Floats, count: int) -> Places:
    """Where the `count` highest scores are, or all if there are no more; the least of them first.

    Of equal scores any may come first, and any may be left out.
    """
    begin = max(0, len(scores) - count)
    if not begin or len(scores) <= _SORTED_WHOLE:
        whole: Places = scores.argsort()
        return whole[begin:]
    found = scores.argpartition(begin)[begin:]
    ascending: Places = found[scores[found].argsort()]
    return ascending


def places_of(rows: Places, wanted: Places) -> Places:
    """Where the wanted rows stand among ascending ones; a row may stand in several places."""
    if not len(rows) or not len(wanted):
        return np.empty(0, np.int64)
    first = np.searchsorted(rows, wanted)
    there = rows[np.minimum(first, len(rows) - 1)] == wanted
    if not there.all():
        first, wanted = first[there], wanted[there]
    following = rows[np.minimum(first + 1, len(rows) - 1)] == wanted
    if not (following & (first + 1 < len(rows))).any():
        return first.astype(np.int64, copy=False)
    lengths = np.searchsorted(rows, wanted, side="right") - first
    begins = np.repeat(first - (np.cumsum(lengths) - lengths), lengths)
    found: Places = begins + np.arange(int(lengths.sum()), dtype=np.int64)
    return found
