"""Searching what one reader sees: by the plan that was made, best first.

Rules
- A `Snapshot` never changes, so neither does a search wait for a writer, nor see half a change.
- What was removed is never given, and never takes another's place: the scan asks for more until
  enough of what it brings is there, at worst for all.
- Candidates of the generation and of what came after are compared by the same codes first, then
  exactly together.
- How far codes are from the truth is seen in each search, by its own candidates. Where a vector
  that was left out may well be nearer than one that is given, more of the scan's best are compared:
  so with a query that is like none of the vectors. Of queries that are texts it is one in thirty.
"""

import math
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
    norm_squared,
    score_all,
    score_at,
    single_thread,
)
from littoral.adapters.memory.scan.views import View
from littoral.memory.planner import Kind, Plan, rescored_among
from littoral.terms.memory import Metric

__all__ = ["Neighbours", "Snapshot", "found", "found_many"]

_COMPARED_TOGETHER: Final = 65_536
"""Vectors whose scores are held at once."""

_SLACK, _SLACK_MORE = 1.15, 16
"""More is asked for than as many as were removed on average: asking again costs the whole scan."""

_MORE: Final = 4
"""Times as many are asked for when too many of the best were removed, or they are not enough."""

_SURE, _SURE_AMONG, _SURE_LESS = 2.5, 200, 0.25
"""Standard deviations of the codes' errors between the worst that is given and what is left out;
of fewer fewer are near, so less is sure enough."""


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
            rescored = plan.rescored
            while not _by_codes(now, query, count, rescored, gathered):
                rescored *= _MORE
                gathered = _Gathered([], [], [], [])
        case Kind.EXACT:
            for places, scores in _exactly(metric, query, now.base.vectors, now.dead, count):
                gathered.base.append(places)
                gathered.base_scores.append(scores)
            _uncoded(now.grown, metric, query, 0, count, gathered)
        case Kind.GATHERED | Kind.VIEW:
            assert view is not None
            _among(now, query, count, plan, view, gathered)
    return _best(now, gathered, count, plan)


def found_many(now: Snapshot, queries: Floats, count: int, plan: Plan) -> list[Neighbours]:
    """The nearest to each of several, of all vectors: codes are scanned for many at once."""
    quantiser = now.base.quantiser
    if quantiser is None or plan.kind is not Kind.SCAN or now.dead is not None or now.grown.coded:
        return [found(now, query, count, plan, None) for query in queries]
    single_thread()
    wanted = min(plan.rescored, len(now.base.rows))
    told, places = now.base.index.search(quantiser.fitted(queries), wanted)
    results = []
    metric = now.base.meta.metric
    for query, near, known in zip(queries, told, places, strict=True):
        scores = score_at(metric, query, now.base.vectors, np.maximum(known, 0))
        signed = -near if metric is Metric.L2 else near
        if known.min() < 0 or not (
            wanted * _MORE >= len(now.base.rows)
            or _enough(signed, scores, scores, float(signed[-1]), count)
        ):
            results.append(found(now, query, count, plan, None))
            continue
        gathered = _Gathered([known], [scores], [], [])
        _uncoded(now.grown, metric, query, 0, count, gathered)
        results.append(_best(now, gathered, count, plan))
    return results


def _by_codes(now: Snapshot, query: Floats, count: int, rescored: int, gathered: _Gathered) -> bool:
    """Gather by codes; whether that is enough."""
    base, grown, metric = now.base, now.grown, now.base.meta.metric
    assert base.quantiser is not None
    single_thread()
    asked = base.quantiser.fitted(query[None])
    near, places = _scanned(base.index, asked, rescored, now.dead, now.dead_count)
    scores = everything = score_at(metric, query, base.vectors, places)
    gathered.base.append(places)
    gathered.base_scores.append(scores)
    told = -near if metric is Metric.L2 else near
    worst = float(told[-1]) if len(told) else -math.inf
    if grown.coded:
        dead = None if grown.dead is None else grown.dead[: grown.coded]
        wanted = max(2 * count, rescored_among(rescored, len(base.rows), grown.coded))
        others, there = _scanned(grown.index, asked, wanted, dead)
        theirs = score_at(metric, query, grown.vectors, there)
        gathered.grown.append(there)
        gathered.grown_scores.append(theirs)
        everything = np.concatenate([scores, theirs])
        if len(there) >= wanted:
            worst = max(worst, float(-others[-1] if metric is Metric.L2 else others[-1]))
    _uncoded(grown, metric, query, grown.coded, count, gathered)
    if len(scores) < rescored or rescored * _MORE >= len(base.rows):
        return True
    return _enough(told, scores, everything, worst, count)


def _enough(told: Floats, scores: Floats, everything: Floats, worst: float, count: int) -> bool:
    """Whether hardly a vector that was left out is nearer than the last of the `count` best.

    Args:
        told: what codes say of some that were compared.
        scores: what these are.
        everything: all scores that there are.
        worst: what codes say at most of those that were left out.
        count: how many are given.
    """
    compared, length = len(scores), len(everything)
    if length <= count:
        return True
    least = float(np.partition(everything, length - count)[length - count])
    errors = scores - told
    mean = float(np.add.reduce(errors, dtype=np.float64)) / compared
    spread = math.sqrt(max(0.0, norm_squared(errors) / compared - mean * mean))
    sure = _SURE + _SURE_LESS * min(0.0, math.log(compared / _SURE_AMONG))
    return least - worst - mean >= sure * spread


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


def _among(
    now: Snapshot, query: Floats, count: int, plan: Plan, view: View, gathered: _Gathered
) -> None:
    base, grown, metric = now.base, now.grown, now.base.meta.metric
    if plan.kind is Kind.VIEW and view.index is not None:
        places, scores = _viewed(now, query, count, plan.rescored, view)
    else:
        places = view.in_base if now.dead is None else view.in_base[~now.dead[view.in_base]]
        scores = score_at(metric, query, base.vectors, places)
    gathered.base.append(places)
    gathered.base_scores.append(scores)
    there = view.in_grown
    if len(there):
        if grown.dead is not None:
            there = there[~grown.dead[there]]
        gathered.grown.append(there)
        gathered.grown_scores.append(score_at(metric, query, grown.vectors, there))


def _viewed(
    now: Snapshot, query: Floats, count: int, rescored: int, view: View
) -> tuple[Places, Floats]:
    """The best of a view's candidates by their codes, with their scores."""
    base, metric = now.base, now.base.meta.metric
    assert base.quantiser is not None
    single_thread()
    dead = None if now.dead is None else now.dead[view.in_base]
    asked = base.quantiser.fitted(query[None])
    while True:
        near, there = _scanned(view.index, asked, rescored, dead)
        places = view.in_base[there]
        scores = score_at(metric, query, base.vectors, places)
        if len(scores) < rescored or rescored * _MORE >= len(view.in_base):
            return places, scores
        told = -near if metric is Metric.L2 else near
        if _enough(told, scores, scores, float(told[-1]), count):
            return places, scores
        rescored *= _MORE


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
