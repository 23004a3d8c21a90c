"""Searching what one reader sees: by the plan that was made, best first.

Rules
- A `Snapshot` never changes, so neither does a search wait for a writer, nor see half a change.
- What was removed is never given, and never takes another's place: the scan asks for more until
  enough of what it brings is there, at worst for all.
- Candidates of the generation and of what came after are compared by the same codes first, then
  exactly together.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from littoral.adapters.memory.scan.generation import Generation
from littoral.adapters.memory.scan.growth import Grown
from littoral.adapters.memory.scan.kernels import (
    Flags,
    Floats,
    Places,
    best_of,
    score_all,
    score_at,
    single_thread,
)
from littoral.adapters.memory.scan.views import View
from littoral.memory.planner import Kind, Plan
from littoral.terms.memory import Metric

__all__ = ["Neighbours", "Snapshot", "found", "found_many"]

_COMPARED_TOGETHER: Final = 65_536
"""Vectors whose scores are held at once."""

_SLACK, _SLACK_MORE = 1.15, 16
"""More is asked for than as many as were removed on average: asking again costs the whole scan."""

_MORE: Final = 4
"""Times as many are asked for when too many of the best were removed."""


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """Rows of the truth with their scores, best first; of equal scores the lower row is first."""

    rows: Places
    scores: Floats
    plan: Plan


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """All that one search sees."""

    base: Generation
    dead: Flags | None
    """Of the generation's."""
    dead_count: int
    grown: Grown
    position: int
    """All changes of the truth up to this one are in it."""

    @property
    def alive(self) -> int:
        """Vectors that may be found."""
        return len(self.base.rows) - self.dead_count + self.grown.alive


@dataclass(slots=True)
class _Gathered:
    """Candidates with their exact scores: places of the generation, then of what came after."""

    base: list[Places]
    base_scores: list[Floats]
    grown: list[Places]
    grown_scores: list[Floats]


def found(now: Snapshot, query: Floats, count: int, plan: Plan, view: View | None) -> Neighbours:
    """The nearest to a prepared query."""
    gathered = _Gathered([], [], [], [])
    metric = now.base.meta.metric
    match plan.kind:
        case Kind.SCAN:
            _by_codes(now, query, plan.rescored, gathered)
        case Kind.EXACT:
            for places, scores in _exactly(metric, query, now.base.vectors, now.dead, count):
                gathered.base.append(places)
                gathered.base_scores.append(scores)
            _uncoded(now.grown, metric, query, 0, count, gathered)
        case Kind.GATHERED | Kind.VIEW:
            assert view is not None
            _among(now, query, plan, view, gathered)
    return _best(now, gathered, count, plan)


def found_many(now: Snapshot, queries: Floats, count: int, plan: Plan) -> list[Neighbours]:
    """The nearest to each of several, of all vectors: codes are scanned for many at once."""
    quantiser = now.base.quantiser
    if quantiser is None or plan.kind is not Kind.SCAN or now.dead is not None or now.grown.coded:
        return [found(now, query, count, plan, None) for query in queries]
    single_thread()
    wanted = min(plan.rescored, len(now.base.rows))
    _, places = now.base.index.search(quantiser.fitted(queries), wanted)
    results = []
    metric = now.base.meta.metric
    for query, near in zip(queries, places, strict=True):
        known = near[near >= 0]
        scores = score_at(metric, query, now.base.vectors, known)
        gathered = _Gathered([known], [scores], [], [])
        _uncoded(now.grown, metric, query, 0, count, gathered)
        results.append(_best(now, gathered, count, plan))
    return results


def _by_codes(now: Snapshot, query: Floats, rescored: int, gathered: _Gathered) -> None:
    base, grown, metric = now.base, now.grown, now.base.meta.metric
    assert base.quantiser is not None
    single_thread()
    asked = base.quantiser.fitted(query[None])
    near, places = _scanned(base.index, asked, rescored, now.dead, now.dead_count)
    if grown.coded:
        dead = None if grown.dead is None else grown.dead[: grown.coded]
        others, there = _scanned(grown.index, asked, rescored, dead)
        together = np.concatenate([near, others])
        best = best_of(-together if metric is Metric.L2 else together, rescored)
        places, there = places[best[best < len(near)]], there[best[best >= len(near)] - len(near)]
        gathered.grown.append(there)
        gathered.grown_scores.append(score_at(metric, query, grown.vectors, there))
    gathered.base.append(places)
    gathered.base_scores.append(score_at(metric, query, base.vectors, places))
    _uncoded(grown, metric, query, grown.coded, rescored, gathered)


