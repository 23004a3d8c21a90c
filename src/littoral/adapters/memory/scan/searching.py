"""Searching what one reader sees: by the plan that was made, best first.

Rules
- A `Snapshot` never changes, so neither does a search wait for a writer, nor see half a change.
- What was removed is never given, and never takes another's place: the scan asks for more until
  enough of what it brings is there, at worst for all.
- Candidates of the generation and of what came after are compared by the same codes first, then
  exactly together.
- How far codes are from the truth is seen in each search, by its own candidates. Where a vector
  that was left out may well be nearer than one that is given, more of the scan's best are compared:
  so with a query that is like none of the vectors. Of queries that are texts it is one in ten to
  thirty.
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
    score_codes,
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

_LITTLE_MORE, _NEARLY_SURE = 2, 0.85
"""Or so many times as many, where it is nearly as sure as it should be that they are enough: that
was always enough for texts; queries that are like none of the vectors are mostly less sure."""

_SURE, _SURE_AMONG, _SURE_LESS = 2.5, 200, 0.25
"""Standard deviations of the codes' errors between the worst that is given and what is left out;
of fewer fewer are near, so less is sure enough."""

_SPREAD_MIN: Final = 1e-30


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


@dataclass(slots=True, eq=False)
class _Gathered:
    """Candidates with their exact scores: places of the generation, then of what came after."""

    base: list[Places]
    base_scores: list[Floats]
    grown: list[Places]
    grown_scores: list[Floats]


@dataclass(slots=True, eq=False)
class _Told:
    """What codes said, where they leave something out."""

    near: Floats
    """Of some that were compared."""
    scores: Floats
    """What these are."""
    worst: float
    """At most, of those that were left out."""


def found(now: Snapshot, query: Floats, count: int, plan: Plan, view: View | None) -> Neighbours:
    """The nearest to a prepared query."""
    kind, rescored = plan.kind, plan.rescored
    metric = now.base.meta.metric
    by_codes = kind is Kind.SCAN or (
        kind is Kind.VIEW and view is not None and view.index is not None
    )
    while True:
        gathered, told = _Gathered([], [], [], []), None
        if by_codes:
            told = _by_codes(now, query, count, rescored, view, gathered)
        elif view is None:
            for places, each in _exactly(metric, query, now.base.vectors, now.dead, count):
                gathered.base.append(places)
                gathered.base_scores.append(each)
            _uncoded(now.grown, metric, query, 0, count, gathered)
        else:
            _among(now, query, view, gathered)
        scores = _joined(gathered.base_scores + gathered.grown_scores, np.float32)
        best = best_of(scores, count)
        if told is None or len(scores) <= count:
            return _neighbours(now, gathered, scores, best, plan)
        sureness = _sureness(told, float(scores[best[0]]))
        if sureness >= 1.0:
            return _neighbours(now, gathered, scores, best, plan)
        rescored *= _LITTLE_MORE if sureness >= _NEARLY_SURE else _MORE


def found_many(now: Snapshot, queries: Floats, count: int, plan: Plan) -> list[Neighbours]:
    """The nearest to each of several, of all vectors: codes are scanned for many at once."""
    quantiser = now.base.quantiser
    if quantiser is None or plan.kind is not Kind.SCAN or now.dead is not None or now.grown.coded:
        return [found(now, query, count, plan, None) for query in queries]
    single_thread()
    total = len(now.base.rows)
    wanted = min(plan.rescored, total)
    told, places = now.base.index.search(quantiser.fitted(queries), wanted)
    results = []
    metric = now.base.meta.metric
    for query, near, known in zip(queries, told, places, strict=True):
        if known[-1] < 0:
            results.append(found(now, query, count, plan, None))
            continue
        compared = score_at(metric, query, now.base.vectors, known)
        gathered = _Gathered([known], [compared], [], [])
        _uncoded(now.grown, metric, query, 0, count, gathered)
        scores = _joined(gathered.base_scores + gathered.grown_scores, np.float32)
        best = best_of(scores, count)
        signed = -near if metric is Metric.L2 else near
        said = _Told(signed, compared, float(signed[-1]))
        if (
            wanted * _MORE >= total
            or len(scores) <= count
            or _sureness(said, float(scores[best[0]])) >= 1.0
        ):
            results.append(_neighbours(now, gathered, scores, best, plan))
        else:
            results.append(found(now, query, count, plan, None))
    return results


def _by_codes(
    now: Snapshot, query: Floats, count: int, rescored: int, view: View | None, gathered: _Gathered
) -> _Told | None:
    """Gather the best by their codes; None where so many are that no more need be asked for."""
    base, grown, metric = now.base, now.grown, now.base.meta.metric
    assert base.quantiser is not None
    asked = base.quantiser.fitted(query[None])
    if view is None:
        total = len(base.rows)
        near, places = _scanned(base.index, asked, rescored, total, now.dead, now.dead_count)
    else:
        total, dead = len(view.in_base), view.removed(now.position, now.dead)
        near, places = _scanned(view.index, asked, rescored, total, dead)
        places = view.in_base[places]
    scores = score_at(metric, query, base.vectors, places)
    gathered.base.append(places)
    gathered.base_scores.append(scores)
    told = -near if metric is Metric.L2 else near
    worst = float(told[-1]) if len(told) else -math.inf
    if view is not None:
        _grown_among(grown, metric, query, view, gathered)
    elif len(grown.rows):
        worst = max(worst, _grown_by_codes(now, query, asked, count, rescored, gathered))
        _uncoded(grown, metric, query, grown.coded, count, gathered)
    if len(scores) < rescored or rescored * _MORE >= total:
        return None
    return _Told(told, scores, worst)


def _grown_by_codes(
    now: Snapshot, query: Floats, asked: Floats, count: int, rescored: int, gathered: _Gathered
) -> float:
    """Gather of what came after, as far as it has codes; what these say at most of what is left."""
    grown, metric = now.grown, now.base.meta.metric
    if not grown.coded:
        return -math.inf
    dead = None if grown.dead is None else grown.dead[: grown.coded]
    wanted = max(2 * count, rescored_among(rescored, len(now.base.rows), grown.coded))
    near, there = _scanned(grown.index, asked, wanted, grown.coded, dead)
    gathered.grown.append(there)
    gathered.grown_scores.append(score_at(metric, query, grown.vectors, there))
    if len(there) < wanted:
        return -math.inf
    return float(-near[-1] if metric is Metric.L2 else near[-1])


def _sureness(told: _Told, least: float) -> float:
    """How sure it is that hardly a vector that was left out is nearer than the last that is given.

    1 is sure enough; below that, there may well be one.
    """
    errors = told.scores - told.near
    compared = len(errors)
    mean = float(np.add.reduce(errors, dtype=np.float64)) / compared
    spread = math.sqrt(max(0.0, norm_squared(errors) / compared - mean * mean))
    sure = _SURE + _SURE_LESS * min(0.0, math.log(compared / _SURE_AMONG))
    apart = least - told.worst - mean
    return 1.0 if apart >= sure * spread else apart / max(sure * spread, _SPREAD_MIN)


def _scanned(
    index: Any,  # noqa: ANN401 - faiss.IndexPQFastScan
    asked: Floats,
    wanted: int,
    total: int,
    dead: Flags | None,
    dead_count: int = -1,
) -> tuple[Floats, Places]:
    """The scan's best that were not removed; those are counted if it is not said how many are."""
    if dead is None:
        return score_codes(index, asked, min(wanted, total))
    alive = total - (dead_count if dead_count >= 0 else int(np.count_nonzero(dead)))
    wanted = min(wanted, alive)
    if not wanted:
        return np.empty(0, np.float32), np.empty(0, np.int64)
    depth = min(total, int(wanted * total / alive * _SLACK) + _SLACK_MORE)
    while True:
        near, places = score_codes(index, asked, depth)
        there = np.flatnonzero(~dead[places])[:wanted]
        if depth >= total or len(there) == wanted:
            return near[there], places[there]
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
        if dead is not None:
            best = best[scores[best] > -np.inf]
        yield best + begin, scores[best]


