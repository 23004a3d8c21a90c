"""Records that have many vectors each, compared by MaxSim.

A record's score is the sum, over the query's vectors, of the best that one of its own has with it.

A row stands once for each of its vectors, so everything else is as it is. The rows that are near
to some vector of the query are found as always, and then compared exactly with all their vectors.

Rules
- A score is exact. A row may be missed whose vectors are each a little near, and none is among the
  nearest of any vector of the query: `exact` looks at all.
"""

from typing import Any, Final

import numpy as np

from littoral.adapters.memory.scan.kernels import (
    Flags,
    Floats,
    Places,
    best_of,
    places_of,
    score_all,
    score_at,
)
from littoral.adapters.memory.scan.searching import Neighbours, Snapshot, found
from littoral.adapters.memory.scan.views import View
from littoral.memory.planner import Plan
from littoral.terms.memory import Metric

__all__ = ["found_multi", "vectors_wanted"]

_VECTORS_EACH: Final = 8
_VECTORS_MORE: Final = 64


def vectors_wanted(count: int) -> int:
    """How many vectors near to one of the query are looked for to find so many rows.

    A row that is near has several of its vectors among them.
    """
    return _VECTORS_EACH * count + _VECTORS_MORE


def found_multi(
    now: Snapshot, queries: Floats, count: int, plan: Plan, view: View | None
) -> Neighbours:
    """The best rows for all vectors of a prepared query; the plan is of one of them."""
    rows = None
    if plan.rescored:
        wanted = vectors_wanted(count)
        near = [found(now, query, wanted, plan, view).rows for query in queries]
        rows = np.unique(np.concatenate(near))
    elif view is not None:
        rows = np.unique(view.wanted)
    metric = now.base.meta.metric
    parts = [
        _compared(metric, queries, now.base.vectors, now.base.rows, now.dead, rows),
        _compared(metric, queries, now.grown.vectors, now.grown.rows, now.grown.dead, rows),
    ]
    there = np.concatenate([found for found, _ in parts])
    scores = np.concatenate([score for _, score in parts])
    best = best_of(scores, count)
    order = best[np.lexsort((there[best], -scores[best]))]
    return Neighbours(there[order], scores[order], plan)


def _compared(
    metric: Metric,
    queries: Floats,
    vectors: Floats,
    rows: Places,
    dead: Flags | None,
    wanted: Places | None,
) -> tuple[Places, Floats]:
    """Rows of one file, and the score of each. All vectors of a row are in the same file."""
    if wanted is None:
        places = np.arange(len(rows), dtype=np.int64)
    elif bool((rows[1:] >= rows[:-1]).all()):
        places = places_of(rows, wanted)
    else:
        places = np.flatnonzero(np.isin(rows, wanted))
    if dead is not None:
        places = places[~dead[places]]
    if not len(places):
        return np.empty(0, np.int64), np.empty(0, np.float32)
    standing = rows[places]
    if (np.diff(standing) < 0).any():
        order = np.argsort(standing, kind="stable")
        places, standing = places[order], standing[order]
    begins = np.flatnonzero(np.diff(standing, prepend=-1))
    sums: Any = np.zeros(len(begins), np.float32)
    whole = wanted is None and len(places) == len(rows)
    for query in queries:
        if whole:
            scores = score_all(metric, query, vectors)
        else:
            scores = score_at(metric, query, vectors, places)
        sums += np.maximum.reduceat(scores, begins)
    return standing[begins], sums