def _scanned(
    index: Any,  # noqa: ANN401 - faiss.IndexPQFastScan
    asked: Floats,
    wanted: int,
    dead: Flags | None,
    dead_count: int = -1,
) -> tuple[Floats, Places]:
    """The scan's best that were not removed; those are counted if it is not said how many are."""
    total = int(index.ntotal)
    if dead is None:
        near, places = index.search(asked, min(wanted, total))
        there = places[0] >= 0  # numbers near the largest may leave none to find
        return (near[0], places[0]) if there.all() else (near[0][there], places[0][there])
    alive = total - (dead_count if dead_count >= 0 else int(np.count_nonzero(dead)))
    wanted = min(wanted, alive)
    if not wanted:
        return np.empty(0, np.float32), np.empty(0, np.int64)
    depth = min(total, int(wanted * total / alive * _SLACK) + _SLACK_MORE)
    while True:
        near, places = index.search(asked, depth)
        there = (places[0] >= 0) & ~dead[places[0]]
        if depth >= total or int(np.count_nonzero(there)) >= wanted:
            return near[0][there][:wanted], places[0][there][:wanted]
        depth = min(total, depth * _MORE)


def _uncoded(
    grown: Grown, metric: Metric, query: Floats, begin: int, count: int, gathered: _Gathered
) -> None:
    """Compare exactly what came after the generation, from there on."""
    if begin == len(grown.rows):
        return
    dead = None if grown.dead is None else grown.dead[begin:]
    for places, scores in _exactly(metric, query, grown.vectors[begin:], dead, count):
        gathered.grown.append(places + begin)
        gathered.grown_scores.append(scores)


def _exactly(
    metric: Metric, query: Floats, vectors: Floats, dead: Flags | None, count: int
) -> Iterator[tuple[Places, Floats]]:
    """The best of each part."""
    for begin in range(0, len(vectors), _COMPARED_TOGETHER):
        part = slice(begin, begin + _COMPARED_TOGETHER)
        scores = score_all(metric, query, vectors[part])
        if dead is not None:
            scores[dead[part]] = -np.inf
        best = best_of(scores, count)
        yield best + begin, scores[best]


def _among(now: Snapshot, query: Floats, plan: Plan, view: View, gathered: _Gathered) -> None:
    base, grown, metric = now.base, now.grown, now.base.meta.metric
    places = view.in_base
    if plan.kind is Kind.VIEW and view.index is not None:
        assert base.quantiser is not None
        single_thread()
        dead = None if now.dead is None else now.dead[places]
        asked = base.quantiser.fitted(query[None])
        places = places[_scanned(view.index, asked, plan.rescored, dead)[1]]
    elif now.dead is not None:
        places = places[~now.dead[places]]
    gathered.base.append(places)
    gathered.base_scores.append(score_at(metric, query, base.vectors, places))
    there = view.in_grown
    if len(there):
        if grown.dead is not None:
            there = there[~grown.dead[there]]
        gathered.grown.append(there)
        gathered.grown_scores.append(score_at(metric, query, grown.vectors, there))


def _best(now: Snapshot, gathered: _Gathered, count: int, plan: Plan) -> Neighbours:
    scores = _joined(gathered.base_scores + gathered.grown_scores, np.float32)
    best = best_of(scores, count)
    scores = scores[best]
    if gathered.grown:
        in_base = sum(map(len, gathered.base))
        places = _joined(gathered.base + gathered.grown, np.int64)[best]
        rows = np.empty(len(best), np.int64)
        old = best < in_base
        rows[old] = now.base.rows[places[old]]
        rows[~old] = now.grown.rows[places[~old]]
    else:
        rows = now.base.rows[_joined(gathered.base, np.int64)[best]]
    order = np.lexsort((rows, -scores))
    if now.dead is not None or now.grown.dead is not None:
        order = order[scores[order] > -np.inf]
    return Neighbours(rows[order], scores[order], plan)


def _joined(arrays: list[Any], kind: type) -> Any:  # noqa: ANN401 - of either kind
    if len(arrays) == 1:
        return arrays[0]
    return np.concatenate(arrays) if arrays else np.empty(0, kind)
