"""What one cached answer has shown so far: how often it was right, at which similarity.

The answers of an entry were compared with fresh ones (an exploration); each comparison is an
observation (similarity, right or wrong). The chance of being right is taken to be a logistic
function of the similarity that never falls. `decide` serves at a similarity only when a likelihood
ratio test rejects, at one-sided 95 %, that the chance of being wrong there is over the bound.

Rules
- A new entry serves nothing: with no wrong observation it takes log(1/0.26) / bound right ones,
  that is 68 for a bound of 2 %; each wrong one makes it many more.
- Evidence holds at the similarity it was seen at and above, not below. Roundings go against serving.
- A share of what could be served is explored all the same, so that an entry whose answer has become
  wrong is found out: after `1 / AUDIT_SHARE` servings on average, and one wrong answer closes it.
- A record is bounded: beyond limits.REUSE_OBSERVATIONS_MAX all counts are halved, so the old fades.

This is vCache's idea (an online decision for each entry, under a bound that the user sets) with a
stricter rule: vCache serves with a small probability also what is likely wrong, as long as the share
over all requests stays under the bound; here nothing is served before it has been shown to be right.

Not here: whether two questions may be compared at all (questions.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, log1p
from typing import Final

from littoral.terms.limits import REUSE_OBSERVATIONS_MAX

__all__ = ["AUDIT_SHARE", "Decision", "Record", "certified", "decide", "observe", "seen"]

AUDIT_SHARE: Final = 0.05
"""Share of the servable that is explored instead: the price of noticing a change."""

_EVIDENCE: Final = 1.3528
"""Half of the chi-squared quantile of a one-sided test at 95 % with one degree of freedom."""

_STEPS: Final = 200
"""Similarities are kept in steps of 1/200: finer than what one embedding model means."""

_STEEPNESS_MAX: Final = 200.0
"""Of the logistic function: from 10 % to 90 % within 0.02. Steeper can't be told apart."""

_STEEPNESSES: Final = (0.0, 5.0, 10.0, 20.0, 40.0, 80.0, 140.0, 200.0)

_LEVEL_MAX: Final = 16.0
"""Largest logit considered: one in nine million."""


@dataclass(frozen=True, slots=True)
class Record:
    """Observations of one entry: (step of similarity, right, wrong), in the order of the steps."""

    counts: tuple[tuple[int, int, int], ...] = ()

    @property
    def right(self) -> int:
        """How often the answer was the right one."""
        return sum(right for _, right, _ in self.counts)

    @property
    def wrong(self) -> int:
        """How often it was not."""
        return sum(wrong for _, _, wrong in self.counts)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with an entry. Not serving is exploring: ask the model, compare, observe."""

    serve: bool
    certified: bool
    """Whether it could be served: an exploration of such an entry measures what serving does."""


def decide(record: Record, similarity: float, bound: float, draw: float) -> Decision:
    """Serve or explore.

    Args:
        record: of the entry.
        similarity: cosine of the two questions, in -1..1.
        bound: most wrong answers, as a share, that may be served; in 0..1, exclusive.
        draw: random in [0, 1).
    """
    good = certified(record, similarity, bound)
    return Decision(good and draw >= AUDIT_SHARE, good)


def observe(record: Record, similarity: float, *, right: bool) -> Record:
    """The record with one more comparison."""
    step = _step_above(similarity)
    counts = {at: (rights, wrongs) for at, rights, wrongs in record.counts}
    rights, wrongs = counts.get(step, (0, 0))
    counts[step] = (rights + right, wrongs + (not right))
    if sum(map(sum, counts.values())) > REUSE_OBSERVATIONS_MAX:
        counts = {at: (rights // 2, -(-wrongs // 2)) for at, (rights, wrongs) in counts.items()}
    return Record(tuple((at, *counts[at]) for at in sorted(counts) if any(counts[at])))


def seen(record: Record, similarity: float) -> tuple[int, int]:
    """Observations (right, wrong) at this similarity or above, for reports."""
    least = int(similarity * _STEPS)
    above = [(right, wrong) for at, right, wrong in record.counts if at >= least]
    return sum(right for right, _ in above), sum(wrong for _, wrong in above)


def certified(record: Record, similarity: float, bound: float) -> bool:
    """Whether it has been shown that at most `bound` of such servings are wrong."""
    assert 0 < bound < 1, "a bound is a share"
    here = int(similarity * _STEPS) / _STEPS
    points = [(at / _STEPS - here, right, wrong) for at, right, wrong in record.counts]
    level = log((1 - bound) / bound)
    doubted = _most(points, level)
    if not record.wrong:
        return bool(points) and -doubted > _EVIDENCE  # the best explanation is certainty
    best, best_level = _best(points)
    return best_level > level and best - doubted > _EVIDENCE


Point = tuple[float, int, int]
"""Similarity from here on, right, wrong."""


def _step_above(similarity: float) -> int:
    return -int(-min(similarity, 1.0) * _STEPS // 1)


def _log_likelihood(points: Sequence[Point], level: float, steepness: float) -> float:
    total = 0.0
    for distance, right, wrong in points:
        logit = level + steepness * distance
        tail = log1p(exp(-abs(logit)))
        total -= right * (tail + max(-logit, 0.0)) + wrong * (tail + max(logit, 0.0))
    return total


def _most(points: Sequence[Point], level: float) -> float:
    """The largest log-likelihood with this level here: concave in the steepness."""
    low, high = 0.0, _STEEPNESS_MAX
    for _ in range(32):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        if _log_likelihood(points, level, left) < _log_likelihood(points, level, right):
            low = left
        else:
            high = right
    tried = (low, (low + high) / 2, high)
    return max(_log_likelihood(points, level, steepness) for steepness in tried)


def _best(points: Sequence[Point]) -> tuple[float, float]:
    """The largest log-likelihood found, and its level here: from below, so against serving."""
    found = []
    for steepness in _STEEPNESSES:
        low, high = -_LEVEL_MAX, _LEVEL_MAX
        for _ in range(28):
            middle = (low + high) / 2
            surplus = sum(
                right - (right + wrong) / (1 + exp(-middle - steepness * distance))
                for distance, right, wrong in points
            )
            low, high = (middle, high) if surplus > 0 else (low, middle)
        found.append((_log_likelihood(points, low, steepness), low))
    return max(found)