def _among(now: Snapshot, query: Floats, view: View, gathered: _Gathered) -> None:
    """Compare given candidates exactly."""
    base, metric = now.base, now.base.meta.metric
    dead = view.removed(now.position, now.dead)
    places = view.in_base if dead is None else view.in_base[~dead]
    gathered.base.append(places)
    gathered.base_scores.append(score_at(metric, query, base.vectors, places))
    _grown_among(now.grown, metric, query, view, gathered)


def _grown_among(
    grown: Grown, metric: Metric, query: Floats, view: View, gathered: _Gathered
) -> None:
    there = view.in_grown
    if grown.dead is not None:
        there = there[~grown.dead[there]]
    if len(there):
        gathered.grown.append(there)
        gathered.grown_scores.append(score_at(metric, query, grown.vectors, there))


def _neighbours(
    now: Snapshot, gathered: _Gathered, scores: Floats, best: Places, plan: Plan
) -> Neighbours:
    """The best of all that was gathered, from the least of them on, in order."""
    best = best[::-1]
    scores = scores[best]
    places = _joined(gathered.base + gathered.grown, np.int64)[best]
    if not gathered.grown:
        rows = now.base.rows[places]
    elif not (in_base := sum(map(len, gathered.base))):
        rows = now.grown.rows[places]
    else:
        before = now.base.rows.take(places, mode="clip")
        after = now.grown.rows.take(places, mode="clip")
        rows = np.where(best < in_base, before, after)
    if np.count_nonzero(scores[1:] == scores[:-1]):
        order = np.lexsort((rows, -scores))
        rows, scores = rows[order], scores[order]
    return Neighbours(rows, scores, plan)


def _joined(arrays: list[Any], kind: type) -> Any:  # noqa: ANN401 - of either kind
    if len(arrays) == 1:
        return arrays[0]
    return np.concatenate(arrays) if arrays else np.empty(0, kind)
